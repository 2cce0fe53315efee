"""A fork in the middle of something: the child is left with nothing that its parent needs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace import forks
from headrace.journal import folder as layout
from tests.fixtures.forks import Child, forked_amid


@contextmanager
def ended(child: Child) -> Iterator[Child]:
    try:
        yield child
    finally:
        child.end()


def test_a_fork_while_somebody_looks_whether_a_lock_is_held(tmp_path: Path) -> None:
    """Or the child would hold it, for as long as it lives, and no sender could run."""
    path = tmp_path / "lock"
    path.touch()
    with ended(forked_amid("fcntl.flock", lambda: layout.is_locked(path))) as child:
        assert child.has_done_its_work()
        ours = layout.Lock(path)
        assert ours.take()
        ours.release()


def test_a_fork_while_a_lock_is_being_taken(tmp_path: Path) -> None:
    lock = layout.Lock(tmp_path / "lock")
    with ended(forked_amid("fcntl.flock", lock.take)) as child:
        assert child.has_done_its_work()
        assert layout.is_locked(lock.path)
        lock.release()
        assert not layout.is_locked(lock.path)


def test_a_child_has_none_of_its_parents_locks(tmp_path: Path) -> None:
    lock = layout.Lock(tmp_path / "lock")
    assert lock.take()
    with ended(Child()) as child:
        assert child.has_done_its_work()
        assert layout.is_locked(lock.path)
        lock.release()
        assert not layout.is_locked(lock.path)


def test_a_child_finds_nothing_undivided_in_its_way() -> None:
    """Even when it was forked all the same, because a thread of its parent's was too slow."""
    inside, goes_on = threading.Event(), threading.Event()

    def be_slow() -> None:
        with forks.undivided():
            inside.set()
            goes_on.wait(60)

    def enter() -> None:
        with forks.undivided():
            pass

    slow = threading.Thread(target=be_slow)
    slow.start()
    assert inside.wait(20)
    with ended(Child(enter)) as child:
        assert child.has_done_its_work()
        goes_on.set()
        slow.join()
        enter()


def test_a_fork_inside_what_is_undivided() -> None:
    """As a signal's handler may do, in the thread that it interrupts."""
    with forks.undivided(), ended(Child(lambda: forks.undivided().__enter__())) as child:
        assert child.has_done_its_work()
    elsewhere = threading.Thread(target=lambda: forks.undivided().__enter__(), daemon=True)
    elsewhere.start()
    elsewhere.join(20)
    assert not elsewhere.is_alive()
