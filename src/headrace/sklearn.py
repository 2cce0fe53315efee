"""The door that MLflow's users know: `headrace.sklearn.autolog()`."""

from headrace.client.autolog.sklearn import autolog
from headrace.client.later import missing as __getattr__  # noqa: F401 - Python looks for it

__all__ = ["autolog"]
