"""What differs between runs, and only that."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from headrace.client.capture import PACKAGES_FILE
from headrace.client.client import Client, current_client
from headrace.client.entities import Run
from headrace.client.frames import pandas_library, polars_library
from headrace.errors import InvalidRequest, NotFound
from headrace.protocol.datasets import CONTEXT_TAG

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

Values = list[Any]
"""One value for each of the runs, in their order; None where a run has none."""

NOISE: Final = frozenset(
    {
        "mlflow.autologging",
        "mlflow.log-model.history",
        "mlflow.loggedArtifacts",
        "mlflow.loggedImages",
        "mlflow.note.content",
        "mlflow.parentRunId",
        "mlflow.rootRunId",
        "mlflow.runName",
        "mlflow.user",
    }
)
"""Tags that differ from run to run and say nothing about the training; the user is an attribute."""

CODE_TAGS: Final = ("mlflow.source.", "headrace.command")
"""How tags begin that say which code ran: the section `code`."""

ENVIRONMENT_TAGS: Final = ("headrace.python", "headrace.platform", "headrace.host", "headrace.gpu")
"""How tags begin that say where it ran: the section `environment`."""

_ATTRIBUTES: Final = ("experiment_id", "status", "lifecycle_stage", "user_id")
_SECTIONS: Final = (*("params", "metrics", "tags", "datasets", "code", "environment", "packages"),)
_CELL_WIDTH: Final = 24
_TABLE_ROWS: Final = 100


@dataclass(frozen=True, repr=False)
class RunComparison:
    """What differs between `runs`: sections of names, each with one value for each run.

    The latest values of metrics are compared; a value that a run lacks is None. Shown as a
    table; `to_pandas`, `to_polars` and `to_dict` give the same as data.
    """

    runs: list[Run]
    attributes: dict[str, Values] = field(default_factory=dict)
    params: dict[str, Values] = field(default_factory=dict)
    metrics: dict[str, Values] = field(default_factory=dict)
    tags: dict[str, Values] = field(default_factory=dict)
    datasets: dict[str, Values] = field(default_factory=dict)
    code: dict[str, Values] = field(default_factory=dict)
    environment: dict[str, Values] = field(default_factory=dict)
    packages: dict[str, Values] = field(default_factory=dict)

    @property
    def differences(self) -> dict[str, Values]:
        """All sections as one: `params.lr`, `metrics.loss` …; empty for runs that are alike."""
        named = dict(self.attributes)
        for section in _SECTIONS:
            found: Mapping[str, Values] = getattr(self, section)
            named |= {f"{section}.{name}": values for name, values in found.items()}
        return named

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries and lists: the runs' ids and names, and every section."""
        return {
            "runs": [{"run_id": r.info.run_id, "run_name": r.info.run_name} for r in self.runs],
            "attributes": self.attributes,
            **{section: getattr(self, section) for section in _SECTIONS},
        }

    def to_pandas(self) -> pd.DataFrame:
        """One row a run, a column for what differs, named as in `search_runs`."""
        frame: pd.DataFrame = pandas_library().DataFrame(self._columns())
        return frame

    def to_polars(self) -> pl.DataFrame:
        """As `to_pandas`, for polars."""
        frame: pl.DataFrame = polars_library().DataFrame(self._columns(), strict=False)
        return frame

    def _columns(self) -> dict[str, Values]:
        return {
            "run_id": [run.info.run_id for run in self.runs],
            "run_name": [run.info.run_name for run in self.runs],
            **self.differences,
        }

    def __repr__(self) -> str:
        width = shutil.get_terminal_size((100, 24)).columns
        return _table(self.runs, self.differences, width)


def compare_runs(
    runs: Sequence[str | Run] | pd.DataFrame | pl.DataFrame, *, packages: bool = True
) -> RunComparison:
    """What differs between two or more runs, and only that.

    `runs` are ids, or `Run`s, or a DataFrame of `search_runs` (its column `run_id`; each run is
    read anew). Parameters, latest metrics, tags, data sets (name and digest), code (commit,
    branch, script), environment (Python, platform, host), versions of packages, and attributes
    such as the status. Tags that say nothing about the training, such as the run's name, are left
    out. The packages are in a file of each run; `packages=False` saves reading it.
    InvalidRequest for fewer than two runs; NotFound.
    """
    client = current_client()
    table: Any = runs
    given: Iterable[Any] = table["run_id"] if hasattr(table, "columns") else table
    if isinstance(given, str):
        raise InvalidRequest("'runs' is one text: expected a list of run ids.")
    found = [each if isinstance(each, Run) else client.get_run(each) for each in given]
    versions = [packages_of(client, run.info.run_id) for run in found] if packages else ()
    return comparison_of(found, versions)


def packages_of(client: Client, run_id: str) -> dict[str, str] | None:
    """The versions of the packages that a run noted; None when it noted none."""
    place = client._run_place(run_id).below(PACKAGES_FILE)
    try:
        with place.store.read(place.path) as reader:
            text = b"".join(reader.chunks()).decode(errors="replace")
    except NotFound:
        return None
    pairs = (line.partition("==") for line in text.splitlines())
    return {name: version for name, equals, version in pairs if equals}


def comparison_of(
    runs: Sequence[Run],
    packages: Sequence[Mapping[str, str] | None] = (),
    *,
    everything: bool = False,
) -> RunComparison:
    """What differs between runs as they are here; with `everything`, also what does not.

    `packages` has an entry for each run, or is empty. A run that noted none differs from no other.
    """
    if len(runs) < 2:
        raise InvalidRequest(f"Comparing needs two runs or more, found {len(runs)}.")

    def section(held: Sequence[Mapping[str, Any]]) -> dict[str, Values]:
        return _side_by_side(held, everything)

    tags = [run.data.tags for run in runs]
    return RunComparison(
        list(runs),
        attributes=section([_attributes(run) for run in runs]),
        params=section([run.data.params for run in runs]),
        metrics=section([run.data.metrics for run in runs]),
        tags=section([_other_tags(of_run) for of_run in tags]),
        datasets=section([_datasets(run) for run in runs]),
        code=section([_beginning(of_run, CODE_TAGS) for of_run in tags]),
        environment=section([_beginning(of_run, ENVIRONMENT_TAGS) for of_run in tags]),
        packages=_packages(packages, everything),
    )


def _packages(noted: Sequence[Mapping[str, str] | None], everything: bool) -> dict[str, Values]:
    known = [number for number, of_run in enumerate(noted) if of_run is not None]
    found = _side_by_side([noted[number] or {} for number in known], everything)
    rows = {name: dict(zip(known, values, strict=True)) for name, values in found.items()}
    return {name: [row.get(number) for number in range(len(noted))] for name, row in rows.items()}


def _side_by_side(held: Sequence[Mapping[str, Any]], everything: bool) -> dict[str, Values]:
    found = {}
    for name in sorted(set().union(*held)):
        values = [of_run.get(name) for of_run in held]
        if everything or not all(_same(values[0], other) for other in values[1:]):
            found[name] = values
    return found


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other)


def _attributes(run: Run) -> dict[str, str]:
    return {name: str(getattr(run.info, name)) for name in _ATTRIBUTES}


def _other_tags(tags: Mapping[str, str]) -> dict[str, str]:
    elsewhere = (*CODE_TAGS, *ENVIRONMENT_TAGS)
    return {
        key: value
        for key, value in tags.items()
        if key not in NOISE and not key.startswith(elsewhere)
    }


def _beginning(tags: Mapping[str, str], beginnings: tuple[str, ...]) -> dict[str, str]:
    """The tags with one of these beginnings, by names without what goes without saying."""
    return {
        key.removeprefix("headrace.").removeprefix("mlflow.source."): value
        for key, value in tags.items()
        if key.startswith(beginnings)
    }


def _datasets(run: Run) -> dict[str, str]:
    """What each use of data was: by context, names and digests."""
    uses: dict[str, list[str]] = {}
    for entry in run.inputs.dataset_inputs:
        context = next((tag.value for tag in entry.tags if tag.key == CONTEXT_TAG), "input")
        uses.setdefault(context, []).append(f"{entry.dataset.name} ({entry.dataset.digest})")
    return {context: ", ".join(sorted(named)) for context, named in uses.items()}


def _table(runs: Sequence[Run], differences: Mapping[str, Values], width: int) -> str:
    rows = [("", *(run.info.run_name or run.info.run_id for run in runs))]
    rows.append(("run_id", *(run.info.run_id for run in runs)))
    rows += [
        (name, *map(_cell, values)) for name, values in list(differences.items())[:_TABLE_ROWS]
    ]
    cut = [tuple(_short(text) for text in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cut, strict=True)]
    shown = 2
    while shown <= len(runs) and sum(widths[: shown + 1]) + 2 * shown <= width:
        shown += 1
    lines = [
        "  ".join(text.ljust(space) for text, space in zip(row, widths[:shown], strict=False))
        for row in cut
    ]
    if not differences:
        lines.append("(no difference)")
    if len(differences) > _TABLE_ROWS:
        lines.append(f"… and {len(differences) - _TABLE_ROWS} more differences: see to_dict()")
    if shown <= len(runs):
        lines.append(f"… and {len(runs) + 1 - shown} more runs: see to_pandas()")
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _short(text: str) -> str:
    plain = "".join(character if character.isprintable() else " " for character in text)
    return plain if len(plain) <= _CELL_WIDTH else plain[: _CELL_WIDTH - 1] + "…"
