"""One large file through the artifact proxy, up and down, against a plain copy of it.

The upload is durable when it is answered, so it is compared with a copy and an fsync; the
download is written to a file without one, so it is compared with a copy alone.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.load import Answer, LoadError
from benchmarks.measurements import Bench, LoneFigure, Quantity
from benchmarks.peers import Peer, PeerError, Server, running

PATH = "/api/2.0/mlflow-artifacts/artifacts/bench/large.bin"
PEERS = ("headrace", "mlflow")
BUFFER = 1 << 20
SAMPLE_S = 0.1
ROUNDS = 3


def measure(bench: Bench) -> None:
    for peer in bench.peers:
        if peer.name not in PEERS:
            continue
        effort = bench.effort
        size = effort.artifact_bytes if peer.name == "headrace" else effort.peer_artifact_bytes
        bench.say(f"artifact: {size >> 20} MiB through {peer.title}")
        folder = bench.folder / f"artifact-{peer.name}"
        try:
            with running(peer, folder) as server:
                transfer(bench, server, size)
        except (PeerError, LoadError, OSError) as error:
            bench.measurements.fail((q.key for q in FIGURE.quantities), peer.name, str(error))
            bench.say(f"artifact failed on {peer.title}: {error}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def transfer(bench: Bench, server: Server, size: int) -> None:
    """Copies and transfers in turn, so that all see the same state of the disk."""
    peer: Peer = server.peer
    folder = server.place.folder
    source, copy, back = folder / "source.bin", folder / "copy.bin", folder / "back.bin"
    write_source(source, size)
    idle = server.settled_memory()
    add = bench.measurements.add
    for _ in range(ROUNDS):
        durable_copy = timed(lambda: copy_file(source, copy, durable=True))
        with peak_memory(server) as peak:
            upload_s = timed(lambda: upload(server, source))
        plain_copy = timed(lambda: copy_file(source, copy, durable=False))
        with peak_memory(server) as peak_down:
            download_s = timed(lambda: download(server, back))
        if back.stat().st_size != size:
            raise LoadError(f"{back.stat().st_size} of {size} bytes came back")
        add("artifact_upload", peer.name, 100 * durable_copy / upload_s)
        add("artifact_upload_rate", peer.name, size / upload_s / 1e6)
        add("artifact_download", peer.name, 100 * plain_copy / download_s)
        add("artifact_download_rate", peer.name, size / download_s / 1e6)
        add("artifact_memory", peer.name, max(peak + peak_down) - idle)
    if not same_bytes(source, back):
        raise LoadError("the file came back changed")


def timed(work: Callable[[], None]) -> float:
    """Seconds that the work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def write_source(path: Path, size: int) -> None:
    """Random bytes, on disk before anything is timed."""
    block = os.urandom(BUFFER)
    with path.open("wb") as file:
        for number in range(size // BUFFER):
            file.write(number.to_bytes(8, "big") + block[8:])
        file.flush()
        os.fsync(file.fileno())


def copy_file(source: Path, target: Path, *, durable: bool) -> None:
    """What ``cp`` does, to a new file; with an fsync when ``durable``."""
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)
    if durable:
        with target.open("rb+") as file:
            os.fsync(file.fileno())


def upload(server: Server, source: Path) -> None:
    """PUT the file, its bytes sent by the kernel."""
    size = source.stat().st_size
    host, port = server.address
    head = (
        f"PUT {PATH} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {size}\r\n"
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    with socket.create_connection(server.address) as sock, source.open("rb") as file:
        sock.sendall(head.encode())
        sock.sendfile(file)
        answer = Answer()
        while not answer.feed(data := sock.recv(BUFFER)):
            if not data:
                raise LoadError("the server closed the connection during the upload")
    if not answer.ok:
        raise LoadError(answer.summary)


def download(server: Server, target: Path) -> None:
    """GET the file into a new file."""
    target.unlink(missing_ok=True)
    host, port = server.address
    with socket.create_connection(server.address) as sock, target.open("wb", 0) as file:
        sock.sendall(f"GET {PATH} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        answer = Answer()
        data = b""
        while b"\r\n\r\n" not in data:
            received = sock.recv(BUFFER)
            if not received:
                raise LoadError("the server closed the connection before its answer began")
            data += received
        answer.feed(data)
        if not answer.ok or answer.chunked:
            raise LoadError(f"not a file of known length: {answer.summary[:200]}")
        left = answer.end - answer.body_start
        first = data[answer.body_start :]
        file.write(first)
        left -= len(first)
        buffer = memoryview(bytearray(BUFFER))
        while left:
            count = sock.recv_into(buffer)
            if not count:
                raise LoadError(f"the download stopped with {left} bytes to go")
            file.write(buffer[:count])
            left -= count


def same_bytes(one: Path, other: Path) -> bool:
    """True when both files hold the same."""
    with one.open("rb") as left, other.open("rb") as right:
        while True:
            block = left.read(BUFFER)
            if block != right.read(BUFFER):
                return False
            if not block:
                return True


@contextmanager
def peak_memory(server: Server) -> Iterator[list[float]]:
    """Collects the server's memory ten times a second; read the list after the block."""
    seen: list[float] = []
    done = threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLE_S):
            seen.append(server.memory_megabytes())

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    try:
        yield seen
    finally:
        done.set()
        sampler.join()
        seen.append(server.memory_megabytes())


FIGURE = LoneFigure(
    "artifact",
    (
        Quantity(
            "artifact_upload",
            "artifact upload, speed of a copy with fsync",
            "%",
            higher_is_better=True,
            at_least=25,
        ),
        Quantity("artifact_upload_rate", "artifact upload", "MB/s", higher_is_better=True),
        Quantity(
            "artifact_download",
            "artifact download, speed of a plain copy",
            "%",
            higher_is_better=True,
            at_least=40,
        ),
        Quantity("artifact_download_rate", "artifact download", "MB/s", higher_is_better=True),
        Quantity("artifact_memory", "memory above idle during transfers", "MB", at_most=100),
    ),
    measure,
)
