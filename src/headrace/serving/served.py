"""The models that a server answers for, by name."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any

from headrace.errors import HeadraceError, InvalidRequest, NotFound, Unavailable
from headrace.serving.engines.base import Event
from headrace.serving.predictions import IsGone
from headrace.serving.recording import Recorder, Recording
from headrace.serving.served_version import ServedVersion
from headrace.serving.shadow import Shadow
from headrace.serving.worker.answers import Answered
from headrace.serving.worker.calls import Call


class ServedModel:
    """A model under the name that callers use; which version answers may change at any time."""

    def __init__(
        self,
        name: str,
        current: ServedVersion,
        recorder: Recorder | None = None,
    ) -> None:
        self.name = name
        self.current = current
        self.shadow: Shadow | None = None
        """What gets a copy of its traffic."""
        self._recorder = recorder

    def check_ready(self) -> None:
        """Raise Unavailable while no worker can answer."""
        if not self.current.pool.status().alive:
            raise Unavailable(f"No worker of '{self.name}' can answer now.")

    async def predict(self, call: Call, is_gone: IsGone | None = None) -> Answered:
        """See Pool. What the shadow makes of it, nobody waits for."""
        current = self.current
        if self._recorder is None:
            answered = await current.pool.predict(call, is_gone)
        else:
            exchange = Recording(self._recorder, self.name, current.version.label).begin(call)
            try:
                answered = await current.pool.predict(call, is_gone)
            except HeadraceError as error:
                exchange.end(b"", error.message)
                raise
            exchange.end(answered.body)
        if self.shadow is not None:
            self.shadow.predict(call, answered)
        return answered

    def generate(self, head: dict[str, Any]) -> AsyncGenerator[Event, None]:
        """See Pool."""
        current = self.current
        if self.shadow is not None:
            self.shadow.generate(head)
        events = current.pool.generate(head)
        if self._recorder is None:
            return events
        return Recording(self._recorder, self.name, current.version.label).events(events, head)


class ServedModels:
    """All models of a server."""

    def __init__(self, models: Mapping[str, ServedModel]) -> None:
        self._models = dict(models)

    def __iter__(self) -> Iterator[ServedModel]:
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
