"""One program under MLflow and under Headrace: only its imports differ, every result is the same.

Both talk to a server of ours, a fresh one each, so that what differs is the SDK's doing; what
servers answer is compared in tests/wire. What differs on purpose is named here and, for readers,
in docs/reference/differences.md.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.source_tree import report
from tests.fixtures.servers import ServerLauncher

pytestmark = pytest.mark.heavy

HERE = Path(__file__).parent

MISTAKE = "a mistake is a MlflowException with the code of a mistake"
NOBODY = "a run whose user nobody named has none, instead of 'unknown'"
ABSENT = "a text that is not there is None, instead of ''"
INTENDED = {
    "log to deleted": "what only the server can refuse is reported: no logging call waits for it",
    "resume deleted": MISTAKE,
    "log_text outside": MISTAKE,
    "log_text absolute": MISTAKE,
    "start_run elsewhere": "an experiment that is not the run's is a mistake, instead of ignored",
    **dict.fromkeys(
        ("create_run", "updated", "terminated", "batched", "client run of", "to_dictionary"), NOBODY
    ),
    "frame digest": "a digest of all values, instead of a few rows",
    "array digest": "a digest of all values, instead of a few rows",
    **dict.fromkeys(
        (
            *("initialize_logged_model", "finalize_logged_model", "get_logged_model"),
            *("create_external_model", "external"),
        ),
        ABSENT,
    ),
    "rename_registered_model": "gives the model, as MLflow's documentation says, instead of None",
    "register_model": "the version names its logged model",
    "tags that are no texts": "become texts, over HTTP too",
}
"""Steps that differ on purpose, and why; docs/reference/differences.md tells users."""


INTENDED_OF_MODELS = {
    **dict.fromkeys(
        (
            *("ColSpec odd", "Schema mixed", "unwrap", "update odd"),
            *("load from half a URI", "load from an odd scheme", "load from a short id"),
        ),
        MISTAKE,
    ),
    **dict.fromkeys(
        ("requirements", "extra_pip_requirements"), "what is needed is read, not what is imported"
    ),
    **dict.fromkeys(
        ("predict array", "predict list of lists"), "arrays without names go by their place"
    ),
    "no model": "what is no estimator is a mistake, instead of pickled",
    "log_model": "the number of the version is a number over HTTP too",
    "version": "the version names its logged model",
    "download": "without MLflow's file registered_model_meta",
    "nameless": "is called 'model', instead of a random name",
}
"""The same, of models."""


def with_our_imports(text: str) -> str:
    """The program with its imports changed, and nothing else."""
    text = re.sub(r"^import mlflow$", "import headrace as mlflow", text, flags=re.MULTILINE)
    text = re.sub(r"^import mlflow\.", "import headrace.", text, flags=re.MULTILINE)
    return re.sub(r"^from mlflow", "from headrace", text, flags=re.MULTILINE)


def as_it_stands(text: str) -> str:
    return text


def run(
    python: str, name: str, changed: Callable[[str], str], server: str, folder: Path
) -> dict[str, Any]:
    """What each step of a program of this folder gave; `changed` makes its text another."""
    program, results = folder / "program.py", folder / "results.json"
    steps = folder / "tests" / "parity" / "steps.py"
    steps.parent.mkdir(parents=True)
    program.write_text(changed((HERE / f"{name}.py").read_text()))
    steps.write_text(changed((HERE / "steps.py").read_text()))
    done = subprocess.run(
        [python, str(program), str(results)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=folder,
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": server,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
            "GIT_PYTHON_REFRESH": "quiet",
            "HEADRACE_JOURNAL": str(folder / "journal"),
        },
    )
    assert done.returncode == 0, done.stderr
    seen: list[tuple[str, Any]] = json.loads(results.read_text())
    assert len({name for name, _ in seen}) == len(seen), "every step has a name of its own"
    return dict(seen)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "intended"), [("program", INTENDED), ("model_program", INTENDED_OF_MODELS)]
)
def test_the_results_are_the_same(
    name: str,
    intended: dict[str, str],
    mlflow_python: Path,
    start_server: ServerLauncher,
    tmp_path: Path,
) -> None:
    first, second = start_server().url, start_server().url
    theirs = run(str(mlflow_python), name, as_it_stands, first, tmp_path / "theirs")
    ours = run(sys.executable, name, with_our_imports, second, tmp_path / "ours")
    assert list(ours) == list(theirs)
    differing = {
        name: (theirs[name], ours[name])
        for name in theirs
        if ours[name] != theirs[name] and not is_our_kind_of_error(theirs[name], ours[name])
    }
    unexpected = [f"{name}: {differing[name]}" for name in differing if name not in intended]
    assert not unexpected, report(unexpected)
    assert set(differing) == set(intended)


def is_our_kind_of_error(theirs: Any, ours: Any) -> bool:
    """Where MLflow raises whatever Python raised (TypeError and such), we say what was wrong."""
    if not isinstance(theirs, dict) or not isinstance(ours, dict):
        return False
    python_error = str(theirs.get("error", "")).endswith(("Error", "Exception"))
    told = ours.get("error") in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
    return python_error and told
