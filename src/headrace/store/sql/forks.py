"""Keeps a forked child from hanging up on the database in its parent's name.

A child has copies of its parent's connections. Whoever closes one, the garbage collector or
Python's end included, says goodbye to the server on a socket that both share, and the parent's
connection is gone too, perhaps in the middle of what it reads.
"""

from __future__ import annotations

import os
import weakref
from typing import Any

_connections: weakref.WeakSet[Any] = weakref.WeakSet()


def note(connection: Any) -> None:
    """Remember a driver's connection that is a socket and has `fileno()`."""
    _connections.add(connection)


def _let_go() -> None:
    """Turn the child's copies to nowhere, so that nothing done to them reaches the server."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for connection in list(_connections):
        if not connection.closed:
            os.dup2(nowhere, connection.fileno(), inheritable=False)
    _connections.clear()
    os.close(nowhere)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
