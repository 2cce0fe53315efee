"""What the outbox refuses at once, and what it keeps while nothing can be sent."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headrace
from headrace.client.entries import POINT, decode, read_series
from headrace.client.outbox import Outbox, outbox_for
from headrace.errors import InvalidRequest
from headrace.journal.reader import JournalReader
from headrace.journal.segment import Record


@pytest.fixture
def offline(database: str, monkeypatch: pytest.MonkeyPatch) -> Outbox:
    """The outbox of the tracking URI, with nobody to send what it holds."""
    monkeypatch.setenv("HEADRACE_OFFLINE", "true")
    return outbox_for(headrace.get_tracking_uri())


def records(outbox: Outbox) -> list[Record]:
    reader = JournalReader(outbox._writer.open())
    assert reader.claim()
    found = list(reader.read())
    reader.close()
    return found


def points(outbox: Outbox) -> list[tuple[str, float, int, int]]:
    return [
        (read_series(record.name).key, *POINT.unpack(record.body))
        for record in records(outbox)
        if record.name
    ]


BAD_POINTS: list[tuple[dict[str, Any], str]] = [
    ({"key": ""}, "key"),
    ({"key": "k" * 251}, "key"),
    ({"key": "new\nline"}, "key"),
    ({"key": None}, "key"),
    ({"key": 5}, "key"),
    ({"key": ["list"]}, "key"),
    ({"key": "half \ud800"}, "key"),
    ({"value": "many"}, "metric 'm'"),
    ({"value": None}, "metric 'm'"),
    ({"value": [1, 2]}, "metric 'm'"),
    ({"value": np.zeros(3)}, "metric 'm'"),
    ({"value": 1j}, "metric 'm'"),
    ({"step": 2**63}, "step"),
    ({"step": -(2**63) - 1}, "step"),
    ({"step": 1.5}, "step"),
    ({"step": "first"}, "step"),
    ({"step": math.nan}, "step"),
    ({"timestamp": "now"}, "timestamp"),
    ({"timestamp": 2**70}, "timestamp"),
    ({"timestamp": 0.5}, "timestamp"),
]


@pytest.mark.parametrize(("changes", "named"), BAD_POINTS)
def test_a_bad_point_raises_at_once_and_names_the_field(
    offline: Outbox, changes: dict[str, Any], named: str
) -> None:
    headrace.start_run()
    good: dict[str, Any] = {"key": "m", "value": 1.0, "step": 1, "timestamp": 1000}
    headrace.log_metric(**good)
    with pytest.raises(InvalidRequest, match=named):
        headrace.log_metric(**{**good, **changes})
    with pytest.raises(InvalidRequest):
        headrace.log_metric(**{**good, **changes})  # the second time as well
    assert points(offline) == [("m", 1.0, 1000, 1)]


@pytest.mark.parametrize("step", [3, 3.0, "3", np.int64(3), np.float64(3.0)])
def test_a_step_that_means_a_whole_number_is_one(offline: Outbox, step: Any) -> None:
    headrace.start_run()
    headrace.log_metric("m", 1.0, step=step, timestamp=5)
    assert points(offline) == [("m", 1.0, 5, 3)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 5e-324, -0.0, 10**400])
def test_every_float_is_kept_bit_by_bit(offline: Outbox, value: Any) -> None:
    headrace.start_run()
    if value == 10**400:
        with pytest.raises(InvalidRequest, match="metric 'm'"):
            headrace.log_metric("m", value)
        return
    headrace.log_metric("m", value, step=-5, timestamp=0)
    ((_, kept, timestamp, step),) = points(offline)
    assert np.float64(kept).tobytes() == np.float64(value).tobytes()
    assert (timestamp, step) == (0, -5)


BAD_CALLS: list[tuple[Callable[[], object], str]] = [
    (lambda: headrace.log_param("", 1), "key"),
    (lambda: headrace.log_param("k" * 251, 1), "key"),
    (lambda: headrace.log_param("p", "v" * 100_001), "value"),
    (lambda: headrace.log_params({"good": 1, "": 2}), "key"),
    (lambda: headrace.log_params([("a", 1)]), "params"),  # type: ignore[arg-type]  # as programs do
    (lambda: headrace.set_tag("", "x"), "key"),
    (lambda: headrace.set_tags({"good": 1, "k" * 251: 2}), "key"),
    (lambda: headrace.log_metrics({"good": 1.0, "bad": "x"}), "bad"),  # type: ignore[dict-item]  # as above
    (lambda: headrace.log_metrics({"good": 1.0}, step=2**64), "step"),
    (lambda: headrace.set_tag("t", "half \ud800"), "surrogate"),
]


@pytest.mark.parametrize(("call", "named"), BAD_CALLS)
def test_a_bad_call_raises_at_once_and_logs_nothing(
    offline: Outbox, call: Callable[[], object], named: str
) -> None:
    headrace.start_run()
    before = len(records(offline))
    with pytest.raises(InvalidRequest, match=named):
        call()
    assert len(records(offline)) == before


def test_a_parameter_that_changes_in_this_process_raises_at_once(offline: Outbox) -> None:
    with headrace.start_run() as first:
        headrace.log_param("lr", 0.1)
        headrace.log_params({"lr": "0.1", "depth": 3})
        with pytest.raises(InvalidRequest, match=r"'lr'.*'0\.1'.*'0\.2'"):
            headrace.log_param("lr", 0.2)
        with pytest.raises(InvalidRequest, match="'depth'"):
            headrace.log_params({"new": 1, "depth": 4})
        headrace.log_param("new", 2)  # the call that failed has set nothing
    with headrace.start_run():
        headrace.log_param("lr", 0.2)  # another run, another value
    with pytest.raises(InvalidRequest, match="'lr'"):
        headrace.MlflowClient().log_param(first.info.run_id, "lr", 0.3)


def test_what_is_not_sent_is_counted_and_said_where_it_lies(offline: Outbox) -> None:
    assert offline.is_empty
    assert offline.leftover() is None
    assert offline.flush()
    headrace.start_run()
    headrace.log_metric("m", 1.0)
    headrace.end_run()
    assert not offline.flush(timeout=0.01)
    said = offline.leftover()
    folder = offline._writer.open()
    assert said is not None
    assert said.startswith("3 records of this program have not reached sqlite:///")
    assert f"They are kept in {folder}." in said
    assert f"headrace sync {folder.parent} {headrace.get_tracking_uri()}" in said


def test_flushing_delivers_all_of_it(database: str) -> None:
    outbox = outbox_for(database)
    with headrace.start_run() as run:
        for step in range(100):
            headrace.log_metric("m", step, step=step)
    assert headrace.flush(timeout=60)
    assert outbox.is_empty
    assert outbox.leftover() is None
    assert outbox.flush(timeout=0)
    history = headrace.MlflowClient().get_metric_history(run.info.run_id, "m")
    assert [point.step for point in history] == list(range(100))


def test_entries_are_what_was_called_in_order(offline: Outbox) -> None:
    with headrace.start_run(run_name="named"):
        headrace.log_param("p", 1)
        headrace.log_metric("m", 2.0)
        headrace.log_text("x", "notes.txt")
    kinds = [
        "point" if record.name else type(decode(record.body)).__name__
        for record in records(offline)
    ]
    assert kinds == ["RunCreated", "Logged", "point", "ArtifactLogged", "RunUpdated"]


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace: make system")
def test_offline_the_program_itself_saves_its_log_to_disk(tmp_path: Path) -> None:
    program = """
import headrace, sys
headrace.set_tracking_uri("http://127.0.0.1:9")
headrace.start_run()
headrace.log_metric("m", 1)
sys.stdin.read()
"""
    traced = subprocess.Popen(
        [
            *("strace", "-f", "-y", "-e", "trace=fdatasync,fsync", "-o", "/dev/stdout"),
            *(sys.executable, "-c", program),
        ],
        env={
            **os.environ,
            "HEADRACE_JOURNAL": str(tmp_path / "offline"),
            "HEADRACE_OFFLINE": "true",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert traced.stdout is not None
    seen = next((line for line in traced.stdout if ".segment" in line), "")
    traced.communicate("", timeout=60)
    assert "sync(" in seen
