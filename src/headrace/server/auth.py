"""Who is calling? Bearer and Basic credentials to a user.

What was verified is remembered for a few minutes under a keyed hash of the header, because a
password costs tens of milliseconds to check, on purpose. `forget` drops all of it; the gate in
`access` calls it when anything about users has changed.

Wrong passwords cost the caller: after a few, a user name is refused from that address for a time
that doubles. Tokens have 256 bits and need no such limit, and are not bound by it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from headrace.errors import TooManyRequests, Unauthenticated
from headrace.store.users import TOKEN_PREFIX, User, UserStore, is_user_name

REMEMBER_SECONDS: Final = 300.0
FREE_FAILURES: Final = 5
LONGEST_WAIT: Final = 60
_MAX_REMEMBERED: Final = 10_000
_MAX_WAITING: Final = 64


class Credentials(NamedTuple):
    """What an Authorization header says: a name with a password, or a token without a name."""

    name: str
    secret: str


def parse_authorization(header: bytes) -> Credentials:
    """The credentials in an Authorization header. Raises Unauthenticated."""
    scheme, _, value = header.decode("latin-1").strip().partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer" and value:
        return Credentials("", value)
    if scheme.lower() == "basic" and value:
        try:
            text = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            text = ""
        name, colon, secret = text.partition(":")
        if colon:
            return Credentials(name, secret)
    raise Unauthenticated(
        "The header 'Authorization' cannot be read; expected 'Bearer TOKEN' or 'Basic …' with "
        "a user's name and password."
    )


class Authenticator:
    """Turns credentials into users, off the event loop. Belongs to one loop."""

    def __init__(self, users: UserStore) -> None:
        self._users = users
        self._key = secrets.token_bytes(32)
        self._known: dict[bytes, tuple[User, float]] = {}
        self._checking: dict[bytes, asyncio.Task[User]] = {}
        self._failures = FailureLimit()
        # Two at a time: each check of a password takes 16 MiB and a core for a moment.
        self._pool = ThreadPoolExecutor(2, "headrace-auth")
        self._generation = 0

    async def identify(self, header: bytes, client: str) -> User:
        """The user behind an Authorization header that came from the address `client`.

        Raises Unauthenticated; TooManyRequests after too many wrong passwords.
        """
        known = self.remembered(header)
        if known is not None:
            return known
        key = self._key_of(header)
        checking = self._checking.get(key)
        if checking is None:
            if len(self._checking) >= _MAX_WAITING:
                raise TooManyRequests("Too many logins at once; try again in a moment.", 1)
            checking = asyncio.get_running_loop().create_task(self._check(key, header, client))
            self._checking[key] = checking
            checking.add_done_callback(lambda _: self._checking.pop(key, None))
        # Shielded: other requests with the same header wait for the same check.
        return await asyncio.shield(checking)

    def remembered(self, header: bytes) -> User | None:
        """The user behind an Authorization header that was verified a short while ago."""
        known = self._known.get(self._key_of(header))
        return known[0] if known is not None and known[1] > time.monotonic() else None

    def _key_of(self, header: bytes) -> bytes:
        return hashlib.blake2b(header, key=self._key, digest_size=32).digest()

    def forget(self) -> None:
        """Verify everybody anew from now on."""
        self._known.clear()
        self._generation += 1

    def close(self) -> None:
        """Let go of the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _check(self, key: bytes, header: bytes, client: str) -> User:
        credentials = parse_authorization(header)
        generation = self._generation
        user = await self._verify(credentials, client)
        if generation == self._generation:
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            self._known[key] = (user, time.monotonic() + REMEMBER_SECONDS)
        return user

    async def _verify(self, credentials: Credentials, client: str) -> User:
        loop = asyncio.get_running_loop()
        name, secret = credentials
        if not name or secret.startswith(TOKEN_PREFIX):
            try:
                return await loop.run_in_executor(
                    self._pool, self._users.authenticate_token, secret
                )
            except Unauthenticated:
                if not name:
                    raise
        self._failures.check(name, client)
        try:
            user = await loop.run_in_executor(self._pool, self._users.authenticate, name, secret)
        except Unauthenticated:
            self._failures.add(name, client)
            raise
        self._failures.clear(name, client)
        return user


class FailureLimit:
    """Counts wrong passwords per user name and address, and makes them wait."""

    def __init__(self) -> None:
        self._failures: dict[tuple[str, str], tuple[int, float]] = {}

    def check(self, name: str, client: str) -> None:
        """Raise TooManyRequests while this name has to wait."""
        count, until = self._failures.get((name, client), (0, 0.0))
        wait = until - time.monotonic()
        if wait > 0:
            raise TooManyRequests(
                f"{count} wrong passwords in a row for this user; try again in {wait:.0f} s.",
                max(1, round(wait)),
            )

    def add(self, name: str, client: str) -> None:
        """Note a wrong password."""
        if not is_user_name(name):  # nobody is called that, and it may be long
            return
        count = self._failures.pop((name, client), (0, 0.0))[0] + 1
        wait = min(LONGEST_WAIT, 2.0 ** (count - FREE_FAILURES)) if count >= FREE_FAILURES else 0.0
        if len(self._failures) >= _MAX_REMEMBERED:
            self._failures.pop(next(iter(self._failures)))
        self._failures[name, client] = (count, time.monotonic() + wait)

    def clear(self, name: str, client: str) -> None:
        """Forget the wrong ones after a right one."""
        self._failures.pop((name, client), None)
