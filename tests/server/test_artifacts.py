"""The artifact proxy over real HTTP: files in, files out, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from headrace.server.artifact_downloads import content_type
from headrace.server.settings import ServerSettings
from tests.server.artifact_server import FILES, UPLOADS, ArtifactServer, serving

MIB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArtifactServer]:
    with serving(tmp_path_factory.mktemp("artifacts") / "root") as running:
        yield running


def wait_until(holds: Callable[[], bool]) -> None:
    """The server's side of a broken connection has no event that a client could wait for."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "it did not happen within 10 seconds"
        time.sleep(0.005)


@pytest.mark.parametrize("length", [0, 1, MIB, 5 * MIB + 3])
@pytest.mark.parametrize("prefix", ["/api", "/ajax-api"])
def test_a_file_goes_in_and_out(server: ArtifactServer, length: int, prefix: str) -> None:
    content = os.urandom(length)
    path = f"{prefix}/2.0/mlflow-artifacts/artifacts/1/r{length}/artifacts/m.bin"
    stored = server.call("PUT", path, content)
    assert (stored.status, stored.body) == (200, b"{}")
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    assert stored.headers["repr-digest"] == f"sha-256=:{digest}:"
    answer = server.call("GET", path)
    assert answer.status == 200
    assert answer.body == content
    expected = {
        "accept-ranges": "bytes",
        "content-disposition": 'attachment; filename="m.bin"',
        "content-length": str(length),
        "content-type": "application/octet-stream",
        "etag": stored.headers["etag"],
        "x-content-type-options": "nosniff",
    }
    assert expected.items() <= answer.headers.items()
    assert "last-modified" in answer.headers
    head = server.call("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert expected.items() <= head.headers.items()


def test_chunks_without_a_length(server: ArtifactServer) -> None:
    for name, pieces in (("empty", []), ("some", [b"ab", b"c" * MIB, b"d" * MIB])):
        answer = server.call("PUT", f"{FILES}/chunked/{name}", iter(pieces))
        assert answer.status == 200
        assert server.call("GET", f"{FILES}/chunked/{name}").body == b"".join(pieces)


def test_listing(server: ArtifactServer) -> None:
    for name in ("b.txt", "a/x.txt"):
        server.call("PUT", f"{FILES}/list/{name}", b"12345")
    listing = server.call("GET", f"{FILES}?path=list")
    assert listing.headers["content-type"] == "application/json"
    assert listing.json == {
        "files": [
            {"path": "a", "is_dir": True},
            {"path": "b.txt", "is_dir": False, "file_size": 5},
        ]
    }
    assert server.call("GET", f"{FILES}?path=list/").json == listing.json
    assert server.call("GET", f"{FILES}?path=list/b.txt").json == {}
    assert server.call("GET", f"{FILES}?path=nothing/here").json == {}
    assert "list" in [f["path"] for f in server.call("GET", FILES).json["files"]]


def test_deleting(server: ArtifactServer) -> None:
    for name in ("a", "b/c", "b/d"):
        server.call("PUT", f"{FILES}/gone/{name}", b"x")
    assert server.call("DELETE", f"{FILES}/gone/a").json == {}
    assert server.call("DELETE", f"{FILES}/gone/b/").json == {}
    assert server.call("GET", f"{FILES}?path=gone").json == {}
    missing = server.call("DELETE", f"{FILES}/gone/a")
    assert (missing.status, missing.json["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert server.call("DELETE", f"{FILES}/").status == 400


def test_missing_files_and_folders(server: ArtifactServer) -> None:
    server.call("PUT", f"{FILES}/dir/f", b"x")
    missing = server.call("GET", f"{FILES}/dir/nothing")
    assert (missing.status, missing.json["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    for method, path in (("GET", "dir"), ("PUT", "dir"), ("PUT", "dir/f/g")):
        refused = server.call(method, f"{FILES}/{path}", b"x" if method == "PUT" else None)
        assert (refused.status, refused.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("MLmodel", "text/plain"),
        ("conda.yaml", "text/plain"),
        ("plot.png", "image/png"),
        ("page.html", "text/html"),
        ("logs.tar.gz", "application/gzip"),
        ("model.pkl", "application/octet-stream"),
        ("x.unheard-of", "application/octet-stream"),
    ],
)
def test_content_types(name: str, expected: str) -> None:
    assert content_type(name) == expected


def test_names_in_any_script(server: ArtifactServer) -> None:
    path = f"{FILES}/names/%C3%BC%20%E6%97%A5%22.txt"
    assert server.call("PUT", path, b"x").status == 200
    answer = server.call("GET", path)
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"_ __.txt\"; filename*=UTF-8''%C3%BC%20%E6%97%A5%22.txt"
    )
    assert server.call("GET", f"{FILES}?path=names").json["files"][0]["path"] == 'ü 日".txt'


TRAVERSALS = [
    "../secret",
    "a/../../secret",
    "%2e%2e/secret",
    "%2e%2e%2fsecret",
    "%252e%252e/secret",
    "%25252e%25252e%25252fsecret",
    "..%5csecret",
    "..\\secret",
    "a\\..\\..\\secret",
    "/secret",
    "//secret",
    "%2fsecret",
    "%2f%2fsecret",
    "C:/secret",
    "a%23b",
    "a%2523b",
    "a%00b",
    "a%2500",
    "a%0ab",
    ".headrace/signing.key",
    "%2eheadrace/signing.key",
    "x/.HEADRACE/y",
    "a//b",
    "./a",
    "a/./b",
    "link/secret",
    "file-link",
    "x" * 300,
]


@pytest.mark.parametrize("path", TRAVERSALS)
def test_nothing_leads_out_of_the_root(server: ArtifactServer, path: str) -> None:
    outside = server.root.parent / "outside"
    outside.mkdir(exist_ok=True)
    secret = outside / "secret"
    secret.write_text("secret")
    (server.root.parent / "secret").write_text("secret")
    for link, target in (("link", outside), ("file-link", secret)):
        if not (server.root / link).is_symlink():
            (server.root / link).symlink_to(target)
    lines = [f"{method} {FILES}/{path}" for method in ("GET", "PUT", "DELETE", "HEAD")]
    lines += [f"GET {FILES}?path={path}", f"POST {UPLOADS}/create/{path}"]
    lines += [f"GET /api/2.0/mlflow-artifacts/presigned/{path}"]
    for line in lines:
        if line.startswith(("PUT", "DELETE")) and path == "file-link":
            continue  # these are about the link itself, not about where it leads
        status, body = raw_request(server, line)
        listing = "?path=" in line and body == b"{}"
        assert 400 <= status < 500 or listing, (line, status, body)
        assert b"secret\n" not in body
        assert status != 200 or listing
    assert secret.read_text() == "secret"
    assert os.listdir(outside) == ["secret"]
    assert (server.root.parent / "secret").read_text() == "secret"


def raw_request(server: ArtifactServer, line: str) -> tuple[int, bytes]:
    """A request with exactly this line, which no client library has tidied up."""
    body = b'{"path": "f", "num_parts": 1}' if line.startswith("POST") else b""
    with server.connect() as connection:
        connection.sendall(
            f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head, _, rest = read_all(connection).partition(b"\r\n\r\n")
    return int(head.split()[1]), rest


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_client_path_gives_only_a_name(server: ArtifactServer) -> None:
    for path in ("/etc/f.bin", "C:\\data\\f.bin", "../../f.bin"):
        created = server.post(f"{UPLOADS}/create/up/r", {"path": path, "num_parts": 1})
        assert "/part/up/r/f.bin?" in created.json["credentials"][0]["url"]
    for path in ("..", "a/..", "/", "a#b", "x/.headrace"):
        refused = server.post(f"{UPLOADS}/create/up/r", {"path": path, "num_parts": 1})
        assert (refused.status, refused.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_ranges(server: ArtifactServer) -> None:
    content = os.urandom(4 * MIB)
    etag = server.call("PUT", f"{FILES}/range.bin", content).headers["etag"]
    part = server.call("GET", f"{FILES}/range.bin", range=f"bytes={MIB}-{3 * MIB}")
    assert (part.status, part.body) == (206, content[MIB : 3 * MIB + 1])
    assert part.headers["content-range"] == f"bytes {MIB}-{3 * MIB}/{4 * MIB}"
    assert part.headers["content-length"] == str(2 * MIB + 1)
    last = server.call("GET", f"{FILES}/range.bin", range="bytes=-7", if_range=etag)
    assert (last.status, last.body) == (206, content[-7:])
    changed = server.call("GET", f"{FILES}/range.bin", range="bytes=-7", if_range='"old"')
    assert (changed.status, changed.body) == (200, content)
    several = server.call("GET", f"{FILES}/range.bin", range="bytes=0-1,4-5")
    assert (several.status, several.body) == (200, content)
    behind = server.call("GET", f"{FILES}/range.bin", range=f"bytes={4 * MIB}-")
    assert (behind.status, behind.json["error_code"]) == (416, "INVALID_PARAMETER_VALUE")
    assert behind.headers["content-range"] == f"bytes */{4 * MIB}"


def test_conditions(server: ArtifactServer) -> None:
    first = server.call("PUT", f"{FILES}/c.txt", b"one").headers["etag"]
    known = server.call("GET", f"{FILES}/c.txt", if_none_match=first)
    assert (known.status, known.body, known.headers["etag"]) == (304, b"", first)
    second = server.call("PUT", f"{FILES}/c.txt", b"two").headers["etag"]
    assert second != first
    assert server.call("GET", f"{FILES}/c.txt", if_none_match=first).body == b"two"


def test_digests_that_the_client_announces(server: ArtifactServer) -> None:
    digest = base64.b64encode(hashlib.sha256(b"hello").digest()).decode()
    path = f"{FILES}/digest.txt"
    good = server.call("PUT", path, b"hello", content_digest=f"md5=:x:, sha-256=:{digest}:")
    assert good.status == 200
    wrong = server.call("PUT", path, b"hullo", repr_digest=f"sha-256=:{digest}:")
    assert (wrong.status, wrong.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    for text in ("sha-256=:abc:", "sha-256=abc", f"sha-256={digest}", "sha-256=:!:"):
        refused = server.call("PUT", path, b"hullo", content_digest=text)
        assert refused.status == 400
        assert "content-digest" in refused.json["message"]
    assert server.call("GET", path).body == b"hello"
    assert server.call("PUT", path, b"x", content_range="bytes 0-0/5").status == 400


def test_a_client_that_goes_away_leaves_nothing(server: ArtifactServer) -> None:
    server.call("PUT", f"{FILES}/broken.bin", b"old")
    before = set(server.temporary_files())
    for ending in ("close", "half-close"):
        with server.connect() as connection:
            connection.sendall(
                f"PUT {FILES}/broken.bin HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                f"Content-Length: {20 * MIB}\r\n\r\n".encode()
            )
            connection.sendall(os.urandom(3 * MIB))
            wait_until(lambda: bool(set(server.temporary_files()) - before))
            if ending == "half-close":
                connection.shutdown(socket.SHUT_WR)
                read_all(connection)
        wait_until(lambda: set(server.temporary_files()) == before)
    assert server.call("GET", f"{FILES}/broken.bin").body == b"old"


def test_a_silent_client_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    settings = ServerSettings(body_timeout=0.2)
    with serving(tmp_path / "root", settings=settings) as server, server.connect() as connection:
        connection.sendall(
            f"PUT {FILES}/f HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n"
            "Connection: close\r\n\r\nabc".encode()
        )
        answer = read_all(connection)
        assert answer.startswith(b"HTTP/1.1 400")
        assert b"stopped for 0.2 seconds" in answer
        assert server.temporary_files() == []


def test_slow_readers_cost_no_memory_and_hold_up_nobody(tmp_path: Path) -> None:
    with serving(tmp_path / "root") as server:
        size = 256 * MIB
        for name, length in (("big", size), ("endless", size << 10)):
            with open(server.root / name, "wb") as file:
                file.truncate(length)
        server.call("PUT", f"{FILES}/small", b"x")
        process = psutil.Process()
        before = process.memory_info().rss
        slow = [server.connect() for _ in range(24)]
        for connection in slow:
            name = "big" if connection is slow[0] else "endless"
            connection.sendall(f"GET {FILES}/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        for _ in range(20):
            assert server.call("GET", f"{FILES}/small").body == b"x"
        assert process.memory_info().rss - before < 150 * MIB
        for connection in slow[1:]:
            connection.close()
        received = 100
        while chunk := slow[0].recv(MIB):
            received += len(chunk)
            if received >= size:
                break
        slow[0].close()
        assert received >= size
        fds = Path(f"/proc/{os.getpid()}/fd")
        if fds.exists():
            open_files = (str(server.root / "big"), str(server.root / "endless"))
            wait_until(lambda: not {os.path.realpath(fd) for fd in fds.iterdir()} & {*open_files})


def test_a_folder_that_may_not_be_read_is_the_operators_matter(server: ArtifactServer) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything: run as another user")
    server.call("PUT", f"{FILES}/locked/f", b"x")
    (server.root / "locked").chmod(0)
    try:
        answer = server.call("GET", f"{FILES}/locked/f")
    finally:
        (server.root / "locked").chmod(0o700)
    assert answer.status == 409
    assert "permissions" in answer.json["message"]


def test_wrong_methods(server: ArtifactServer) -> None:
    answer = server.call("POST", f"{FILES}/x", b"")
    assert answer.status == 405
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PUT"
