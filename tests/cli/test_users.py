from __future__ import annotations

from pathlib import Path

import pytest

from headrace.errors import Unauthenticated
from headrace.store.open import open_store
from tests.cli.conftest import Headrace

PASSWORD = "correct horse"


@pytest.fixture
def uri(database_uri: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HEADRACE_BACKEND_STORE_URI", database_uri)
    return database_uri


def test_a_user_comes_and_goes(headrace: Headrace, uri: str) -> None:
    added = headrace("users", "add", "ann", "--password-stdin", input=f"{PASSWORD}\n")
    assert added.code == 0
    assert PASSWORD not in added.out + added.err
    made = headrace(
        "users", "add", "bob", "--role", "read", "--password-stdin", "--json", input=PASSWORD
    )
    assert made.json["role"] == "read"
    again = headrace("users", "add", "ann", "--password-stdin", input=PASSWORD)
    assert again.code == 4

    listed = headrace("users", "list", "--json").json["users"]
    assert [(user["name"], user["role"]) for user in listed] == [("ann", "write"), ("bob", "read")]
    assert "password" not in headrace("users", "list", "--json").out
    assert headrace("users", "set-role", "bob", "admin", "--json").json["role"] == "admin"
    assert "admin" in headrace("users", "list").out
    assert headrace("users", "set-role", "bob", "king").code == 2
    assert headrace("users", "set-role", "eve", "read").code == 3

    changed = headrace("users", "set-password", "bob", "--password-stdin", input="battery staple\n")
    assert changed.code == 0
    store = open_store(uri)
    assert store.users is not None
    assert store.users.authenticate("bob", "battery staple").name == "bob"
    with pytest.raises(Unauthenticated):
        store.users.authenticate("bob", PASSWORD)
    store.close()

    unasked = headrace("users", "remove", "bob")
    assert unasked.code == 2
    assert "--yes" in unasked.err
    assert headrace("users", "remove", "bob", "--yes").code == 0
    last = headrace("users", "remove", "ann", "--yes")
    assert "last user" in last.err
    assert headrace("users", "list", "--json").json == {"users": []}


def test_tokens(headrace: Headrace, uri: str) -> None:
    headrace("users", "add", "ann", "--password-stdin", input=PASSWORD)
    made = headrace("users", "token", "create", "ann", "--note", "laptop")
    secret = made.out.strip()
    assert secret.startswith("hr_")
    assert secret not in made.err
    as_json = headrace("users", "token", "create", "ann", "--json").json
    store = open_store(uri)
    assert store.users is not None
    assert store.users.authenticate_token(secret).name == "ann"

    listed = headrace("users", "token", "list", "ann", "--json")
    assert len(listed.json["tokens"]) == 2
    assert secret not in listed.out
    assert "laptop" in headrace("users", "token", "list").out
    assert headrace("users", "token", "list", "eve").code == 3

    first = next(t["token_id"] for t in listed.json["tokens"] if t["note"] == "laptop")
    assert headrace("users", "token", "revoke", first).code == 0
    assert headrace("users", "token", "revoke", first).code == 3
    with pytest.raises(Unauthenticated):
        store.users.authenticate_token(secret)
    assert store.users.authenticate_token(as_json["secret"]).name == "ann"
    store.close()
    assert headrace("users", "token", "create", "eve").code == 3


@pytest.mark.parametrize(
    ("words", "given", "told"),
    [
        (("ann", "--password-stdin"), "short\n", "5 characters"),
        (("ann", "--password-stdin"), "", "0 characters"),
        (("ann:b", "--password-stdin"), PASSWORD, "name"),
        (("ann",), PASSWORD, "--password-stdin"),
    ],
)
def test_what_is_refused_makes_no_database(
    headrace: Headrace, tmp_path: Path, words: tuple[str, ...], given: str, told: str
) -> None:
    ran = headrace("users", "add", *words, input=given)
    assert ran.code == 2
    assert told in ran.err
    assert list(tmp_path.iterdir()) == []


def test_users_are_not_kept_behind_a_server(headrace: Headrace) -> None:
    ran = headrace("users", "list", "--backend-store-uri", "http://127.0.0.1:1")
    assert ran.code == 2
    assert "--backend-store-uri" in ran.err


def test_an_address_that_holds_no_users_is_named_without_its_password(headrace: Headrace) -> None:
    refused = headrace("users", "list", "--backend-store-uri", "http://ann:secret@db.example")
    assert refused.code == 2
    assert "--backend-store-uri" in refused.err
    assert "secret" not in refused.err
