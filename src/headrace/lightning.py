"""Autologging of PyTorch Lightning, as its users import it."""

from headrace.client.autolog.lightning import autolog

__all__ = ["autolog"]
