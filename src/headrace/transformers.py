"""Autologging of transformers' Trainer, under the name that MLflow's users import it by."""

from headrace.client.autolog.transformers import autolog

__all__ = ["autolog"]
