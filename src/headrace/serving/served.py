"""The models that a server answers for, by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from headrace.errors import InvalidRequest, NotFound
from headrace.models.sources import Version
from headrace.serving.calls import Event
from headrace.serving.pool import Pool
from headrace.serving.worker.answers import Answered
from headrace.serving.worker.calls import Call


class ServedVersion:
    """A version that is loaded: what its `MLmodel` says, and the pool that answers."""

    def __init__(self, version: Version, handed: Mapping[str, Any], pool: Pool) -> None:
        self.version = version
        self.description: dict[str, Any] = dict(handed["model"])
        """What its `MLmodel` says, parsed."""
        self.pool = pool

    @property
    def task(self) -> str | None:
        """The task in OpenAI's shape that it answers for."""
        metadata = self.description.get("metadata")
        task = metadata.get("task") if isinstance(metadata, Mapping) else None
        return task if isinstance(task, str) else None


class ServedModel:
    """A model under the name that callers use; which version answers may change at any time."""

    def __init__(self, name: str, current: ServedVersion) -> None:
        self.name = name
        self.current = current

    async def predict(self, call: Call) -> Answered:
        """See Pool."""
        return await self.current.pool.predict(call)

    def generate(self, head: dict[str, Any]) -> AsyncIterator[Event]:
        """See Pool."""
        return self.current.pool.generate(head)


class ServedModels:
    """All models of a server."""

    def __init__(self, models: Mapping[str, ServedModel]) -> None:
        self._models = dict(models)

    def __iter__(self) -> Any:
        return iter(self._models.values())

    def named(self, name: str) -> ServedModel:
        """The model of this name. NotFound, with the names that there are."""
        found = self._models.get(name)
        if found is None:
            raise NotFound(
                f"This server has no model '{name[:100]}'; it has: {', '.join(self._models)}."
            )
        return found

    def only(self) -> ServedModel:
        """The one that is meant when no name is said. InvalidRequest where there are several."""
        if len(self._models) > 1:
            raise InvalidRequest(
                "This server has several models, so the request must say which: "
                f"/models/NAME/invocations, with one of: {', '.join(self._models)}."
            )
        return next(iter(self._models.values()))
