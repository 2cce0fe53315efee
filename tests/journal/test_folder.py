"""Who is alive, who reads, and how far: by locks that end with their process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.journal import folder as layout

HOLDER = """
import sys
from pathlib import Path
from headrace.journal.folder import Lock
assert Lock(Path(sys.argv[1])).take()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lock_ends_with_its_process_even_when_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    words = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        ours = layout.Lock(path)
        assert layout.is_locked(path)
        assert not ours.take()
        holder.kill()
        holder.wait()
        assert not layout.is_locked(path)
        assert ours.take()
        assert ours.take()  # it is ours already
        assert layout.is_locked(path)
        ours.release()
        ours.release()
        assert not layout.is_locked(path)


def test_a_forked_child_that_lets_go_leaves_its_parents_lock(tmp_path: Path) -> None:
    lock = layout.Lock(tmp_path / "lock")
    assert lock.take()
    child = os.fork()
    if not child:
        lock.release()
        os._exit(0)
    os.waitpid(child, 0)
    assert layout.is_locked(tmp_path / "lock")
    lock.release()


def test_no_file_is_no_lock(tmp_path: Path) -> None:
    assert not layout.is_locked(tmp_path / "none")
    assert not layout.is_locked(tmp_path / "none" / "below")
    with pytest.raises(FileNotFoundError):
        layout.Lock(tmp_path / "none" / "lock").take()


def test_a_lock_is_held_while_others_find_its_file(tmp_path: Path) -> None:
    lock = layout.Lock(tmp_path / "lock")
    held = [lock.is_held]
    assert lock.take()
    held.append(lock.is_held)
    lock.path.unlink()
    held.append(lock.is_held)
    other = layout.Lock(lock.path)
    assert other.take()
    held += [lock.is_held, other.is_held]
    other.release()
    lock.release()
    held.append(other.is_held)

    assert held == [False, True, False, False, True, False]


def test_progress_is_shared_and_survives(tmp_path: Path) -> None:
    made = layout.Progress(tmp_path, create=True)
    seen = layout.Progress(tmp_path)
    made.position = 2**40 + 5
    assert seen.position == 2**40 + 5
    made.close()
    seen.close()
    again = layout.Progress(tmp_path)
    assert again.position == 2**40 + 5
    again.close()


def test_progress_that_a_power_cut_emptied_begins_anew(tmp_path: Path) -> None:
    (tmp_path / layout.PROGRESS).touch()
    progress = layout.Progress(tmp_path)
    assert progress.position == 0
    progress.position = 7
    progress.close()
    assert int.from_bytes((tmp_path / layout.PROGRESS).read_bytes(), sys.byteorder) == 7
    with pytest.raises(FileNotFoundError):
        layout.Progress(tmp_path / "none")


def test_the_logs_of_a_journal_are_the_folders_with_progress(tmp_path: Path) -> None:
    for name in ("b", "a", "unfinished"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for name in ("a", "b"):
        (tmp_path / name / layout.PROGRESS).touch()
    assert [path.name for path in layout.writers(tmp_path)] == ["a", "b"]
    assert layout.writers(tmp_path / "none") == []
    assert layout.writers(tmp_path / "file") == []


def test_no_two_writers_have_one_name() -> None:
    names = {layout.new_writer_name() for _ in range(100)}
    assert len(names) == 100
    assert all(str(os.getpid()) in name and "/" not in name for name in names)


def test_a_log_is_removed_with_all_in_it(tmp_path: Path) -> None:
    (tmp_path / "log" / "live" / "run" / "deep").mkdir(parents=True)
    (tmp_path / "log" / "live" / "run" / "deep" / "file").touch()
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    (tmp_path / "log" / "link").symlink_to(kept)
    layout.remove(tmp_path / "log")
    assert not (tmp_path / "log").exists()
    assert (kept / "file").exists()  # what a link points at is not ours
    layout.remove(tmp_path / "log")
