"""The servers of models that are compared: how each gets the pipeline, is started, and asked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import processes
from benchmarks.load import Answer, Connection, LoadError
from benchmarks.peers import (
    BENCH_FOLDER,
    HOST,
    Headrace,
    MLflow,
    Peer,
    PeerError,
    Place,
    free_port,
)
from benchmarks.wire import exchange

PROGRAMS = Path(__file__).with_name("servers")
REFUSED_LIMIT_S = 15.0  # MLServer answers 400 while it loads
PREPARE_LIMIT_S = 300
START_LIMIT_S = 60.0
PROBE_S = 0.01
PROBE_LIMIT_S = 60.0
OF_SERVERS = ("MLFLOW_", "_MLFLOW", "HEADRACE_", "MLSERVER_")


class ServingPeer(Peer):
    """A server of one model. Subclasses say how the model is saved for it and what it is asked."""

    path = "/invocations"
    flavor = ""  # what `servers/pipeline.py` saves the model as

    def prepare(self, folder: Path) -> None:
        """Save the pipeline into ``folder`` in this server's own way. Raises PeerError."""
        run_there(self, [str(PROGRAMS / "pipeline.py"), self.flavor, str(folder / "model")])

    def configure(self, place: Place) -> None:
        """Write what the server reads when it starts there. Most read nothing."""

    def body(self, columns: Sequence[str], row: Sequence[float]) -> bytes:
        """What this server is asked for one row."""
        split = {"columns": list(columns), "data": [list(row)]}
        return json.dumps({"dataframe_split": split}).encode()

    def expected(self, answer: int) -> bytes:
        """What its answer must hold, blanks aside, for the row's class."""
        return f'"predictions":[{answer}]'.encode()


class HeadraceServing(Headrace, ServingPeer):
    """`headrace models serve` on its defaults, in the environment at hand."""

    flavor = "headrace"

    def command(self, place: Place) -> list[str]:
        """One model from a folder."""
        program = [self.program("headrace"), "models", "serve", "--env-manager", "local"]
        return [*program, "-m", str(place.folder / "model"), "-p", str(place.port)]


class MLflowServing(MLflow, ServingPeer):
    """`mlflow models serve` on its defaults, in the environment at hand."""

    flavor = "mlflow"

    def command(self, place: Place) -> list[str]:
        """One model from a folder."""
        program = [self.program("mlflow"), "models", "serve", "--env-manager", "local"]
        return [*program, "-m", str(place.folder / "model"), "-p", str(place.port)]

    def variables(self) -> Mapping[str, str]:
        """It starts uvicorn by name."""
        return {
            **super().variables(),
            "PATH": f"{self.environment / 'bin'}:{os.environ.get('PATH', '')}",
        }


class PeersEnvironment(ServingPeer):
    """Those that share one environment, and get the model as a pickle that takes arrays."""

    flavor = "joblib"

    @property
    def environment(self) -> Path:
        """Made by ``make serving-env``."""
        return BENCH_FOLDER.absolute() / "serving-peers"

    def install(self) -> None:
        """Never by itself: its list of packages is in ``constraints/serving-peers.txt``."""
        raise PeerError(f"{self.title} is not installed: make serving-env")


class MLServer(PeersEnvironment):
    """MLServer's scikit-learn runtime on its defaults: adaptive batching is off."""

    name = "mlserver"
    title = "MLServer"
    distribution = "mlserver"
    path = "/v2/models/pipeline/infer"

    def prepare(self, folder: Path) -> None:
        """The model, its settings, and the server's."""
        run_there(self, [str(PROGRAMS / "pipeline.py"), self.flavor, str(folder / "model.joblib")])
        settings = {
            "name": "pipeline",
            "implementation": "mlserver_sklearn.SKLearnModel",
            "parameters": {"uri": "./model.joblib", "version": "v1"},
        }
        (folder / "model-settings.json").write_text(json.dumps(settings), encoding="utf-8")

    def configure(self, place: Place) -> None:
        """Where it listens."""
        ports = {"http_port": place.port, "grpc_port": free_port(), "metrics_port": free_port()}
        settings = json.dumps({"host": HOST, **ports})
        (place.folder / "settings.json").write_text(settings, encoding="utf-8")

    def command(self, place: Place) -> list[str]:
        """A folder that holds the settings of a model and of the server."""
        return [self.program("mlserver"), "start", str(place.folder)]

    def body(self, columns: Sequence[str], row: Sequence[float]) -> bytes:
        """The row as one tensor, as its documentation has it."""
        tensor = {"name": "x", "shape": [1, len(row)], "datatype": "FP64", "data": list(row)}
        return json.dumps({"inputs": [tensor]}).encode()

    def expected(self, answer: int) -> bytes:
        """One output with one value."""
        return f'"data":[{answer}]'.encode()


class LitServe(PeersEnvironment):
    """LitServe with one worker, each request predicted alone."""

    name = "litserve"
    title = "LitServe"
    distribution = "litserve"
    path = "/predict"
    batching: tuple[str, ...] = ()

    def command(self, place: Place) -> list[str]:
        """A program, as its documentation has it."""
        program = [self.program("python"), str(PROGRAMS / "lit.py"), str(place.folder / "model")]
        return [*program, str(place.port), *self.batching]

    def body(self, columns: Sequence[str], row: Sequence[float]) -> bytes:
        """The row."""
        return json.dumps({"input": list(row)}).encode()

    def expected(self, answer: int) -> bytes:
        """The class."""
        return f'"output":{answer}'.encode()


class BatchingLitServe(LitServe):
    """The same with its own batching: up to 32 requests that come within 5 ms."""

    name = "litserve-batching"
    title = "LitServe, batching"
    batching = ("32", "0.005")


SERVING_PEERS: dict[str, ServingPeer] = {
    peer.name: peer
    for peer in (HeadraceServing(), MLflowServing(), MLServer(), LitServe(), BatchingLitServe())
}


@dataclass(frozen=True)
class ModelServer:
    """A running server of a model."""

    peer: ServingPeer
    place: Place
    process: subprocess.Popen[bytes]
    start_s: float
    """From the start of the process to its first right answer."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return (HOST, self.place.port)

    def cpu_seconds(self) -> float:
        """CPU that all its processes have used so far."""
        return processes.cpu_seconds(self.process.pid)

    def memory_megabytes(self) -> float:
        """Proportional set size of all its processes, in MB."""
        return processes.memory_megabytes(self.process.pid)


def post(path: str, body: bytes) -> bytes:
    """A whole request with a JSON body, on a connection that is kept."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: keep-alive\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def run_there(peer: Peer, arguments: Sequence[str], folder: Path | None = None) -> str:
    """What a program prints under the peer's Python. PeerError, with its errors, if it fails."""
    done = subprocess.run(
        [peer.program("python"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PREPARE_LIMIT_S,
        check=False,
        env=environment_of(peer),
    )
    if done.returncode:
        raise PeerError(f"{peer.title}: {' '.join(done.stderr[-1500:].split())}")
    return done.stdout


def environment_of(peer: Peer) -> dict[str, str]:
    """Ours, without settings of the servers compared, and with what the peer adds."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(OF_SERVERS)}
    return {**kept, **peer.variables()}


@contextmanager
def serving(
    peer: ServingPeer, folder: Path, request: bytes, expected: bytes
) -> Iterator[ModelServer]:
    """Serve the model that was prepared in ``folder``, and stop it with all its processes.

    It has started once it answers ``request`` with 200 and the bytes ``expected``. Raises
    PeerError with the end of its log where it doesn't.
    """
    place = Place(free_port(), folder, "")
    log = folder / "server.log"
    peer.configure(place)
    with log.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            peer.command(place),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            env=environment_of(peer),
            start_new_session=True,
        )
        try:
            seen = wait_for_answer((HOST, place.port), process, request, expected)
            if seen:
                tail = re.sub(r"\s+", " ", log.read_text(errors="replace")[-500:])
                raise PeerError(f"{peer.title} did not come up ({seen}): {tail}")
            yield ModelServer(peer, place, process, time.perf_counter() - started)
        finally:
            processes.stop(process)


def wait_for_answer(
    address: tuple[str, int], process: subprocess.Popen[bytes], request: bytes, expected: bytes
) -> str:
    """Ask until the answer is right; empty, or what was seen last when it never was."""
    deadline = time.perf_counter() + START_LIMIT_S
    answered = False
    seen = "no connection"
    while time.perf_counter() < deadline and process.poll() is None:
        try:
            answer = ask(address, request)
            if not answered:
                answered = True
                deadline = min(deadline, time.perf_counter() + REFUSED_LIMIT_S)
            if answer.ok and answer.holds(expected):
                return ""
            seen = answer.summary
        except (OSError, LoadError) as error:
            seen = str(error)
        time.sleep(PROBE_S)
    return seen


def ask(address: tuple[str, int], request: bytes) -> Answer:
    """One request on a connection of its own."""
    connection = Connection(address, ())
    connection.sock.settimeout(PROBE_LIMIT_S)
    with connection.sock:
        return exchange(connection, request)
