"""MLflow's stores with broken, half-written or hostile content: told, left out, never followed."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import HeadraceError, InvalidRequest, InvalidState, NotFound
from headrace.sync.mlflow_files import MetadataFolder, Point
from tests.sync.mlflow_answers import shown
from tests.sync.mlflow_stores import MadeStore, close_all, kept_database, kept_folder, opened


@pytest.fixture(autouse=True)
def _sources_are_closed() -> Iterator[None]:
    yield
    close_all()


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    return kept_folder("3.17", tmp_path)


def _run(made: MadeStore, name: str = "full") -> str:
    runs: dict[str, Any] = made.answers["runs"]
    return next(run_id for run_id, run in runs.items() if run["run_name"] == name)


def _experiment(made: MadeStore) -> Path:
    (folder,) = made.folder.glob(f"*/{_run(made)}")
    return folder.parent


class TestFolder:
    """One thing is broken: it is named, and the rest is there."""

    @pytest.mark.parametrize(
        "content",
        ["", "run_id: [", "- a list", "run_id: other", "status: 1", "x: !!python/name:os.system"],
    )
    def test_a_run_without_its_description(self, made: MadeStore, content: str) -> None:
        run_id = _run(made)
        (_experiment(made) / run_id / "meta.yaml").write_text(content)
        source = opened(made.uri)
        found = shown(source)["runs"]
        assert found.keys() == made.answers["runs"].keys() - {run_id}
        (complaint,) = source.complaints
        assert complaint.startswith("The run ")
        assert run_id in complaint

    def test_a_run_half_made(self, made: MadeStore) -> None:
        half = _experiment(made) / ("f" * 32)
        (half / "metrics").mkdir(parents=True)
        source = opened(made.uri)
        assert shown(source)["runs"].keys() == made.answers["runs"].keys()
        assert "meta.yaml is missing" in source.complaints[0]

    def test_lines_half_written(self, made: MadeStore) -> None:
        run = _experiment(made) / _run(made)
        with (run / "metrics" / "loss").open("a") as loss:
            loss.write("not a point\n1700000000 0.5 6\n\n17000")
        (run / "metrics" / "odd").write_text("")
        source = opened(made.uri)
        found = shown(source)["runs"][_run(made)]
        assert [point[0] for point in found["metrics"]["loss"]] == [0, 1, 2, 3, 4, 6]
        assert "odd" not in found["metrics"]
        assert [line.partition(" of ")[0] for line in source.complaints if "line" in line] == [
            "line 6",
            "line 9",
        ]
        assert [line for line in source.complaints if line.endswith("odd is empty: left out.")]

    def test_a_parameter_that_is_no_text(self, made: MadeStore) -> None:
        (_experiment(made) / _run(made) / "params" / "lr").write_bytes(b"\xff\xfe")
        source = opened(made.uri)
        assert "lr" not in shown(source)["runs"][_run(made)]["params"]
        assert "params/lr is not UTF-8 text" in source.complaints[0]

    def test_an_experiment_a_model_and_a_version(self, made: MadeStore) -> None:
        (made.folder / "0" / "meta.yaml").write_text("experiment_id: '1'\nname: x\n")
        (made.folder / "models" / "empty" / "meta.yaml").write_text("creation_timestamp: soon\n")
        (made.folder / "models" / "plain" / "version-2" / "meta.yaml").unlink()
        next(_experiment(made).glob("models/*/meta.yaml")).write_text("model_id: m-1\n")
        source = opened(made.uri)
        found = shown(source)
        assert "0" not in found["experiments"]
        assert found["registered_models"].keys() == {"plain", "new name"}
        assert found["registered_models"]["plain"]["versions"].keys() == {"1", "3", "5", "6"}
        assert len(source.complaints) == 4

    def test_links_are_not_followed(self, made: MadeStore, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.mkdir()
        (secret / "meta.yaml").write_text("experiment_id: '7'\nname: stolen\n")
        (made.folder / "7").symlink_to(secret)
        run = _experiment(made) / _run(made)
        (run / "params" / "stolen").symlink_to(secret / "meta.yaml")
        shutil.copytree(run, tmp_path / "outside")
        (run.parent / ("e" * 32)).symlink_to(tmp_path / "outside")
        source = opened(made.uri)
        found = shown(source)
        assert found["experiments"].keys() == made.answers["experiments"].keys()
        assert found["runs"].keys() == made.answers["runs"].keys()
        assert "stolen" not in found["runs"][_run(made)]["params"]
        assert sum("is a symbolic link" in line for line in source.complaints) == 2

    @pytest.mark.parametrize("way", ["../../../secret", "/secret", "..", "a\\0b"])
    def test_no_name_in_a_file_leads_out(self, made: MadeStore, tmp_path: Path, way: str) -> None:
        for folder in (tmp_path / "secret", Path(f"{made.folder}/secret")):
            folder.mkdir()
            (folder / "meta.yaml").write_text("name: stolen\ndigest: d\n")
        run = _experiment(made) / _run(made)
        for entry in run.glob("inputs/*/meta.yaml"):
            entry.write_text(f'source_type: DATASET\nsource_id: "{way}"\n')
        source = opened(made.uri)
        assert shown(source)["runs"][_run(made)]["datasets"] == []
        assert any("The input " in line for line in source.complaints)

    @pytest.mark.parametrize("key", ["../../../../secret", "/etc/passwd", "a/../../b", ""])
    def test_no_key_leads_out(self, made: MadeStore, key: str) -> None:
        with pytest.raises(InvalidState, match="no path below"):
            list(opened(made.uri).history(_run(made), key))

    def test_what_is_not_there(self, made: MadeStore) -> None:
        source = opened(made.uri)
        with pytest.raises(NotFound, match="missing"):
            list(source.history(_run(made), "unknown"))
        with pytest.raises(NotFound, match="no run"):
            list(source.history("unknown", "loss"))
        with pytest.raises(NotFound, match="no experiment 77"):
            list(source.runs("77"))
        with pytest.raises(InvalidRequest):
            list(source.runs("../0"))
        assert list(source.model_versions("unknown")) == []

    def test_lists_within_lists_without_end(self, made: MadeStore) -> None:
        # LibYAML's loader dies of these, and Python with it.
        (_experiment(made) / _run(made) / "meta.yaml").write_text("[" * 300_000)
        source = opened(made.uri)
        assert _run(made) not in shown(source)["runs"]
        assert "more than 50 levels deep" in source.complaints[0]

    def test_whatever_is_broken_the_rest_is_read(self, made: MadeStore) -> None:
        chance = random.Random(7)
        files = sorted(path for path in made.folder.rglob("*") if path.is_file())
        for path in chance.sample(files, len(files) // 3):
            whole = path.read_bytes()
            broken = chance.randbytes(40) if chance.random() < 0.3 else whole[: len(whole) // 2]
            path.write_bytes(broken)
        source = opened(made.uri)
        assert shown(source)["runs"].keys() < made.answers["runs"].keys()
        assert source.complaints


@given(
    points=st.lists(
        st.tuples(
            st.integers(0, 2**50),
            st.floats(),
            st.integers(-(2**63), 2**63 - 1),
            st.none() | st.tuples(st.from_regex(r"[^\s]( ?[^\s]){0,9}", fullmatch=True)),
        )
    )
)
def test_every_line_that_mlflow_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    points: list[tuple[int, float, int, tuple[str] | None]],
) -> None:
    root = tmp_path_factory.mktemp("lines")
    for of_model in (False, True):
        written = [
            f"{at} {value} {step}"
            + (" run" if of_model else "")
            + (f" {named[0]} digest" if named else "")
            for at, value, step, named in points
        ]
        (root / "m").write_text("".join(f"{line}\n" for line in written), encoding="utf-8")
        found = list(MetadataFolder(root).points("m", of_model=of_model))
        assert [str(point) for point in found] == [
            str(
                Point(
                    *(at, value, step, "run" if of_model else None),
                    *(named[0] if named else None, "digest" if named else None),
                )
            )
            for at, value, step, named in points
        ]


class TestDatabase:
    """Rows that make no sense, and files that are no database of MLflow's."""

    @pytest.fixture
    def database(self, tmp_path: Path) -> MadeStore:
        return kept_database("3.17", tmp_path)

    def _execute(self, made: MadeStore, statement: str, *parameters: Any) -> None:
        connection = sqlite3.connect(made.file)
        connection.execute("PRAGMA ignore_check_constraints = on")
        connection.execute(statement, parameters)
        connection.commit()
        connection.close()

    @pytest.mark.parametrize(
        ("table", "column", "value"),
        [
            ("runs", "status", "LOST"),
            ("latest_metrics", "value", "no number"),
        ],
    )
    def test_a_run_that_makes_no_sense(
        self, database: MadeStore, table: str, column: str, value: str
    ) -> None:
        run_id = _run(database)
        self._execute(
            database, f"UPDATE {table} SET {column} = ? WHERE run_uuid = ?", value, run_id
        )
        source = opened(database.uri)
        assert shown(source)["runs"].keys() == database.answers["runs"].keys() - {run_id}
        (complaint,) = source.complaints
        assert run_id in complaint

    def test_a_logged_model_that_makes_no_sense(self, database: MadeStore) -> None:
        self._execute(database, "UPDATE logged_models SET status = 9 WHERE name = 'failed'")
        source = opened(database.uri)
        assert len(shown(source)["logged_models"]) == 2
        assert "'status'" in source.complaints[0]

    def test_a_broken_character(self, database: MadeStore) -> None:
        statement = "UPDATE params SET value = CAST(? AS TEXT) WHERE key = 'lr' AND run_uuid = ?"
        self._execute(database, statement, b"0\xff1", _run(database))
        run = shown(opened(database.uri))["runs"][_run(database)]
        assert run["params"]["lr"] == "0\N{REPLACEMENT CHARACTER}1"

    def test_an_id_that_is_sql(self, database: MadeStore) -> None:
        source = opened(database.uri)
        hostile = "' OR 1 = 1 --"
        assert list(source.history(hostile, hostile)) == []
        assert list(source.model_versions(hostile)) == []
        assert source.artifacts(f"runs:/{hostile}/x") is None
        assert source.artifacts(f"models:/{hostile}/1") is None

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        file = tmp_path / "notes.db"
        file.write_text("only notes, and more than a hundred of them " * 100)
        with pytest.raises(InvalidState, match="not a database"):
            opened(f"sqlite:///{file}")
        assert file.read_text().startswith("only notes")

    def test_a_database_that_is_cut_short(self, database: MadeStore) -> None:
        database.file.write_bytes(database.file.read_bytes()[:20_000])
        with pytest.raises(HeadraceError, match=r"mlflow\.db cannot be read"):
            shown(opened(database.uri))

    def test_a_link_among_the_files_of_a_run_is_not_followed(self, database: MadeStore) -> None:
        folder = Path(f"{database.home}/mlruns/1/{_run(database)}/artifacts")
        (folder / "link").symlink_to(database.file)
        files = opened(database.uri).artifacts(str(folder))
        assert files is not None
        with pytest.raises(InvalidRequest):
            files.store.read("link")
