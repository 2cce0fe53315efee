"""Our names and parameters beside those of the real MLflow, read from its own environment."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import headrace
from headrace import artifacts
from headrace.client import artifacts as artifact_functions

pytestmark = pytest.mark.heavy

LISTING = """
import inspect, json, mlflow, mlflow.artifacts
def signature(value):
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return None
    return [[p.name, p.kind.name, repr(p.default)] for p in parameters]
def listing(owner, names):
    return {n: signature(getattr(owner, n)) for n in names if callable(getattr(owner, n, None))}
client = mlflow.MlflowClient
print(json.dumps({
    "mlflow": listing(mlflow, mlflow.__all__),
    "client": listing(client, [n for n in dir(client) if not n.startswith("_")]),
    "artifacts": listing(
        mlflow.artifacts,
        ["download_artifacts", "list_artifacts", "load_dict", "load_image", "load_text"],
    ),
}))
"""

# What is to come: autologging, system metrics, models as files, data sets, projects, evaluation.
LATER = {
    *("ActiveModel", "autolog", "clear_active_model", "disable_system_metrics_logging", "doctor"),
    *("enable_system_metrics_logging", "evaluate", "get_active_model_id", "import_checkpoints"),
    *("last_logged_model", "login", "run", "set_active_model"),
    *("set_system_metrics_node_id", "set_system_metrics_samples_before_logging"),
    *("set_system_metrics_sampling_interval", "validate_evaluation_results"),
}
# Traces, prompts, sessions, assessments, workspaces and such are not Headrace's.
NOT_OURS = (
    *("assessment", "context", "dataset", "delete_session", "expectation", "feedback", "gateway"),
    *("guardrail", "issue", "label", "mcp", "prompt", "review", "scorer", "session", "span"),
    *("test", "trace", "webhook", "workspace"),
)


@pytest.fixture(scope="module")
def theirs(mlflow_python: Path) -> dict[str, dict[str, list[list[str]] | None]]:
    done = subprocess.run(
        [str(mlflow_python), "-c", LISTING],
        capture_output=True,
        text=True,
        check=True,
        timeout=110,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    listing: dict[str, dict[str, list[list[str]] | None]] = json.loads(done.stdout.splitlines()[-1])
    return listing


def ours(value: Any) -> list[tuple[str, str]]:
    parameters = inspect.signature(value).parameters.values()
    return [(parameter.name, parameter.kind.name) for parameter in parameters]


def differences(
    owner: object, listing: dict[str, list[list[str]] | None]
) -> tuple[list[str], list[str]]:
    """Names that we lack, and parameters that differ in name, order or kind."""
    lacking, wrong = [], []
    for name, parameters in listing.items():
        value = getattr(owner, name, None)
        if value is None:
            lacking.append(name)
        elif parameters is not None and not inspect.isclass(value):
            expected = [(each[0], each[1]) for each in parameters]
            if ours(value)[: len(expected)] != expected:
                wrong.append(f"{name}: ours {ours(value)}, theirs {expected}")
    return lacking, wrong


def is_ours(name: str) -> bool:
    return not any(word in name.lower() for word in NOT_OURS)


def test_the_fluent_api(theirs: dict[str, dict[str, list[list[str]] | None]]) -> None:
    lacking, wrong = differences(headrace, theirs["mlflow"])
    assert not wrong
    assert {name for name in lacking if is_ours(name)} == LATER


def test_the_client(theirs: dict[str, dict[str, list[list[str]] | None]]) -> None:
    lacking, wrong = differences(headrace.MlflowClient, theirs["client"])
    assert not wrong
    assert {name for name in lacking if is_ours(name)} == set()


def test_the_artifact_functions(theirs: dict[str, dict[str, list[list[str]] | None]]) -> None:
    lacking, wrong = differences(artifact_functions, theirs["artifacts"])
    assert (lacking, wrong) == ([], [])
    for name in theirs["artifacts"]:
        assert getattr(artifacts, name) is getattr(artifact_functions, name)
