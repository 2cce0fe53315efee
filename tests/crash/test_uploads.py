"""An upload that is cut off leaves nothing that can be seen, and parts outlive a restart."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.fixtures.servers import RunningServer, ServerLauncher

FILES = "/api/2.0/mlflow-artifacts/artifacts"
PARTS = "/api/2.0/mlflow-artifacts/mpu"


def ask(server: RunningServer, method: str, path: str, body: Any = None) -> tuple[int, bytes, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {}
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, text, answer.headers


def half_an_upload(server: RunningServer, path: str, size: int) -> socket.socket:
    """A PUT that has sent half of its body and now waits."""
    sender = socket.create_connection(("127.0.0.1", server.port))
    head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"
    sender.sendall(head.encode() + os.urandom(size // 2))
    return sender


def sizes(folder: Path) -> dict[str, int]:
    found = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # it was renamed or removed meanwhile
            if path.is_file():
                found[str(path.relative_to(folder))] = path.stat().st_size
    return found


def partial(folder: Path) -> list[str]:
    """The large files that are not whole yet."""
    return [name for name, size in sizes(folder).items() if size > 1 << 20]


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(1500):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to be")


def test_a_cut_off_upload_is_never_seen(start_server: ServerLauncher, tmp_path: Path) -> None:
    folder = tmp_path / "artifacts"
    database = f"sqlite:///{tmp_path}/a.db"
    server = start_server(backend_store_uri=database, artifacts=folder)
    assert ask(server, "PUT", f"{FILES}/1/old.bin", b"old")[0] == 200
    with contextlib.ExitStack() as stack:
        for name in ("new", "old"):
            stack.enter_context(half_an_upload(server, f"{FILES}/1/{name}.bin", 32 << 20))
        wait_until(lambda: len(partial(folder)) == 2)
        server.kill()
    server = start_server(backend_store_uri=database, artifacts=folder)
    assert ask(server, "GET", f"{FILES}/1/new.bin")[0] == 404
    assert ask(server, "GET", f"{FILES}/1/old.bin")[:2] == (200, b"old")
    listed = json.loads(ask(server, "GET", f"{FILES}?path=1")[1])
    assert [item["path"] for item in listed["files"]] == ["old.bin"]
    assert json.loads(ask(server, "GET", FILES)[1])["files"] == [{"path": "1", "is_dir": True}]


def test_a_client_that_leaves_frees_the_room(start_server: ServerLauncher, tmp_path: Path) -> None:
    folder = tmp_path / "artifacts"
    server = start_server(artifacts=folder)
    with half_an_upload(server, f"{FILES}/1/new.bin", 32 << 20):
        wait_until(lambda: bool(partial(folder)))
    wait_until(lambda: not partial(folder))
    assert ask(server, "GET", f"{FILES}/1/new.bin")[0] == 404


def test_parts_outlive_the_server(start_server: ServerLauncher, tmp_path: Path) -> None:
    folder = tmp_path / "artifacts"
    database = f"sqlite:///{tmp_path}/a.db"
    server = start_server(backend_store_uri=database, artifacts=folder)
    status, body, _ = ask(server, "POST", f"{PARTS}/create/1", {"path": "big.bin", "num_parts": 2})
    assert status == 200, body
    upload = json.loads(body)
    content = [os.urandom(5 << 20), os.urandom(1000)]
    done = []
    for part in upload["credentials"]:
        url = urlsplit(part["url"])
        number = part["part_number"]
        status, text, headers = ask(server, "PUT", f"{url.path}?{url.query}", content[number - 1])
        assert status == 200, text
        done.append({"part_number": number, "etag": headers["ETag"], "url": part["url"]})
        if number == 1:
            server.kill()
            server = start_server(port=server.port, backend_store_uri=database, artifacts=folder)
            assert ask(server, "GET", f"{FILES}/1/big.bin")[0] == 404
    ending = {"path": "big.bin", "upload_id": upload["upload_id"], "parts": done}
    assert ask(server, "POST", f"{PARTS}/complete/1", ending)[0] == 200
    assert ask(server, "GET", f"{FILES}/1/big.bin")[1] == b"".join(content)
