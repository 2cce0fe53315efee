"""A small application on a real socket, served as both servers are."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from headrace.http.listening import Server, listen, uvicorn_config
from headrace.http.settings import ListenSettings


@dataclass
class LiveApp:
    """A server that runs."""

    port: int
    server: Server

    def connect(self) -> socket.socket:
        """A connection, for tests that wait half a minute at most."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def connections(self) -> list[Any]:
        """The server's side of those that are open."""
        return list(self.server.server_state.connections)


@contextmanager
def live_app(app: Any, **settings: Any) -> Iterator[LiveApp]:
    """Serve an ASGI application in a thread of this process."""
    chosen = ListenSettings(port=0, **settings)
    with listen(chosen) as listener:
        started = threading.Event()
        server = Server(uvicorn_config(app, chosen), started.set)
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert started.wait(20)
            yield LiveApp(port, server)
        finally:
            server.should_exit = True
            thread.join(30)
            server.watchdog.cancel()
            assert not thread.is_alive()


async def body_of(receive: Any) -> bytes | None:
    """The whole body of a request to an application; None where its client has hung up."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message["body"]
        more = message["more_body"]
    return body


@dataclass
class Answer:
    """One answer off a socket."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Reader:
    """Reads answers off a connection, one after the other."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = b""

    def answer(self) -> Answer:
        """The next one, which must say its length."""
        while b"\r\n\r\n" not in self._rest:
            self._more()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:])
        }
        length = int(headers["content-length"])
        while len(self._rest) < length:
            self._more()
        body, self._rest = self._rest[:length], self._rest[length:]
        return Answer(int(lines[0].split()[1]), headers, body)

    def is_at_end(self) -> bool:
        """Wait until the server closes, or says more."""
        return not self._rest and not self._connection.recv(1)

    def _more(self) -> None:
        data = self._connection.recv(1 << 16)
        assert data, f"the connection ended after {self._rest!r:.200}"
        self._rest += data
