"""Tables of runs: columns and rows, kept as JSON (`{"columns", "data"}`) or Parquet."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from headrace.client.images import Image, is_image
from headrace.errors import InvalidRequest
from headrace.protocol.runs import Run

if TYPE_CHECKING:
    import pandas as pd

_FORBIDDEN = "\"',:[]{}"


class Table(Struct):
    """A table: names of columns, and a list of values for each row."""

    columns: list[str]
    data: list[list[Any]]

    def with_rows_of(self, other: Table) -> Table:
        """Both tables' rows, under the columns of both; what a row has no value for is None."""
        columns = self.columns + [name for name in other.columns if name not in self.columns]
        rows = [row + [None] * (len(columns) - len(row)) for row in self.data]
        for row in other.data:
            values = dict(zip(other.columns, row, strict=True))
            rows.append([values.get(name) for name in columns])
        return Table(columns, rows)


def check_name(artifact_file: str) -> None:
    """Refuse a name that no table can have."""
    if not artifact_file.endswith((".json", ".parquet")):
        raise InvalidRequest(
            f"Invalid value {artifact_file!r} for 'artifact_file': the name of a table ends in "
            ".json or .parquet."
        )
    for character in _FORBIDDEN:
        if character in artifact_file:
            raise InvalidRequest(
                f"Invalid value {artifact_file!r} for 'artifact_file': a table's name may not "
                f"hold {character}"
            )


def table_of(data: Any, keep_image: Callable[[Image], Any]) -> Table:
    """The table in a dictionary of columns or a DataFrame; images become what `keep_image` gives.

    A dictionary of plain values is one row. Raises InvalidRequest for anything else, and for
    columns of different lengths.
    """
    if isinstance(data, Mapping):
        columns = {str(name): _column(values) for name, values in data.items()}
    elif hasattr(data, "columns") and hasattr(data, "items"):
        columns = {str(name): list(series) for name, series in data.items()}
    else:
        raise InvalidRequest(
            f"'data' is of type {type(data).__name__}: expected a dictionary of columns or a "
            "pandas DataFrame."
        )
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidRequest(f"The columns of 'data' have different lengths: {lengths}.")
    for name, values in columns.items():
        pictures = [is_image(value) for value in values]
        if any(pictures) and not all(pictures):
            raise InvalidRequest(f"The column '{name}' mixes images with other values.")
    kept = {
        name: [keep_image(Image(v)) if is_image(v) else _plain(v) for v in values]
        for name, values in columns.items()
    }
    return Table(list(kept), [list(row) for row in zip(*kept.values(), strict=True)])


def dump(table: Table, name: str) -> bytes:
    """The table as a file, JSON or Parquet by its name. Raises InvalidRequest."""
    if name.endswith(".parquet"):
        buffer = io.BytesIO()
        try:
            _frame(table).to_parquet(buffer, index=False)
        except (ImportError, ValueError, TypeError) as error:
            raise InvalidRequest(f"Cannot write '{name}': {error}") from error
        return buffer.getvalue()
    try:
        document = {"columns": table.columns, "data": table.data}
        return json.dumps(document, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"Cannot write '{name}' as JSON: {error}.") from error


def parse(data: bytes, name: str) -> Table:
    """The table in a file. Raises InvalidRequest when there is none in it."""
    try:
        if name.endswith(".parquet"):
            import pandas as pd

            frame = pd.read_parquet(io.BytesIO(data))
            return Table([str(c) for c in frame.columns], frame.to_numpy().tolist())
        document = json.loads(data)
        return Table(list(document["columns"]), [list(row) for row in document["data"]])
    except (ImportError, ValueError, KeyError, TypeError, OSError) as error:
        raise InvalidRequest(f"'{name}' is not a table: {error}.") from error


def load(parts: Iterable[tuple[Run, Table]], extra: Sequence[str] | None) -> pd.DataFrame:
    """Tables of runs, one below the other, with columns about the run. Needs pandas."""
    whole = Table([], [])
    for run, table in parts:
        facts = [_fact(run, name) for name in extra or ()]
        rows = [[*row, *facts] for row in table.data]
        whole = whole.with_rows_of(Table([*table.columns, *(extra or ())], rows))
    return _frame(whole)


def _frame(table: Table) -> pd.DataFrame:
    try:
        import pandas as pd
    except ImportError:
        raise InvalidRequest(
            "Tables as DataFrames need pandas, which is not installed: pip install pandas."
        ) from None
    return pd.DataFrame(table.data, columns=table.columns)


def _column(values: Any) -> list[Any]:
    if isinstance(values, str | bytes | Mapping) or is_image(values):
        return [values]
    try:
        return list(values)
    except TypeError:
        return [values]


def _plain(value: Any) -> Any:
    """A cell as JSON can hold it: NaN becomes None, values of NumPy become Python's."""
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def _fact(run: Run, name: str) -> Any:
    if name in run.info.__struct_fields__:
        return getattr(run.info, name)
    for pairs in (run.data.metrics, run.data.params, run.data.tags):
        for pair in pairs:
            if pair.key == name:
                return pair.value
    raise InvalidRequest(
        f"Invalid value {name!r} in 'extra_columns': the run '{run.info.run_id}' has no such "
        "field, metric, parameter or tag."
    )
