"""Errors under MLflow's names: `except MlflowException` catches all that Headrace raises."""

from __future__ import annotations

from headrace.errors import HeadraceError as MlflowException
from headrace.errors import HeadraceError as RestException

__all__ = ["MlflowException", "RestException"]
