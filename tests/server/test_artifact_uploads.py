"""Uploads in parts and signed URLs over real HTTP."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from headrace.artifacts.base import Grant
from headrace.artifacts.local import LocalArtifactStore
from headrace.server.settings import ServerSettings
from tests.server.artifact_server import FILES, UPLOADS, Answer, ArtifactServer, serving

MIB = 1 << 20
PRESIGNED = "/api/2.0/mlflow-artifacts/presigned"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArtifactServer]:
    with serving(tmp_path_factory.mktemp("artifacts") / "root") as running:
        yield running


def path_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def create(server: ArtifactServer, folder: str, name: str, num_parts: int) -> Any:
    wanted = {"path": f"/home/me/{name}", "num_parts": num_parts}
    answer = server.post(f"{UPLOADS}/create/{folder}", wanted)
    assert answer.status == 200, answer.body
    return answer.json


def send_part(server: ArtifactServer, credential: Any, content: bytes) -> dict[str, Any]:
    answer = server.call(
        "PUT", path_of(credential["url"]), content, **credential.get("headers", {})
    )
    assert answer.status == 200, answer.body
    number = credential["part_number"]
    return {"part_number": number, "etag": answer.headers["etag"], "url": credential["url"]}


def complete(
    server: ArtifactServer, folder: str, name: str, upload_id: str, parts: Sequence[Any]
) -> Answer:
    document = {"path": f"/home/me/{name}", "upload_id": upload_id, "parts": parts}
    return server.post(f"{UPLOADS}/complete/{folder}", document)


def test_parts_in_parallel_and_in_any_order(server: ArtifactServer) -> None:
    contents = [os.urandom(MIB + n) for n in range(8)]
    upload = create(server, "1/r/artifacts", "big.bin", 8)
    assert [c["part_number"] for c in upload["credentials"]] == list(range(1, 9))
    jobs = [*zip(upload["credentials"], contents, strict=True)]
    jobs.append(jobs[3])
    random.Random(7).shuffle(jobs)
    with ThreadPoolExecutor(4) as pool:
        sent = list(pool.map(lambda job: send_part(server, *job), jobs))
    parts = sorted({part["part_number"]: part for part in sent}.values(), key=lambda p: p["url"])
    parts.sort(key=lambda part: part["part_number"])
    assert server.call("GET", f"{FILES}/1/r/artifacts/big.bin").status == 404
    done = complete(server, "1/r/artifacts", "big.bin", upload["upload_id"], parts)
    assert (done.status, done.json) == (200, {})
    answer = server.call("GET", f"{FILES}/1/r/artifacts/big.bin")
    assert answer.body == b"".join(contents)
    again = complete(server, "1/r/artifacts", "big.bin", upload["upload_id"], parts)
    assert (again.status, again.json) == (200, {})
    listing = server.call("GET", f"{FILES}?path=1/r/artifacts").json["files"]
    assert listing == [{"path": "big.bin", "is_dir": False, "file_size": sum(map(len, contents))}]


def test_an_upload_goes_on_after_a_restart(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with serving(root) as before:
        upload = create(before, "r", "f.bin", 2)
        one = send_part(before, upload["credentials"][0], b"one")
    with serving(root) as after:
        arrived = after.call("GET", f"{UPLOADS}/parts/r/f.bin?upload_id={upload['upload_id']}")
        assert arrived.json == {
            "upload_id": upload["upload_id"],
            "parts": [{"part_number": 1, "etag": one["etag"]}],
        }
        two = send_part(after, upload["credentials"][1], b"two")
        done = complete(after, "r", "f.bin", upload["upload_id"], [one, two])
        assert done.status == 200, done.body
        assert after.call("GET", f"{FILES}/r/f.bin").body == b"onetwo"


def test_wrong_completions(server: ArtifactServer) -> None:
    upload = create(server, "w", "f", 2)
    one = send_part(server, upload["credentials"][0], b"one")
    two = send_part(server, upload["credentials"][1], b"two")
    damaged = two | {"etag": '"' + "0" * 64 + '"'}
    for parts in ([], [one], [two, one], [one, damaged], [one, two | {"etag": "x"}], [one, one]):
        refused = complete(server, "w", "f", upload["upload_id"], parts)
        assert (refused.status, refused.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    for wrong in ("../../x", "0" * 31):
        assert complete(server, "w", "f", wrong, [one, two]).status == 400
    assert complete(server, "w", "f", "0" * 32, [one, two]).status == 404
    assert complete(server, "w", "other", upload["upload_id"], [one, two]).status == 400
    assert complete(server, "w", "f", upload["upload_id"], [one, two]).status == 200


def test_aborting(server: ArtifactServer) -> None:
    upload = create(server, "a", "f", 1)
    document = {"path": "/x/f", "upload_id": upload["upload_id"]}
    for _ in range(2):
        answer = server.post(f"{UPLOADS}/abort/a", document)
        assert (answer.status, answer.json) == (200, {})
    late = server.call("PUT", path_of(upload["credentials"][0]["url"]), b"late")
    assert late.status == 404


@pytest.mark.parametrize(
    "document", [{}, {"path": "f", "num_parts": 0}, {"path": "f", "num_parts": 1e9}, []]
)
def test_uploads_that_make_no_sense(server: ArtifactServer, document: object) -> None:
    assert server.post(f"{UPLOADS}/create/r", document).status == 400


def changed(url: str, name: str, value: str) -> str:
    path, _, query = path_of(url).partition("?")
    pairs = [pair.split("=") for pair in query.split("&")]
    return f"{path}?" + "&".join(f"{k}={value if k == name else v}" for k, v in pairs)


def test_signed_urls_cannot_be_bent(server: ArtifactServer) -> None:
    upload = create(server, "s", "f", 2)
    other = create(server, "s", "f", 2)
    url = upload["credentials"][0]["url"]
    part = path_of(url)
    bent = [
        changed(url, "part_number", "2"),
        changed(url, "upload_id", other["upload_id"]),
        changed(url, "expires", "99999999999"),
        changed(url, "signature", "0" * 64),
        changed(url, "signature", ""),
        part.replace("/part/s/f?", "/part/s/g?"),
        part.replace("/part/s/f?", "/part/s/../s/f?"),
        part.split("?")[0],
        part.replace("/part/", "/file/"),
    ]
    for path in bent:
        for method in ("PUT", "GET"):
            answer = server.call(method, path, b"x" if method == "PUT" else None)
            assert answer.status in (400, 403, 405), (path, method, answer.body)
            assert "error_code" in answer.json
    assert server.call("PUT", part, b"x").status == 200


def test_signed_urls_expire(server: ArtifactServer) -> None:
    store = LocalArtifactStore(server.root)
    server.call("PUT", f"{FILES}/e.txt", b"x")
    expired = store.sign(Grant("GET", "e.txt"), -2).url
    answer = server.call("GET", expired)
    assert (answer.status, answer.json["error_code"]) == (403, "PERMISSION_DENIED")
    assert "expired" in answer.json["message"]
    assert server.call("GET", store.sign(Grant("GET", "e.txt"), 60).url).body == b"x"


def test_a_download_in_ranges(server: ArtifactServer) -> None:
    content = os.urandom(5 * MIB)
    server.call("PUT", f"{FILES}/d/%C3%BC%20x.bin", content)
    signed = server.call("GET", f"{PRESIGNED}/d/%C3%BC%20x.bin")
    assert signed.json["file_size"] == len(content)
    path = path_of(signed.json["url"])
    with ThreadPoolExecutor(3) as pool:
        ranges = [f"bytes={start}-{start + MIB - 1}" for start in range(0, 5 * MIB, MIB)]
        parts = list(pool.map(lambda text: server.call("GET", path, range=text), ranges))
    assert {part.status for part in parts} == {206}
    assert b"".join(part.body for part in parts) == content
    assert server.call("GET", f"{PRESIGNED}/d/missing").status == 404
    assert server.call("GET", f"{PRESIGNED}/d").status == 400


def test_part_digests(server: ArtifactServer) -> None:
    upload = create(server, "p", "f", 1)
    part = send_part(server, upload["credentials"][0], b"part")
    assert part["etag"] == f'"{hashlib.sha256(b"part").hexdigest()}"'
    wrong = server.call("PUT", path_of(part["url"]), b"x", content_digest=f"sha-256=:{'A' * 43}=:")
    assert wrong.status == 400
    assert complete(server, "p", "f", upload["upload_id"], [part]).status == 200


def test_addresses_of_signed_urls(server: ArtifactServer, tmp_path: Path) -> None:
    from_host = create(server, "h", "f", 1)["credentials"][0]["url"]
    assert from_host.startswith(f"http://127.0.0.1:{server.port}/artifacts/signed/part/h/f?")
    settings = ServerSettings(public_url="https://runs.example.org/ml/")
    with serving(tmp_path / "root", settings=settings) as behind_proxy:
        url = create(behind_proxy, "h", "f", 1)["credentials"][0]["url"]
    assert url.startswith("https://runs.example.org/ml/artifacts/signed/part/h/f?")
