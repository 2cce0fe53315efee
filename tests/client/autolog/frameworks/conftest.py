"""Tests with the real libraries, in the environment that make frameworks-env makes.

Elsewhere they are not collected: make test-all runs them there, where none of them can be missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import pytest

import headrace
from headrace.client.autolog import autolog
from tests.client.autolog.frameworks.logged import Logged, logged_runs

LIBRARIES = ("keras", "lightgbm", "lightning", "transformers", "xgboost")
collect_ignore_glob = [] if all(find_spec(name) for name in LIBRARIES) else ["test_*.py"]


@pytest.fixture(autouse=True)
def strict(own_folder: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What fails in autologging fails the test, and none is left on after it."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    os.environ["HEADRACE_AUTOLOGGING_TESTING"] = "true"
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    yield
    autolog(disable=True)


@pytest.fixture
def runs(database: str) -> Callable[[], list[Logged]]:
    """What all runs of the test have logged, the first one first."""
    return lambda: logged_runs(headrace.MlflowClient())


@pytest.fixture
def only_run(runs: Callable[[], list[Logged]]) -> Callable[[], Logged]:
    """What the only run of the test has logged."""

    def find() -> Logged:
        (found,) = runs()
        return found

    return find
