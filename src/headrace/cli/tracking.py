"""What is tracked, reached from a command: the store behind an address, and things by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace import settings
from headrace.errors import NotFound
from headrace.protocol import experiments, runs
from headrace.store.base import Store

PAGE = 1000
INTERACTIVE_RETRIES = "2"


@contextmanager
def tracked(uri: str, *, make: bool = False) -> Iterator[Store]:
    """The store at `uri`, closed at the end.

    A SQLite file that is not there is only made with `make`: a listing in the wrong folder should
    say that nothing is there, and leave nothing behind. Raises NotFound.
    """
    from headrace.artifacts.open import default_artifact_root
    from headrace.store.open import open_store

    uri = normalized(uri)
    if not make:
        require_database(uri)
    if uri.startswith("http"):
        if settings.HTTP_MAX_RETRIES.get() is None:
            # A person waits: say after a second or two that a server is not there.
            os.environ[settings.HTTP_MAX_RETRIES.names[0]] = INTERACTIVE_RETRIES
        store = open_store(uri)
    else:
        # As the SDK does it: new experiments made here keep their files where its runs do.
        store = open_store(uri, artifact_root=str(default_artifact_root(uri)))
    try:
        yield store
    finally:
        store.close()


def require_database(uri: str) -> None:
    """Raise NotFound where `uri` names a SQLite file that is not there."""
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        raise NotFound(
            f"There is no database at {file}. Name the one you mean, by option or by environment "
            "variable (see --help), or start a server, which makes it: headrace server."
        )


def normalized(uri: str) -> str:
    """The address in full: a plain path stands for a database in that folder."""
    from headrace.client.tracking import get_tracking_uri, normalized_uri

    return normalized_uri(uri, get_tracking_uri)


def sqlite_file(uri: str) -> Path | None:
    """The file behind a `sqlite:///` address, None for any other and for one in memory."""
    prefix = "sqlite:///"
    if not uri.startswith(prefix):
        return None
    name = uri.removeprefix(prefix).partition("?")[0]
    return Path(name) if name and name != ":memory:" else None


def find_experiment(store: Store, name_or_id: str) -> experiments.Experiment:
    """The experiment with this id, or else this name, deleted ones too. Raises NotFound."""
    if name_or_id.isascii() and name_or_id.isdigit() and len(name_or_id) < 19:
        try:
            return store.experiments.get(experiments.ExperimentRef(name_or_id)).experiment
        except NotFound:
            pass
    try:
        named = experiments.ExperimentByName(name_or_id)
        return store.experiments.get_by_name(named).experiment
    except NotFound:
        raise NotFound(
            f"There is no experiment with the name or id {name_or_id!r}; "
            "'headrace experiments list --view all' shows those there are."
        ) from None


def each_experiment(
    store: Store, view_type: str, text: str | None = None, order_by: list[str] | None = None
) -> Iterator[experiments.Experiment]:
    """Every experiment that a filter accepts, page by page."""
    token: str | None = None
    while True:
        page = store.experiments.search(
            experiments.SearchExperiments(
                max_results=PAGE,
                page_token=token,
                filter=text,
                order_by=order_by or [],
                view_type=view_type,
            )
        )
        yield from page.experiments
        token = page.next_page_token
        if not token:
            return


def each_run(store: Store, search: runs.SearchRuns, limit: int | None = None) -> Iterator[runs.Run]:
    """Every run that `search` finds, page by page, at most `limit` of them."""
    token: str | None = None
    left = limit
    while left is None or left > 0:
        page = store.runs.search(
            runs.SearchRuns(
                experiment_ids=search.experiment_ids,
                filter=search.filter,
                run_view_type=search.run_view_type,
                max_results=PAGE if left is None else min(PAGE, left),
                order_by=search.order_by,
                page_token=token,
            )
        )
        yield from page.runs
        left = None if left is None else left - len(page.runs)
        token = page.next_page_token
        if not token:
            return
