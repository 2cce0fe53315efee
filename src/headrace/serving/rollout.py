"""Following the version that is wanted: loaded beside the one that answers, checked, swapped in.

Callers notice nothing: the old version answers until the new one can, and finishes what it has
begun. A version that cannot be loaded, or does not predict for its own input example, is refused:
the old one goes on, and the refusal is said in the log and on `/models`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from headrace.errors import HeadraceError, Unavailable
from headrace.models.sources import ModelSource, Version
from headrace.serving.aside import aside
from headrace.serving.loading import VersionLoader
from headrace.serving.pool import Pool
from headrace.serving.served_version import ServedVersion

log = logging.getLogger("headrace.serving")


@dataclass(frozen=True)
class Refusal:
    """A version that was wanted and is not served, and why."""

    version: Version
    reason: str


class Following(Protocol):
    """What answers with one version, and may be given another at any time."""

    name: str
    current: ServedVersion


class Rollout:
    """Keeps one model, or a shadow, at the version that its source wants. Belongs to the event
    loop.
    """

    def __init__(self, model: Following, source: ModelSource, loader: VersionLoader) -> None:
        self.model = model
        self.source = source
        self.refusal: Refusal | None = None
        """The version that is wanted now, where it was refused."""
        self.loading: Version | None = None
        """The version that is being made ready."""
        self._loader = loader
        self._draining: set[asyncio.Task[None]] = set()
        self._moving: asyncio.Task[None] | None = None
        self._is_unsure = False

    async def follow(self, pause: Callable[[], Awaitable[None]]) -> None:
        """Look again after each `pause`, for ever."""
        try:
            while True:
                await pause()
                await self._look()
        finally:
            await self._stop_moving()

    async def _look(self) -> None:
        """See which version is wanted now, and begin to serve it if it is another one. Never
        raises for what a version or the registry does.
        """
        wanted = await self._wanted()
        if wanted is None or wanted == self.loading:
            return
        if self.refusal and self.refusal.version == wanted:
            return
        await self._stop_moving()  # what was wanted before may take for ever to load
        self.refusal = None
        if wanted != self.model.current.version:
            self.loading = wanted
            self._moving = asyncio.create_task(self._move_to(wanted))

    async def _stop_moving(self) -> None:
        """Give up a version that is being made ready."""
        if self._moving is not None:
            self._moving.cancel()
            await asyncio.gather(self._moving, return_exceptions=True)
            self._moving = self.loading = None

    async def close(self) -> None:
        """Let go of versions that are being made ready or still finish what they have begun."""
        await self._stop_moving()
        for task in self._draining:
            task.cancel()
        await asyncio.gather(*self._draining, return_exceptions=True)

    async def _wanted(self) -> Version | None:
        try:
            found = await aside(self.source.current)
        except (HeadraceError, OSError) as error:
            if not self._is_unsure:  # once, not every few seconds
                served = self.model.current.version.uri
                log.warning(
                    "%s cannot be looked up, %s goes on: %s", self.source.uri, served, error
                )
            self._is_unsure = True
            return None
        if self._is_unsure:
            log.info("%s can be looked up again", self.source.uri)
        self._is_unsure = False
        return found

    async def _move_to(self, wanted: Version) -> None:
        before = self.model.current
        log.info("%s is now %s; loading it", self.source.uri, wanted.uri)
        try:
            loaded = await self._loader.load(self.model.name, self.source, wanted)
            try:
                await self._loader.check(loaded)
            except BaseException:
                await loaded.pool.close()
                raise
        except Unavailable as error:  # the registry's trouble, not the version's: try it again
            log.warning("%s cannot be fetched now: %s", wanted.uri, error.message)
            return
        except Exception as error:  # noqa: BLE001 - whatever a version does, the old one goes on
            self.refusal = Refusal(wanted, str(error))
            log.error("%s is refused, %s goes on: %s", wanted.uri, before.version.uri, error)
            return
        finally:
            self.loading = None
        self.model.current = loaded
        log.info("%s answers now, instead of %s", wanted.uri, before.version.uri)
        task = asyncio.get_running_loop().create_task(_finish(before.pool))
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)


async def _finish(pool: Pool) -> None:
    try:
        await pool.drain()
    finally:
        await pool.close()
