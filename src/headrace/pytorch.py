"""Autologging of PyTorch Lightning, under the name that MLflow's users import it by."""

from headrace.client.autolog.lightning import autolog

__all__ = ["autolog"]
