"""The `UserStore` interface: who may use a server, and how they prove who they are.

Passwords are kept as salted scrypt hashes and tokens as SHA-256 digests, so neither can be read
back from the database. A token is shown once, when it is made.

Methods are synchronous and may be called from any thread. A change is committed when the method
returns. Errors are those of `Store`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Protocol

from msgspec import Struct

from headrace.errors import InvalidRequest

MIN_PASSWORD_LENGTH: Final = 8
MAX_PASSWORD_LENGTH: Final = 1024
MAX_NOTE_LENGTH: Final = 500
TOKEN_PREFIX: Final = "hr_"  # noqa: S105 - what all tokens share is no secret
"""What every token starts with, so that one that leaked is recognised."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")


class Role(StrEnum):
    """What a user may do; each role includes the ones before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def includes(self, needed: Role) -> bool:
        """Whether this role is enough where `needed` is asked for."""
        return _RANK[self] >= _RANK[needed]


_RANK = {Role.READ: 1, Role.WRITE: 2, Role.ADMIN: 3}


class User(Struct, frozen=True):
    """Somebody who may use the server; `created_at` in milliseconds since 1970."""

    name: str
    role: Role
    created_at: int


class Token(Struct, frozen=True):
    """A token of a user, without its secret."""

    token_id: str
    user: str
    note: str
    created_at: int


class NewToken(Struct, frozen=True):
    """A token with its secret, which cannot be had again."""

    token: Token
    secret: str


class UsersState(Struct, frozen=True):
    """How many users there are, and a text that changes with every change to them."""

    count: int
    revision: str


class UserStore(Protocol):
    """Users and their tokens."""

    def create(self, name: str, password: str, role: Role) -> User:
        """Add a user. AlreadyExists; InvalidRequest for a bad name or too short a password."""
        ...

    def list(self) -> Sequence[User]:
        """Everybody, by name."""
        ...

    def set_password(self, name: str, password: str) -> None:
        """Give a user another password; tokens stay. NotFound; InvalidRequest."""
        ...

    def set_role(self, name: str, role: Role) -> User:
        """Give a user another role. NotFound."""
        ...

    def delete(self, name: str) -> None:
        """Remove a user with all tokens. NotFound."""
        ...

    def create_token(self, name: str, note: str = "") -> NewToken:
        """Make a token that acts as the user. NotFound."""
        ...

    def list_tokens(self, name: str | None = None) -> Sequence[Token]:
        """The tokens of a user, or of all, by age. NotFound for the user."""
        ...

    def revoke_token(self, token_id: str) -> None:
        """Make a token worthless. NotFound."""
        ...

    def authenticate(self, name: str, password: str) -> User:
        """The user whose password this is. Unauthenticated, after the same time for all reasons."""
        ...

    def authenticate_token(self, secret: str) -> User:
        """The user whose token this is. Unauthenticated."""
        ...

    def state(self) -> UsersState:
        """What a server asks every few seconds, so that it notices changes; one short query."""
        ...


def is_user_name(name: str) -> bool:
    """Whether somebody may be called that. A colon would end the name in an HTTP header."""
    return _NAME.fullmatch(name) is not None


def check_user_name(name: str) -> None:
    """Refuse what cannot be a user's name."""
    if not is_user_name(name):
        raise InvalidRequest(
            f"Invalid value {name[:60]!r} for 'name': a user's name has 1 to 100 letters, digits, "
            "'.', '_', '@', '+' or '-', and starts with a letter or digit."
        )


def check_password(password: str) -> None:
    """Refuse a password that is too short to be one, or absurdly long."""
    if not MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH:
        raise InvalidRequest(
            f"The password has {len(password)} characters; expected {MIN_PASSWORD_LENGTH} to "
            f"{MAX_PASSWORD_LENGTH}."
        )


def as_role(text: str) -> Role:
    """The role of this name. Raises InvalidRequest."""
    try:
        return Role(text.lower())
    except ValueError:
        names = ", ".join(role.value for role in Role)
        raise InvalidRequest(f"Invalid role {text[:60]!r}: expected one of {names}.") from None
