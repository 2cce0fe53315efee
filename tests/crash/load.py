"""Writers that keep a server busy and remember exactly what it acknowledged."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

API = "/api/2.0/mlflow/"
BATCH = 40


class Refused(Exception):
    """The server answered with something else than 200."""

    def __init__(self, status: int, answer: Any) -> None:
        super().__init__(f"{status}: {answer}")
        self.status = status
        self.answer = answer


class Caller:
    """One connection to a server."""

    def __init__(self, port: int, timeout: float = 30) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def call(self, method: str, path: str, document: Any = None) -> Any:
        """The answer of a call. Raises Refused, OSError or HTTPException."""
        body = None if document is None else json.dumps(document)
        headers = {"Content-Type": "application/json"} if body else {}
        self._connection.request(method, API + path, body, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != http.client.OK:
            raise Refused(answer.status, json.loads(text))
        return json.loads(text)

    def post(self, path: str, **fields: Any) -> Any:
        """POST a call."""
        return self.call("POST", path, fields)


@dataclass
class Writer:
    """One client: what it was promised, and what it asked for when it was cut off."""

    number: int
    run_id: str = ""
    points: list[int] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    unanswered: int | None = None
    refusals: Counter[tuple[int, str]] = field(default_factory=Counter)
    sent: int = 0

    def write(self, caller: Caller, stop: threading.Event) -> None:
        """Log until told to stop or cut off; every fifth write is a batch of all kinds."""
        try:
            if not self.run_id:
                made = caller.post("runs/create", experiment_id="0", run_name=f"w{self.number}")
                self.run_id = made["run"]["info"]["run_id"]
            while not stop.is_set():
                self.sent += 1
                self._write_one(caller, self.sent)
        except Refused as refusal:
            self._refused(refusal)  # the run could not be made: there is nothing to write to
        except (OSError, http.client.HTTPException):
            self.unanswered = self.sent

    def _write_one(self, caller: Caller, number: int) -> None:
        try:
            if number % 5:
                caller.post("runs/log-metric", run_id=self.run_id, **point("one", number))
                self.points.append(number)
            else:
                caller.post("runs/log-batch", run_id=self.run_id, **batch(number))
                self.batches.append(number)
        except Refused as refusal:
            self._refused(refusal)

    def _refused(self, refusal: Refused) -> None:
        self.refusals[refusal.status, refusal.answer.get("error_code", "")] += 1

    def check(self, caller: Caller, *, strictly: bool = False) -> None:
        """Everything acknowledged is there once, and nothing that was refused.

        What was never answered may be there, whole, or not at all; with `strictly` it may not.
        """
        if not self.run_id:
            return
        found = self.history(caller, "one")
        assert all(count == 1 for count in found.values()), "a point is there twice"
        unknown = set() if strictly or self.unanswered is None else {self.unanswered}
        assert set(self.points) <= set(found), sorted(set(self.points) - set(found))[:10]
        assert set(found) - set(self.points) <= unknown, "a point nobody was told of"
        self._check_batches(caller, unknown)

    def _check_batches(self, caller: Caller, unknown: set[int]) -> None:
        points = self.history(caller, "many")
        data = caller.call("GET", f"runs/get?run_id={self.run_id}")["run"]["data"]
        params = {item["key"]: item["value"] for item in data.get("params", [])}
        tags = {item["key"] for item in data["tags"]}
        written = {number for number in range(1, self.sent + 1) if f"p{number}" in params}
        assert set(self.batches) <= written
        assert written - set(self.batches) <= unknown
        expected = Counter(
            {number * BATCH + index: 1 for number in written for index in range(BATCH)}
        )
        assert points == expected, "a batch is there in part"
        assert {f"t{number}" for number in written} == {name for name in tags if name[0] == "t"}

    def history(self, caller: Caller, key: str) -> Counter[int]:
        """How often each value of a metric is there."""
        answer = caller.call("GET", f"metrics/get-history?run_id={self.run_id}&metric_key={key}")
        return Counter(int(each["value"]) for each in answer.get("metrics", []))


def point(key: str, value: int) -> dict[str, Any]:
    """A point whose value, step and time say the same."""
    return {"key": key, "value": value, "step": value, "timestamp": value}


def batch(number: int) -> dict[str, Any]:
    """Points, a parameter and a tag that belong together."""
    return {
        "metrics": [point("many", number * BATCH + index) for index in range(BATCH)],
        "params": [{"key": f"p{number}", "value": str(number)}],
        "tags": [{"key": f"t{number}", "value": "x"}],
    }


@contextmanager
def writing(port: int, writers: list[Writer]) -> Iterator[threading.Event]:
    """The writers at work, each in a thread; the block's end stops and joins them."""
    stop = threading.Event()

    def work(writer: Writer) -> None:
        with Caller(port) as caller:
            writer.write(caller, stop)

    threads = [threading.Thread(target=work, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    try:
        yield stop
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "a client was left waiting"


def wait_for_writes(writers: list[Writer], count: int) -> None:
    """Return when every writer has been answered `count` times, or was cut off."""
    for _ in range(3000):
        if all(
            len(w.points) + len(w.batches) >= count or w.unanswered is not None for w in writers
        ):
            return
        time.sleep(0.01)
    states = [(w.run_id, len(w.points), len(w.batches), w.sent, w.refusals) for w in writers]
    raise AssertionError(f"the server is too slow for this test: {states}")
