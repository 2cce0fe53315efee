"""One prediction by a worker of its own. What users see of it is in `tests/cli/test_models.py`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import InvalidRequest, NotFound, NotTrusted
from headrace.serving import once
from headrace.serving.calls import ModelFailed
from headrace.serving.once import predict_once
from headrace.serving.worker.calls import CSV, Call
from headrace.serving.worker_loss import WorkerDied
from tests.serving import babbling_worker, short_lived_worker
from tests.serving.models import answered, asked, save_unruly

PYTHON = Path(sys.executable)
ECHO = Call("invocations", asked(("echo", 2.5)))
_ANSWERS = {"op": "answers", "takes_several": True}


def test_json_and_csv_are_answered_by_a_process_of_its_own(unruly: Path) -> None:
    assert answered(predict_once(unruly, ECHO, PYTHON)) == ["2.5"]
    table = Call("invocations", b"do,value\necho,1.5\nrows,0\n", CSV)
    assert answered(predict_once(unruly, table, PYTHON)) == ["1.5", "2"]


def test_megabytes_go_both_ways(unruly: Path) -> None:
    rows = [("echo", 0.5)] * 200_000 + [("long", 5e6)]
    found = answered(predict_once(unruly, Call("invocations", asked(*rows)), PYTHON))
    assert (len(found), len(found[-1])) == (200_001, 5_000_000)


def test_what_is_wrong_keeps_its_class(
    unruly: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidRequest, match="no JSON"):
        predict_once(unruly, Call("invocations", b"{"), PYTHON)
    with pytest.raises(NotFound, match="nowhere"):
        predict_once(tmp_path / "nowhere", ECHO, PYTHON)
    with pytest.raises(InvalidRequest, match="no-python cannot be run"):
        predict_once(unruly, ECHO, tmp_path / "no-python")
    monkeypatch.setenv("HEADRACE_KEYS", str(tmp_path / "other"))
    with pytest.raises(NotTrusted):
        predict_once(unruly, ECHO, PYTHON)
    assert answered(predict_once(unruly, ECHO, PYTHON, trust=True)) == ["2.5"]


def test_what_the_models_code_raises_has_a_traceback(unruly: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFailed, match="secret of row 7") as caught:
        predict_once(unruly, Call("invocations", asked("raise")), PYTHON)
    assert "unruly_model.py" in str(caught.value.trace)
    with pytest.raises(ModelFailed, match="could not be loaded: SystemExit: 3") as caught:
        predict_once(save_unruly(tmp_path / "m", load="sys_exit"), ECHO, PYTHON)
    assert "unruly_model.py" in str(caught.value.trace)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"op": "failed", "message": 5, "trace": None},
        {**_ANSWERS, "answers": []},
        {**_ANSWERS, "answers": [[2, 7, {}]]},
        {**_ANSWERS, "answers": [[0, None, {"what": "nobody knows"}]]},
    ],
    ids=repr,
)
def test_a_worker_that_babbles_is_no_traceback(
    unruly: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, Any]
) -> None:
    program = (babbling_worker.__file__, json.dumps(said))
    monkeypatch.setattr(once, "_PROGRAM", program)
    with pytest.raises(ModelFailed, match="language"):
        predict_once(unruly, ECHO, PYTHON)


def test_a_worker_that_has_ended_before_it_was_asked(
    unruly: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once, "_PROGRAM", (short_lived_worker.__file__,))
    with pytest.raises(WorkerDied, match="ended over this input: it ended with status 0"):
        predict_once(unruly, ECHO, PYTHON)
