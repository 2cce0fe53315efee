"""The pages about the Python API: complete, and their programs run as they stand."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import headrace
from docs.reference.python_api import python_page
from headrace.client.client import Client

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "python-api.md"
TUTORIAL = ROOT / "docs" / "tutorials" / "first-run.md"


def test_the_reference_is_made_from_the_program() -> None:
    assert PAGE.read_text() == python_page(), "make docs writes it anew"


def test_every_public_name_has_its_entry() -> None:
    page = PAGE.read_text()
    names = {name for name in headrace.__all__ if inspect.isfunction(getattr(headrace, name))}
    assert len(names) > 60
    lacking = {name for name in names if f"### `headrace.{name}(" not in page}
    lacking |= {
        name
        for name in dir(Client)
        if not name.startswith("_")
        and callable(getattr(Client, name))
        and f"### `Client.{name}(" not in page
    }
    assert not lacking


def test_the_tutorial_runs_as_it_stands(own_folder: Path) -> None:
    programs = re.findall(r"^```python\n(.*?)^```", TUTORIAL.read_text(), re.MULTILINE | re.DOTALL)
    assert len(programs) >= 3
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(programs)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        cwd=own_folder,
    )
    assert done.returncode == 0, done.stderr
    printed = re.findall(r"^```text\n(.*?)^```", TUTORIAL.read_text(), re.MULTILINE | re.DOTALL)
    assert done.stdout == "".join(printed)
