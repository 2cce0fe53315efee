"""Registered models and their versions, where MLflow's users import them from."""

from __future__ import annotations

from headrace.client.entities import ModelVersion, RegisteredModel
from headrace.protocol.registered_models import Alias as RegisteredModelAlias
from headrace.protocol.wire import Tag as ModelVersionTag
from headrace.protocol.wire import Tag as RegisteredModelTag

__all__ = [
    "ModelVersion",
    "ModelVersionTag",
    "RegisteredModel",
    "RegisteredModelAlias",
    "RegisteredModelTag",
]
