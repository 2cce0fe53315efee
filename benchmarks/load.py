"""A light load generator for HTTP/1.1: many keep-alive connections, one thread, one epoll.

Server and client share the machine's cores, so each microsecond the client burns is taken from
the server it measures. Requests are therefore whole byte strings made beforehand, or by one
``%`` formatting; an answer costs one ``recv``, a look at the status line and a look at its
length. Nothing is parsed as JSON while the clock runs. A request costs about 20 microseconds of
client CPU.
"""

from __future__ import annotations

import gc
import select
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

RECEIVE_BYTES = 1 << 18
IDLE_LIMIT_S = 60.0


class LoadError(RuntimeError):
    """The load could not be run, or its answers were not what a figure may be made of."""


@dataclass
class LoadResult:
    """What one load run saw: counts, seconds of wall clock, and the latency of each request."""

    seconds: float
    latencies: list[float]
    failures: int
    first_failure: str
    bodies: list[bytes] = field(default_factory=list)

    @property
    def answers(self) -> int:
        """Requests answered with 200."""
        return len(self.latencies)

    @property
    def rate(self) -> float:
        """Successful requests a second."""
        return self.answers / self.seconds if self.seconds else 0.0

    def percentile(self, percent: float) -> float:
        """Latency in milliseconds below which ``percent`` of the successful requests stayed."""
        if not self.latencies:
            return 0.0
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1e3

    def require_success(self) -> LoadResult:
        """Return itself, or raise LoadError when a request failed or none was answered."""
        if self.failures:
            total = self.failures + self.answers
            raise LoadError(f"{self.failures} of {total} requests failed: {self.first_failure}")
        if not self.latencies:
            raise LoadError("no request was answered in the time given")
        return self


class Answer:
    """One HTTP answer being received; ``feed`` says when it is whole."""

    __slots__ = ("body_start", "buffer", "chunked", "end")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the last answer; the connection is about to carry the next."""
        self.buffer: bytes | bytearray = b""
        self.end = -1
        self.body_start = 0
        self.chunked = False

    def feed(self, data: bytes) -> bool:
        """Take more bytes; true when the answer is complete. Pipelining is not expected."""
        if not self.buffer:
            self.buffer = data
        else:
            if isinstance(self.buffer, bytes):
                self.buffer = bytearray(self.buffer)
            self.buffer += data
        if not self.body_start and not self._read_head():
            return False
        if self.chunked:
            return self.buffer.endswith(b"0\r\n\r\n") and self._chunks_end()
        return len(self.buffer) >= self.end

    def _read_head(self) -> bool:
        stop = self.buffer.find(b"\r\n\r\n")
        if stop < 0:
            return False
        head = self.buffer[: stop + 2].lower()
        self.body_start = stop + 4
        at = head.find(b"\r\ncontent-length:")
        if at >= 0:
            self.end = self.body_start + int(head[at + 17 : head.find(b"\r\n", at + 17)])
        elif head.find(b"\r\ntransfer-encoding: chunked") >= 0:
            self.chunked = True
        else:
            self.end = self.body_start
        return True

    def _chunks_end(self) -> bool:
        at = self.body_start
        while at < len(self.buffer):
            line_end = self.buffer.find(b"\r\n", at)
            if line_end < 0:
                return False
            size = int(self.buffer[at:line_end].split(b";")[0], 16)
            if size == 0:
                return True
            at = line_end + 2 + size + 2
        return False

    @property
    def ok(self) -> bool:
        """True for status 200."""
        return self.buffer[9:12] == b"200"

    @property
    def body(self) -> bytes:
        """The body's bytes, chunks joined."""
        if not self.chunked:
            return bytes(self.buffer[self.body_start : self.end])
        parts: list[bytes | bytearray] = []
        at = self.body_start
        while True:
            line_end = self.buffer.find(b"\r\n", at)
            size = int(self.buffer[at:line_end].split(b";")[0], 16)
            if size == 0:
                return b"".join(parts)
            parts.append(self.buffer[line_end + 2 : line_end + 2 + size])
            at = line_end + 2 + size + 2

    def holds(self, expected: bytes) -> bool:
        """True when these bytes are in the answer, blanks aside."""
        return expected in self.buffer.replace(b" ", b"")

    @property
    def summary(self) -> str:
        """Status line and the start of the body: enough to understand a failure."""
        status = self.buffer.split(b"\r\n", 1)[0]
        return f"{status.decode(errors='replace')}: {self.body[:200].decode(errors='replace')}"


class Connection:
    """One keep-alive connection and the requests it will send, one after the other."""

    __slots__ = ("address", "answer", "expected", "lost", "requests", "sent_at", "sock")

    def __init__(
        self, address: tuple[str, int], requests: Iterable[bytes], expected: bytes = b""
    ) -> None:
        self.address = address
        self.requests: Iterator[bytes] = iter(requests)
        self.expected = expected
        self.answer = Answer()
        self.sent_at = 0.0
        self.lost = False
        self.connect()

    def connect(self) -> None:
        """Open the connection (again); Nagle's algorithm off."""
        self.sock = socket.create_connection(self.address, timeout=IDLE_LIMIT_S)
        self.sock.settimeout(None)  # with a timeout, Python polls before each recv and send
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send_next(self) -> bool:
        """Send the next request; false when there is none left."""
        request = next(self.requests, None)
        if request is None:
            return False
        self.sent_at = time.perf_counter()
        self.sock.sendall(request)
        return True

    def reopen(self, deadline: float) -> bool:
        """Connect anew after the server hung up, and go on with the next request."""
        self.sock.close()
        self.answer.reset()
        self.lost = False
        self.connect()
        return time.perf_counter() < deadline and self.send_next()


@dataclass
class Load:
    """A load run in progress; ``run`` is its only door."""

    connections: list[Connection]
    keep_bodies: bool
    latencies: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    failures: int = 0
    first_failure: str = ""

    def run(self, seconds: float | None) -> LoadResult:
        """Send until the requests run out or the time is up, and wait for what is in flight."""
        started = time.perf_counter()
        deadline = started + seconds if seconds is not None else float("inf")
        by_descriptor: dict[int, Connection] = {}
        with select.epoll() as poller:
            for connection in self.connections:
                if connection.send_next():
                    by_descriptor[connection.sock.fileno()] = connection
                    poller.register(connection.sock, select.EPOLLIN)
            while by_descriptor:
                ready = poller.poll(IDLE_LIMIT_S)
                if not ready:
                    raise LoadError(f"no answer for {IDLE_LIMIT_S:.0f} s; the server hangs")
                for descriptor, _ in ready:
                    connection = by_descriptor[descriptor]
                    if self._advance(connection, deadline):
                        continue
                    del by_descriptor[descriptor]
                    poller.unregister(descriptor)
                    if connection.lost and connection.reopen(deadline):
                        by_descriptor[connection.sock.fileno()] = connection
                        poller.register(connection.sock, select.EPOLLIN)
        elapsed = time.perf_counter() - started
        return LoadResult(elapsed, self.latencies, self.failures, self.first_failure, self.bodies)

    def _advance(self, connection: Connection, deadline: float) -> bool:
        """Receive on a readable connection; false once it has nothing more to do."""
        data = connection.sock.recv(RECEIVE_BYTES)
        answer = connection.answer
        if not data:
            self._fail("the server closed the connection before its answer was whole")
            connection.lost = True
            return False
        if not answer.feed(data):
            return True
        now = time.perf_counter()
        if not answer.ok:
            self._fail(answer.summary)
        elif connection.expected and not answer.holds(connection.expected):
            self._fail(f"not the answer expected, {connection.expected!r}: {answer.summary}")
        else:
            self.latencies.append(now - connection.sent_at)
        if self.keep_bodies:
            self.bodies.append(answer.body)
        answer.reset()
        return now < deadline and connection.send_next()

    def _fail(self, reason: str) -> None:
        self.failures += 1
        self.first_failure = self.first_failure or reason


def run_load(
    address: tuple[str, int],
    scripts: Sequence[Iterable[bytes]],
    *,
    seconds: float | None = None,
    keep_bodies: bool = False,
    expected: Sequence[bytes] = (),
) -> LoadResult:
    """Send each script's requests over a connection of its own, all at once.

    ``scripts`` holds one iterable of whole requests per connection. The run ends when all are
    used up, or after ``seconds``; requests in flight then are waited for and counted, and the
    time it took includes them. ``keep_bodies`` keeps all answers' bodies, in order of arrival.
    Each answer must hold the bytes ``expected`` for its script, blanks aside, where they are given.
    An answer other than 200 or than expected, or a lost connection, is a failure and not an
    exception; a server silent for a minute raises LoadError.
    """
    wanted = expected or [b""] * len(scripts)
    connections = [
        Connection(address, script, parts) for script, parts in zip(scripts, wanted, strict=True)
    ]
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        return Load(connections, keep_bodies).run(seconds)
    finally:
        if was_collecting:
            gc.enable()
        for connection in connections:
            connection.sock.close()
