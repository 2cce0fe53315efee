"""Stores that a real MLflow made: made now, or kept as text under `fixtures/`.

    python -m tests.sync.mlflow_stores PYTHON    keeps what the MLflow of this interpreter makes

Environments of older ones: mlflow-skinny==2.22.* with sqlalchemy<2.1, alembic, pandas and
setuptools<81; mlflow-skinny==1.30.* with sqlalchemy<2, protobuf<5 and packaging<22 besides.

A database is kept as SQL, with the tables that are read; the files beside it, and those of an
`mlruns` folder, with MLflow's own answers about them, as JSON. `{HOME}` stands for the folder.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.sync.open import open_source
from headrace.sync.source import Source

FIXTURES = Path(__file__).parent / "fixtures"
PROGRAM = Path(__file__).parent / "mlflow_program.py"
HOME = "{HOME}"
UNREAD = {"spans", "trace_tags", "trace_request_metadata", "webhook_events", "workspaces"}


@dataclass(frozen=True)
class MadeStore:
    """A store in `home`, and what MLflow's client answers about it."""

    home: Path
    uri: str
    answers: dict[str, Any]

    @property
    def file(self) -> Path:
        """The file of a SQLite database."""
        return self.home / "mlflow.db"

    @property
    def folder(self) -> Path:
        """The `mlruns` folder."""
        return self.home / "mlruns"


_opened: list[Source] = []


def opened(uri: str, artifacts: str | None = None) -> Source:
    """A source that `close_all` closes after the test."""
    source = open_source(uri, artifacts)
    _opened.append(source)
    return source


def close_all() -> None:
    """Close what a test has `opened`."""
    while _opened:
        _opened.pop().close()


def make(python: Path, home: Path, uri: str, points: int) -> MadeStore:
    """Let the MLflow of an interpreter make a store in `home`."""
    _run(python, home, "make", uri, str(points))
    return MadeStore(home, uri, json.loads(_run(python, home, "answer", uri)))


def _run(python: Path, home: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(python), str(PROGRAM), *arguments],
        cwd=home,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def kept_database(version: str, home: Path) -> MadeStore:
    """The database of a version of MLflow, restored in `home`."""
    store = _restored(f"database-{version}", home, f"sqlite:///{home}/mlflow.db")
    connection = sqlite3.connect(store.file)
    script = (FIXTURES / f"database-{version}.sql").read_text(encoding="utf-8")
    connection.executescript(script.replace(HOME, str(home)))
    connection.close()
    return store


def kept_folder(version: str, home: Path) -> MadeStore:
    """The `mlruns` folder of a version of MLflow, restored in `home`."""
    return _restored(f"mlruns-{version}", home, str(home / "mlruns"))


def _restored(name: str, home: Path, uri: str) -> MadeStore:
    text = (FIXTURES / f"{name}.json").read_text(encoding="utf-8")
    kept = json.loads(text.replace(HOME, str(home)))
    for path, content in kept["files"].items():
        file = home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8", newline="")
    return MadeStore(home, uri, kept["answers"])


def keep(python: Path) -> None:
    """Write the fixtures of one version of MLflow anew."""
    code = "import mlflow; print('.'.join(mlflow.__version__.split('.')[:2]))"
    version = _run_code(python, code).strip()
    for name, uri in (("database", "sqlite:///mlflow.db"), ("mlruns", "{}/mlruns")):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder).resolve()
            store = make(python, home, uri.format(home), points=5)
            if name == "database":
                text = _dump(store.file).replace(str(home), HOME)
                (FIXTURES / f"database-{version}.sql").write_text(text, encoding="utf-8")
            kept = {"files": _files(home), "answers": store.answers}
            text = json.dumps(kept, indent=0, ensure_ascii=False).replace(str(home), HOME)
            (FIXTURES / f"{name}-{version}.json").write_text(text + "\n", encoding="utf-8")


def _run_code(python: Path, code: str) -> str:
    return subprocess.run(
        [str(python), "-c", code], capture_output=True, text=True, check=True
    ).stdout


def _files(home: Path) -> dict[str, str]:
    found = (path for path in sorted(home.rglob("*")) if path.is_file())
    return {
        path.relative_to(home).as_posix(): path.read_text(encoding="utf-8")
        for path in found
        if path.suffix != ".db" and "model-files" not in path.parts and "traces" not in path.parts
    } | {
        # Of traces only how many there are is read.
        f"{trace.relative_to(home).as_posix()}/trace_info.yaml": "{}\n"
        for trace in sorted(home.glob("mlruns/*/traces/*"))
    }


def _dump(database: Path) -> str:
    """The tables that are read, and those in which something is only counted, as SQL."""
    connection = sqlite3.connect(database)
    full = {
        name
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        if name not in UNREAD and connection.execute(f"SELECT 1 FROM {name}").fetchone()
    }
    for (name,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table'"
    ).fetchall():
        if name not in full:
            connection.execute(f"DROP TABLE {name}")
    lines = list(connection.iterdump())
    connection.close()
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    # Not resolved: the interpreter of an environment is a link, and is known by its own path.
    keep(Path(sys.argv[1]).absolute())
