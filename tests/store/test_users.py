"""Users and tokens, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from headrace.errors import AlreadyExists, InvalidRequest, NotFound, Unauthenticated
from headrace.store.base import Store
from headrace.store.open import open_store
from headrace.store.sql.users import hash_password, verify_password
from headrace.store.users import Role, UserStore, as_role

PASSWORD = "correct horse"


@pytest.fixture
def store(database_uri: str) -> Iterator[Store]:
    opened = open_store(database_uri)
    yield opened
    opened.close()


@pytest.fixture
def users(store: Store) -> UserStore:
    assert store.users is not None
    return store.users


def test_a_user_is_made_listed_changed_and_removed(users: UserStore) -> None:
    assert users.list() == []
    made = users.create("ann", PASSWORD, Role.READ)
    assert (made.name, made.role) == ("ann", Role.READ)
    users.create("Ann", PASSWORD, Role.ADMIN)
    assert users.list() == [users.authenticate("Ann", PASSWORD), made]
    assert users.set_role("ann", Role.WRITE).role is Role.WRITE
    assert users.authenticate("ann", PASSWORD).role is Role.WRITE
    users.delete("ann")
    assert [user.name for user in users.list()] == ["Ann"]


def test_another_password_replaces_the_first(users: UserStore) -> None:
    users.create("ann", PASSWORD, Role.READ)
    users.set_password("ann", "battery staple")
    assert users.authenticate("ann", "battery staple").name == "ann"
    with pytest.raises(Unauthenticated):
        users.authenticate("ann", PASSWORD)


def test_wrong_names_and_passwords_are_nobody(users: UserStore) -> None:
    users.create("ann", PASSWORD, Role.READ)
    for name in ("", "bob", "ANN", "ann ", "ann\x00", "' OR 1=1 --", "\ud800"):
        with pytest.raises(Unauthenticated, match="Wrong user name or password"):
            users.authenticate(name, PASSWORD)
    for password in ("", "correct hors", PASSWORD + " ", "x" * 10_000, "\ud800"):
        with pytest.raises(Unauthenticated, match="Wrong user name or password"):
            users.authenticate("ann", password)
    assert users.authenticate("ann", PASSWORD).name == "ann"


def test_bad_names_and_passwords_are_refused(users: UserStore) -> None:
    for name in ("", " ", "a b", "a:b", "-a", "a\n", "a/b", "x" * 101, "ä", "\x00", "a\x00"):
        with pytest.raises(InvalidRequest, match="'name'"):
            users.create(name, PASSWORD, Role.READ)
    users.create("ann", PASSWORD, Role.READ)
    for password in ("", "7 chars", "x" * 1025):
        with pytest.raises(InvalidRequest, match="password has"):
            users.create("bob", password, Role.READ)
        with pytest.raises(InvalidRequest, match="password has"):
            users.set_password("ann", password)
    assert [user.name for user in users.list()] == ["ann"]


def test_a_name_is_taken_once(users: UserStore) -> None:
    users.create("ann", PASSWORD, Role.READ)
    with pytest.raises(AlreadyExists, match="'ann'"):
        users.create("ann", "another one", Role.ADMIN)
    assert users.authenticate("ann", PASSWORD).role is Role.READ


def test_who_is_not_there_cannot_be_changed(users: UserStore) -> None:
    for attempt in (
        lambda: users.set_password("bob", PASSWORD),
        lambda: users.set_role("bob", Role.READ),
        lambda: users.delete("bob"),
        lambda: users.create_token("bob"),
        lambda: users.list_tokens("bob"),
        lambda: users.revoke_token("nothing"),
    ):
        with pytest.raises(NotFound):
            attempt()


def test_a_token_acts_as_its_user_until_it_is_revoked(users: UserStore) -> None:
    users.create("ann", PASSWORD, Role.READ)
    one, other = users.create_token("ann", "laptop"), users.create_token("ann", "ci")
    assert one.secret != other.secret
    assert one.secret.startswith("hr_")
    assert len(one.secret) >= 40
    assert users.authenticate_token(one.secret).name == "ann"
    # Made in the same millisecond, perhaps: then either may be listed first.
    assert {token.note for token in users.list_tokens("ann")} == {"laptop", "ci"}
    assert set(users.list_tokens()) == {one.token, other.token}
    users.revoke_token(one.token.token_id)
    with pytest.raises(Unauthenticated):
        users.authenticate_token(one.secret)
    assert users.authenticate_token(other.secret).name == "ann"
    users.delete("ann")
    with pytest.raises(Unauthenticated):
        users.authenticate_token(other.secret)
    assert users.list_tokens() == []


def test_a_user_made_again_does_not_get_the_old_tokens(users: UserStore) -> None:
    users.create("ann", PASSWORD, Role.ADMIN)
    secret = users.create_token("ann").secret
    users.delete("ann")
    users.create("ann", PASSWORD, Role.ADMIN)
    with pytest.raises(Unauthenticated):
        users.authenticate_token(secret)


def test_the_database_holds_no_secret(store: Store, users: UserStore, database_uri: str) -> None:
    users.create("ann", PASSWORD, Role.READ)
    secret = users.create_token("ann", "note").secret
    url = database_uri.replace("postgresql://", "postgresql+psycopg://")
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        rows = [
            *connection.execute(sa.text("SELECT * FROM users")),
            *connection.execute(sa.text("SELECT * FROM user_tokens")),
        ]
    engine.dispose()
    text = repr(rows)
    assert len(rows) == 2
    assert PASSWORD not in text
    assert secret not in text
    assert secret.removeprefix("hr_") not in text


def test_every_change_changes_the_state(users: UserStore) -> None:
    seen = [users.state()]
    assert seen[0].count == 0

    def note(count: int) -> None:
        state = users.state()
        assert state.count == count
        assert state.revision not in {earlier.revision for earlier in seen}
        seen.append(state)

    users.create("ann", PASSWORD, Role.READ)
    note(1)
    assert users.state() == seen[-1]
    users.set_role("ann", Role.WRITE)
    note(1)
    users.set_password("ann", "battery staple")
    note(1)
    token = users.create_token("ann").token
    note(1)
    users.revoke_token(token.token_id)
    note(1)
    users.delete("ann")
    note(0)


def test_two_who_make_the_same_user_make_one(users: UserStore, database_uri: str) -> None:
    outcomes: list[str] = []

    def create() -> None:
        own = open_store(database_uri)
        assert own.users is not None
        try:
            own.users.create("ann", PASSWORD, Role.READ)
            outcomes.append("made")
        except AlreadyExists:
            outcomes.append("taken")
        finally:
            own.close()

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["made", "taken", "taken", "taken"]


def test_equal_passwords_have_different_hashes_that_say_how_they_were_made() -> None:
    one, other = hash_password(PASSWORD), hash_password(PASSWORD)
    assert one != other
    assert one.startswith("scrypt$16384$8$1$")
    assert verify_password(PASSWORD, one)
    assert verify_password(PASSWORD, other)
    assert not verify_password(PASSWORD, one.replace("$8$", "$4$"))


def test_roles_are_ordered_and_named() -> None:
    order = [Role.READ, Role.WRITE, Role.ADMIN]
    for n, role in enumerate(order):
        assert [role.includes(other) for other in order] == [m <= n for m in range(3)]
    assert as_role("Admin") is Role.ADMIN
    with pytest.raises(InvalidRequest, match="read, write, admin"):
        as_role("owner")
