"""Requests, good and bad, that a tracking server answers: what they ask, not what it says.

What MLflow answered to each is in `answers.json`, which `python -m tests.wire.record URL` writes
from a running MLflow: the status, the error code, and the keys and types of the answer, no values.
`{run}` and the like are what `World` made before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TRACKING = "/api/2.0/mlflow/"
FILES = "/api/2.0/mlflow-artifacts/"


@dataclass(frozen=True)
class Case:
    """One request. `differs` is the first column of its row in docs/reference/differences.md."""

    name: str
    method: str
    path: str
    sent: Any = None
    differs: str = ""
    status: int = 0
    error_code: str = ""


# What the server is asked first, and which name the answer's value is known by afterwards.
WORLD: list[tuple[str, str, str, Any, str]] = [
    ("exp", "POST", "experiments/create", {"name": "world"}, "experiment_id"),
    ("gone_exp", "POST", "experiments/create", {"name": "gone"}, "experiment_id"),
    ("", "POST", "experiments/delete", {"experiment_id": "{gone_exp}"}, ""),
    (
        "run",
        "POST",
        "runs/create",
        {
            "experiment_id": "{exp}",
            "user_id": "ann",
            "start_time": 5,
            "run_name": "first",
            "tags": [{"key": "t", "value": "v"}],
        },
        "run.info.run_id",
    ),
    (
        "other_run",
        "POST",
        "runs/create",
        {"experiment_id": "{exp}", "start_time": 1},
        "run.info.run_id",
    ),
    (
        "gone_run",
        "POST",
        "runs/create",
        {"experiment_id": "{exp}", "start_time": 1},
        "run.info.run_id",
    ),
    ("", "POST", "runs/delete", {"run_id": "{gone_run}"}, ""),
    (
        "",
        "POST",
        "runs/log-batch",
        {
            "run_id": "{run}",
            "metrics": [{"key": "m", "value": n, "timestamp": n, "step": n} for n in range(5)],
            "params": [{"key": "p", "value": "1"}],
        },
        "",
    ),
    (
        "",
        "POST",
        "runs/log-inputs",
        {
            "run_id": "{run}",
            "datasets": [
                {
                    "tags": [{"key": "mlflow.data.context", "value": "training"}],
                    "dataset": {
                        "name": "d",
                        "digest": "1",
                        "source_type": "local",
                        "source": "{}",
                        "schema": "s",
                        "profile": "p",
                    },
                }
            ],
        },
        "",
    ),
    (
        "model",
        "POST",
        "logged-models",
        {
            "experiment_id": "{exp}",
            "name": "logged",
            "model_type": "agent",
            "source_run_id": "{run}",
            "params": [{"key": "a", "value": "1"}],
            "tags": [{"key": "t", "value": "1"}],
        },
        "model.info.model_id",
    ),
    (
        "",
        "POST",
        "runs/outputs",
        {"run_id": "{run}", "models": [{"model_id": "{model}", "step": 1}]},
        "",
    ),
    (
        "gone_model",
        "POST",
        "logged-models",
        {"experiment_id": "{exp}", "name": "x"},
        "model.info.model_id",
    ),
    ("", "DELETE", "logged-models/{gone_model}", {}, ""),
    (
        "",
        "POST",
        "registered-models/create",
        {"name": "Reg", "description": "d", "tags": [{"key": "t", "value": "1"}]},
        "",
    ),
    ("", "POST", "registered-models/create", {"name": "Other"}, ""),
    (
        "",
        "POST",
        "model-versions/create",
        {
            "name": "Reg",
            "source": "models:/{model}",
            "run_id": "{run}",
            "model_id": "{model}",
            "description": "d",
            "tags": [{"key": "t", "value": "1"}],
        },
        "",
    ),
    ("", "POST", "registered-models/alias", {"name": "Reg", "alias": "best", "version": "1"}, ""),
]


def _get(name: str, path: str, sent: Any = None, **more: Any) -> Case:
    return Case(f"{path}: {name}", "GET", TRACKING + path, sent, **more)


def _post(name: str, path: str, sent: Any = None, **more: Any) -> Case:
    return Case(f"{path}: {name}", "POST", TRACKING + path, sent, **more)


def _patch(name: str, path: str, sent: Any = None, **more: Any) -> Case:
    return Case(f"{path}: {name} (PATCH)", "PATCH", TRACKING + path, sent, **more)


def _delete(name: str, path: str, sent: Any = None, **more: Any) -> Case:
    return Case(f"{path}: {name} (DELETE)", "DELETE", TRACKING + path, sent, **more)


NO_RUN = "0" * 32

# Rows of docs/reference/differences.md that several cases are about, and how they are answered.
BAD_TYPE: dict[str, Any] = {
    "differs": "a field of the wrong type, or missing inside a list",
    "status": 400,
    "error_code": "INVALID_PARAMETER_VALUE",
}
BAD_NAME: dict[str, Any] = {**BAD_TYPE, "differs": "an unknown status or view"}
WAS_500: dict[str, Any] = {**BAD_TYPE, "differs": "a wrong request that MLflow answers with 500"}
NO_LIST: dict[str, Any] = {"differs": "a list that is left out", "status": 200}
MORE_FIELDS: dict[str, Any] = {"differs": "fields and prefixes in filters", "status": 200}

EXPERIMENTS = [
    _post("made", "experiments/create", {"name": "made", "tags": [{"key": "k", "value": "v"}]}),
    _post("name missing", "experiments/create", {}),
    _post("name empty", "experiments/create", {"name": ""}),
    _post("name taken", "experiments/create", {"name": "world"}),
    _post("name of a deleted one", "experiments/create", {"name": "gone"}),
    _post("name is a number", "experiments/create", {"name": 5}),
    _post("name too long", "experiments/create", {"name": "n" * 501}),
    _post("location leads up", "experiments/create", {"name": "up", "artifact_location": "a/../b"}),
    _post("unknown field", "experiments/create", {"name": "more", "more": 1}),
    _post("body is a list", "experiments/create", [1], **WAS_500),
    _get("found", "experiments/get", {"experiment_id": "{exp}"}),
    _get("deleted", "experiments/get", {"experiment_id": "{gone_exp}"}),
    _get("not there", "experiments/get", {"experiment_id": "98765"}),
    _get("not a number", "experiments/get", {"experiment_id": "abc"}),
    _get("missing", "experiments/get"),
    _get("found", "experiments/get-by-name", {"experiment_name": "world"}),
    _get("deleted", "experiments/get-by-name", {"experiment_name": "gone"}),
    _get("not there", "experiments/get-by-name", {"experiment_name": "nobody"}),
    _get("missing", "experiments/get-by-name"),
    _post("all", "experiments/search", {"max_results": 100}),
    _post("a page", "experiments/search", {"max_results": 1}),
    _post("deleted", "experiments/search", {"max_results": 9, "view_type": "DELETED_ONLY"}),
    _post("view by number", "experiments/search", {"max_results": 9, "view_type": 3}),
    _post(
        "unknown view", "experiments/search", {"max_results": 9, "view_type": "SOME"}, **BAD_NAME
    ),
    _post("no limit given", "experiments/search", {}),
    _post("limit too large", "experiments/search", {"max_results": 50001}),
    _post("limit negative", "experiments/search", {"max_results": -1}),
    _post("filter", "experiments/search", {"max_results": 9, "filter": "name LIKE 'w%'"}),
    _post("bad filter", "experiments/search", {"max_results": 9, "filter": "name ~ 'a'"}),
    _post("bad order", "experiments/search", {"max_results": 9, "order_by": ["tags.a"]}),
    _post("bad page", "experiments/search", {"max_results": 9, "page_token": "%%%"}),
    _get("by query", "experiments/search", {"max_results": 9, "order_by": ["name ASC"]}),
    _post("limit as text", "experiments/search", {"max_results": "1"}),
    _get("limit is a word", "experiments/search", {"max_results": "x"}),
    _get("view by query", "experiments/search", {"max_results": "2", "view_type": "ALL"}),
    _post("renamed", "experiments/update", {"experiment_id": "{exp}", "new_name": "world"}),
    _post("not there", "experiments/update", {"experiment_id": "98765", "new_name": "a"}),
    _post("name missing", "experiments/update", {"experiment_id": "{exp}"}),
    _post(
        "deleted",
        "experiments/update",
        {"experiment_id": "{gone_exp}", "new_name": "other"},
        differs="an operation on something in the wrong state",
        status=409,
        error_code="INVALID_STATE",
    ),
    _post(
        "name taken",
        "experiments/update",
        {"experiment_id": "{exp}", "new_name": "made"},
        differs="renaming an experiment to a name that is taken",
        status=400,
        error_code="RESOURCE_ALREADY_EXISTS",
    ),
    _post("not there", "experiments/delete", {"experiment_id": "98765"}),
    _post("deleted already", "experiments/delete", {"experiment_id": "{gone_exp}"}),
    _post("not deleted", "experiments/restore", {"experiment_id": "{exp}"}),
    _post("not there", "experiments/restore", {"experiment_id": "98765"}),
    _post(
        "set",
        "experiments/set-experiment-tag",
        {"experiment_id": "{exp}", "key": "k", "value": "v"},
    ),
    _post(
        "key missing", "experiments/set-experiment-tag", {"experiment_id": "{exp}", "value": "v"}
    ),
    _post(
        "key too long",
        "experiments/set-experiment-tag",
        {"experiment_id": "{exp}", "key": "k" * 251, "value": "v"},
    ),
    _post(
        "deleted experiment",
        "experiments/set-experiment-tag",
        {"experiment_id": "{gone_exp}", "key": "k", "value": "v"},
    ),
    _post(
        "gone", "experiments/delete-experiment-tag", {"experiment_id": "{exp}", "key": "nothing"}
    ),
    _post("deleted", "experiments/delete-experiment-tag", {"experiment_id": "{exp}", "key": "k"}),
]

RUNS = [
    _post("made", "runs/create", {"experiment_id": "{exp}", "start_time": 1, "user_id": "u"}),
    _post("times as text", "runs/create", {"experiment_id": "{exp}", "start_time": "1"}),
    _post("empty name", "runs/create", {"experiment_id": "{exp}", "run_name": "", "start_time": 1}),
    _post("nothing said", "runs/create", {}, differs="a run without an experiment", status=200),
    _post("no experiment", "runs/create", {"experiment_id": "98765"}),
    _post("deleted experiment", "runs/create", {"experiment_id": "{gone_exp}"}),
    _post("time is a word", "runs/create", {"experiment_id": "{exp}", "start_time": "soon"}),
    _post("tags are text", "runs/create", {"experiment_id": "{exp}", "tags": "a"}, **BAD_TYPE),
    _post(
        "two names",
        "runs/create",
        {
            "experiment_id": "{exp}",
            "run_name": "a",
            "tags": [{"key": "mlflow.runName", "value": "b"}],
        },
    ),
    _get("found", "runs/get", {"run_id": "{run}"}),
    _get("bare", "runs/get", {"run_id": "{other_run}"}),
    _get("by its old name", "runs/get", {"run_uuid": "{run}", "run_id": "{run}"}),
    _get("deleted", "runs/get", {"run_id": "{gone_run}"}),
    _get("not there", "runs/get", {"run_id": NO_RUN}),
    _get("missing", "runs/get"),
    _get("camel case", "runs/get", {"runId": "{run}"}),
    _post(
        "finished", "runs/update", {"run_id": "{other_run}", "status": "FINISHED", "end_time": 9}
    ),
    _post("renamed", "runs/update", {"run_id": "{other_run}", "run_name": "b"}),
    _post("status by number", "runs/update", {"run_id": "{other_run}", "status": 1}),
    _post("unknown status", "runs/update", {"run_id": "{other_run}", "status": "DONE"}, **BAD_NAME),
    _post("not there", "runs/update", {"run_id": NO_RUN, "status": "FINISHED"}),
    _post("deleted", "runs/update", {"run_id": "{gone_run}", "status": "FINISHED"}),
    _post("missing", "runs/update", {"status": "FINISHED"}),
    _post("twice", "runs/delete", {"run_id": "{gone_run}"}),
    _post("not there", "runs/delete", {"run_id": NO_RUN}),
    _post("missing", "runs/delete", {}),
    _post("active already", "runs/restore", {"run_id": "{run}"}),
    _post("not there", "runs/restore", {"run_id": NO_RUN}),
    _post(
        "all",
        "runs/search",
        {"experiment_ids": ["{exp}"], "filter": "attributes.run_name = 'first'"},
    ),
    _post("no experiments", "runs/search", {"experiment_ids": []}),
    _post("a page", "runs/search", {"experiment_ids": ["{exp}"], "max_results": 1}),
    _post(
        "experiment twice",
        "runs/search",
        {"experiment_ids": ["{exp}", "{exp}"], "filter": "attributes.run_name = 'first'"},
    ),
    _post("experiment is a word", "runs/search", {"experiment_ids": ["abc"]}),
    _post(
        "empty page token",
        "runs/search",
        {"experiment_ids": ["{exp}"], "page_token": "", "max_results": 1},
    ),
    _post("limit 0", "runs/search", {"experiment_ids": ["{exp}"], "max_results": 0}),
    _post("limit too large", "runs/search", {"experiment_ids": ["{exp}"], "max_results": 50001}),
    _post("bad filter", "runs/search", {"experiment_ids": ["{exp}"], "filter": "metrics.m = 'a'"}),
    _post(
        "or",
        "runs/search",
        {"experiment_ids": ["{exp}"], "filter": "metrics.m = 1 OR metrics.m = 2"},
    ),
    _post(
        "unknown attribute",
        "runs/search",
        {"experiment_ids": ["{exp}"], "filter": "attributes.size = 1"},
    ),
    _post(
        "bad order", "runs/search", {"experiment_ids": ["{exp}"], "order_by": ["metrics.m UPWARDS"]}
    ),
    _post("bad page", "runs/search", {"experiment_ids": ["{exp}"], "page_token": "***"}),
    _post(
        "unknown view",
        "runs/search",
        {"experiment_ids": ["{exp}"], "run_view_type": "SOME"},
        **BAD_NAME,
    ),
    _post("experiments are text", "runs/search", {"experiment_ids": "{exp}"}),
    _post(
        "order twice",
        "runs/search",
        {"experiment_ids": ["{exp}"], "order_by": ["metrics.m", "metrics.m"]},
        **WAS_500,
    ),
]

LOGGING = [
    _post(
        "point", "runs/log-metric", {"run_id": "{run}", "key": "k", "value": 1.5, "timestamp": 1}
    ),
    _post(
        "text numbers",
        "runs/log-metric",
        {"run_id": "{run}", "key": "k", "value": "NaN", "timestamp": "1", "step": "2"},
    ),
    _post(
        "old run field",
        "runs/log-metric",
        {"run_uuid": "{run}", "key": "k", "value": 2, "timestamp": 1},
    ),
    _post(
        "infinity",
        "runs/log-metric",
        {"run_id": "{run}", "key": "k", "value": "-Infinity", "timestamp": 1},
    ),
    _post(
        "whole floats",
        "runs/log-metric",
        {"run_id": "{run}", "key": "k", "value": "1.5", "timestamp": 1.0, "step": 1.0},
    ),
    _post(
        "value is null",
        "runs/log-metric",
        {"run_id": "{run}", "key": "k", "value": None, "timestamp": 1},
    ),
    _post(
        "step is null",
        "runs/log-metric",
        {"run_id": "{run}", "key": "k", "value": 3, "timestamp": 1, "step": None},
    ),
    _post("no run", "runs/log-metric", {"run_id": NO_RUN, "key": "k", "value": 1, "timestamp": 1}),
    _post(
        "deleted run",
        "runs/log-metric",
        {"run_id": "{gone_run}", "key": "k", "value": 1, "timestamp": 1},
    ),
    _post("run missing", "runs/log-metric", {"key": "k", "value": 1, "timestamp": 1}),
    _post("key missing", "runs/log-metric", {"run_id": "{run}", "value": 1, "timestamp": 1}),
    _post("value missing", "runs/log-metric", {"run_id": "{run}", "key": "k", "timestamp": 1}),
    _post("time missing", "runs/log-metric", {"run_id": "{run}", "key": "k", "value": 1}),
    _post(
        "value is a word",
        "runs/log-metric",
        {"run_id": "{run}", "key": "k", "value": "high", "timestamp": 1},
    ),
    _post(
        "step is a fraction",
        "runs/log-metric",
        {"run_id": "{run}", "key": "k", "value": 1, "timestamp": 1, "step": 0.5},
        **BAD_TYPE,
    ),
    _post(
        "step too large",
        "runs/log-metric",
        {"run_id": "{run}", "key": "k", "value": 1, "timestamp": 1, "step": 2**63},
        **BAD_TYPE,
    ),
    _post(
        "key leads up",
        "runs/log-metric",
        {"run_id": "{run}", "key": "../k", "value": 1, "timestamp": 1},
    ),
    _post(
        "key has odd signs",
        "runs/log-metric",
        {"run_id": "{run}", "key": "k?", "value": 1, "timestamp": 1},
    ),
    _post(
        "key too long",
        "runs/log-metric",
        {"run_id": "{run}", "key": "k" * 251, "value": 1, "timestamp": 1},
    ),
    _post(
        "key empty", "runs/log-metric", {"run_id": "{run}", "key": "", "value": 1, "timestamp": 1}
    ),
    _post("written", "runs/log-parameter", {"run_id": "{run}", "key": "q", "value": "1"}),
    _post("the same again", "runs/log-parameter", {"run_id": "{run}", "key": "q", "value": "1"}),
    _post("changed", "runs/log-parameter", {"run_id": "{run}", "key": "q", "value": "2"}),
    _post("no value", "runs/log-parameter", {"run_id": "{run}", "key": "w"}),
    _post("value is a number", "runs/log-parameter", {"run_id": "{run}", "key": "n", "value": 5}),
    _post("value is null", "runs/log-parameter", {"run_id": "{run}", "key": "null", "value": None}),
    _post("value is empty", "runs/log-parameter", {"run_id": "{run}", "key": "empty", "value": ""}),
    _post("no run", "runs/log-parameter", {"run_id": NO_RUN, "key": "q", "value": "1"}),
    _post("key missing", "runs/log-parameter", {"run_id": "{run}", "value": "1"}),
    _post("deleted run", "runs/log-parameter", {"run_id": "{gone_run}", "key": "q", "value": "1"}),
    _post(
        "long value", "runs/log-parameter", {"run_id": "{run}", "key": "long", "value": "x" * 7000}
    ),
    _post("written", "runs/set-tag", {"run_id": "{run}", "key": "q", "value": "1"}),
    _post("no value", "runs/set-tag", {"run_id": "{run}", "key": "none"}),
    _post("long value", "runs/set-tag", {"run_id": "{run}", "key": "long", "value": "x" * 9000}),
    _post("no run", "runs/set-tag", {"run_id": NO_RUN, "key": "q", "value": "1"}),
    _post("key missing", "runs/set-tag", {"run_id": "{run}", "value": "1"}),
    _post("deleted run", "runs/set-tag", {"run_id": "{gone_run}", "key": "q", "value": "1"}),
    _post("gone", "runs/delete-tag", {"run_id": "{run}", "key": "q"}),
    _post("not there", "runs/delete-tag", {"run_id": "{run}", "key": "nothing"}),
    _post("no run", "runs/delete-tag", {"run_id": NO_RUN, "key": "q"}),
    _post("empty", "runs/log-batch", {"run_id": "{run}"}),
    _post("run missing", "runs/log-batch", {}),
    _post("odd run", "runs/log-batch", {"run_id": "!"}),
    _post("no run", "runs/log-batch", {"run_id": NO_RUN, "params": [{"key": "a", "value": "1"}]}),
    _post(
        "too many metrics",
        "runs/log-batch",
        {
            "run_id": "{run}",
            "metrics": [{"key": "k", "value": 1, "timestamp": n} for n in range(1001)],
        },
    ),
    _post(
        "too many params",
        "runs/log-batch",
        {"run_id": "{run}", "params": [{"key": f"k{n}", "value": "1"} for n in range(101)]},
    ),
    _post(
        "too many tags",
        "runs/log-batch",
        {"run_id": "{run}", "tags": [{"key": "k", "value": "1"}] * 101},
    ),
    _post(
        "param twice",
        "runs/log-batch",
        {
            "run_id": "{run}",
            "params": [{"key": "twice", "value": "1"}, {"key": "twice", "value": "2"}],
        },
    ),
    _post(
        "param changed",
        "runs/log-batch",
        {"run_id": "{run}", "params": [{"key": "p", "value": "2"}]},
    ),
    _post(
        "metric without value",
        "runs/log-batch",
        {"run_id": "{run}", "metrics": [{"key": "k", "timestamp": 1}]},
    ),
    _post("metrics are a map", "runs/log-batch", {"run_id": "{run}", "metrics": {"k": 1}}),
    _post("metric is text", "runs/log-batch", {"run_id": "{run}", "metrics": ["k"]}, **WAS_500),
    _get("all", "metrics/get-history", {"run_id": "{run}", "metric_key": "m"}),
    _get("a page", "metrics/get-history", {"run_id": "{run}", "metric_key": "m", "max_results": 2}),
    _get("no such metric", "metrics/get-history", {"run_id": "{run}", "metric_key": "zzz"}),
    _get(
        "no run",
        "metrics/get-history",
        {"run_id": NO_RUN, "metric_key": "m"},
        differs="the history of a run that is not there",
        status=404,
        error_code="RESOURCE_DOES_NOT_EXIST",
    ),
    _get(
        "bad page", "metrics/get-history", {"run_id": "{run}", "metric_key": "m", "page_token": "x"}
    ),
    _get("key missing", "metrics/get-history", {"run_id": "{run}"}),
    _get(
        "limit 0", "metrics/get-history", {"run_id": "{run}", "metric_key": "m", "max_results": 0}
    ),
    _get(
        "two runs",
        "metrics/get-history-bulk-interval",
        {"run_ids": ["{run}", "{other_run}"], "metric_key": "m", "max_results": 3},
    ),
    _get(
        "start alone",
        "metrics/get-history-bulk-interval",
        {"run_ids": ["{run}"], "metric_key": "m", "start_step": 1},
    ),
    _get("no runs", "metrics/get-history-bulk-interval", {"metric_key": "m"}),
    _post("models missing", "runs/outputs", {"run_id": "{run}"}, **NO_LIST),
    _post(
        "no run", "runs/outputs", {"run_id": NO_RUN, "models": [{"model_id": "{model}", "step": 0}]}
    ),
    _post("empty", "runs/log-inputs", {"run_id": "{run}"}),
    _post("no run", "runs/log-inputs", {"run_id": NO_RUN, "models": [{"model_id": "{model}"}]}),
    _post(
        "dataset without a name",
        "runs/log-inputs",
        {"run_id": "{run}", "datasets": [{"dataset": {"digest": "1"}}]},
        **BAD_TYPE,
    ),
    _get("of a run", "artifacts/list", {"run_id": "{run}"}),
    _get("leads up", "artifacts/list", {"run_id": "{run}", "path": "../.."}),
    _get("no run", "artifacts/list", {"run_id": NO_RUN}),
]

MODELS = [
    _post("made", "logged-models", {"experiment_id": "{exp}"}),
    _post("experiment missing", "logged-models", {"name": "a"}),
    _post("no experiment", "logged-models", {"experiment_id": "98765", "name": "a"}),
    _post("bad name", "logged-models", {"experiment_id": "{exp}", "name": "a/b"}),
    _get("found", "logged-models/{model}"),
    _get("not there", "logged-models/m-00000000000000000000000000000000"),
    _get("deleted", "logged-models/{gone_model}"),
    _get("deleted and asked for", "logged-models/{gone_model}", {"allow_deleted": "true"}),
    _patch(
        "finished", "logged-models/{model}", {"model_id": "{model}", "status": "LOGGED_MODEL_READY"}
    ),
    _patch(
        "unknown status",
        "logged-models/{model}",
        {"model_id": "{model}", "status": "DONE"},
        **BAD_NAME,
    ),
    _patch("set", "logged-models/{model}/tags", {"tags": [{"key": "a", "value": "1"}]}),
    _delete("gone", "logged-models/{model}/tags/a", {}),
    _delete("not there", "logged-models/{model}/tags/nothing", {}),
    _post(
        "path alone",
        "logged-models/{model}/params",
        {"params": [{"key": "y", "value": "1"}]},
        differs="an id that the path holds already",
        status=200,
    ),
    _post(
        "written",
        "logged-models/{model}/params",
        {"model_id": "{model}", "params": [{"key": "z", "value": "1"}]},
    ),
    _post(
        "all", "logged-models/search", {"experiment_ids": ["{exp}"], "filter": "name = 'logged'"}
    ),
    _post("a page", "logged-models/search", {"experiment_ids": ["{exp}"], "max_results": 1}),
    _post("no experiments", "logged-models/search", {}, **NO_LIST),
    _post(
        "singular prefix",
        "logged-models/search",
        {"experiment_ids": ["{exp}"], "filter": "param.a = '1'"},
        **MORE_FIELDS,
    ),
    _post(
        "bad order",
        "logged-models/search",
        {"experiment_ids": ["{exp}"], "order_by": [{"field_name": "color"}]},
    ),
    _get("listed", "logged-models/{model}/artifacts/directories"),
    _post("made", "registered-models/create", {"name": "New"}),
    _post("taken", "registered-models/create", {"name": "Reg"}),
    _post("bad name", "registered-models/create", {"name": "a/b"}),
    _post("name missing", "registered-models/create", {}),
    _post("name blank", "registered-models/create", {"name": " "}),
    _get("found", "registered-models/get", {"name": "Reg"}),
    _get("bare", "registered-models/get", {"name": "Other"}),
    _get("not there", "registered-models/get", {"name": "Nobody"}),
    _get("missing", "registered-models/get"),
    _patch("described", "registered-models/update", {"name": "Reg", "description": "e"}),
    _patch("not there", "registered-models/update", {"name": "Nobody", "description": "e"}),
    _post("taken", "registered-models/rename", {"name": "Reg", "new_name": "Other"}),
    _post("not there", "registered-models/rename", {"name": "Nobody", "new_name": "Some"}),
    _post("new name missing", "registered-models/rename", {"name": "Reg"}),
    _get("all", "registered-models/search", {"filter": "name = 'Reg'"}),
    _get("limit too large", "registered-models/search", {"max_results": 1001}),
    _get("bad filter", "registered-models/search", {"filter": "stage = 'a'"}),
    _get(
        "order by creation",
        "registered-models/search",
        {"order_by": ["creation_timestamp"]},
        **MORE_FIELDS,
    ),
    _post("all", "registered-models/get-latest-versions", {"name": "Reg"}),
    _post(
        "unknown stage",
        "registered-models/get-latest-versions",
        {"name": "Reg", "stages": ["Moon"]},
    ),
    _post("not there", "registered-models/get-latest-versions", {"name": "Nobody"}),
    _post("set", "registered-models/set-tag", {"name": "Reg", "key": "k", "value": "v"}),
    _post("not there", "registered-models/set-tag", {"name": "Nobody", "key": "k", "value": "v"}),
    _delete("never there", "registered-models/delete-tag", {"name": "Reg", "key": "nothing"}),
    _post("no version", "registered-models/alias", {"name": "Reg", "alias": "a", "version": "99"}),
    _post(
        "named latest",
        "registered-models/alias",
        {"name": "Reg", "alias": "latest", "version": "1"},
    ),
    _post("named v1", "registered-models/alias", {"name": "Reg", "alias": "v1", "version": "1"}),
    _post("odd signs", "registered-models/alias", {"name": "Reg", "alias": "a b", "version": "1"}),
    _get("found", "registered-models/alias", {"name": "Reg", "alias": "best"}),
    _get("not there", "registered-models/alias", {"name": "Reg", "alias": "worst"}),
    _get("no model", "registered-models/alias", {"name": "Nobody", "alias": "best"}),
    _delete("never there", "registered-models/alias", {"name": "Reg", "alias": "worst"}),
    _delete("not there", "registered-models/delete", {"name": "Nobody"}),
    _post(
        "no model",
        "model-versions/create",
        {"name": "Nobody", "source": "models:/{model}", "model_id": "{model}"},
    ),
    _post("source missing", "model-versions/create", {"name": "Reg"}),
    _post(
        "source leads up",
        "model-versions/create",
        {"name": "Reg", "source": "mlflow-artifacts:/../x", "run_id": "{run}"},
    ),
    _post(
        "source is a file",
        "model-versions/create",
        {"name": "Reg", "source": "/etc", "run_id": "{run}"},
    ),
    _get("found", "model-versions/get", {"name": "Reg", "version": "1"}),
    _get("not there", "model-versions/get", {"name": "Reg", "version": "99"}),
    _get("version is a word", "model-versions/get", {"name": "Reg", "version": "one"}),
    _get("version missing", "model-versions/get", {"name": "Reg"}),
    _patch(
        "described", "model-versions/update", {"name": "Reg", "version": "1", "description": "e"}
    ),
    _get("all", "model-versions/search", {"filter": "name = 'Reg'"}),
    _get("bad filter", "model-versions/search", {"filter": "current_stage = 'a'"}),
    _get("limit too large", "model-versions/search", {"max_results": 200001}),
    _get("found", "model-versions/get-download-uri", {"name": "Reg", "version": "1"}),
    _get("not there", "model-versions/get-download-uri", {"name": "Reg", "version": "99"}),
    _post(
        "moved",
        "model-versions/transition-stage",
        {"name": "Reg", "version": "1", "stage": "staging"},
    ),
    _post(
        "unknown stage",
        "model-versions/transition-stage",
        {"name": "Reg", "version": "1", "stage": "Moon"},
    ),
    _post(
        "archives from None",
        "model-versions/transition-stage",
        {"name": "Reg", "version": "1", "stage": "None", "archive_existing_versions": True},
        **WAS_500,
    ),
    _post(
        "set", "model-versions/set-tag", {"name": "Reg", "version": "1", "key": "k", "value": "v"}
    ),
    _delete("gone", "model-versions/delete-tag", {"name": "Reg", "version": "1", "key": "k"}),
    _delete("not there", "model-versions/delete", {"name": "Reg", "version": "99"}),
]

PROXY = [
    Case("artifacts: list of nothing", "GET", FILES + "artifacts", {"path": "1/nothing"}),
    Case("artifacts: list leads up", "GET", FILES + "artifacts", {"path": "../x"}),
    Case("artifacts: no such file", "GET", FILES + "artifacts/1/nothing.txt"),
    Case("artifacts: encoded way up", "GET", FILES + "artifacts/%2e%2e/%2e%2e/etc/passwd"),
    Case(
        "artifacts: nothing to delete (DELETE)",
        "DELETE",
        FILES + "artifacts/1/nothing",
        {},
        differs="deleting an artifact that is not there",
        status=404,
        error_code="RESOURCE_DOES_NOT_EXIST",
    ),
    Case(
        "mpu/create: local disk",
        "POST",
        FILES + "mpu/create/1/r/artifacts",
        {"path": "a.bin", "num_parts": 1},
        differs="parts of a large file, on local disk",
        status=200,
    ),
    Case("server-info: found", "GET", "/api/3.0/mlflow/server-info"),
    Case(
        "elsewhere: no such path",
        "GET",
        TRACKING + "nothing/here",
        differs="an unknown path or method",
        status=404,
        error_code="ENDPOINT_NOT_FOUND",
    ),
    Case(
        "elsewhere: wrong method",
        "PUT",
        TRACKING + "runs/get",
        {},
        differs="an unknown path or method",
        status=405,
        error_code="BAD_REQUEST",
    ),
]

CASES = [*EXPERIMENTS, *RUNS, *LOGGING, *MODELS, *PROXY]
