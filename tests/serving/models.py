"""Models that are saved for the tests of the server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

SCRIPT = Path(__file__).with_name("unruly_model.py")
ROWS = pd.DataFrame({"do": ["echo"], "value": [1.5]})


def save_unruly(folder: Path, **config: Any) -> Path:
    """Save the model of `unruly_model.py` into a new folder, with that configuration."""
    import headrace.pyfunc as pyfunc  # noqa: PLR0402 - mypy: the facade finds it at run time
    from headrace.models.signature import infer_signature

    pyfunc.save_model(
        folder,
        python_model=str(SCRIPT),
        model_config=config or None,
        signature=infer_signature(ROWS, ["1.5"]),
    )
    return folder


def asked(*rows: tuple[str, float] | str) -> bytes:
    """A body for `/invocations`; a row is what to do, and its value (0)."""
    data = [(row, 0.0) if isinstance(row, str) else row for row in rows]
    return json.dumps({"dataframe_split": {"columns": ["do", "value"], "data": data}}).encode()


def answered(body: bytes | bytearray) -> list[Any]:
    """The predictions in an answer of `/invocations`."""
    found: list[Any] = json.loads(body)["predictions"]
    return found
