"""How well a model does on data: metrics, curves, slices, and a verdict, logged to a run.

The folder stands above `client`, whose calls it uses to log. Everything here is computed with
NumPy alone (docs/decisions/0023); pandas, Polars, scikit-learn and Matplotlib are used where they
are installed.
"""
