"""A real server for artifacts alone: the dispatcher and its routes, on uvicorn, in a thread."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from headrace.artifacts.local import LocalArtifactStore
from headrace.protocol.artifacts import LIST
from headrace.server.artifact_listing import list_artifacts
from headrace.server.artifacts import artifact_routes
from headrace.server.dispatch import Dispatcher, Row
from headrace.server.settings import ServerSettings
from headrace.store.base import Store
from headrace.store.users import Role

FILES = "/api/2.0/mlflow-artifacts/artifacts"
UPLOADS = "/api/2.0/mlflow-artifacts/mpu"


@dataclass
class Answer:
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


@dataclass
class ArtifactServer:
    """A server on a port, and the folder it keeps artifacts in."""

    port: int
    root: Path

    def call(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        **headers: str,
    ) -> Answer:
        """One request on a connection of its own; `x_y=` in `headers` is sent as `x-y`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def post(self, path: str, document: object) -> Answer:
        """POST a JSON document."""
        body = json.dumps(document).encode()
        return self.call("POST", path, body, content_type="application/json")

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def temporary_files(self) -> list[str]:
        """What is on its way in."""
        return [entry.name for entry in (self.root / ".headrace" / "tmp").iterdir()]


@contextmanager
def serving(
    root: Path, store: Store | None = None, settings: ServerSettings | None = None
) -> Iterator[ArtifactServer]:
    """A started server; it is stopped, its calls finished, when the block ends."""
    settings = settings or ServerSettings()
    artifacts = LocalArtifactStore(root)
    rows = [Row(LIST, Role.READ, partial(list_artifacts, artifacts))]
    routes = artifact_routes(artifacts, store, settings)  # type: ignore[arg-type]  # tests of the proxy alone have no store
    app = Dispatcher(rows, routes, settings, None)
    config = uvicorn.Config(
        app, http="httptools", loop="uvloop", lifespan="off", log_level="error", access_log=False
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield ArtifactServer(listening.getsockname()[1], root)
        finally:
            server.should_exit = True
            thread.join()
            app.close()
