"""Threads and processes that do a part of a fit log nothing; those that start a run do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

START = """
import json, sys
import headrace
from headrace.client.autolog import autolog
if __name__ == "__main__":
    headrace.set_tracking_uri(sys.argv[1])
autolog()
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from joblib import Parallel, delayed, parallel_backend
x = np.arange(40.0).reshape(20, 2)
y = np.arange(20) % 2
"""
END = """
if __name__ == "__main__":
    main()
    found = headrace.search_runs(output_format="list")
    print(json.dumps([run.data.tags.get("estimator_name") or "" for run in found]))
"""
CUSTOM = """
class Mine(ClassifierMixin, BaseEstimator):
    def fit(self, x, y):
        self.classes_ = np.unique(y)
        LogisticRegression().fit(x, y)
        return self
    def predict(self, x):
        return np.zeros(len(x), int)
"""


def estimators(body: str, tmp_path: Path) -> list[str]:
    """The estimators of the runs that a program with this `main` makes, by name."""
    script = tmp_path / "program.py"
    script.write_text(START + body + END)
    done = subprocess.run(
        [sys.executable, str(script), f"sqlite:///{tmp_path}/h.db"],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "did not log" not in done.stderr
    answer: list[str] = json.loads(done.stdout.splitlines()[-1])
    return sorted(answer)


HEAVY = [pytest.param(name, marks=pytest.mark.heavy) for name in ("loky", "multiprocessing")]


@pytest.mark.parametrize("backend", ["threading", *HEAVY])
def test_the_workers_of_a_search_log_nothing(backend: str, tmp_path: Path) -> None:
    body = f"""
{CUSTOM}
def main():
    with parallel_backend({backend!r}, n_jobs=2):
        GridSearchCV(VotingClassifier([("a", LogisticRegression()), ("b", Mine())]),
                     {{"a__C": [1, 2]}}, cv=2).fit(x, y)
"""
    assert estimators(body, tmp_path) == ["GridSearchCV", "VotingClassifier", "VotingClassifier"]


@pytest.mark.parametrize("backend", ["threading", HEAVY[0]])
def test_the_workers_of_an_estimator_of_ones_own_log_nothing(backend: str, tmp_path: Path) -> None:
    body = f"""
{CUSTOM}
class Many(ClassifierMixin, BaseEstimator):
    def fit(self, x, y):
        with parallel_backend({backend!r}, n_jobs=2):
            self.fitted_ = Parallel()(delayed(Mine().fit)(x, y) for _ in range(6))
        return self
    def predict(self, x):
        return self.fitted_[0].predict(x)

def main():
    Many().fit(x, y)
"""
    assert estimators(body, tmp_path) == ["Many"]


@pytest.mark.heavy
def test_processes_log_runs_that_they_start_themselves(tmp_path: Path) -> None:
    body = """
import multiprocessing
def in_a_run():
    with headrace.start_run():
        LogisticRegression().fit(x, y)
def in_no_run():
    LogisticRegression().fit(x, y)
def in_the_parents_run():
    assert headrace.active_run() is not None
    LogisticRegression(C=3).fit(x, y)
def child(context, work):
    process = context.Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == 0
def main():
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        child(context, in_a_run)
        child(context, in_no_run)
    with headrace.start_run():
        child(multiprocessing.get_context("fork"), in_the_parents_run)
"""
    assert estimators(body, tmp_path) == ["", "LogisticRegression", "LogisticRegression"]


@pytest.mark.heavy
def test_a_process_that_switches_it_on_for_itself_logs(tmp_path: Path) -> None:
    body = """
import multiprocessing
def work(uri):
    headrace.set_tracking_uri(uri)
    autolog()
    LogisticRegression().fit(x, y)
def main():
    process = multiprocessing.get_context("spawn").Process(target=work, args=(sys.argv[1],))
    process.start()
    process.join()
    assert process.exitcode == 0
"""
    assert estimators(body, tmp_path) == ["LogisticRegression"]


def test_a_class_of_a_script_is_pickled_without_us(tmp_path: Path) -> None:
    body = f"""
{CUSTOM}
def main():
    import cloudpickle, pickle, pathlib
    pathlib.Path("pickled").write_bytes(cloudpickle.dumps(Mine().fit(x, y)))
"""
    estimators(body, tmp_path)
    pickled = (tmp_path / "pickled").read_bytes()
    assert b"_Observed" not in pickled
    program = (
        "import sys; sys.modules['headrace'] = None\n"
        "import pickle, pathlib\n"
        "mine = pickle.loads(pathlib.Path('pickled').read_bytes())\n"
        "mine.fit([[1.0], [2.0]], [0, 1])\n"
        "print(mine.predict([[1], [2]]).tolist())\n"
    )
    done: Any = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.stdout == "[0, 0]\n", done.stderr
