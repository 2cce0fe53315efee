"""What a real MLflow has just written, read as a source, against what MLflow itself answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.sync.open import open_source
from headrace.sync.source import Source
from tests.sync.mlflow_answers import correct_steps, files_below, in_our_words, links, shown
from tests.sync.mlflow_stores import MadeStore, make

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]

POINTS = 10_500
"""More than a page of points, and so more than a page of runs."""


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mlruns"])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, mlflow_python: Path
) -> Iterator[MadeStore]:
    home = tmp_path_factory.mktemp(request.param)
    if request.param == "postgresql":
        with request.getfixturevalue("postgres").new_database() as uri:
            # SQLAlchemy's own choice of a driver is another one than MLflow's environment has.
            with_driver = uri.replace("postgresql:", "postgresql+psycopg2:")
            yield make(mlflow_python, home, with_driver, POINTS)
    else:
        uri = f"sqlite:///{home}/mlflow.db" if request.param == "sqlite" else f"{home}/mlruns"
        yield make(mlflow_python, home, uri, POINTS)


@pytest.fixture
def source(made: MadeStore) -> Iterator[Source]:
    opened = open_source(made.uri)
    yield opened
    opened.close()


def test_shows_all_that_mlflow_answers(made: MadeStore, source: Source) -> None:
    answers = in_our_words(made.answers)
    if made.folder.joinpath("0").exists():
        correct_steps(answers["runs"])
    found = shown(source)
    for kind, entries in answers.items():
        assert found[kind].keys() == entries.keys()
        for name, entry in entries.items():
            assert found[kind][name] == entry, f"{kind} {name}"
    assert source.complaints == []


def test_ties_points_to_logged_models_and_data_sets(made: MadeStore, source: Source) -> None:
    run_id = next(i for i, run in made.answers["runs"].items() if run["run_name"] == "full")
    models = made.answers["logged_models"]
    ready = next(i for i, model in models.items() if model["name"] == "ready")
    found = links(source.history(run_id, "model/f1"))
    assert found == {(7, ready, "iris", "abc123"), (8, ready, None, None)}
    assert links(source.history(run_id, "val/auc")) == {
        (-step, None, None, None) for step in range(3)
    }


def test_follows_runs_and_models_to_files(made: MadeStore, source: Source) -> None:
    run_id = next(i for i, run in made.answers["runs"].items() if run["run_name"] == "full")
    assert list(files_below(source.artifacts(f"runs:/{run_id}/notes"))) == ["hello.txt"]
    assert list(files_below(source.artifacts("models:/new name/2"))) == ["MLmodel"]
    assert source.complaints == []


def test_shows_prompts_and_counts_what_is_not_copied(made: MadeStore, source: Source) -> None:
    assert "greeting" in [model.name for model in source.registered_models()]
    (version,) = source.model_versions("greeting")
    assert "Hello {{name}}" in [tag.value for tag in version.tags]
    assert "traces: 2" in source.notes[0]


def test_changes_nothing(made: MadeStore) -> None:
    before = _state(made.home)
    source = open_source(made.uri)
    shown(source)
    source.close()
    assert _state(made.home) == before


def _state(folder: Path) -> dict[str, tuple[int, bytes]]:
    found = {}
    for path, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            entry = Path(path, name)
            content = entry.read_bytes() if entry.is_file() else b""
            found[str(entry)] = (entry.stat().st_mtime_ns, content)
    return found
