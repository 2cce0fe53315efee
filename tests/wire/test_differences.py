"""The rows of docs/reference/differences.md that are about what was kept, not about one answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fixtures.servers import ServerLauncher
from tests.wire.asking import Asker
from tests.wire.cases import TRACKING

TESTED_ROWS: list[str] = []


def row(name: str) -> Callable[[Any], Any]:
    """Say which row of the table a test is about."""
    TESTED_ROWS.append(name)
    return lambda test: test


@pytest.fixture(scope="module")
def asker(start_shared_server: ServerLauncher) -> Iterator[Asker]:
    asking = Asker(start_shared_server().url)
    yield asking
    asking.close()


def ask(asker: Asker, method: str, path: str, **sent: Any) -> Any:
    status, found = asker.ask(method, TRACKING + path, sent)
    assert status == 200, found
    return found


@pytest.fixture
def run_id(asker: Asker) -> str:
    made = ask(asker, "POST", "runs/create", experiment_id="0")
    found: str = made["run"]["info"]["run_id"]
    return found


@row("metric values ±Infinity")
def test_infinity_comes_back(asker: Asker, run_id: str) -> None:
    values = ["Infinity", "-Infinity", "NaN", 1.7976931348623157e308]
    for step, value in enumerate(values):
        point = {"key": "m", "value": value, "timestamp": step, "step": step}
        ask(asker, "POST", "runs/log-metric", run_id=run_id, **point)
        (latest,) = ask(asker, "GET", "runs/get", run_id=run_id)["run"]["data"]["metrics"]
        assert latest["value"] == value
    found = ask(asker, "GET", "metrics/get-history", run_id=run_id, metric_key="m")
    assert [point["value"] for point in found["metrics"]] == values


@row("NaN as a metric of a logged model")
def test_nan_of_a_logged_model_comes_back(asker: Asker, run_id: str) -> None:
    made = ask(asker, "POST", "logged-models", experiment_id="0", name="m")
    model_id = made["model"]["info"]["model_id"]
    point = {"key": "m", "value": "NaN", "timestamp": 1, "model_id": model_id}
    ask(asker, "POST", "runs/log-metric", run_id=run_id, **point)
    found = ask(asker, "GET", f"logged-models/{model_id}")
    assert [metric["value"] for metric in found["model"]["data"]["metrics"]] == ["NaN"]


@row("`runs/log-batch` that fails")
def test_a_batch_is_whole_or_nothing(asker: Asker, run_id: str) -> None:
    ask(asker, "POST", "runs/log-parameter", run_id=run_id, key="p", value="1")
    status, found = asker.ask(
        "POST",
        TRACKING + "runs/log-batch",
        {
            "run_id": run_id,
            "metrics": [{"key": "m", "value": 1, "timestamp": 1}],
            "params": [{"key": "new", "value": "1"}, {"key": "p", "value": "2"}],
            "tags": [{"key": "t", "value": "1"}],
        },
    )
    assert (status, found["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    data = ask(asker, "GET", "runs/get", run_id=run_id)["run"]["data"]
    assert data["params"] == [{"key": "p", "value": "1"}]
    assert "metrics" not in data
    assert "t" not in {tag["key"] for tag in data["tags"]}


@row("a run without `start_time`")
def test_a_run_without_a_start_starts_now(asker: Asker) -> None:
    made = ask(asker, "POST", "runs/create", experiment_id="0")
    assert abs(made["run"]["info"]["start_time"] - time.time() * 1000) < 60_000
