"""`python -m tests.wire.record URL`: write down the facts about a running, empty MLflow server.

Two files beside this one hold them: `answers.json`, how MLflow answers the requests in `cases`, and
`client_calls.json`, what its client sends in the programs. They are compared with a real MLflow in
`test_same_as_mlflow`, so they need to be written again only when a newer MLflow is taken, or when
cases and programs change.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.wire.asking import all_answers
from tests.wire.client import ROOT, calls_of, run_program, steps_of

ANSWERS = Path(__file__).with_name("answers.json")
CLIENT_CALLS = Path(__file__).with_name("client_calls.json")
RECORDED = ("tracking", "models", "files")
# Steps that go another way where the server can do what MLflow's cannot.
NOT_THE_SAME = {"a_large_file_goes_in_parts_and_comes_in_ranges", "infinity_comes_back_exactly"}


def recorded_steps() -> list[tuple[str, str]]:
    """Program and step of all that `client_calls.json` holds."""
    return [(p, s) for p in RECORDED for s in steps_of(p) if s not in NOT_THE_SAME]


def record(url: str, python: Path) -> None:
    """Ask the MLflow at `url` everything, and write both files."""
    _write(ANSWERS, all_answers(url))
    calls: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for program in RECORDED:
            reports = run_program(python, program, url, Path(folder))
            for name in steps_of(program):
                if name not in NOT_THE_SAME:
                    assert not reports[name]["failure"], reports[name]["failure"]
                    calls[name] = calls_of(reports[name])
    _write(CLIENT_CALLS, calls)


def _write(path: Path, document: dict[str, Any]) -> None:
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in document.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    record(sys.argv[1], ROOT / ".bench" / "mlflow" / "bin" / "python")
