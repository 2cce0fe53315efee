"""One program, on a database and over HTTP: the same answers, the same errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import headrace
from headrace.entities import Dataset, Metric, Param, RunTag
from headrace.errors import InvalidRequest


def program() -> list[Any]:
    """Does a bit of everything and gives what it saw, in order."""
    seen: list[Any] = []
    client = headrace.MlflowClient()
    headrace.set_experiment("same", None)
    with headrace.start_run(run_name="outer", tags={"a": 1}, description="d") as run:
        headrace.log_params({"lr": 0.1, "ä": "ü\n"})
        for step in range(3):
            headrace.log_metric("loss", 1 / (step + 1), step=step, timestamp=1000 + step)
        headrace.log_metrics({"nan": float("nan"), "inf": float("inf")}, timestamp=5)
        headrace.log_input(Dataset("d", "1", source_type="local", source="{}"), "training")
        headrace.log_text("x", "a/b.txt")
        headrace.log_table({"x": [1, 2]}, "t.json")
        with headrace.start_run(run_name="inner", nested=True):
            client.log_batch(
                run.info.run_id, [Metric("b", 1, 2, 3)], [Param("p", "1")], [RunTag("t", "1")]
            )
        model = headrace.initialize_logged_model("net", params={"p": "1"})
        headrace.log_metric("acc", 0.5, model_id=model.model_id, timestamp=9)
        headrace.finalize_logged_model(model.model_id, "READY")
        headrace.register_model(model.model_uri, "net", tags={"k": "v"})
        client.set_registered_model_alias("net", "best", "1")
    seen.append(headrace.get_run(run.info.run_id).to_dictionary())
    seen.append(client.get_metric_history(run.info.run_id, "loss"))
    seen.append(client.list_artifacts(run.info.run_id))
    seen.append(headrace.get_experiment_by_name("same"))
    seen.append(client.get_registered_model("net"))
    seen.append(headrace.get_logged_model(model.model_id))
    for query in ("", "metrics.loss < 0.5", "tags.a = '1'", "dataset.digest = '1'"):
        found = headrace.search_runs(filter_string=query, output_format="list")
        seen.append([run.to_dictionary() for run in found])
    seen.append(list(headrace.search_runs().columns))
    for mistake in mistakes(run.info.run_id):
        with pytest.raises(headrace.HeadraceError) as caught:
            mistake()
        error = caught.value
        # Over the wire a wrong filter has the code of any wrong request.
        kind = "InvalidRequest" if isinstance(error, InvalidRequest) else type(error).__name__
        seen.append((kind, error.error_code, error.message, error.http_status))
    return seen


def mistakes(run_id: str) -> list[Callable[[], object]]:
    client = headrace.Client()
    return [
        lambda: client.get_run("0" * 32),
        lambda: client.log_param(run_id, "lr", 7),
        lambda: client.log_metric(run_id, "?", 7),
        lambda: client.search_runs(["0"], "metrics.loss >> 1"),
        lambda: client.search_runs(["0"], page_token="what"),
        lambda: client.create_experiment("same"),
        lambda: client.create_registered_model("net"),
        lambda: client.get_model_version("net", 9),
        lambda: client.get_model_version_by_alias("net", "none"),
        lambda: client.delete_tag(run_id, "none"),
        lambda: client.get_experiment("4711"),
        lambda: client.get_logged_model("m-" + "0" * 32),
        lambda: client.set_experiment_tag("x", "k", "v"),
        lambda: client.log_text(run_id, "x", "../x"),
    ]


def without_chance(seen: list[Any], root: Path) -> list[str]:
    """What differs from one time to the next, and where files lie, replaced by its kind."""
    lines = []
    for each in seen:
        line = repr(each)
        line = line.replace(f"{root}/headrace-artifacts", "ROOT").replace(
            "mlflow-artifacts:", "ROOT"
        )
        line = re.sub(r"\b(m-)?[0-9a-f]{32}\b", r"\1ID", line)
        line = re.sub(r"\b1[0-9]{12}\b", "TIME", line)
        lines.append(line)
    return lines


def test_a_database_and_a_server_answer_the_same(server_url: str, tmp_path: Path) -> None:
    headrace.set_tracking_uri(f"sqlite:///{tmp_path}/h.db")
    on_database = without_chance(program(), tmp_path)
    headrace.set_tracking_uri(server_url)
    over_http = without_chance(program(), tmp_path)
    for first, second in zip(on_database, over_http, strict=True):
        assert first == second
