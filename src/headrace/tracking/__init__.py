"""The client and the tracking URI, where MLflow's users import them from."""

from __future__ import annotations

from headrace.client.client import Client as MlflowClient
from headrace.client.tracking import (
    get_registry_uri,
    get_tracking_uri,
    is_tracking_uri_set,
    set_registry_uri,
    set_tracking_uri,
)
from headrace.tracking import fluent

__all__ = [
    "MlflowClient",
    "fluent",
    "get_registry_uri",
    "get_tracking_uri",
    "is_tracking_uri_set",
    "set_registry_uri",
    "set_tracking_uri",
]
