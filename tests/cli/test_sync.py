"""`headrace sync` as a person and a script see it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from headrace.protocol.wire import Param
from headrace.testing.store_builders import new_experiment, new_run
from tests.cli.conftest import Headrace
from tests.sync.content import fill, log, open_database, sync_uri


@pytest.fixture
def source(tmp_path: Path) -> str:
    uri = sync_uri(tmp_path, "laptop")
    with closing(open_database(uri)) as store:
        fill(store, uri)
    return uri


def test_it_shows_what_it_did(headrace: Headrace, source: str) -> None:
    ran = headrace("sync", source, "sqlite:///copy.db")
    assert (ran.code, ran.err) == (0, "")
    rows = {line.rsplit(None, 4)[0]: line.split()[-4:] for line in ran.out.splitlines()[1:-1]}
    assert rows["runs"] == ["5", "0", "0", "0"]
    assert rows["model versions"] == ["5", "0", "0", "0"]
    assert ran.out.splitlines()[-1] == "2,512 points of metrics, 3 files (2.2 MiB)"


def test_a_script_reads_one_document(headrace: Headrace, source: str) -> None:
    found = headrace("sync", source, "sqlite:///copy.db", "--json").json
    assert found["runs"] == {"new": 5, "updated": 0, "unchanged": 0, "incomplete": 0}
    assert (found["points"], found["files"], found["problems"]) == (2512, 3, [])
    assert headrace("sync", source, "sqlite:///copy.db", "--json").json["points"] == 0


def test_plain_folders_stand_for_the_databases_in_them(
    headrace: Headrace, source: str, tmp_path: Path
) -> None:
    (tmp_path / "copy").mkdir()
    assert headrace("sync", "laptop", "copy").code == 0
    assert (tmp_path / "copy" / "headrace.db").exists()
    assert (tmp_path / "copy" / "headrace-artifacts").is_dir()


def test_a_dry_run_says_that_nothing_was_written(
    headrace: Headrace, source: str, tmp_path: Path
) -> None:
    ran = headrace("sync", source, "sqlite:///copy.db", "--dry-run")
    assert ran.code == 0
    assert "Nothing was written" in ran.err
    assert not (tmp_path / "copy.db").exists()


def test_what_was_refused_is_named_and_ends_with_1(headrace: Headrace, tmp_path: Path) -> None:
    for place, value in (("laptop", "1"), ("copy", "2")):
        uri = sync_uri(tmp_path, place)
        with closing(open_database(uri)) as store:
            number = new_experiment(store, name="e")
            new_run(store, number, run_id="shared", run_name="s\x1b[31m")
            log(store, "shared", params=[Param("lr", value)])
    ran = headrace("sync", "laptop", "copy")
    assert ran.code == 1
    assert "Not copied: the parameter 'lr' of the run 's\\x1b[31m' (shared)" in ran.err


def test_choices(headrace: Headrace, source: str) -> None:
    to = "sqlite:///copy.db"
    found = headrace("sync", source, to, "--experiment", "second", "--json").json
    assert found["runs"]["new"] == 1
    words = ("--experiment", "first", "--experiment", "second", "--no-artifacts", "--json")
    found = headrace("sync", source, to, *words).json
    assert (found["runs"]["new"], found["runs"]["unchanged"], found["files"]) == (3, 1, 0)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("nothing.db", "copy"), 2, "nothing to copy from"),
        (("sqlite:///nothing.db", "copy"), 3, "no database"),
        (("laptop", "laptop"), 2, "the same"),
        (("laptop", "sqlite:///copy.db", "--experiment", "x"), 3, "'x'"),
        (("laptop", "http://127.0.0.1:9"), 1, "server"),
        (("laptop", "ftp://u:secret@h"), 2, "ftp"),
    ],
)
def test_how_it_fails(
    headrace: Headrace, source: str, words: tuple[str, ...], code: int, said: str
) -> None:
    ran = headrace("sync", *words)
    assert (ran.code, said in ran.err) == (code, True), ran.err
    assert "secret" not in ran.err
