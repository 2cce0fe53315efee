"""The steps of a program that runs as `mlflow` and as `headrace`: called, and noted as JSON."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException

SEEN: list[tuple[str, Any]] = []
NOT_COMPARED = {
    *("workspace", "trace_location", "effective_trace_archival_retention", "deployment_job_id"),
    "deployment_job_state",
}


def step(name: str, action: Callable[..., Any], /, *given: Any, **named: Any) -> Any:
    """Call, note what it gave or raised, and give it back."""
    try:
        result = action(*given, **named)
    except MlflowException as error:
        SEEN.append((name, {"error": error.error_code}))
        return None
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is compared
        SEEN.append((name, {"error": type(error).__name__}))
        return None
    SEEN.append((name, plain(result)))
    return result


def plain(value: Any) -> Any:
    """A result as JSON, with what differs from one time to the next replaced."""
    if value is None or isinstance(value, bool | int | float | str | os.PathLike):
        return plain_value(value)
    if isinstance(value, pd.DataFrame):
        columns = sorted(value.columns)
        return {name: [str(value[name].dtype), plain(value[name].tolist())] for name in columns}
    if isinstance(value, Mapping):
        return {without_chance(str(key)): plain(each) for key, each in sorted(value.items())}
    if isinstance(value, list | tuple) or type(value).__name__.startswith("Repeated"):
        return [plain(each) for each in value]
    if isinstance(value, pd.Timestamp):
        return "TIME"
    if isinstance(value, np.ndarray | np.generic | pd.Series):
        return [type(value).__name__, str(value.dtype), plain(value.tolist())]
    if hasattr(value, "__iter__"):
        fields = {k: each for k, each in dict(value).items() if k not in NOT_COMPARED}
        if "current_stage" in fields:  # a model version, of which only Databricks fills these
            fields = {k: v for k, v in fields.items() if k not in ("metrics", "params", "user_id")}
        return {k: plain(each) for k, each in fields.items()}
    return type(value).__name__


def plain_value(value: Any) -> Any:
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else str(value)
    if isinstance(value, int) and abs(value) >= 10**12:
        return "TIME"
    return without_chance(str(value)) if isinstance(value, str | os.PathLike) else value


def without_chance(text: str) -> str:
    """The text without ids, times and places."""
    text = text.replace(os.getcwd(), "HERE").replace(f"{tempfile.gettempdir()}/", "TMP/")
    text = re.sub(r"http://127\.0\.0\.1:\d+", "SERVER", text)
    text = re.sub(r"\b(m-)?[0-9a-f]{32}\b", r"\1ID", text)
    text = re.sub(r"\b1[0-9]{12}\b", "TIME", text)
    text = re.sub(r"TMP/tmp\w+", "TMP/DIR", text)
    return re.sub(r"\b[a-z]+-[a-z]+-\d{1,3}\b", "A-RANDOM-NAME", text)


def write() -> None:
    """Write the steps to the file that the program was given."""
    Path(sys.argv[1]).write_text(json.dumps(SEEN, ensure_ascii=False, indent=1))
