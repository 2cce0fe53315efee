"""The client, where MLflow's users import it from."""

from __future__ import annotations

from headrace.client.client import Client as MlflowClient

__all__ = ["MlflowClient"]
