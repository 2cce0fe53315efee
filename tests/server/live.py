"""A server of this process on a real socket, for tests that look at it from both sides."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.artifacts.local import LocalArtifactStore
from headrace.http.listening import Server, listen
from headrace.server.app import create_app
from headrace.server.dispatch import Dispatcher
from headrace.server.process import express_config
from headrace.server.settings import ServerSettings
from headrace.store.base import Store
from headrace.store.open import open_store

API = "/api/2.0/mlflow"
JSON = {"Content-Type": "application/json"}


@dataclass
class Reply:
    """One answer, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def error(self) -> tuple[int, str, str]:
        """Status, code and message of an error, which is JSON with exactly these fields."""
        assert self.headers["content-type"] == "application/json", self
        document = self.json
        assert set(document) == {"error_code", "message"}, self
        return self.status, document["error_code"], document["message"]


@dataclass
class Live:
    """A running server."""

    port: int
    store: Store
    app: Dispatcher
    server: Server

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def send(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        connection: http.client.HTTPConnection | None = None,
    ) -> Reply:
        """One request on a connection of its own, unless one is given."""
        own = connection or self.connect()
        try:
            own.request(method, path, body=body, headers=dict(headers or {}))
            answer = own.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, found, answer.read())
        finally:
            if connection is None:
                own.close()

    def call(self, path: str, body: Any = None, method: str = "POST", **headers: str) -> Reply:
        """A call of the protocol with a JSON body."""
        text = None if body is None else json.dumps(body)
        return self.send(method, API + path, text, {**JSON, **headers})

    def get(self, path: str, **headers: str) -> Reply:
        """A GET of the protocol."""
        return self.send("GET", API + path, headers=headers)

    def new_run(self) -> str:
        """The id of a run that was made over HTTP."""
        reply = self.call("/runs/create", {"experiment_id": "0"})
        assert reply.status == 200, reply
        run_id: str = reply.json["run"]["info"]["run_id"]
        return run_id


@contextmanager
def live_server(folder: Path, store: Store | None = None, **options: Any) -> Iterator[Live]:
    """A server on a free port, with a SQLite store of its own unless one is given."""
    uri = f"sqlite:///{folder}/live.db"
    options = {"port": 0, "backend_store_uri": uri, "host": "127.0.0.1", **options}
    settings = ServerSettings(artifacts_destination=str(folder / "artifacts"), **options)
    own = store or open_store(uri)
    bound = ServerSettings(port=0)  # whatever host the test speaks of, the socket is local
    with listen(bound) as listener:
        app = create_app(own, LocalArtifactStore(settings.artifacts_destination), settings)
        started = threading.Event()
        server = Server(express_config(app, settings), started.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        port = listener.getsockname()[1]
        thread.start()
        try:
            assert started.wait(20)
            yield Live(port, own, app, server)
        finally:
            server.should_exit = True
            thread.join(30)
            app.close()
            if store is None:
                own.close()
            assert not thread.is_alive()
