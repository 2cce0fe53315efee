"""The programs on the pages about autologging run, and log what the pages say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.client.autolog.frameworks.logged import Logged

pytestmark = pytest.mark.heavy
PAGES = Path(__file__).parents[4] / "docs" / "how-to"


@pytest.mark.parametrize(
    ("library", "metrics", "artifact"),
    [
        ("xgboost", ["test-logloss", "best_iteration"], "feature_importance_weight.png"),
        ("lightgbm", ["test-binary_logloss", "best_iteration"], "feature_importance_gain.json"),
        ("keras", ["loss", "val_accuracy", "validation_loss"], "model_summary.txt"),
        ("lightning", ["train_loss", "val_loss"], "checkpoints/latest_checkpoint.pth"),
        ("transformers", ["loss", "train_runtime", "eval_loss"], None),
    ],
)
def test_the_program_of_a_page_logs_what_the_page_says(
    library: str,
    metrics: list[str],
    artifact: str | None,
    database: str,
    tmp_path: Path,
    only_run: Callable[[], Logged],
) -> None:
    page = (PAGES / f"autolog-{library}.md").read_text()
    programs = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    # The first trains; one after it shows another way to switch on.
    (tmp_path / "program.py").write_text("\n".join([programs[0], *programs[1:]]))
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")],
        cwd=tmp_path,
        env={**os.environ, "HEADRACE_TRACKING_URI": database, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    run = only_run()
    assert set(metrics) <= set(run.metrics)
    assert artifact is None or artifact in run.artifacts
    assert run.tags["mlflow.autologging"] in (library, "pytorch")
