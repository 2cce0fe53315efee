"""A run's console, from its artifacts. Plain calls, no HTTP."""

from __future__ import annotations

from headrace.artifacts import console
from headrace.artifacts.base import ArtifactStore
from headrace.errors import NotFound
from headrace.protocol.console import ConsolePage, ReadConsole
from headrace.protocol.runs import RunRef, RunStatus
from headrace.server.artifact_locations import store_path
from headrace.store.base import Store


def read_console(store: Store, artifacts: ArtifactStore, request: ReadConsole) -> ConsolePage:
    """What was printed from an offset on.

    NotFound for the run, and for a source that it does not have. InvalidRequest when the run's
    files are not on this server.
    """
    info = store.runs.get(RunRef(run_id=request.run_id)).run.info
    is_running = info.status in {RunStatus.RUNNING, RunStatus.SCHEDULED}
    root = store_path(artifacts, info.artifact_uri)
    sources = console.sources(artifacts, root)
    source = request.source or next(iter(sources), None)
    if source is None:
        return ConsolePage(text="", next_offset=request.offset, is_running=is_running)
    if source not in sources:
        raise NotFound(
            f"The run '{request.run_id}' has no console log of a source {source!r}; there are: "
            f"{', '.join(sources) or 'none'}."
        )
    page = console.read_page(artifacts, root, source, request.offset, complete=not is_running)
    return ConsolePage(
        text=page.text,
        next_offset=page.next_offset,
        is_running=is_running,
        sources=sources,
        source=source,
    )
