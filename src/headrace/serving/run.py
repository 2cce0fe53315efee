"""Running a scoring server: load the models, listen, answer, and stop without losing requests."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from headrace.errors import InvalidRequest
from headrace.http.listening import (
    OnStarted,
    Server,
    address_of,
    configure_logging,
    listen,
    uvicorn_config,
)
from headrace.models.handover import hand_over
from headrace.models.sources import ModelSource
from headrace.serving.app import create_app
from headrace.serving.pool import Pool
from headrace.serving.served import ServedModel, ServedModels, ServedVersion
from headrace.serving.settings import ServingSettings
from headrace.serving.worker_process import WorkerSpec


def serve(
    sources: Mapping[str, ModelSource],
    settings: ServingSettings,
    on_started: OnStarted | None = None,
    *,
    trust: bool = False,
) -> None:
    """Serve the models of these names until SIGTERM or SIGINT, then finish what is under way.

    Raises InvalidRequest for settings that do not go together, an address that cannot be bound and
    a model that cannot be loaded; NotFound; NotTrusted.
    """
    refuse_to_serve_everybody(settings)
    configure_logging()
    with listen(settings) as listener, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(listener, sources, settings, on_started, trust))


async def _serve(
    listener: socket.socket,
    sources: Mapping[str, ModelSource],
    settings: ServingSettings,
    on_started: OnStarted | None,
    trust: bool,
) -> None:
    models: dict[str, ServedModel] = {}
    try:
        for name, source in sources.items():
            models[name] = ServedModel(name, await _load(name, source, settings, trust))
        app = create_app(ServedModels(models), settings)
        address = address_of(listener, settings)
        server = Server(
            uvicorn_config(app, settings), lambda: on_started(address) if on_started else None
        )
        try:
            await server.serve(sockets=[listener])
        finally:
            server.watchdog.cancel()
    finally:
        for model in models.values():
            await model.current.pool.close()


async def _load(
    name: str, source: ModelSource, settings: ServingSettings, trust: bool
) -> ServedVersion:
    version = await asyncio.to_thread(source.current)
    folder = await asyncio.to_thread(source.fetch, version)
    handed = await asyncio.to_thread(hand_over, folder, trust=trust)
    engine = {"name": settings.engine, "slots": settings.slots, "threads": settings.threads}
    pool = Pool(name, WorkerSpec(Path(sys.executable), handed, engine=engine), settings)
    await pool.start()
    return ServedVersion(version, handed, pool)


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
