"""Autologging of LightGBM, under the name that MLflow's users import it by."""

from headrace.client.autolog.lightgbm import autolog

__all__ = ["autolog"]
