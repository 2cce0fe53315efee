"""Who may do what: the gate that the dispatcher asks once for every request.

Roles, each with all that stands before it:

    read    look at everything: GET, HEAD and the searches
    write   make and change: log, create, rename, tag, upload, delete what can be restored
    admin   delete for good: registered models, model versions, artifacts

Without users everybody may do everything, which is why a server without users only binds to
this machine (`run` sees to it). With users, what changes about them is noticed within
`FRESH_SECONDS`, on every worker and server of the database.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor
from typing import Final

from headrace.artifacts.signing import SIGNED_PREFIX
from headrace.errors import HeadraceError, PermissionDenied, Unauthenticated, Unavailable
from headrace.http.guard import OPEN_PATHS
from headrace.server.auth import Authenticator
from headrace.store.users import Role, UsersState, UserStore

FRESH_SECONDS: Final = 2.0
"""How long what is known about users is taken to be true."""


def needed_role(method: str, path: str) -> Role | None:
    """The role for a path outside the protocol's table; None where no credentials are needed.

    A URL under the signed prefix is its own credential, and its route verifies it.
    """
    if path in OPEN_PATHS or path.startswith(f"{SIGNED_PREFIX}/"):
        return None
    if method in ("GET", "HEAD"):
        return Role.READ
    return Role.ADMIN if method == "DELETE" else Role.WRITE


class Gate:
    """Lets requests in, or raises. Belongs to one event loop."""

    def __init__(self, users: UserStore, pool: Executor, *, open_without_users: bool) -> None:
        self.open_until = 0.0
        """Until this time (monotonic seconds) nobody needs to ask: there are no users."""
        self._users = users
        self._pool = pool
        self._open_without_users = open_without_users
        self._authenticator = Authenticator(users)
        self._state: UsersState | None = None
        self._fresh_until = 0.0
        self._refreshing: asyncio.Task[UsersState] | None = None

    async def admit(self, needed: Role | None, authorization: bytes | None, client: str) -> None:
        """Return if the caller may. Raises Unauthenticated, PermissionDenied, TooManyRequests.

        Raises Unavailable when the database cannot say who its users are: in doubt, nobody.
        """
        if needed is None:
            return
        state = self._state
        if state is None or time.monotonic() >= self._fresh_until:
            state = await self._refresh()
        if not state.count:
            if self._open_without_users:
                return
            raise PermissionDenied(
                "This server can be reached from other machines and has no users (any more), so "
                "it answers nobody. Add one with: headrace users add NAME"
            )
        if authorization is None:
            raise Unauthenticated(
                "This server has users: send a token (MLFLOW_TRACKING_TOKEN) or a name and "
                "password (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD)."
            )
        user = await self._authenticator.identify(authorization, client)
        if not user.role.includes(needed):
            raise PermissionDenied(
                f"The user {user.name!r} has the role '{user.role.value}'; this needs the role "
                f"'{needed.value}'."
            )

    def admits_at_once(self, needed: Role, authorization: bytes | None) -> bool:
        """Whether the caller may, as far as is known already; if not, `admit` finds out."""
        now = time.monotonic()
        if now < self.open_until:
            return True
        if authorization is None or now >= self._fresh_until:
            return False
        user = self._authenticator.remembered(authorization)
        return user is not None and user.role.includes(needed)

    def close(self) -> None:
        """Let go of the threads."""
        self._authenticator.close()

    async def _refresh(self) -> UsersState:
        if self._refreshing is None:
            self._refreshing = asyncio.get_running_loop().create_task(self._look())
            self._refreshing.add_done_callback(self._looked)
        return await asyncio.shield(self._refreshing)

    async def _look(self) -> UsersState:
        asked_at = time.monotonic()
        loop = asyncio.get_running_loop()
        try:
            state = await loop.run_in_executor(self._pool, self._users.state)
        except HeadraceError as error:
            raise Unavailable(f"It cannot be seen who may do this now: {error.message}") from error
        if self._state is None or state.revision != self._state.revision:
            self._authenticator.forget()
        self._state = state
        self._fresh_until = asked_at + FRESH_SECONDS
        if not state.count and self._open_without_users:
            self.open_until = self._fresh_until
        return state

    def _looked(self, task: asyncio.Task[UsersState]) -> None:
        self._refreshing = None
        if not task.cancelled():
            task.exception()  # taken note of: it was raised where the task was awaited
