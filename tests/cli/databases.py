"""What the tests of upkeep put into databases, and how they look into them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from headrace.artifacts.local import LocalArtifactStore
from headrace.protocol import experiments, runs
from headrace.protocol.metrics import LogMetric, Metric
from headrace.protocol.wire import Param, Tag
from headrace.server.artifact_locations import store_path
from headrace.store.base import Store
from headrace.store.open import open_store
from headrace.store.sql.database import database_url


@contextmanager
def opened(uri: str) -> Iterator[Store]:
    """The store of a database as a server has it."""
    store = open_store(uri)
    try:
        yield store
    finally:
        store.close()


def new_experiment(store: Store, name: str, artifact_location: str | None = None) -> str:
    """The id of a new experiment."""
    request = experiments.CreateExperiment(name, artifact_location, [Tag("team", "growth")])
    return store.experiments.create(request).experiment_id


def new_run(
    store: Store, experiment_id: str = "0", points: int = 3, name: str = "run"
) -> runs.RunInfo:
    """A run with points, parameters and tags."""
    info = store.runs.create(runs.CreateRun(experiment_id, run_name=name)).run.info
    store.runs.log_batch(
        runs.LogBatch(
            info.run_id,
            metrics=[Metric("loss", 1 / (n + 1), 1000 + n, n // 4) for n in range(points)],
            params=[Param("depth", "3")],
            tags=[Tag("stage", "dev")],
        )
    )
    return info


def delete_runs(store: Store, *found: runs.RunInfo) -> None:
    """Delete runs as users do."""
    for info in found:
        store.runs.delete(runs.RunRef(info.run_id))


def log_metric(store: Store, run_id: str, step: int) -> None:
    """One more point."""
    store.metrics.log(LogMetric(run_id, None, "live", float(step), 1000 + step, step))


def put_file(folder: Path, artifact_uri: str, data: bytes = b"12345") -> Path:
    """A file of a run or model in the artifact folder; where it lies on disk."""
    artifacts = LocalArtifactStore(folder)
    path = f"{store_path(artifacts, artifact_uri)}/model/weights.bin"
    with artifacts.write(path) as writer:
        writer.write(data)
        writer.commit()
    return folder / path


def files_in(folder: Path) -> set[str]:
    """The files of users in an artifact folder."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and ".headrace" not in path.parts
    }


def counts(uri: str) -> dict[str, int]:
    """How many rows each table has, without those that have none."""
    engine = sa.create_engine(database_url(uri))
    with engine.connect() as connection:
        found = {
            name: int(connection.execute(sa.text(f"SELECT count(*) FROM {name}")).scalar_one())
            for name in sa.inspect(connection).get_table_names()
        }
    engine.dispose()
    return {name: count for name, count in found.items() if count}


def execute(uri: str, *statements: str) -> None:
    """Change a database behind the program's back."""
    engine = sa.create_engine(database_url(uri))
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()
