"""Autologging of PyTorch Lightning, as its users import it."""

from headrace.client.autolog.lightning import autolog
from headrace.client.later import missing as __getattr__  # noqa: F401 - Python looks for it

__all__ = ["autolog"]
