"""The command line in this process, in an empty folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from headrace.cli.main import root


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        assert self.code == 0, self.err
        return json.loads(self.out)


Headrace = Callable[..., Ran]


@pytest.fixture
def headrace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Headrace:
    """`headrace("runs", "list", …)` in an empty working folder; `input` is what it reads."""
    monkeypatch.chdir(tmp_path)
    # The command sets it for its own process, which here goes on.
    monkeypatch.setenv("HEADRACE_HTTP_MAX_RETRIES", "0")

    def run(*words: str, input: str | None = None) -> Ran:  # noqa: A002 - CliRunner's name for it
        result = CliRunner().invoke(root, list(words), input=input, prog_name="headrace")
        expected = result.exception is None or isinstance(result.exception, SystemExit)
        if not expected and result.exception is not None:
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run
