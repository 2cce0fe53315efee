"""What a fork must not cut in two: the work of a thread that the user knows nothing of.

A program may fork at any moment, to load data for example, while a thread of ours holds a lock, a
pipe or half an import. The child has a copy of all that, and no thread that would ever let go.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

PATIENCE: Final = 2.0
"""Seconds after which a fork goes ahead all the same: a disk may hang."""


class _State:
    def __init__(self) -> None:
        self.lock = threading.RLock()


_state: Final = _State()


@contextmanager
def undivided() -> Iterator[None]:
    """No fork, and no other thread in such a block, comes in between. For what is over at once.

    It is for what a child would be left with: a lock, a descriptor that it never closes, an import
    in a thread of ours (in the child that module is being imported for ever). Nothing in the block
    may wait for a thread that may itself be about to enter one.
    """
    with _state.lock:
        yield


def _before() -> None:
    _state.lock.acquire(timeout=PATIENCE)


def _after_in_parent() -> None:
    with suppress(RuntimeError):  # it was not ours: the fork went ahead
        _state.lock.release()


def _after_in_child() -> None:
    _state.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )
