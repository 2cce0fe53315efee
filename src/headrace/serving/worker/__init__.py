"""What runs in a model's own environment: nothing here needs more than Python and the model's
packages.
"""
