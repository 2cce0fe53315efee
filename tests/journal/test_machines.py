"""A folder of journals that several machines share."""

from __future__ import annotations

import os
import time
from pathlib import Path

from headrace.journal import folder as layout
from headrace.journal.writer import JournalWriter


def make_log(journal: Path) -> Path:
    writer = JournalWriter([journal], lambda name: str(name).encode())
    writer.append(b"x")
    writer.close()
    (log,) = layout.writers(journal)
    return log


def age(log: Path, seconds: float) -> None:
    then = time.time() - seconds
    for path in log.iterdir():
        os.utime(path, (then, then))


def test_our_own_logs_are_read_at_once(tmp_path: Path) -> None:
    assert layout.may_be_read_here(make_log(tmp_path))


def test_logs_of_another_machine_are_read_when_nobody_touches_them(tmp_path: Path) -> None:
    own = make_log(tmp_path)
    other = own.rename(tmp_path / "elsewhere-1-00000000")
    assert not layout.may_be_read_here(other)
    age(other, layout.FOREIGN_SECONDS - 30)
    assert not layout.may_be_read_here(other)
    age(other, layout.FOREIGN_SECONDS + 30)
    assert layout.may_be_read_here(other)


def test_a_log_that_vanishes_is_nobodys(tmp_path: Path) -> None:
    assert not layout.may_be_read_here(tmp_path / "elsewhere-1-00000000")
