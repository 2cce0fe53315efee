"""What the README promises of a fresh clone: the demo, as a new user runs it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]


def run(folder: Path, *words: str, timeout: float = 600) -> str:
    """What a command prints; fails with it unless it succeeds."""
    outside = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(
        words,
        cwd=folder,
        env=outside,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of the last commit, with nothing set up."""
    if not (ROOT / ".git").exists():
        pytest.skip("this tree is not a git clone")
    folder = tmp_path / "headrace"
    run(tmp_path, "git", "clone", "--quiet", str(ROOT), str(folder))
    return folder


def test_the_demo_sets_itself_up_and_shows_its_runs(clone: Path) -> None:
    printed = run(clone, "make", "demo", "EXIT=1")
    rows = re.findall(r"^([0-9a-f]{32}) ", printed, re.MULTILINE)
    assert len(rows) >= 5, printed
    assert "http://127.0.0.1:" in printed
    # The commands that it proposes work, on the database itself now that the server has stopped.
    command = clone / ".venv" / "bin" / "headrace"
    database = f"sqlite:///{next((clone / 'headrace-demo').glob('*.db'))}"
    found = run(clone, str(command), "runs", "show", rows[0], "--tracking-uri", database)
    assert rows[0] in found
    proposed = re.findall(r'headrace runs search "([^"]+)"', printed)
    assert proposed
    found = run(clone, str(command), "runs", "search", proposed[0], "--tracking-uri", database)
    assert rows[0] in found
    # It leaves nothing in the way of git, and the second time nothing is installed.
    assert run(clone, "git", "status", "--porcelain") == ""
    assert "installing" not in run(clone, "make", "demo", "EXIT=1")
