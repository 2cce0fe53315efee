"""The servers that are compared: how each is installed, started, and what it says of itself."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import venv
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import processes
from benchmarks.load import LoadError
from benchmarks.wire import Wire

BENCH_FOLDER = Path(".bench")
START_LIMIT_S = 180.0
SETTLE_S = 1.5
HOST = "127.0.0.1"


class PeerError(RuntimeError):
    """A peer could not be installed or started; the message holds the end of its log."""


@dataclass(frozen=True)
class Place:
    """Where one server works: its port, its folder, and its database's URI."""

    port: int
    folder: Path
    database: str

    @property
    def database_file(self) -> Path | None:
        """The SQLite file, or None on PostgreSQL."""
        prefix = "sqlite:///"
        return Path(self.database[len(prefix) :]) if self.database.startswith(prefix) else None


class Peer(ABC):
    """One server program. Subclasses say what to install and which command to run."""

    name = ""
    title = ""
    requirements: tuple[str, ...] = ()
    pip_options: tuple[str, ...] = ()
    distribution = ""
    writes_only = False  # a variant that reads as its original does

    @property
    def environment(self) -> Path:
        """The folder of the virtual environment that holds the program."""
        return BENCH_FOLDER.absolute() / self.name

    def program(self, name: str) -> str:
        """The path of a program of that environment."""
        return str(self.environment / "bin" / name)

    def installed(self) -> bool:
        """True when the server's program is there."""
        return Path(self.command(Place(0, Path(), "sqlite:///"))[0]).exists()

    def install(self) -> None:
        """Make the environment and install the pinned requirements in it."""
        venv.create(self.environment, with_pip=True)
        command = [self.program("python"), "-m", "pip", "install", "-q", "--progress-bar=off"]
        done = subprocess.run(
            [*command, *self.pip_options, *self.requirements],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PeerError(f"{self.title} could not be installed: {done.stderr[-2000:]}")

    def version(self) -> str:
        """The installed version, as its package's metadata says."""
        code = f"import importlib.metadata as m; print(m.version({self.distribution!r}))"
        done = subprocess.run(
            [self.program("python"), "-c", code], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() or "unknown"

    @abstractmethod
    def command(self, place: Place) -> list[str]:
        """The command that starts the server there."""

    def variables(self) -> Mapping[str, str]:
        """Environment variables to add."""
        return {}


class Headrace(Peer):
    """This project, as installed beside the running interpreter."""

    name = "headrace"
    title = "Headrace"
    distribution = "headrace"

    @property
    def environment(self) -> Path:
        """The environment that runs the benchmark."""
        return Path(sys.executable).parent.parent

    def install(self) -> None:
        """Never: the benchmark runs in Headrace's own environment."""
        raise PeerError("there is no headrace program beside this Python; run `make` first")

    def command(self, place: Place) -> list[str]:
        """Its server with one worker, as the README starts it."""
        return [
            self.program("headrace"),
            "server",
            "--host",
            HOST,
            "--port",
            str(place.port),
            "--backend-store-uri",
            place.database,
            "--artifacts-destination",
            str(place.folder / "artifacts"),
        ]


class MLflow(Peer):
    """MLflow's own server with one worker, without its job runner and telemetry."""

    name = "mlflow"
    title = "MLflow"
    requirements = ("mlflow==3.17.*", "psycopg2-binary")
    distribution = "mlflow"

    def command(self, place: Place) -> list[str]:
        """One uvicorn worker."""
        return [
            self.program("mlflow"),
            "server",
            "--host",
            HOST,
            "--port",
            str(place.port),
            "--workers",
            "1",
            "--backend-store-uri",
            place.database.replace("postgresql://", "postgresql+psycopg2://"),
            "--artifacts-destination",
            str(place.folder / "artifacts"),
        ]

    def variables(self) -> Mapping[str, str]:
        """The job runner would add eight processes and 1.2 GB; it serves no request of ours."""
        return {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


class FastTrackML(Peer):
    """FastTrackML, a Go program that speaks the same protocol. As shipped, on its defaults."""

    name = "fasttrackml"
    title = "FastTrackML"
    requirements = ("fasttrackml==0.6.*",)
    pip_options = ("--no-deps",)  # its wheel carries the Go program; the rest is a client
    distribution = "fasttrackml"

    def command(self, place: Place) -> list[str]:
        """Its server; it reads ``sqlite://`` plus a path."""
        return [
            self.program("fml"),
            "server",
            "--listen-address",
            f"{HOST}:{place.port}",
            "--database-uri",
            place.database.replace("sqlite:///", "sqlite://"),
            "--default-artifact-root",
            str(place.folder / "artifacts"),
            "--log-level",
            "warn",
        ]


class DurableFastTrackML(FastTrackML):
    """FastTrackML with ``synchronous=FULL``: an acknowledged write is on disk, as with us."""

    name = "fasttrackml-durable"
    title = "FastTrackML, durable"
    writes_only = True

    @property
    def environment(self) -> Path:
        """The same program as FastTrackML as shipped."""
        return BENCH_FOLDER.absolute() / FastTrackML.name

    def command(self, place: Place) -> list[str]:
        """The option goes with the database's address."""
        durable = f"{place.database}?_synchronous=FULL"
        return super().command(Place(place.port, place.folder, durable))


PEERS: dict[str, Peer] = {
    peer.name: peer for peer in (Headrace(), MLflow(), FastTrackML(), DurableFastTrackML())
}


@dataclass
class Server:
    """A running server: where it answers, and what it holds."""

    peer: Peer
    place: Place
    process: subprocess.Popen[bytes]
    start_s: float
    wire: Wire
    cache: dict[str, object] = field(default_factory=dict)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return (HOST, self.place.port)

    def memory_megabytes(self) -> float:
        """Proportional set size of all its processes, in MB."""
        return processes.memory_megabytes(self.process.pid)

    def settled_memory(self) -> float:
        """Memory after a moment without requests, in MB."""
        time.sleep(SETTLE_S)
        return self.memory_megabytes()


@contextmanager
def running(peer: Peer, folder: Path, database: str | None = None) -> Iterator[Server]:
    """Start a peer's server in ``folder`` on a free port, and stop it with all its processes.

    ``database`` is a URI; without one, a new SQLite file in the folder. ``start_s`` runs from
    the start of the process to its first answer from the database.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = Place(free_port(), folder, database or f"sqlite:///{folder / 'tracking.db'}")
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("MLFLOW_", "HEADRACE_", "FML_", "_MLFLOW"))
    }
    log = folder / "server.log"
    with log.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            peer.command(place),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            env={**inherited, **peer.variables()},
            start_new_session=True,
        )
        wire = Wire((HOST, place.port))
        try:
            start_s = wait_for_answer(peer, process, wire, started, log)
            yield Server(peer, place, process, start_s, wire)
        finally:
            wire.close()
            processes.stop(process)


def wait_for_answer(
    peer: Peer, process: subprocess.Popen[bytes], wire: Wire, started: float, log: Path
) -> float:
    """Poll until the server answers a search of its experiments; seconds since ``started``."""
    request = wire.post("experiments/search", {"max_results": 1})
    while time.perf_counter() - started < START_LIMIT_S:
        try:
            wire.ask(request)
            return time.perf_counter() - started
        except (OSError, LoadError):
            wire.close()
        if process.poll() is not None:
            break
        time.sleep(0.005)
    tail = re.sub(r"\s+", " ", log.read_text(errors="replace")[-1500:])
    raise PeerError(f"{peer.title} did not come up: {tail}")


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


def ensure_installed(peer: Peer) -> None:
    """Install the peer if its program is not there; a half-made environment is made anew."""
    if peer.installed():
        return
    if BENCH_FOLDER.absolute() in peer.environment.parents:
        shutil.rmtree(peer.environment, ignore_errors=True)
    peer.install()
