"""Requests that a proxy in front of us could have understood in another way than we do.

Where two servers do not agree where a request ends, or for whom it is, one of them can be made to
answer what the other never let pass ("request smuggling", RFC 9112, section 11.2). So each is
either refused, with the end of its connection, or can be understood in one way only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from headrace.serving.app import ScoringApp
from headrace.serving.settings import ServingSettings
from tests.http.live_app import Answer, LiveApp, Reader, body_of, live_app
from tests.server.live import live_server

HOST = b"host: localhost\r\n"
NEXT = b"GET /next HTTP/1.1\r\n" + HOST + b"\r\n"
END = b"0\r\n\r\n"


def get(*headers: bytes, target: bytes = b"/a", version: bytes = b"HTTP/1.1") -> bytes:
    """A request with these headers."""
    return b"".join([b"GET ", target, b" ", version, b"\r\n", *headers, b"\r\n"])


def post(*headers: bytes, body: bytes = b"hello", version: bytes = b"HTTP/1.1") -> bytes:
    """A request to us with a body."""
    return b"".join([b"POST /a ", version, b"\r\n", HOST, *headers, b"\r\n", body])


def length(value: bytes) -> bytes:
    """How long the body is said to be."""
    return b"content-length: " + value + b"\r\n"


def coding(value: bytes) -> bytes:
    """How the body is said to be cut up."""
    return b"transfer-encoding: " + value + b"\r\n"


def chunks(body: bytes) -> bytes:
    """A request with a body in chunks."""
    return post(coding(b"chunked"), body=body)


REFUSED = {
    "two hosts": get(b"host: evil.example\r\n", HOST),
    "two hosts, far apart": get(HOST, b"x: y\r\n", b"Host: localhost\r\n"),
    "a host twice, with another protocol offered": get(
        HOST, HOST, b"connection: upgrade\r\nupgrade: h2c\r\n"
    ),
    "another host in the target": get(HOST, target=b"http://evil.example/a"),
    "another port in the target": get(HOST, target=b"http://localhost:81/a"),
    "a user in the target": get(HOST, target=b"http://u:p@localhost/a"),
    "another scheme in the target": get(HOST, target=b"ftp://localhost/a"),
    "a target without a path": get(HOST, target=b"localhost:80"),
    "a space in the target": get(HOST, target=b"/a b"),
    "a NUL in the target": get(HOST, target=b"/a\0b"),
    "a version that is none": get(HOST, version=b"HTTP/1.2"),
    "no version": b"GET /a\r\n",
    "a length and chunks": post(length(b"5"), coding(b"chunked"), body=END),
    "chunks and a length": post(coding(b"chunked"), length(b"5"), body=END),
    "two lengths": post(length(b"5"), length(b"6")),
    "the same length twice": post(length(b"5"), length(b"5")),
    "a list of lengths": post(length(b"5, 5")),
    "a length with a plus": post(length(b"+5")),
    "a length below nothing": post(length(b"-5")),
    "a length in hexadecimal": post(length(b"0x5")),
    "no length": post(length(b"")),
    "a length in two parts": post(length(b"5 5")),
    "a length beyond 64 bits": post(length(b"18446744073709551621")),
    "chunks, then as it is": post(coding(b"chunked, identity"), body=END),
    "as it is": post(coding(b"identity"), body=END),
    "as it is, and chunks": post(coding(b"identity"), coding(b"chunked"), body=END),
    "chunks twice": post(coding(b"chunked"), coding(b"chunked"), body=END),
    "chunks in chunks": post(coding(b"chunked, chunked"), body=END),
    "compressed chunks": post(coding(b"gzip, chunked"), body=END),
    "no coding": post(coding(b""), body=END),
    "a coding like chunks": post(coding(b"xchunked"), body=END),
    "a coding behind a vertical tab": post(coding(b"\x0bchunked"), body=END),
    "a coding on the next line": post(b"transfer-encoding:\r\n chunked\r\n", body=END),
    "a value on two lines": get(HOST, b"x: a\r\n b\r\n"),
    "a first line of headers that goes on": get(b" x: a\r\n", HOST),
    "lines that end in LF": get(HOST).replace(b"\r\n", b"\n"),
    "a line that ends in LF": get(HOST, b"x: a\ny: b\r\n"),
    "a line that ends in CR": get(HOST, b"x: a\ry: b\r\n"),
    "a NUL in a value": get(HOST, b"x: a\0b\r\n"),
    "a control character in a value": get(HOST, b"x: a\x01b\r\n"),
    "a space before the colon": get(b"host : localhost\r\n"),
    "a space in a name": get(HOST, b"x y: a\r\n"),
    "no name": get(HOST, b": a\r\n"),
    "no colon": get(HOST, b"xyz\r\n"),
    "a space before the method": b" " + get(HOST),
    "a chunk whose size ends in LF": chunks(b"5\nhello\r\n" + END),
    "a chunk that ends in LF": chunks(b"5\r\nhello\n" + END),
    "a chunk without an end": chunks(b"5\r\nhello" + END),
    "a chunk with a prefix": chunks(b"0x5\r\nhello\r\n" + END),
    "a chunk and a space": chunks(b"5 \r\nhello\r\n" + END),
    "a chunk below nothing": chunks(b"-5\r\nhello\r\n" + END),
    "a chunk of no size": chunks(b"\r\n" + END),
    "a chunk beyond 64 bits": chunks(b"10000000000000005\r\nhello\r\n" + END),
    "LF in what a chunk says": chunks(b"5;a\nb\r\nhello\r\n" + END),
    "a length behind the chunks": chunks(b"0\r\ncontent-length: 7\r\n\r\n"),
}

TAKEN = {
    "our host in the target": (get(HOST, target=b"HTTP://LOCALHOST/a"), b"GET /a "),
    "a path that looks like a host": (
        get(HOST, target=b"//evil.example/a"),
        b"GET //evil.example/a ",
    ),
    "the server as such": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", b"OPTIONS * "),
    "empty lines before it": (b"\r\n\r\n" + get(HOST), b"GET /a "),
    "what a chunk says": (chunks(b"5;a=b\r\nhello\r\n" + END), b"POST /a hello"),
    "Chunked": (post(coding(b"Chunked"), body=END), b"POST /a "),
    "a body where none is usual": (get(HOST, length(b"5")) + b"hello", b"GET /a hello"),
    "an underscore for a hyphen": (post(b"content_length: 5\r\n", body=b""), b"POST /a "),
}

LAST = {
    "one that is to be the last": get(HOST, b"connection: close\r\n"),
    "one with a body that is to be the last": post(b"connection: close\r\n", length(b"5")),
    "chunks in HTTP/1.0": post(coding(b"chunked"), body=END, version=b"HTTP/1.0"),
    "chunks in HTTP/1.0 that is to go on": post(
        b"connection: keep-alive\r\n", coding(b"chunked"), body=END, version=b"HTTP/1.0"
    ),
    "another protocol in HTTP/1.0": post(
        b"connection: upgrade\r\nupgrade: h2c\r\n", length(b"5"), version=b"HTTP/1.0"
    ),
}


class Told:
    """Says what was asked, and remembers it with its headers."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[tuple[bytes, bytes]]]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        early = list(scope["headers"])
        body = await body_of(receive)
        if body is None:
            return
        assert scope["headers"] == early
        self.asked.append((scope["path"], early))
        said = b"%b %b %b" % (scope["method"].encode(), scope["raw_path"], body)
        head = [(b"content-length", b"%d" % len(said))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": said})


@pytest.fixture(scope="module")
def told() -> Told:
    return Told()


@pytest.fixture(scope="module")
def plain(told: Told) -> Iterator[LiveApp]:
    with live_app(told) as server:
        yield server


@pytest.fixture(scope="module", params=["plain", "tracking", "scoring"])
def live(
    request: pytest.FixtureRequest, plain: LiveApp, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveApp]:
    if request.param == "plain":
        yield plain
    elif request.param == "tracking":
        with live_server(tmp_path_factory.mktemp("tracking")) as server:
            yield LiveApp(server.port, server.server)
    else:
        with live_app(ScoringApp([], ServingSettings())) as scoring:
            yield scoring


def exchange(live: LiveApp, sent: bytes) -> tuple[list[Answer], bool]:
    """The answers to all that is sent with another request behind it, and whether the server closed
    the connection before it answered that one.
    """
    with live.connect() as connection:
        connection.sendall(sent + NEXT)
        reader = Reader(connection)
        answers = [reader.answer()]
        if answers[0].headers.get("connection") == "close":
            return answers, reader.is_at_end()
        return [*answers, reader.answer()], False


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED)
def test_doubtful_ones_are_refused_and_nothing_behind_them_is_read(
    live: LiveApp, told: Told, sent: bytes
) -> None:
    told.asked.clear()
    answers, closed = exchange(live, sent)
    assert answers[0].status == 400
    assert answers[0].json()["error_code"] == "BAD_REQUEST"
    assert closed
    assert told.asked == []


@pytest.mark.parametrize(("sent", "said"), TAKEN.values(), ids=TAKEN)
def test_clear_ones_are_answered_and_so_is_the_next(
    plain: LiveApp, sent: bytes, said: bytes
) -> None:
    answers, _ = exchange(plain, sent)
    assert answers[0].body == said
    assert answers[1].body == b"GET /next "


@pytest.mark.parametrize("sent", LAST.values(), ids=LAST)
def test_nothing_behind_the_last_one_is_read(plain: LiveApp, told: Told, sent: bytes) -> None:
    told.asked.clear()
    answers, closed = exchange(plain, sent)
    assert answers[0].status == 200
    assert closed
    assert [path for path, _ in told.asked] == ["/a"]


@pytest.mark.parametrize("cut", [0, 2, 40])
def test_what_stands_behind_a_body_does_not_become_a_header(
    plain: LiveApp, told: Told, cut: int
) -> None:
    """It would come too late for whoever decides by the headers, and override what they saw."""
    told.asked.clear()
    trailer = b"0\r\nhost: evil.example\r\nauthorization: Bearer x\r\n\r\n"
    sent = chunks(b"5\r\nhello\r\n" + trailer) + NEXT
    with plain.connect() as connection:
        reader = Reader(connection)
        end = len(sent) - len(NEXT) - cut
        connection.sendall(sent[:end])
        connection.sendall(sent[end:])
        assert reader.answer().body == b"POST /a hello"
        assert reader.answer().body == b"GET /next "
    assert [name for name, _ in told.asked[0][1]] == [b"host", b"transfer-encoding"]
    assert dict(told.asked[0][1])[b"host"] == b"localhost"


def test_it_is_said_what_was_wrong(plain: LiveApp) -> None:
    told = {
        name: exchange(plain, REFUSED[name])[0][0].json()["message"]
        for name in ("two hosts", "another host in the target", "compressed chunks")
    }
    assert "'Host' came twice; expected one" in told["two hosts"]
    assert "'http://evil.example/a'" in told["another host in the target"]
    assert "'localhost'" in told["another host in the target"]
    assert "'gzip, chunked'" in told["compressed chunks"]
