"""What a hostile server or registry can do to those who load models from it: nothing."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from sklearn.dummy import DummyClassifier

import headrace
from headrace.artifacts.open import ArtifactPlace, open_artifacts
from headrace.client.model_cache import fetched
from headrace.errors import HeadraceError, InvalidModel, NotFound
from headrace.models.trust import SIGNATURE_FILE, signature_over

MODEL = DummyClassifier().fit([[0.0], [1.0]], [0, 1])
_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


class HostileServer(ThreadingHTTPServer):
    """Gives `files` below the folder `m`, and lists what it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.listed: Callable[[str], list[dict[str, object]]] = lambda _: []
        self.seen: list[tuple[str, str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def place(self) -> ArtifactPlace:
        """The model, as a client of this server finds it."""
        return open_artifacts("mlflow-artifacts:/m", self.url)


class _Handler(BaseHTTPRequestHandler):
    server: HostileServer

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers.get("Authorization")))
        parts = urlsplit(self.path)
        name = unquote(parts.path.removeprefix(f"{_ARTIFACTS}/m/"))
        if parts.path == _ARTIFACTS:
            folder = parse_qs(parts.query).get("path", [""])[0]
            body = json.dumps({"files": self.server.listed(folder)}).encode()
        elif name in self.server.files:
            body = self.server.files[name]
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileServer]:
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    server = HostileServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_another_host_is_not_told_who_asks(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_TRACKING_TOKEN", "the-secret")
    host = urlsplit(hostile.url).netloc
    # What somebody has registered says where its files are; the tracking server is another.
    for tracking in ("http://tracking.invalid:5000", "http://name:password@tracking.invalid"):
        place = open_artifacts(f"mlflow-artifacts://{host}/m", tracking)
        with pytest.raises(NotFound):
            place.store.read("m/MLmodel")
    assert [authorization for _, authorization in hostile.seen] == [None, None]
    for own in (f"mlflow-artifacts://{host}/m", "mlflow-artifacts:/m"):
        with pytest.raises(NotFound):
            open_artifacts(own, hostile.url).store.read("m/MLmodel")
    assert [authorization for _, authorization in hostile.seen[2:]] == ["Bearer the-secret"] * 2


NAMES = ["../out", "/tmp/out", "a/../../out", "%2e%2e/out", "..", "", "a\\..\\out", ".headrace/x"]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_in_a_listing_leads_out(hostile: HostileServer, tmp_path: Path, name: str) -> None:
    hostile.listed = lambda _: [{"path": name, "is_dir": False, "file_size": 4}]
    hostile.files = {name: b"evil", "MLmodel": b"{}"}
    with pytest.raises(HeadraceError):
        fetched(hostile.place(), "models:/m/1")
    assert not (tmp_path / "out").exists()
    assert not [file for file in tmp_path.rglob("*") if file.name == "out"]


@pytest.mark.parametrize("name", ["d" * 200, "d", ""])
def test_folders_in_folders_without_end(hostile: HostileServer, name: str) -> None:
    hostile.listed = lambda _: [{"path": name, "is_dir": True}]
    with pytest.raises(HeadraceError):
        fetched(hostile.place(), "models:/m/1")


@pytest.mark.parametrize(
    "names",
    [["a", "a/b"], ["MLmodel", "x" * 255], ["MLmodel", "d/" * 500 + "f"], ["a", "A", "\u00e4"]],
    ids=["file-and-folder", "long", "deep", "alike"],
)
def test_names_in_a_signature_that_no_disk_can_hold(
    hostile: HostileServer, tmp_path: Path, names: list[str]
) -> None:
    bundle = signature_over("m", {name: hashlib.sha256(b"x").hexdigest() for name in names})
    assert bundle is not None
    hostile.files = {**dict.fromkeys(names, b"x"), SIGNATURE_FILE: bundle}
    try:
        folder = fetched(hostile.place(), "models:/m/1")
    except HeadraceError as error:
        assert "cache" in str(error)  # noqa: PT017 - some disks can
    else:
        assert folder.is_relative_to(tmp_path / "cache")


def test_other_bytes_and_other_signatures_poison_nothing(
    hostile: HostileServer, tmp_path: Path
) -> None:
    headrace.save_model(MODEL, tmp_path / "m")
    good = {file.name: file.read_bytes() for file in (tmp_path / "m").iterdir() if file.is_file()}
    hostile.files = {**good, "model.skops": b"evil"}
    with pytest.raises(InvalidModel, match="not what was signed"):
        fetched(hostile.place(), "models:/m/1")
    hostile.files = good
    folder = fetched(hostile.place(), "models:/m/1")
    assert headrace.load_model(folder).predict([[0.0]]).tolist() == [0]
    (folder / "model.skops").write_bytes(b"evil")  # as another program might
    with pytest.raises(InvalidModel, match="changed"):
        headrace.load_model(fetched(hostile.place(), "models:/m/1"))
