"""Users and tokens on SQL.

Hashes are made before a write is queued and checked outside of any transaction: nobody waits for
scrypt but who asked for it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, func, select

from headrace.errors import AlreadyExists, NotFound, Unauthenticated
from headrace.protocol.names import check_text
from headrace.store.sql import tables as t
from headrace.store.sql.clock import now_ms
from headrace.store.sql.database import Database
from headrace.store.sql.statements import insert_returning_id
from headrace.store.sql.transaction import Transaction
from headrace.store.sql.writer import Writer, write
from headrace.store.users import (
    MAX_NOTE_LENGTH,
    MAX_PASSWORD_LENGTH,
    TOKEN_PREFIX,
    NewToken,
    Role,
    Token,
    User,
    UsersState,
    check_password,
    check_user_name,
    is_user_name,
)

_u, _k, _r = t.users.c, t.user_tokens.c, t.users_revision.c
_REVISION_ROW = 1

_USER = select(_u.id, _u.name, _u.role, _u.created_at, _u.password_hash).where(
    _u.name == bindparam("name")
)
_USERS = select(_u.id, _u.name, _u.role, _u.created_at).order_by(_u.name)
_SET_ROLE = t.users.update().where(_u.name == bindparam("of_user")).values(role=bindparam("role"))
_SET_PASSWORD = (
    t.users.update()
    .where(_u.name == bindparam("of_user"))
    .values(password_hash=bindparam("password_hash"))
)
_DELETE_USER = t.users.delete().where(_u.id == bindparam("of_user"))
_DELETE_TOKENS = t.user_tokens.delete().where(_k.user == bindparam("of_user"))
_DELETE_TOKEN = t.user_tokens.delete().where(_k.token_id == bindparam("of_token"))
_INSERT_TOKEN = t.user_tokens.insert().values(
    {column.name: bindparam(column.name, type_=column.type) for column in t.user_tokens.c}
)
_TOKENS = (
    select(_k.token_id, _u.name, _k.note, _k.created_at)
    .join_from(t.user_tokens, t.users, _k.user == _u.id)
    .order_by(_k.created_at, _k.token_id)
)
_TOKENS_OF = _TOKENS.where(_u.name == bindparam("name"))
_USER_OF_TOKEN = (
    select(_u.id, _u.name, _u.role, _u.created_at)
    .join_from(t.user_tokens, t.users, _k.user == _u.id)
    .where(_k.digest == bindparam("digest"))
)
_COUNT_UP = (
    t.users_revision.update()
    .where(_r.id == bindparam("row"))
    .values(revision=_r.revision + bindparam("by"))
)
_FIRST_REVISION = t.users_revision.insert().values(id=bindparam("id"), revision=bindparam("first"))
_STATE = select(
    select(func.count()).select_from(t.users).scalar_subquery(),
    select(func.max(_r.revision)).scalar_subquery(),
)


class SqlUsers:
    """`UserStore` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def writer(self) -> Writer:
        """Where writes go."""
        return self._database.writer

    def create(self, name: str, password: str, role: Role) -> User:
        """Add a user."""
        check_user_name(name)
        check_password(password)
        user = User(name, role, now_ms())
        self._insert_user((user, hash_password(password)))
        return user

    def list(self) -> Sequence[User]:
        """Everybody, by name."""
        with self._database.reading() as connection:
            return [_user(row) for row in connection.rows(_USERS)]

    def set_password(self, name: str, password: str) -> None:
        """Give a user another password."""
        check_password(password)
        self._update_user((name, {"password_hash": hash_password(password)}))

    def set_role(self, name: str, role: Role) -> User:
        """Give a user another role."""
        return self._update_user((name, {"role": role.value}))

    def delete(self, name: str) -> None:
        """Remove a user with all tokens."""
        self._delete_user(name)

    def create_token(self, name: str, note: str = "") -> NewToken:
        """Make a token that acts as the user."""
        check_text("note", note, MAX_NOTE_LENGTH)
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        token = Token(secrets.token_hex(4), name, note, now_ms())
        self._insert_token((token, _digest(secret)))
        return NewToken(token, secret)

    def list_tokens(self, name: str | None = None) -> Sequence[Token]:
        """The tokens of a user, or of all, by age."""
        with self._database.reading() as connection:
            if name is None:
                return [Token(*row) for row in connection.rows(_TOKENS)]
            if connection.one(_USER, name=name) is None:
                raise _no_such_user(name)
            return [Token(*row) for row in connection.rows(_TOKENS_OF, name=name)]

    def revoke_token(self, token_id: str) -> None:
        """Make a token worthless."""
        self._delete_token(token_id)

    def authenticate(self, name: str, password: str) -> User:
        """The user whose password this is."""
        with self._database.reading() as connection:
            row = connection.one(_USER, name=name) if is_user_name(name) else None
        # For somebody who is not there the same work is done, so that the time tells nothing.
        good = verify_password(password, row[4] if row is not None else _NOBODY)
        if row is None or not good:
            raise Unauthenticated("Wrong user name or password.")
        return _user(row)

    def authenticate_token(self, secret: str) -> User:
        """The user whose token this is."""
        with self._database.reading() as connection:
            row = connection.one(_USER_OF_TOKEN, digest=_digest(secret))
        if row is None:
            raise Unauthenticated("This token is not known; it may have been revoked.")
        return _user(row)

    def state(self) -> UsersState:
        """How many users there are, and what changes when they do."""
        with self._database.reading() as connection:
            count, revision = connection.one(_STATE)
        return UsersState(count, str(revision or 0))

    @write
    def _insert_user(self, transaction: Transaction, new: tuple[User, str]) -> None:
        user, password_hash = new
        if transaction.one(_USER, name=user.name) is not None:
            raise AlreadyExists(f"There is a user {user.name!r} already.")
        transaction.run_returning(
            insert_returning_id(t.users),
            name=user.name,
            role=user.role.value,
            password_hash=password_hash,
            created_at=user.created_at,
        )
        _count_up(transaction)

    @write
    def _update_user(self, transaction: Transaction, change: tuple[str, dict[str, str]]) -> User:
        name, values = change
        if transaction.one(_USER, name=name) is None:
            raise _no_such_user(name)
        statement = _SET_ROLE if "role" in values else _SET_PASSWORD
        transaction.run(statement, of_user=name, **values)
        _count_up(transaction)
        return _user(transaction.one(_USER, name=name))

    @write
    def _delete_user(self, transaction: Transaction, name: str) -> None:
        row = transaction.one(_USER, name=name)
        if row is None:
            raise _no_such_user(name)
        transaction.run(_DELETE_TOKENS, of_user=row[0])
        transaction.run(_DELETE_USER, of_user=row[0])
        _count_up(transaction)

    @write
    def _insert_token(self, transaction: Transaction, new: tuple[Token, str]) -> None:
        token, digest = new
        row = transaction.one(_USER, name=token.user)
        if row is None:
            raise _no_such_user(token.user)
        transaction.run(
            _INSERT_TOKEN,
            token_id=token.token_id,
            user=row[0],
            digest=digest,
            note=token.note,
            created_at=token.created_at,
        )
        _count_up(transaction)

    @write
    def _delete_token(self, transaction: Transaction, token_id: str) -> None:
        if not transaction.run(_DELETE_TOKEN, of_token=token_id):
            raise NotFound(f"There is no token {token_id[:60]!r}; 'headrace users token list'.")
        _count_up(transaction)


# --------------------------------------------------------------------------------- hashes

_N, _R_BLOCK, _P = 2**14, 8, 1
"""scrypt's cost: 16 MiB and some 40 ms."""


def hash_password(password: str) -> str:
    """A salted scrypt hash as text, with the cost it was made at."""
    salt = secrets.token_bytes(16)
    made = _scrypt(password, salt, _N, _R_BLOCK, _P)
    return f"scrypt${_N}${_R_BLOCK}${_P}${_text(salt)}${_text(made)}"


def verify_password(password: str, stored: str) -> bool:
    """Whether `stored` was made from `password`; takes as long whatever the answer."""
    _, n, r, p, salt, made = stored.split("$")
    if len(password) > MAX_PASSWORD_LENGTH:
        password = ""
    found = _scrypt(password, base64.b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(made))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    data = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(data, salt=salt, n=n, r=r, p=p, maxmem=2**27, dklen=32)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


_NOBODY = f"scrypt${_N}${_R_BLOCK}${_P}${_text(bytes(16))}${_text(bytes(32))}"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _user(row: Any) -> User:
    return User(row[1], Role(row[2]), row[3])


def _no_such_user(name: str) -> NotFound:
    return NotFound(f"There is no user {name[:60]!r}.")


def _count_up(transaction: Transaction) -> None:
    if not transaction.run(_COUNT_UP, row=_REVISION_ROW, by=1):
        transaction.run(_FIRST_REVISION, id=_REVISION_ROW, first=1)
