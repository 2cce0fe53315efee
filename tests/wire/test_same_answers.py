"""How a server answers some two hundred requests: as MLflow does, or as the differences say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.servers import ServerLauncher
from tests.wire.asking import Asker, all_answers
from tests.wire.cases import CASES, Case
from tests.wire.record import ANSWERS
from tests.wire.test_differences import TESTED_ROWS

DIFFERENCES = Path(__file__).resolve().parents[2] / "docs" / "reference" / "differences.md"
RECORDED: dict[str, Any] = json.loads(ANSWERS.read_text())


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def ours(
    request: pytest.FixtureRequest, start_shared_server: ServerLauncher
) -> Iterator[dict[str, Any]]:
    """The answers of a new Headrace, on each kind of database."""
    with ExitStack() as stack:
        uri = None
        if request.param == "postgresql":
            uri = stack.enter_context(request.getfixturevalue("postgres").new_database())
        server = start_shared_server(backend_store_uri=uri)
        yield all_answers(server.url)
        assert "Traceback" not in server.log
        server.stop()


def expected_of(case: Case) -> dict[str, Any]:
    """What Headrace is to answer: what MLflow did, unless that is a difference."""
    if not case.status:
        found: dict[str, Any] = RECORDED[case.name]
        return found
    if case.status < 400:
        return {"status": case.status}
    return {"status": case.status, "error_code": case.error_code}


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_answer_is_as_expected(ours: dict[str, Any], case: Case) -> None:
    expected = expected_of(case)
    answer = dict(ours[case.name])
    shape = answer.pop("answer", None)
    assert answer == {name: value for name, value in expected.items() if name != "answer"}
    if "answer" in expected:
        assert missing(expected["answer"], shape) == []


# Rows of the differences that any answer may show: fields that ours do not have.
ABSENT = {
    "workspace": "workspaces and the gateway",
    "features_enabled": "workspaces and the gateway",
    "outputs": "fields that hold nothing",
    "model_type": "fields that hold nothing",
    "source_run_id": "fields that hold nothing",
}


def test_both_prefixes_answer_alike(start_shared_server: ServerLauncher) -> None:
    asker = Asker(start_shared_server().url)
    for case in CASES:
        if case.method == "GET" and not case.name.startswith("elsewhere"):
            path = case.path.replace("/api/", "/ajax-api/", 1)
            assert asker.ask("GET", path, case.sent) == asker.ask("GET", case.path, case.sent)
    asker.close()


def missing(expected: Any, found: Any, where: str = "") -> list[str]:
    """What of one shape is not in another. There may be more in it: clients ignore that."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return [
            line
            for name, value in expected.items()
            for line in (
                missing(value, found[name], f"{where}.{name}")
                if name in found
                else [f"{where}.{name} is missing"]
            )
            if name in found or name not in ABSENT
        ]
    if isinstance(expected, list) and isinstance(found, list):
        if expected and found:
            return missing(expected[0], found[0], f"{where}[]")
        return [] if expected == found else [f"{where} is {found}, expected {expected}"]
    return [] if expected == found else [f"{where} is {found}, expected {expected}"]


def test_missing_sees_what_is_missing() -> None:
    assert missing({"a": ["text"]}, {"a": ["text"], "b": "text"}) == []
    assert missing({"a": "text"}, {"a": "number"}) == [".a is number, expected text"]
    assert missing({"a": [{"b": "text"}]}, {"a": [{}]}) == [".a[].b is missing"]


def test_every_case_is_recorded_once() -> None:
    assert [case.name for case in CASES] == list(RECORDED)


def test_every_difference_has_its_row_and_every_row_its_test() -> None:
    answers = DIFFERENCES.read_text().split("\n## ")[1]
    lines = [line for line in answers.splitlines() if line.startswith("| ")]
    rows = [line.split("|")[1].strip() for line in lines[1:]]
    tested = {case.differs for case in CASES if case.differs} | set(ABSENT.values())
    assert sorted(rows) == sorted(tested | set(TESTED_ROWS))
    for case in CASES:
        assert bool(case.differs) == bool(case.status), case.name


def test_a_difference_is_one() -> None:
    for case in CASES:
        if case.status:
            recorded = {"status": RECORDED[case.name]["status"]}
            if "error_code" in RECORDED[case.name]:
                recorded["error_code"] = RECORDED[case.name]["error_code"]
            assert expected_of(case) != recorded, case.name


def test_errors_are_never_5xx(ours: dict[str, Any]) -> None:
    assert [name for name, answer in ours.items() if answer["status"] >= 500] == []


@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_mlflow_answers_as_recorded(tmp_path: Path, mlflow_python: Path) -> None:
    from tests.wire.mlflow_server import running_mlflow

    with running_mlflow(tmp_path, mlflow_python) as url:
        found = all_answers(url)
    assert re.sub(r"\s", "", json.dumps(found)) == re.sub(r"\s", "", json.dumps(RECORDED))
