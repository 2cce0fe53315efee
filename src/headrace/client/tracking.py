"""Where runs are tracked: the tracking and registry URIs, and one open store for each.

A store is opened once per process and URI and stays open; a child after a fork opens its own. At
exit what must be written is written (`before_closing`), then all stores are closed.
"""

from __future__ import annotations

import atexit
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from headrace import settings
from headrace.client.outbox import flush_at_exit, when_opened
from headrace.client.places import without_credentials
from headrace.errors import InvalidRequest, Unavailable
from headrace.protocol.uris import scheme_of
from headrace.store.base import Store

_log: Final = logging.getLogger("headrace")
QUICK_SECONDS: Final = 3.0
AWAY_SECONDS: Final = 30.0
_DATABASES: Final = ("sqlite", "postgresql", "postgres")


class _State:
    """What this process has been told."""

    def __init__(self) -> None:
        self.tracking_uri: str | None = None
        self.registry_uri: str | None = None
        self.default_uri: str | None = None
        self.handed_down: str | None = None
        self.stores: dict[tuple[object, ...], Store] = {}
        self.before_closing: list[Callable[[], None]] = []
        self.registered = False
        self.away_until: dict[str, float] = {}


_state = _State()


def set_tracking_uri(uri: str | Path) -> None:
    """Track runs at `uri`: `http(s)://…`, `sqlite:///FILE`, `postgresql://…`.

    A plain path stands for a SQLite file `headrace.db` in that folder. Processes started from
    this one take it over. Raises InvalidRequest for another kind of URI.
    """
    tracking_uri = _normalized(uri) if uri else None
    if tracking_uri != _state.tracking_uri:
        _take_back_experiment()
    _state.tracking_uri = tracking_uri
    if _state.tracking_uri:
        os.environ[settings.TRACKING_URI.names[0]] = _state.tracking_uri
    else:
        os.environ.pop(settings.TRACKING_URI.names[0], None)


def get_tracking_uri() -> str:
    """Where runs are tracked: as set here, in the environment, or `sqlite:///headrace.db`."""
    if _state.tracking_uri:
        return _state.tracking_uri
    configured = settings.TRACKING_URI.get()
    if configured:
        return _normalized(configured)
    if _state.default_uri is None:
        file = Path.cwd() / "headrace.db"
        _state.default_uri = f"sqlite:///{file}"
        if not file.exists():
            _log.warning(
                "Headrace tracks runs in %s, a new file. To track elsewhere, say "
                "headrace.set_tracking_uri(...) or set HEADRACE_TRACKING_URI.",
                file,
            )
    return _state.default_uri


def is_tracking_uri_set() -> bool:
    """Whether anybody has said where runs are tracked."""
    return bool(_state.tracking_uri or settings.TRACKING_URI.get())


def set_registry_uri(uri: str | Path) -> None:
    """Register models at `uri`, when that is not where runs are tracked; "" takes it back."""
    _state.registry_uri = _normalized(uri) if uri else None


def get_registry_uri() -> str:
    """Where models are registered: as set here, in the environment, or the tracking URI."""
    if _state.registry_uri:
        return _state.registry_uri
    configured = settings.REGISTRY_URI.get()
    return _normalized(configured) if configured else get_tracking_uri()


def normalized_uri(uri: str | Path | None, default: Callable[[], str]) -> str:
    """`uri` in the form that the other functions use, or the default when there is none."""
    return _normalized(uri) if uri else default()


def store_for(uri: str) -> Store:
    """The open store of `uri`, opened with the first call in this process."""
    key: tuple[object, ...] = (os.getpid(), uri)
    if uri.startswith("http"):
        # A changed password needs a new connection.
        key += tuple(variable.get() for variable in _CREDENTIALS)
    found = _state.stores.get(key)
    return found if found is not None else _open(uri, key)


def quick_store_for(uri: str) -> Store:
    """The store of `uri` for a question that must not hold up a program.

    A server gets one try of a few seconds; when that failed, none for half a minute: then, and
    with the setting OFFLINE, this raises Unavailable at once.
    """
    if settings.OFFLINE.get_bool(False):
        raise Unavailable(f"{settings.OFFLINE.names[0]} is set: no server is asked.")
    if not uri.startswith("http"):
        return store_for(uri)
    if time.monotonic() < _state.away_until.get(uri, 0.0):
        raise Unavailable(
            f"{without_credentials(uri)} did not answer a moment ago; it is asked again in half a "
            "minute. What is logged meanwhile is kept."
        )
    key: tuple[object, ...] = ("quick", os.getpid(), uri, *(v.get() for v in _CREDENTIALS))
    found = _state.stores.get(key)
    if found is None:
        from headrace.store.rest import store_over
        from headrace.transport import Transport

        found = store_over(Transport(uri, timeout=QUICK_SECONDS, max_retries=0))
        _state.stores[key] = found
        close_at_exit()
    return found


def note_away(uri: str) -> None:
    """Say that the server did not answer a quick question."""
    _state.away_until[uri] = time.monotonic() + AWAY_SECONDS


def hand_down_experiment(experiment_id: str) -> None:
    """Let processes started from this one log to this experiment, until the URI is another."""
    _state.handed_down = experiment_id
    os.environ[settings.EXPERIMENT_ID.names[0]] = experiment_id


def hand_down_experiment_name(name: str) -> None:
    """As `hand_down_experiment`, while only the experiment's name is known."""
    os.environ.pop(settings.EXPERIMENT_ID.names[0], None)
    os.environ[settings.EXPERIMENT_NAME.names[0]] = name


def _take_back_experiment() -> None:
    """An id means nothing in another store: take it out of the environment, if it is ours."""
    name = settings.EXPERIMENT_ID.names[0]
    if _state.handed_down is not None and os.environ.get(name) == _state.handed_down:
        del os.environ[name]
    _state.handed_down = None


def before_closing(hook: Callable[[], None]) -> None:
    """Call `hook` when the process ends, before what was logged is flushed."""
    _state.before_closing.append(hook)
    close_at_exit()


def close_at_exit() -> None:
    """See to it that what was logged is flushed, and stores are closed, when the process ends."""
    if not _state.registered:
        _state.registered = True
        atexit.register(_close_all)


when_opened(close_at_exit)


def close_stores() -> None:
    """Let go of all databases and connections; they are opened again when they are needed."""
    for key in list(_state.stores):
        store = _state.stores.pop(key)
        if os.getpid() in key[:2]:
            store.close()


_CREDENTIALS: Final = (
    settings.TRACKING_TOKEN,
    settings.TRACKING_USERNAME,
    settings.TRACKING_PASSWORD,
)


def _open(uri: str, key: tuple[object, ...]) -> Store:
    from headrace.artifacts.open import default_artifact_root
    from headrace.store.open import open_store

    if uri.startswith("http"):
        opened = open_store(uri)
    else:
        opened = open_store(uri, artifact_root=str(default_artifact_root(uri)))
    store = _state.stores.setdefault(key, opened)
    if store is not opened:
        opened.close()  # another thread was faster
    close_at_exit()
    return store


def _close_all() -> None:
    for hook in _state.before_closing:
        hook()
    flush_at_exit()
    close_stores()


def _normalized(uri: str | Path) -> str:
    text = os.fspath(uri)
    scheme = scheme_of(text)
    if scheme in ("http", "https"):
        return text.rstrip("/")
    if scheme in ("", "file"):
        folder = text.removeprefix("file:").removeprefix("//") if scheme else text
        return f"sqlite:///{Path(folder).expanduser().absolute() / 'headrace.db'}"
    if scheme.partition("+")[0] not in _DATABASES:
        raise InvalidRequest(
            f"Runs cannot be tracked at '{scheme}:': expected http://…, https://…, "
            "sqlite:///FILE, postgresql://…, or the path of a folder."
        )
    if text.startswith("sqlite:///") and not text.startswith(("sqlite:////", "sqlite:///:")):
        # A relative file is meant from here, also when the program goes to another folder.
        return f"sqlite:///{Path(text.removeprefix('sqlite:///')).absolute()}"
    return text
