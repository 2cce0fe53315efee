"""Our names and parameters beside those of the real MLflow, read from its own environment.

What is left out is in docs/reference/mlflow-parity.md, and only what is left out: the page is the
list that this test goes by.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import headrace
from tests.architecture.source_tree import report
from tests.parity.listing import FLAVORS, MODULES, Listing, Signature, signature

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "mlflow-parity.md"

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def theirs(mlflow_python: Path) -> Listing:
    done = subprocess.run(
        [str(mlflow_python), str(Path(__file__).with_name("listing.py"))],
        capture_output=True,
        text=True,
        check=True,
        timeout=110,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    found: Listing = json.loads(done.stdout.splitlines()[-1])
    return found


class Modules:
    """Has the modules of headrace as attributes, by their dotted names."""

    def __getattr__(self, name: str) -> Any:
        if find_spec(f"headrace.{name}") is None:
            raise AttributeError(name)
        return None


def ours(group: str) -> Any:
    """The module or class of ours that stands for a group of names of MLflow's."""
    if group == "":
        return headrace
    if group == "MlflowClient":
        return headrace.MlflowClient
    if group == "modules":
        return Modules()
    home, _, last = group.rpartition(".")
    if last[:1].isupper():
        return getattr(importlib.import_module(f"headrace.{home}"), last)
    return importlib.import_module(f"headrace.{group}")


def lacking(group: str, names: dict[str, Signature | None]) -> set[str]:
    owner = ours(group)
    # An attribute of what is made, such as a model's metadata, has the name of what it is given as.
    given = signature(owner) if group.rpartition(".")[2][:1].isupper() else None
    made_with = {name for name, _, _ in given or ()}
    return {name for name in names if not hasattr(owner, name) and name not in made_with}


def differs(found: Signature | None, expected: Signature) -> bool:
    """Whether a call that MLflow takes would mean something else, or nothing, to us."""
    if found is None or is_open(found) < is_open(expected):
        return True
    found = [each for each in found if each[1] != "VAR_KEYWORD"]
    expected = [each for each in expected if each[1] != "VAR_KEYWORD"]
    if len(found) < len(expected):
        return True
    for mine, given in zip(found, expected, strict=False):
        same_default = mine[2] == given[2] or given[2] == "required"
        if mine[:2] != given[:2] or not same_default:
            return True
    # What we add must not be asked for.
    return any(each[2] == "required" for each in found[len(expected) :])


def is_open(parameters: Signature) -> bool:
    """Whether it takes anything by name."""
    return any(each[1] == "VAR_KEYWORD" for each in parameters)


def left_out() -> dict[str, list[str]]:
    """The patterns in the first column of each table of the page, by the heading above it."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("#"):
            heading = line.removeprefix("### ").replace("`", "")
        elif line.startswith("| `") and "adds" not in heading:
            found.setdefault(heading, []).extend(re.findall(r"`([^`]+)`", line.split(" | ")[0]))
    return found


def heading_of(group: str) -> str:
    last = group.rpartition(".")[2]
    if group == "modules":
        return "Modules"
    if last[:1].isupper() and group != "MlflowClient":
        return f"Attributes of {'entities' if group.startswith('entities.') else 'models'}"
    return f"mlflow.{group}".removesuffix(".") if group != "MlflowClient" else group


def test_every_name_is_there_or_listed(theirs: Listing) -> None:
    listed = left_out()
    unexplained: list[str] = []
    used: set[tuple[str, str]] = set()
    for group, names in theirs.items():
        heading = heading_of(group)
        for name in sorted(lacking(group, names)):
            full = f"{group.rpartition('.')[2]}.{name}"
            matching = [
                pattern
                for pattern in listed.get(heading, [])
                if fnmatchcase(name, pattern) or fnmatchcase(full, pattern)
            ]
            used |= {(heading, pattern) for pattern in matching}
            if not matching:
                unexplained.append(f"{heading}: {name} ({full})")
    assert not unexplained, report(unexplained)
    patterns = {(heading, pattern) for heading, found in listed.items() for pattern in found}
    assert patterns == used, f"{patterns - used}: the page lists what is there, or is not MLflow's"


def test_the_parameters_are_the_same(theirs: Listing) -> None:
    wrong = []
    for group, names in theirs.items():
        owner = ours(group)
        for name, expected in names.items():
            if expected is None or not hasattr(owner, name):
                continue
            found = signature(owner if name == "__init__" else getattr(owner, name))
            if differs(found, expected):
                wrong.append(f"{group}.{name}: ours {found}, theirs {expected}")
    assert not wrong, report(wrong)


def test_the_comparison_notices_what_would_break_a_call() -> None:
    expected = [["key", "POSITIONAL_OR_KEYWORD", "required"], ["step", "KEYWORD_ONLY", "None"]]
    assert not differs(expected, expected)
    assert not differs([*expected, ["more", "KEYWORD_ONLY", "None"]], expected)
    assert differs([*expected, ["more", "KEYWORD_ONLY", "required"]], expected)
    assert differs(expected[:1], expected)
    assert differs(expected[::-1], expected)
    assert differs([expected[0], ["step", "KEYWORD_ONLY", "0"]], expected)
    assert differs([["name", *expected[0][1:]], expected[1]], expected)
    assert not differs([["key", "POSITIONAL_OR_KEYWORD", "None"], expected[1]], expected)
    rest = ["more", "VAR_KEYWORD", "required"]
    ours_before = [*expected, ["trust", "KEYWORD_ONLY", "False"], rest]
    assert not differs(ours_before, [*expected, rest])
    assert not differs([*expected, rest], expected)
    assert differs(expected, [*expected, rest])


def test_the_attributes_are_found_without_an_import() -> None:
    for group in (*MODULES, *FLAVORS):
        if "." not in group and group not in ("artifacts", "client"):
            assert getattr(headrace, group) is ours(group)
