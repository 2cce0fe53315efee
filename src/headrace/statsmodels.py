"""The door that MLflow's users know: `headrace.statsmodels.autolog()`."""

from headrace.client.autolog.statsmodels import autolog

__all__ = ["autolog"]
