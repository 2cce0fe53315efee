"""A tiny HTTP server that answers what a test tells it to: faults that no real server makes."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

RESET = b"<reset>"
"""Instead of an answer: break the connection after the request was read."""
CUT = b"<cut>"
"""At the end of an answer: close the connection, politely, though more was announced."""


def answer(status: int, body: bytes = b"{}", **headers: str) -> bytes:
    """An HTTP answer with these headers (`retry_after` stands for Retry-After)."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class ScriptedServer:
    """Gives the answers of a script, one a request; after the last it repeats that one."""

    script: Sequence[bytes]
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.listener.close()

    @property
    def heads(self) -> list[str]:
        """Request lines and headers, in order of arrival."""
        return [request.partition(b"\r\n\r\n")[0].decode() for request in self.requests]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            stream = connection.makefile("rb")
            while (request := _read_request(stream)) is not None:
                self.requests.append(request)
                reply = self.script[min(len(self.requests), len(self.script)) - 1]
                if reply.endswith(RESET):
                    connection.sendall(reply.removesuffix(RESET))
                    # Closing with a linger of zero sends a reset rather than an end.
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    stream.close()
                    return
                if reply.endswith(CUT):
                    connection.sendall(reply.removesuffix(CUT))
                    connection.shutdown(socket.SHUT_RDWR)
                    stream.close()
                    return
                connection.sendall(reply)


def _read_request(stream: object) -> bytes | None:
    head = b""
    length = 0
    while True:
        line: bytes = stream.readline()  # type: ignore[attr-defined]  # a socket's file
        if not line:
            return None
        head += line
        if line.lower().startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
        if line == b"\r\n":
            return head + stream.read(length)  # type: ignore[attr-defined, no-any-return]  # as above


@contextlib.contextmanager
def scripted(*script: bytes) -> Iterator[ScriptedServer]:
    server = ScriptedServer(script)
    try:
        yield server
    finally:
        server.close()
