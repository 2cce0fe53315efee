"""Credentials: who is believed, for how long, and what wrong ones cost."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.errors import PermissionDenied, TooManyRequests, Unauthenticated
from headrace.server import access, auth
from headrace.server.access import Gate
from headrace.server.auth import Authenticator, FailureLimit, parse_authorization
from headrace.store.base import Store
from headrace.store.open import open_store
from headrace.store.users import Role, User, UserStore
from tests.server.live import Live

PASSWORD = "correct horse"


def basic(name: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path}/users.db")
    yield opened
    opened.close()


@pytest.fixture
def users(store: Store) -> UserStore:
    assert store.users is not None
    return store.users


class Counting:
    """A store of users that counts how often it is asked for a password."""

    def __init__(self, users: UserStore) -> None:
        self.users = users
        self.checks = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.users, name)

    def authenticate(self, name: str, password: str) -> User:
        self.checks += 1
        return self.users.authenticate(name, password)


def identify(checker: Authenticator, header: str, client: str = "here") -> User:
    return asyncio.run(checker.identify(header.encode(), client))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Bearer abc", ("", "abc")),
        ("bearer   abc ", ("", "abc")),
        (basic("ann", "pass:word"), ("ann", "pass:word")),
        (basic("", "token"), ("", "token")),
        (basic("änn", "gehéim"), ("änn", "gehéim")),
    ],
)
def test_credentials_are_read(header: str, expected: tuple[str, str]) -> None:
    assert parse_authorization(header.encode()) == expected


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic", "Basic !!!", "Basic YQ==", "Digest x", "Basic /w=="],
)
def test_what_cannot_be_read_is_nobody(header: str) -> None:
    with pytest.raises(Unauthenticated):
        parse_authorization(header.encode())


def test_passwords_and_tokens_are_believed(users: UserStore) -> None:
    users.create("ann", PASSWORD, Role.WRITE)
    secret = users.create_token("ann", "laptop").secret
    checker = Authenticator(users)
    for header in (
        basic("ann", PASSWORD),
        f"Bearer {secret}",
        basic("ann", secret),
        basic("", secret),
        basic("token", secret),
    ):
        assert identify(checker, header).name == "ann"
    for header in (basic("ann", "wrong"), basic("bob", PASSWORD), "Bearer hr_x", basic("ann", "")):
        with pytest.raises(Unauthenticated):
            identify(checker, header)


def test_a_password_that_looks_like_a_token_is_a_password(users: UserStore) -> None:
    users.create("ann", "hr_password", Role.READ)
    assert identify(Authenticator(users), basic("ann", "hr_password")).name == "ann"


def test_a_password_is_checked_once_for_a_while(
    users: UserStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    users.create("ann", PASSWORD, Role.WRITE)
    counting = Counting(users)
    checker = Authenticator(counting)  # type: ignore[arg-type]  # it is one, by __getattr__

    async def crowd() -> None:
        header = basic("ann", PASSWORD).encode()
        await asyncio.gather(*(checker.identify(header, "here") for _ in range(20)))
        await checker.identify(header, "here")

    asyncio.run(crowd())
    assert counting.checks == 1
    checker.forget()
    identify(checker, basic("ann", PASSWORD))
    assert counting.checks == 2
    monkeypatch.setattr(auth, "REMEMBER_SECONDS", -1.0)
    checker.forget()
    identify(checker, basic("ann", PASSWORD))
    identify(checker, basic("ann", PASSWORD))
    assert counting.checks == 4


def test_a_wrong_password_is_never_remembered_as_right(users: UserStore) -> None:
    users.create("ann", PASSWORD, Role.WRITE)
    checker = Authenticator(users)
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            identify(checker, basic("ann", "wrong"))


def test_wrong_passwords_make_a_name_wait_at_that_address(users: UserStore) -> None:
    users.create("ann", PASSWORD, Role.WRITE)
    secret = users.create_token("ann").secret
    checker = Authenticator(users)
    for n in range(auth.FREE_FAILURES):
        with pytest.raises(Unauthenticated):
            identify(checker, basic("ann", f"wrong {n}"))
    with pytest.raises(TooManyRequests) as refused:
        identify(checker, basic("ann", PASSWORD))
    assert refused.value.retry_after == 1
    assert identify(checker, basic("ann", PASSWORD), "elsewhere").name == "ann"
    assert identify(checker, f"Bearer {secret}").name == "ann"


def test_the_wait_doubles_has_a_ceiling_and_ends_with_success() -> None:
    limit = FailureLimit()
    for _ in range(auth.FREE_FAILURES - 1):
        limit.add("ann", "here")
        limit.check("ann", "here")
    waits = []
    for _ in range(10):
        limit.add("ann", "here")
        with pytest.raises(TooManyRequests) as refused:
            limit.check("ann", "here")
        waits.append(refused.value.retry_after)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    limit.clear("ann", "here")
    limit.check("ann", "here")


def test_the_memory_of_failures_is_bounded() -> None:
    limit = FailureLimit()
    for n in range(auth._MAX_REMEMBERED + 500):
        limit.add(f"user{n}", "here")
    assert len(limit._failures) == auth._MAX_REMEMBERED
    limit.add("x" * 50_000, "here")
    assert not [name for name, _ in limit._failures if len(name) > 1000]


# ------------------------------------------------------------------------------- the gate


def test_without_users_the_gate_is_open_only_where_it_may_be(users: UserStore) -> None:
    async def ask(open_without_users: bool) -> None:
        loop = asyncio.get_running_loop()
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as pool:
            gate = Gate(users, pool, open_without_users=open_without_users)
            await gate.admit(Role.ADMIN, None, "here")
            assert gate.open_until > loop.time() - 60
            gate.close()

    asyncio.run(ask(True))
    with pytest.raises(PermissionDenied, match="no users"):
        asyncio.run(ask(False))


def test_a_server_that_lost_its_users_answers_nobody(start_live: Callable[..., Live]) -> None:
    live = start_live(host="0.0.0.0")  # noqa: S104 - its settings; the socket is local
    assert live.get("/experiments/get?experiment_id=0").error()[:2] == (403, "PERMISSION_DENIED")
    assert live.send("GET", "/health").body == b"OK"


def test_changes_to_users_are_noticed(
    start_live: Callable[..., Live], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "FRESH_SECONDS", 0.0)
    live = start_live()
    users = live.store.users
    assert users is not None
    get = "/experiments/get?experiment_id=0"
    assert live.get(get).status == 200

    users.create("ann", PASSWORD, Role.READ)
    refused = live.get(get)
    assert refused.error()[:2] == (401, "UNAUTHENTICATED")
    assert refused.headers["www-authenticate"].startswith("Basic ")
    ann = basic("ann", PASSWORD)
    assert live.get(get, Authorization=ann).status == 200
    assert live.call("/runs/create", {}, Authorization=ann).error()[:2] == (
        403,
        "PERMISSION_DENIED",
    )

    users.set_role("ann", Role.WRITE)
    assert live.call("/runs/create", {}, Authorization=ann).status == 200
    made = users.create_token("ann")
    token = f"Bearer {made.secret}"
    assert live.get(get, Authorization=token).status == 200
    users.revoke_token(made.token.token_id)
    assert live.get(get, Authorization=token).status == 401
    users.set_password("ann", "another one")
    assert live.get(get, Authorization=ann).status == 401
    users.delete("ann")
    assert live.get(get).status == 200


def test_what_is_known_of_users_is_asked_for_again_only_now_and_then(users: UserStore) -> None:
    asked = 0

    class Asking(Counting):
        def state(self) -> object:
            nonlocal asked
            asked += 1
            return self.users.state()

    users.create("ann", PASSWORD, Role.READ)
    header = basic("ann", PASSWORD).encode()

    async def crowd() -> None:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as pool:
            gate = Gate(Asking(users), pool, open_without_users=True)  # type: ignore[arg-type]  # by __getattr__
            began = time.monotonic()
            await asyncio.gather(*(gate.admit(Role.READ, header, "here") for _ in range(50)))
            if time.monotonic() - began < access.FRESH_SECONDS:
                assert asked == 1
            gate.close()

    asyncio.run(crowd())
