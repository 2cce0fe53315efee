"""The models of a run, as plain values to compare: by MLflow's client, or by Headrace's."""

from __future__ import annotations

import json
from typing import Any

import yaml

_COLUMNS = {
    "bool": "boolean",
    "int32": "integer",
    "int64": "long",
    "float32": "float",
    "float64": "double",
    "str": "string",
    "object": "string",
}


def models_of(tracking: Any, run: Any) -> list[dict[str, Any]]:
    """Name, status, signature and the keys of the linked metrics of each, by name.

    One number for each row is a column, as in all signatures that are made from examples; when
    MLflow logs by itself it says that it is a tensor.
    """
    found = tracking.MlflowClient().search_logged_models([run.info.experiment_id])
    return sorted(
        (_described(tracking, each) for each in found if each.source_run_id == run.info.run_id),
        key=lambda each: str(each["name"]),
    )


def _described(tracking: Any, model: Any) -> dict[str, Any]:
    text = tracking.artifacts.load_text(f"{model.artifact_location}/MLmodel")
    signature = yaml.safe_load(text).get("signature") or {}
    return {
        "name": model.name,
        "status": str(getattr(model.status, "value", model.status)),
        "signature": {
            key: [_as_column(spec) for spec in json.loads(value)] if key == "outputs" else value
            for key, value in signature.items()
            if value
        },
        "metrics": sorted({metric.key for metric in model.metrics or ()}),
    }


def _as_column(spec: dict[str, Any]) -> dict[str, Any]:
    tensor = spec.get("tensor-spec", {})
    if tensor.get("shape") != [-1] or tensor["dtype"] not in _COLUMNS:
        return spec
    return {"type": _COLUMNS[tensor["dtype"]], "required": True}
