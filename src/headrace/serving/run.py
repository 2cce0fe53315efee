"""Running a scoring server: load the models, listen, answer, and stop without losing requests."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from headrace.errors import InvalidModel, InvalidRequest
from headrace.http.door import raise_file_limit
from headrace.http.listening import (
    OnStarted,
    Server,
    address_of,
    bounded_http,
    configure_logging,
    listen,
    uvicorn_config,
)
from headrace.models.cache import cache_root
from headrace.models.sources import ModelSource
from headrace.serving.app import create_app
from headrace.serving.aside import aside
from headrace.serving.loading import VersionLoader
from headrace.serving.recording import Recorder
from headrace.serving.rollout import Rollout
from headrace.serving.served import ServedModel, ServedModels
from headrace.serving.served_version import ServedVersion
from headrace.serving.settings import ServingSettings
from headrace.serving.shadow import Shadow

log = logging.getLogger("headrace.serving")

_HOUR: Final = 3600.0
_GRACE: Final = 5.0
"""Seconds that workers have to end by themselves."""
_SHADOW_NICENESS: Final = 10
"""How far what answers nobody yields to what does: some tenth of a busy processor is left to it."""


@dataclass(frozen=True)
class Serving:
    """What is served: the models by name, and those of them that have a shadow."""

    sources: Mapping[str, ModelSource]
    shadows: Mapping[str, ModelSource] = field(default_factory=dict)
    """By the name of the model whose traffic they get a copy of."""


def serve(
    what: Serving,
    loader: VersionLoader,
    on_started: OnStarted | None = None,
    recorder: Recorder | None = None,
) -> None:
    """Serve models until SIGTERM or SIGINT, then finish what is under way.

    Raises InvalidRequest for settings that do not go together, an address that cannot be bound and
    a model that cannot be loaded; NotFound; NotTrusted.
    """
    settings = loader.settings
    refuse_to_serve_everybody(settings)
    if strangers := set(what.shadows) - set(what.sources):
        raise InvalidRequest(
            f"There is no model '{min(strangers)}' to shadow; there are: {', '.join(what.sources)}."
        )
    configure_logging()
    raise_file_limit()
    with listen(settings) as listener, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(listener, what, loader, on_started, recorder))
    log.info("stopped")


async def _serve(
    listener: socket.socket,
    what: Serving,
    loader: VersionLoader,
    on_started: OnStarted | None,
    recorder: Recorder | None,
) -> None:
    settings = loader.settings
    connections = bounded_http(settings)  # before the models: while they load, there is time
    rollouts: list[Rollout] = []
    models: dict[str, ServedModel] = {}
    server: Server | None = None
    try:
        for name, source in what.sources.items():
            model = ServedModel(name, await _first(name, source, loader), recorder)
            models[name] = model
            rollouts.append(Rollout(model, source, loader))
        yielding = replace(loader, niceness=_SHADOW_NICENESS)
        for name, source in what.shadows.items():
            shadow = Shadow(name, await _first(name, source, yielding), recorder)
            models[name].shadow = shadow
            rollouts.append(Rollout(shadow, source, yielding))
        app = create_app(ServedModels(models), settings, rollouts)
        address = address_of(listener, settings)
        server = Server(
            uvicorn_config(app, settings, connections),
            lambda: on_started(address) if on_started else None,
        )
        moving = [each for each in rollouts if each.source.can_move]
        pause = partial(asyncio.sleep, settings.poll_interval)
        following = [asyncio.create_task(rollout.follow(pause)) for rollout in moving]
        following.append(asyncio.create_task(_keep_in_cache(rollouts)))
        try:
            await server.serve(sockets=[listener])
        finally:
            server.watchdog.cancel()
            for task in following:
                task.cancel()
    finally:
        # A second Ctrl-C waits for nothing.
        grace = 0.0 if server is not None and server.force_exit else _GRACE
        for rollout in rollouts:
            await rollout.close()
            await rollout.model.current.pool.close(grace)


async def _keep_in_cache(rollouts: Sequence[Rollout]) -> None:
    """Mark the folders of what is served as used: the cache forgets what nobody used for long."""
    while True:
        await asyncio.sleep(_HOUR)
        for rollout in rollouts:
            folder = rollout.model.current.folder
            if folder.is_relative_to(cache_root()):
                with suppress(OSError):
                    os.utime(folder)


async def _first(name: str, source: ModelSource, loader: VersionLoader) -> ServedVersion:
    """The version that a server starts with. One that fails its example answers nevertheless:
    there is none to go on with.
    """
    version = await aside(source.current)
    loaded = await loader.load(name, source, version)
    try:
        await loader.check(loaded)
    except InvalidModel as error:
        log.warning("%s", error.message)
    except BaseException:
        await loaded.pool.close()
        raise
    return loaded


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it is: not on Windows."""
    try:
        import uvloop
    except ImportError:
        return None
    make: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return make


def refuse_to_serve_everybody(settings: ServingSettings) -> None:
    """Refuse to listen beyond this machine when everybody there could use the model."""
    if settings.is_local or settings.insecure or settings.api_key:
        return
    raise InvalidRequest(
        f"On {settings.host} other machines could reach this server, and it asks nobody who they "
        "are. Do one of these:\n"
        "  ask for a key:           HEADRACE_SERVING_API_KEY=… headrace models serve …\n"
        "  serve only this machine: --host 127.0.0.1\n"
        "  serve everybody:         --insecure"
    )
