"""Language models that answer many requests at once. They run in the model's own environment."""
