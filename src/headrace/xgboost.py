"""Autologging of XGBoost, under the name that MLflow's users import it by."""

from headrace.client.autolog.xgboost import autolog

__all__ = ["autolog"]
