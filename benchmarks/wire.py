"""Requests as whole byte strings, with the fields that the real MLflow client sends."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.load import Answer, Connection, LoadError

API = "/api/2.0/mlflow"
RUN_ID = re.compile(rb'"run_id"\s*:\s*"([0-9a-f]{32})"')
Json = Mapping[str, object]


class Wire:
    """Builds requests for one server and, over one connection of its own, sends some."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self._head = (
            f"Host: {address[0]}:{address[1]}\r\n"
            "User-Agent: mlflow-python-client/3.17.2\r\n"
            "Accept: */*\r\nConnection: keep-alive\r\n"
        )
        self._connection: Connection | None = None

    def get(self, path: str) -> bytes:
        """A GET request of a path below the API's prefix."""
        return f"GET {API}/{path} HTTP/1.1\r\n{self._head}\r\n".encode()

    def post(self, path: str, body: Json) -> bytes:
        """A POST request with a JSON body."""
        return self.post_bytes(path, json.dumps(body).encode())

    def post_bytes(self, path: str, body: bytes) -> bytes:
        """A POST request whose JSON body is already encoded."""
        head = (
            f"POST {API}/{path} HTTP/1.1\r\n{self._head}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def ask(self, request: bytes) -> bytes:
        """Send one request, wait for its answer, return the body; LoadError unless it is 200."""
        if self._connection is not None and hung_up(self._connection):
            self.close()  # servers end a connection that was idle for some seconds
        if self._connection is None:
            self._connection = Connection(self.address, ())
        answer = exchange(self._connection, request)
        if not answer.ok:
            raise LoadError(answer.summary)
        return answer.body

    def call(self, path: str, body: Json) -> dict[str, object]:
        """POST and return the parsed answer."""
        return dict(json.loads(self.ask(self.post(path, body))))

    def close(self) -> None:
        """Close the connection, if one was opened."""
        if self._connection is not None:
            self._connection.sock.close()
            self._connection = None

    def new_experiment(self, name: str) -> str:
        """Create an experiment and return its id."""
        return str(self.call("experiments/create", {"name": name})["experiment_id"])

    def new_run(self, experiment_id: str, name: str = "bench") -> str:
        """Create a run and return its id."""
        return run_id_in(self.ask(self.create_run(experiment_id, name)))

    def create_run(self, experiment_id: str, name: str) -> bytes:
        """The ``runs/create`` request of a fluent client, with its four tags."""
        tags = {
            "mlflow.user": "bench",
            "mlflow.source.name": "train.py",
            "mlflow.source.type": "LOCAL",
            "mlflow.runName": name,
        }
        return self.post(
            "runs/create",
            {
                "experiment_id": experiment_id,
                "user_id": "bench",
                "run_name": name,
                "start_time": 1_795_239_420_113,
                "tags": [{"key": key, "value": value} for key, value in tags.items()],
            },
        )

    def log_metrics(self, run_id: str, key: str, first_step: int = 1_000_000) -> Iterator[bytes]:
        """Endless ``runs/log-metric`` requests of one metric, a new step in each.

        Steps have seven digits and values eight decimals, so that one head serves all.
        """
        body = (
            f'{{"run_uuid": "{run_id}", "key": "{key}", "value": 0.0%07d, '
            f'"timestamp": 179523%07d, "step": %d, "run_id": "{run_id}"}}'
        ).encode()
        template = self.post_bytes("runs/log-metric", body % ((first_step,) * 3))
        head, _, _ = template.partition(b"\r\n\r\n")
        template = head.replace(b"%", b"%%") + b"\r\n\r\n" + body
        step = first_step
        while True:
            yield template % (step, step, step)
            step += 1

    def log_batch(
        self,
        run_id: str,
        metrics: Sequence[tuple[str, float, int, int]] = (),
        params: Sequence[tuple[str, str]] = (),
        tags: Sequence[tuple[str, str]] = (),
    ) -> bytes:
        """A ``runs/log-batch`` request; a metric is (key, value, timestamp, step)."""
        body: dict[str, object] = {"run_id": run_id}
        if metrics:
            names = ("key", "value", "timestamp", "step")
            body["metrics"] = [dict(zip(names, metric, strict=True)) for metric in metrics]
        if params:
            body["params"] = [{"key": key, "value": value} for key, value in params]
        if tags:
            body["tags"] = [{"key": key, "value": value} for key, value in tags]
        return self.post("runs/log-batch", body)


def exchange(connection: Connection, request: bytes) -> Answer:
    """Send one request and block until its answer is whole."""
    connection.sock.sendall(request)
    answer = connection.answer
    answer.reset()
    while True:
        data = connection.sock.recv(1 << 18)
        if not data:
            raise LoadError("the server closed the connection before its answer was whole")
        if answer.feed(data):
            return answer


def hung_up(connection: Connection) -> bool:
    """True when the other side has closed an idle connection."""
    try:
        return not connection.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def run_id_in(body: bytes) -> str:
    """The run id in the answer to ``runs/create``."""
    found = RUN_ID.search(body)
    if found is None:
        raise LoadError(f"no run_id in the answer {body[:200]!r}")
    return found[1].decode()
