"""The small files of a folder in one answer: what fits, what does not, and what is refused."""

from __future__ import annotations

import base64

import pytest

from headrace.protocol.runs import RunRef
from headrace.server import artifact_listing
from tests.server.live import Live, Reply


@pytest.fixture
def folder(live: Live) -> str:
    """The folder of a run's artifacts, as the proxy knows it."""
    run_id = live.new_run()
    uri = live.store.runs.get(RunRef(run_id)).run.info.artifact_uri
    return uri.removeprefix("mlflow-artifacts:/")


def put(live: Live, path: str, data: bytes) -> None:
    assert live.send("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{path}", data).status == 200


def ask(live: Live, path: str) -> Reply:
    return live.send("GET", f"/api/2.0/headrace/artifacts/small-files?path={path}")


def contents(reply: Reply) -> dict[str, bytes]:
    assert reply.status == 200, reply.json
    files = reply.json.get("files", [])
    return {file["path"]: base64.b64decode(file["content"]) for file in files}


def test_all_files_below_a_folder_come(live: Live, folder: str) -> None:
    wanted = {"MLmodel": b"flavors: {}\n", "data/a.bin": bytes(range(256)), "data/empty": b""}
    for name, data in wanted.items():
        put(live, f"{folder}/model/{name}", data)
    put(live, f"{folder}/other/file", b"not below it")
    reply = ask(live, f"{folder}/model")
    assert contents(reply) == wanted
    assert reply.json["is_all"] is True


def test_nothing_is_there(live: Live, folder: str) -> None:
    put(live, f"{folder}/file", b"x")
    for path in ("nowhere", f"{folder}/file"):
        reply = ask(live, path)
        assert contents(reply) == {}
        assert reply.json["is_all"] is True


def test_what_does_not_fit_is_left_out(live: Live, folder: str) -> None:
    large = bytes(artifact_listing.MAX_SMALL_BYTES - 1)
    put(live, f"{folder}/b-large", large)
    put(live, f"{folder}/a", b"1")
    put(live, f"{folder}/c", b"2")
    reply = ask(live, folder)
    assert contents(reply) == {"a": b"1", "b-large": large}
    assert reply.json["is_all"] is False


def test_no_more_than_so_many_files_come(live: Live, folder: str) -> None:
    for number in range(artifact_listing.MAX_SMALL_FILES + 1):
        put(live, f"{folder}/many/{number:03}", b"x")
    reply = ask(live, f"{folder}/many")
    assert len(contents(reply)) == artifact_listing.MAX_SMALL_FILES
    assert reply.json["is_all"] is False


def test_folders_too_deep_are_left_out(live: Live, folder: str) -> None:
    deep = "/".join("d" * (artifact_listing.MAX_SMALL_DEPTH + 1))
    put(live, f"{folder}/{deep}/file", b"x")
    put(live, f"{folder}/near", b"y")
    reply = ask(live, folder)
    assert contents(reply) == {"near": b"y"}
    assert reply.json["is_all"] is False


@pytest.mark.parametrize("path", ["../etc", "a/../../b", "/etc", "a%2f..%2f..", "a\\b"])
def test_paths_that_lead_out_are_refused(live: Live, path: str) -> None:
    assert ask(live, path).status == 400
