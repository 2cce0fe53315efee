from __future__ import annotations

import socket
from pathlib import Path

from tests.cli.conftest import Headrace
from tests.fixtures.servers import ServerLauncher


def test_it_says_where_it_is_and_how_to_use_it(
    start_server: ServerLauncher, tmp_path: Path
) -> None:
    server = start_server(
        backend_store_uri=f"sqlite:///{tmp_path}/runs.db", artifacts=tmp_path / "files"
    )
    assert server.stop() == 0
    for told in (
        server.url,
        f"sqlite:///{tmp_path}/runs.db",
        str(tmp_path / "files"),
        f"export MLFLOW_TRACKING_URI={server.url}",
    ):
        assert told in server.log
    assert "Traceback" not in server.log


def test_settings_come_from_the_environment(start_server: ServerLauncher, tmp_path: Path) -> None:
    server = start_server(environment={"HEADRACE_PUBLIC_URL": "https://runs.example.org"})
    server.stop()
    assert "export MLFLOW_TRACKING_URI=https://runs.example.org" in server.log


def test_a_port_that_is_taken(headrace: Headrace, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ran = headrace("server", "--port", str(port))
    assert ran.code == 2
    assert str(port) in ran.err
    assert "--port" in ran.err


def test_what_cannot_be_served(headrace: Headrace) -> None:
    for words, told in (
        (("--workers", "2"), "SQLite"),
        (("--workers", "0"), "--workers"),
        (("--port", "70000"), "--port"),
        (("--host", "0.0.0.0"), "headrace users add"),  # noqa: S104 - it must be refused
        (("--backend-store-uri", "mysql://db/runs"), "mysql"),
        (("--artifacts-destination", "s3://bucket"), "object stores"),
        (("--default-artifact-root", "/data"), "--artifacts-destination"),
        (("--public-url", "runs.example.org"), "https://"),
        (("--serve-faster",), "No such option"),
    ):
        ran = headrace("server", *words)
        assert ran.code == 2, words
        assert told in ran.err, words
        assert "Traceback" not in ran.err
