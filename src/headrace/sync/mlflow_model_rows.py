"""Logged and registered models of MLflow's database, a page at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from headrace.errors import InvalidRequest
from headrace.protocol.logged_models import (
    LoggedModel,
    LoggedModelData,
    LoggedModelInfo,
    LoggedModelStatus,
)
from headrace.protocol.metrics import Metric
from headrace.protocol.model_versions import ModelVersion
from headrace.protocol.registered_models import Alias, RegisteredModel
from headrace.protocol.wire import Param, Tag, as_enum
from headrace.sync.mlflow_places import RecordedPlaces, owners
from headrace.sync.mlflow_tables import MlflowTables, grouped, marks, pages
from headrace.sync.mlflow_values import (
    DEFAULT_WORKSPACE,
    DELETED_STAGE,
    metric_value,
    name_in_workspace,
    version_status,
)

_PAGE: Final = 100
_IN_WORKSPACE: Final = re.compile(r"(.+) \(([^()]+)\)")

_LOGGED: Final = (
    *("model_id", "name", "artifact_location", "creation_timestamp_ms"),
    *("last_updated_timestamp_ms", "status", "model_type", "source_run_id", "status_message"),
)
_VERSION: Final = (
    *("version", "creation_time", "last_updated_time", "description", "current_stage"),
    *("source", "run_id", "status", "status_message", "run_link"),
)


def read_logged_models(
    tables: MlflowTables, experiment_id: str, complain: Callable[[str], None]
) -> Iterator[LoggedModel]:
    """The logged models of an experiment that are not deleted, by id."""
    alive = "experiment_id = ? AND lifecycle_stage = 'active'"
    number = int(experiment_id)
    for page in tables.pages("logged_models", _LOGGED, alive, number, size=_PAGE):
        content = _PageContent(tables, [row[0] for row in page])
        for row in page:
            try:
                yield content.model(experiment_id, row)
            # SQLite keeps a text where a number should be, if somebody writes one.
            except (InvalidRequest, TypeError, ValueError) as error:
                complain(f"The logged model {row[0]} is left out: {str(error).rstrip('.')}.")


class _PageContent:
    """What belongs to the logged models of one page, by model."""

    def __init__(self, tables: MlflowTables, ids: list[str]) -> None:
        of_page = f"WHERE model_id IN ({marks(ids)})"
        tags = ("model_id", "tag_key", "tag_value")
        params = ("model_id", "param_key", "param_value")
        self._tags = grouped(tables.select("logged_model_tags", tags, of_page, *ids))
        self._params = grouped(tables.select("logged_model_params", params, of_page, *ids))
        self._points = grouped(_latest_points(tables, ids))

    def model(self, experiment_id: str, row: Any) -> LoggedModel:
        """The model of one row. InvalidRequest, TypeError, ValueError for what can be none."""
        model_id, name, place, created, updated, status, kind, run_id, message = row
        return LoggedModel(
            LoggedModelInfo(
                model_id=model_id,
                experiment_id=experiment_id,
                name=name,
                creation_timestamp_ms=created or 0,
                last_updated_timestamp_ms=updated or created or 0,
                artifact_uri=place or "",
                status=as_enum(LoggedModelStatus, status, "status"),
                model_type=kind,
                source_run_id=run_id,
                status_message=message,
                tags=[Tag(key, value or "") for key, value in self._tags.get(model_id, [])],
            ),
            LoggedModelData(
                params=[Param(key, value or "") for key, value in self._params.get(model_id, [])],
                metrics=[_point(model_id, *rest) for rest in self._points.get(model_id, [])],
            ),
        )


def _point(model_id: str, key: str, value: float, is_nan: Any, *rest: Any) -> Metric:
    timestamp, step, run_id, dataset, digest = rest
    return Metric(
        key,
        metric_value(value, is_nan),
        timestamp,
        step,
        run_id=run_id,
        model_id=model_id,
        dataset_name=dataset,
        dataset_digest=digest,
    )


def _latest_points(tables: MlflowTables, ids: list[str]) -> list[Any]:
    """The latest point of each metric of a model and data set; all points come with their runs.

    Whether a point is NaN stands only with the run.
    """
    return tables.query(
        ("logged_model_metrics",),
        "SELECT ranked.model_id, ranked.metric_name, ranked.metric_value, metrics.is_nan, "  # noqa: S608 - only marks are put in
        "ranked.metric_timestamp_ms, ranked.metric_step, ranked.run_id, ranked.dataset_name, "
        "ranked.dataset_digest FROM (SELECT logged_model_metrics.*, row_number() OVER ("
        "PARTITION BY model_id, metric_name, dataset_name, dataset_digest "
        "ORDER BY metric_step DESC, metric_timestamp_ms DESC, run_id) AS place "
        f"FROM logged_model_metrics WHERE model_id IN ({marks(ids)})) AS ranked "
        "LEFT JOIN metrics ON metrics.run_uuid = ranked.run_id "
        "AND metrics.key = ranked.metric_name AND metrics.step = ranked.metric_step "
        "AND metrics.timestamp = ranked.metric_timestamp_ms "
        "AND metrics.value = ranked.metric_value WHERE ranked.place = 1",
        *ids,
    )


def read_registered_models(tables: MlflowTables) -> Iterator[RegisteredModel]:
    """All registered models by name; in a workspace of their own under a name that says so."""
    table = "registered_models"
    space = tables.workspace(table)
    columns = ("name", "creation_time", "last_updated_time", "description")
    order = f"ORDER BY name, {space} LIMIT {_PAGE}" if space != "'default'" else (
        f"ORDER BY name LIMIT {_PAGE}"
    )  # fmt: skip
    start = f"SELECT {space}, {tables.pick(table, *columns)} FROM {table}"  # noqa: S608 - names are ours
    first = tables.query((table,), f"{start} {order}")

    def after(last: Any) -> list[Any]:
        where = f"WHERE (name, {space}) > (?, ?)"
        return tables.query((table,), f"{start} {where} {order}", last[1], last[0])

    for page in pages(_PAGE, first, after):
        names = [row[1] for row in page]
        tags = _of_models(tables, "registered_model_tags", ("key", "value"), names)
        aliases = _of_models(tables, "registered_model_aliases", ("alias", "version"), names)
        for space_name, name, created, updated, description in page:
            own = (space_name, name)
            yield RegisteredModel(
                name_in_workspace(name, space_name),
                created or 0,
                updated or created or 0,
                description,
                tags=[Tag(key, value or "") for key, value in tags.get(own, [])],
                aliases=[Alias(alias, str(version)) for alias, version in aliases.get(own, [])],
            )


def _of_models(
    tables: MlflowTables, table: str, columns: tuple[str, ...], names: list[str]
) -> dict[tuple[str, str], list[Any]]:
    """Rows of a table by (workspace, name of the registered model)."""
    found: dict[tuple[str, str], list[Any]] = {}
    for space, name, *row in tables.query(
        (table,),
        f"SELECT {tables.workspace(table)}, {tables.pick(table, 'name', *columns)} "  # noqa: S608 - names are ours
        f"FROM {table} WHERE name IN ({marks(names)})",
        *names,
    ):
        found.setdefault((space, name), []).append(row)
    return found


def read_versions(
    tables: MlflowTables, shown_name: str, recorded: RecordedPlaces
) -> Iterator[ModelVersion]:
    """The versions of a registered model that are not deleted, by rising number."""
    space, name = _workspace_of(tables, shown_name)
    table = "model_versions"
    of_model = f"name = ? AND {tables.workspace(table)} = ?"
    for page in tables.pages(table, _VERSION, of_model, name, space, size=_PAGE):
        numbers = [row[0] for row in page]
        tags = grouped(
            tables.select(
                "model_version_tags",
                ("version", "key", "value"),
                f"WHERE name = ? AND {tables.workspace('model_version_tags')} = ? "
                f"AND version IN ({marks(numbers)})",
                *(name, space, *numbers),
            )
        )
        for row in page:
            if row[4] != DELETED_STAGE:
                yield _version(shown_name, row, tags.get(row[0], []), recorded)


def _version(name: str, row: Any, tags: list[Any], recorded: RecordedPlaces) -> ModelVersion:
    number, created, updated, text, stage, source, run_id, status, message, link = row
    run_id, model_id = owners(source or "", run_id, None, recorded)
    return ModelVersion(
        name=name,
        version=str(number),
        creation_timestamp=created or 0,
        last_updated_timestamp=updated or created or 0,
        current_stage=stage or "None",
        description=text or "",
        source=source or "",
        run_id=run_id,
        status=version_status(status),
        status_message=message,
        run_link=link or "",
        model_id=model_id,
        tags=[Tag(key, value or "") for key, value in tags],
    )


def version_place(tables: MlflowTables, shown_name: str, version: str) -> str | None:
    """Where the files of a version lie; `source` may only name another version."""
    space, name = _workspace_of(tables, shown_name)
    found = tables.select(
        "model_versions",
        ("storage_location", "source"),
        f"WHERE name = ? AND {tables.workspace('model_versions')} = ? AND version = ?",
        *(name, space, int(version)),
    )
    return next((stored or source for stored, source in found), None)


def _workspace_of(tables: MlflowTables, shown_name: str) -> tuple[str, str]:
    """The workspace and the name in it that `name_in_workspace` was made from."""
    parts = _IN_WORKSPACE.fullmatch(shown_name)
    if parts is not None:
        name, space = parts.groups()
        column = tables.workspace("registered_models")
        where = f"WHERE name = ? AND {column} = ?"
        if tables.select("registered_models", ("name",), where, name, space):
            return space, name
    return DEFAULT_WORKSPACE, shown_name
