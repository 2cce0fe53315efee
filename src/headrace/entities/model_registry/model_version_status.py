"""The status of model versions, where programs that wait for one import it from."""

from __future__ import annotations

from headrace.client.entities import ModelVersionStatus

__all__ = ["ModelVersionStatus"]
