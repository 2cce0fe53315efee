"""Bytes between a connection and an artifact store, at the pace of the slower of the two.

The event loop never waits for a disk: stores are called in a bounded pool of threads. In both
directions one piece of 1 MiB is with the store while the next is with the network, so memory per
transfer is a few MiB, whatever the size of the file and the speed of the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Send

from headrace.artifacts.base import ArtifactReader, ArtifactWriter, StoredFile
from headrace.errors import InvalidRequest, PayloadTooLarge
from headrace.server.artifact_ranges import ByteRange

P = ParamSpec("P")
T = TypeVar("T")

BATCH = 1 << 20


class Workers:
    """Threads that call the store: many for short calls, few for long ones.

    `patience` is how many seconds a client may be silent in the middle of a body.
    """

    def __init__(self, short: int = 16, long: int = 4, *, patience: float = 60.0) -> None:
        self.patience = patience
        _keep_freed_memory()
        self._short = ThreadPoolExecutor(short, "headrace-artifacts")
        self._long = ThreadPoolExecutor(long, "headrace-joins")

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start a short call."""
        return self._short.submit(function, *args, **kwargs)

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a short call: one file operation, one read from the database."""
        return await asyncio.wrap_future(self._short.submit(function, *args, **kwargs))

    async def run_long(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a call that may take minutes; it does not hold up the short ones."""
        return await asyncio.wrap_future(self._long.submit(function, *args, **kwargs))

    def run_after(self, job: Future[Any] | None, cleanup: Callable[[], None]) -> Future[None]:
        """Call `cleanup` once `job` is done, even if nobody waits for either any more."""
        finished: Future[None] = Future()

        def clean() -> None:
            try:
                cleanup()
            finally:
                finished.set_result(None)

        if job is None or job.done():
            self._short.submit(clean)
        else:
            job.add_done_callback(lambda _: clean())
        return finished


async def receive_file(
    request: Request,
    writer: ArtifactWriter,
    workers: Workers,
    sha256: str | None = None,
    limit: int | None = None,
) -> StoredFile:
    """Store the body of `request` through `writer`, which is committed, or aborted on any error.

    Raises InvalidRequest when the body is not as long as Content-Length says, has another
    SHA-256 than `sha256`, or the client goes away or is silent for too long; PayloadTooLarge when
    it has more than `limit` bytes.
    """
    announced = content_length(request)
    job: Future[Any] | None = None
    try:
        received = 0
        batch: list[bytes] = []
        batched = 0
        async for piece in body_of(request, workers.patience):
            batch.append(piece)
            batched += len(piece)
            received += len(piece)
            if limit is not None and received > limit:
                raise PayloadTooLarge(f"The body is longer than {limit} bytes, the limit here.")
            if batched >= BATCH:
                if job is not None:
                    await asyncio.wrap_future(job)
                job = workers.submit(writer.write, b"".join(batch))
                batch, batched = [], 0
        if announced is not None and received != announced:
            raise InvalidRequest(
                f"The body has {received} bytes, but Content-Length announced {announced}; "
                "nothing was stored."
            )
        if job is not None:
            await asyncio.wrap_future(job)
        job = last = workers.submit(_finish, writer, b"".join(batch), sha256)
        return await asyncio.wrap_future(last)
    except BaseException as error:
        await asyncio.wrap_future(workers.run_after(job, writer.abort))
        if isinstance(error, ClientDisconnect):
            raise InvalidRequest("The client went away before it had sent all.") from error
        raise


async def send_file(
    send: Send, receive: Receive, reader: ArtifactReader, workers: Workers, part: ByteRange
) -> None:
    """Send a part of a file, which is then closed, as the body of an answer that has begun."""
    gone = asyncio.ensure_future(_disconnected(receive))
    pieces = reader.chunks(part.start, part.length)
    left = part.length
    job = workers.submit(next, pieces, b"")
    try:
        while left and not gone.done():
            piece = await asyncio.wrap_future(job)
            left -= len(piece)
            if left:
                job = workers.submit(next, pieces, b"")
            await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
    finally:
        gone.cancel()
        workers.run_after(job, reader.close)


async def body_of(request: Request, patience: float) -> AsyncIterator[bytes]:
    """The pieces of the body. InvalidRequest when none comes for `patience` seconds."""
    pieces = request.stream()
    while True:
        try:
            async with asyncio.timeout(patience):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise InvalidRequest(f"The body stopped for {patience:g} seconds.") from error
        yield piece


def content_length(request: Request) -> int | None:
    """The announced length of the body; None when it comes in chunks."""
    text = request.headers.get("content-length")
    return int(text) if text and text.isascii() and text.isdigit() else None


def _finish(writer: ArtifactWriter, rest: bytes, sha256: str | None) -> StoredFile:
    if rest:
        writer.write(rest)
    return writer.commit(sha256)


def _keep_freed_memory() -> None:
    """Let the C library keep the memory of a received piece for the next one.

    By default glibc gives every freed piece of this size back to the system and asks for it
    again at once, which costs an upload more system time than all else. This keeps at most
    32 MiB. Other C libraries have no such switch and go without.
    """
    import ctypes

    trim_threshold, mmap_threshold = -1, -3
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(trim_threshold, 32 << 20)
        libc.mallopt(mmap_threshold, 4 << 20)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
