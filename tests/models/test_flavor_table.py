"""The page of flavors names what there is, and tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

from headrace.models.flavor import FLAVORS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "model-flavors.md"


def rows() -> dict[str, list[str]]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row for row in cells}


def test_every_flavor_has_a_row() -> None:
    assert list(rows()) == FLAVORS.names()


def test_the_tests_that_it_names_are_there_and_load_in_mlflow() -> None:
    for name, row in rows().items():
        (path,) = re.findall(r"`(tests/[^`]+)`", row[-1])
        assert "mlflow" in (ROOT / path).read_text(), name
