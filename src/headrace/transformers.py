"""Autologging of transformers' Trainer, under the name that MLflow's users import it by."""

from headrace.client.autolog.transformers import autolog
from headrace.client.later import missing as __getattr__  # noqa: F401 - Python looks for it

__all__ = ["autolog"]
