"""The SDK. `from headrace.client import MlflowClient` works, as it does with MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.client.client import Client as MlflowClient

__all__ = ["MlflowClient"]


def __getattr__(name: str) -> Any:
    if name != "MlflowClient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from headrace.client.client import Client

    return Client
