"""Where served models come from, while a tracking server keeps its answer to itself."""

from __future__ import annotations

import http.client
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from headrace.client import tracking
from headrace.client.model_source import UriSource
from headrace.errors import HeadraceError
from headrace.models.sources import Version


class Held(BaseHTTPRequestHandler):
    """Answers 404 when it is told to."""

    go_on: threading.Event

    def do_GET(self) -> None:
        """Keep the caller waiting."""
        self.go_on.wait(30)
        self.send_response(http.client.NOT_FOUND)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Heard(logging.Handler):
    """Lets the server answer as soon as something was said."""

    def __init__(self, go_on: threading.Event) -> None:
        super().__init__(logging.INFO)
        self.said: list[str] = []
        self._go_on = go_on

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.said.append(record.getMessage())
        self._go_on.set()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Heard]]:
    """The address of a server that is tracked at, and what was said."""
    go_on = threading.Event()
    kind = type("Bound", (Held,), {"go_on": go_on})
    heard = Heard(go_on)
    logger = logging.getLogger("headrace")
    before = logger.level
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        logger.addHandler(heard)
        logger.setLevel(logging.INFO)
        try:
            place = f"127.0.0.1:{running.server_port}"
            monkeypatch.setenv("HEADRACE_HTTP_MAX_RETRIES", "0")
            tracking.set_tracking_uri(f"http://ann:secret@{place}")
            yield f"http://{place}", heard
        finally:
            tracking.set_tracking_uri("")
            logger.removeHandler(heard)
            logger.setLevel(before)
            go_on.set()
            running.shutdown()
            thread.join()


def test_who_does_not_answer_is_said_meanwhile(server: tuple[str, Heard]) -> None:
    address, heard = server
    with pytest.raises(HeadraceError):
        UriSource("models:/churn@prod").current()
    (said,) = heard.said
    assert said.startswith(f"asking {address} which version models:/churn@prod is")


def test_also_where_the_version_is_known(server: tuple[str, Heard]) -> None:
    address, heard = server
    source = UriSource("models:/churn/3")
    version = source.current()
    assert version.label == "3"
    with pytest.raises(HeadraceError):
        source.fetch(version)
    (said,) = heard.said
    assert said == f"still asking {address} for models:/churn/3, or fetching it"


def test_a_folder_waits_for_nobody(server: tuple[str, Heard], tmp_path: Path) -> None:
    _, heard = server
    source = UriSource(str(tmp_path))
    assert source.current() == Version(str(tmp_path), tmp_path.name)
    assert source.fetch(source.current()) == tmp_path
    assert heard.said == []
