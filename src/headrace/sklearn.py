"""The door that MLflow's users know: `headrace.sklearn.autolog()`."""

from headrace.client.autolog.sklearn import autolog

__all__ = ["autolog"]
