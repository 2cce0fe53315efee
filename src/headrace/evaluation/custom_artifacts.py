"""Files that functions of the user make of an evaluation."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.errors import InvalidRequest
from headrace.evaluation.artifact import SUFFIXES
from headrace.evaluation.report import png_of

if TYPE_CHECKING:
    from headrace.evaluation.extra_metrics import Given
    from headrace.evaluation.report import Report


def checked_functions(given: Any) -> list[Callable[..., Any]]:
    """`custom_artifacts` as functions. InvalidRequest."""
    functions = [given] if callable(given) else list(given or ())
    for place, function in enumerate(functions):
        if not callable(function):
            raise InvalidRequest(
                f"'custom_artifacts' has a {type(function).__name__} at place {place}: expected a "
                "function of (eval_df, builtin_metrics, artifacts_dir)."
            )
    return functions


def make_artifacts(
    functions: Sequence[Callable[..., Any]], given: Given, report: Report
) -> dict[str, str]:
    """Call each function and store what it gives; gives the failures, by name, in words.

    A function takes a table of `prediction` and `target`, the metrics as MetricValues, and a
    folder that is removed afterwards. It gives names and DataFrames, arrays, figures, what JSON
    can hold, or paths of files. Nothing is pickled.
    """
    failures: dict[str, str] = {}
    for function in functions:
        name = getattr(function, "__name__", type(function).__name__)
        with tempfile.TemporaryDirectory() as folder:
            try:
                made = function(given.table(), given.metric_values(), folder)
                if not isinstance(made, dict):
                    raise TypeError(f"it gave a {type(made).__name__}, expected a dictionary")
            except Exception as error:  # noqa: BLE001 - one function's failure must not lose the rest
                failures[name] = f"it raised {type(error).__name__}: {error}"
                continue
            for key, value in made.items():
                try:
                    suffix, data = _as_file(value)
                    report.file(str(key), suffix, data)
                except Exception as error:  # noqa: BLE001 - nor may one file's
                    failures[str(key)] = f"{type(error).__name__}: {error}"
    return failures


def _as_file(value: Any) -> tuple[str, bytes]:
    """The suffix and bytes of what a function gave. InvalidRequest."""
    if isinstance(value, os.PathLike) or (isinstance(value, str) and os.path.exists(value)):
        return _from_path(Path(value))
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            raise InvalidRequest(
                f"{value!r:.80} is neither the path of a file nor JSON; write texts to a .txt file."
            ) from None
        return ".json", value.encode()
    if hasattr(value, "to_csv"):  # pandas
        return ".csv", value.to_csv(index=False).encode()
    if hasattr(value, "write_csv"):  # Polars
        return ".csv", value.write_csv().encode()
    if hasattr(value, "savefig"):
        return ".png", png_of(value)
    if hasattr(value, "dtype") and hasattr(value, "tofile"):
        import numpy as np

        stream = io.BytesIO()
        np.save(stream, value, allow_pickle=False)
        return ".npy", stream.getvalue()
    try:
        return ".json", json.dumps(value, default=_plain).encode()
    except (TypeError, ValueError):
        raise InvalidRequest(
            f"a {type(value).__name__} is not stored, for it would have to be pickled: write it "
            "to a file, and give its path."
        ) from None


def _from_path(path: Path) -> tuple[str, bytes]:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES or not path.is_file():
        raise InvalidRequest(
            f"'{path}' is no file that ends in one of {', '.join(sorted(SUFFIXES))}."
        )
    return suffix, path.read_bytes()


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(type(value).__name__)
