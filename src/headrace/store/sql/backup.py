"""Copies of a database that are of one moment, taken while servers write to it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from headrace.errors import AlreadyExists, NotFound, Unavailable
from headrace.store.sql.check import sqlite_problems
from headrace.store.sql.database import database_url

PAGES = 2048
"""Pages of SQLite (8 MiB) that are copied between two reports."""

Progress = Callable[[int, int], None]
"""Called with what is done and what there is, in any unit; (0, 0) where nobody knows."""


def back_up(uri: str, file: Path, progress: Progress, *, overwrite: bool = False) -> int:
    """Write a copy of the database to `file`, whole or not at all; returns its size in bytes.

    SQLite: a database file, checked before it takes its name. PostgreSQL: an archive of pg_dump,
    to be read by pg_restore. Raises AlreadyExists, NotFound for the database or its folder, and
    Unavailable.
    """
    url = database_url(uri)
    if file.exists() and not overwrite:
        raise AlreadyExists(f"{file} is there already; name another file, or add --overwrite.")
    if not file.parent.is_dir():
        raise NotFound(f"There is no folder {file.parent} to write the backup to.")
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        if url.get_backend_name() == "sqlite":
            _copy_sqlite(Path(url.database or ""), partial, progress)
        else:
            _dump_postgresql(url, partial, progress)
        _sync(partial)
        os.replace(partial, file)
        _sync(file.parent)
    finally:
        for left in (partial, *partial.parent.glob(f"{partial.name}-*")):
            left.unlink(missing_ok=True)
    return file.stat().st_size


def _copy_sqlite(source: Path, target: Path, progress: Progress) -> None:
    if not source.is_file():
        raise NotFound(f"There is no database at {source}.")
    target.touch(mode=0o600)
    try:
        with (
            _sqlite(f"{source.resolve().as_uri()}?mode=rw") as live,
            _sqlite(target.resolve().as_uri()) as copy,
        ):
            # Within one read transaction every step sees the same moment: without it, each commit
            # of a server would make the copy start over, and on a busy one it would never end.
            live.execute("BEGIN")
            live.execute("SELECT count(*) FROM sqlite_master").fetchone()
            live.backup(
                copy,
                pages=PAGES,
                progress=lambda _, left, total: progress(total - left, total),
                sleep=0,
            )
            live.execute("ROLLBACK")
            # One file, without the log that a live database has beside it.
            copy.execute("PRAGMA journal_mode = DELETE")
            problems = list(sqlite_problems(copy.cursor()))
    except sqlite3.Error as error:
        raise Unavailable(f"The database {source} cannot be copied: {error}.") from error
    if problems:
        raise Unavailable(
            f"The copy of {source} is not sound, so it was thrown away: {problems[0]}. "
            "'headrace db check' looks at the database itself."
        )


@contextmanager
def _sqlite(address: str) -> Iterator[sqlite3.Connection]:
    """A connection of the driver's own, closed at the end (its `with` only commits)."""
    connection = sqlite3.connect(address, uri=True, isolation_level=None, timeout=60)
    try:
        yield connection
    finally:
        connection.close()


def _dump_postgresql(url: sa.URL, target: Path, progress: Progress) -> None:
    program = shutil.which("pg_dump")
    if program is None:
        raise Unavailable(
            "A backup of PostgreSQL needs the program pg_dump, of the server's version or newer; "
            "install PostgreSQL's client programs and put them on the PATH."
        )
    progress(0, 0)
    environment = dict(os.environ)
    if url.password is not None:
        # Not among the arguments, which everybody on the machine can read.
        environment["PGPASSWORD"] = str(url.password)
    address = sa.URL.create(
        "postgresql", url.username, None, url.host, url.port, url.database, url.query
    ).render_as_string()
    target.touch(mode=0o600)
    done = subprocess.run(  # noqa: S603 - a program from the PATH, no shell
        [program, "--format=custom", "--no-password", f"--file={target}", f"--dbname={address}"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unavailable(f"pg_dump failed: {done.stderr.strip() or done.returncode}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
