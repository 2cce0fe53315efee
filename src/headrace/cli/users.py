"""`headrace users`: who may use a server, and the tokens that act for them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from headrace.cli import output
from headrace.cli.command import Group
from headrace.cli.options import backend_store_uri_option, confirm, json_option

if TYPE_CHECKING:
    from headrace.store.users import UserStore

ROLES = ("read", "write", "admin")

role_option = click.option(
    "--role",
    type=click.Choice(ROLES),
    default="write",
    show_default=True,
    help="read sees everything, write also tracks, admin also deletes for good.",
)
password_stdin_option = click.option(
    "--password-stdin",
    is_flag=True,
    help="Read the password from standard input (its first line) instead of asking for it.",
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group(cls=Group)
def users() -> None:
    """Say who may use a server: users and tokens.

    As soon as there is a user, the server asks every caller who it is; without users it serves
    only this machine. Commands here work on the server's database, also while it runs. Passwords
    are asked for, or read from standard input: as an argument everybody on the machine could
    read them.
    """


@users.command(
    examples=[
        "headrace users add ann --role admin",
        "headrace users add ci --role write --password-stdin < password.txt",
    ]
)
@click.argument("name")
@role_option
@password_stdin_option
@backend_store_uri_option
@json_option
def add(name: str, role: str, password_stdin: bool, backend_store_uri: str, as_json: bool) -> None:
    """Add a user."""
    from headrace.store.users import as_role, check_password, check_user_name

    check_user_name(name)
    password = _password(name, password_stdin)
    check_password(password)
    with _user_store(backend_store_uri) as store:
        user = store.create(name, password, as_role(role))
    if as_json:
        output.emit_json(user)
        return
    output.note(f"Added {user.name} with the role {user.role.value}.")
    output.note(f"For a token: headrace users token create {user.name}")


@users.command(name="list", examples=["headrace users list", "headrace users list --json"])
@backend_store_uri_option
@json_option
def list_(backend_store_uri: str, as_json: bool) -> None:
    """List the users and their roles."""
    with _user_store(backend_store_uri) as store:
        found = store.list()
    if as_json:
        output.emit_json({"users": list(found)})
        return
    output.table(
        ("NAME", "ROLE", "SINCE"),
        ((user.name, user.role, output.clock(user.created_at)) for user in found),
    )


@users.command(examples=["headrace users set-role ann admin"])
@click.argument("name")
@click.argument("role", type=click.Choice(ROLES))
@backend_store_uri_option
@json_option
def set_role(name: str, role: str, backend_store_uri: str, as_json: bool) -> None:
    """Give a user another role."""
    from headrace.store.users import as_role

    with _user_store(backend_store_uri) as store:
        user = store.set_role(name, as_role(role))
    if as_json:
        output.emit_json(user)
    else:
        output.note(f"{user.name} may now {user.role}.")


@users.command(examples=["headrace users set-password ann"])
@click.argument("name")
@password_stdin_option
@backend_store_uri_option
@json_option
def set_password(name: str, password_stdin: bool, backend_store_uri: str, as_json: bool) -> None:
    """Give a user another password. Tokens stay as they are."""
    from headrace.store.users import check_password

    password = _password(name, password_stdin)
    check_password(password)
    with _user_store(backend_store_uri) as store:
        store.set_password(name, password)
    if as_json:
        output.emit_json({"name": name})
    else:
        output.note(f"{name} has a new password.")


@users.command(examples=["headrace users remove ann"])
@click.argument("name")
@yes_option
@backend_store_uri_option
@json_option
def remove(name: str, yes: bool, backend_store_uri: str, as_json: bool) -> None:
    """Remove a user, with all tokens. What the user tracked stays."""
    confirm(f"Remove {name} and every token of this user?", yes)
    with _user_store(backend_store_uri) as store:
        store.delete(name)
        left = len(store.list())
    if as_json:
        output.emit_json({"name": name})
        return
    output.note(f"Removed {name}.")
    if not left:
        output.note(
            "That was the last user: a server on loopback now answers everybody on this machine, "
            "one on another address nobody."
        )


@users.group(cls=Group)
def token() -> None:
    """Make, list and revoke tokens.

    A token acts as its user until it is revoked. Clients send it when it is in
    HEADRACE_TRACKING_TOKEN or MLFLOW_TRACKING_TOKEN.
    """


@token.command(
    examples=[
        "headrace users token create ann --note laptop",
        "export MLFLOW_TRACKING_TOKEN=$(headrace users token create ann)",
    ]
)
@click.argument("name")
@click.option("--note", default="", metavar="TEXT", help="What it is for.")
@backend_store_uri_option
@json_option
def create(name: str, note: str, backend_store_uri: str, as_json: bool) -> None:
    """Make a token that acts as a user, and print it. It cannot be shown again."""
    with _user_store(backend_store_uri) as store:
        made = store.create_token(name, note)
    if as_json:
        output.emit_json(made)
        return
    click.echo(made.secret)
    output.note(f"This is token {made.token.token_id}, shown only now. To end it:")
    output.note(f"  headrace users token revoke {made.token.token_id}")


@token.command(
    name="list", examples=["headrace users token list", "headrace users token list ann --json"]
)
@click.argument("name", required=False)
@backend_store_uri_option
@json_option
def list_tokens(name: str | None, backend_store_uri: str, as_json: bool) -> None:
    """List tokens, of one user or of all, without their secrets."""
    with _user_store(backend_store_uri) as store:
        found = store.list_tokens(name)
    if as_json:
        output.emit_json({"tokens": list(found)})
        return
    output.table(
        ("TOKEN", "USER", "NOTE", "SINCE"),
        ((t.token_id, t.user, t.note, output.clock(t.created_at)) for t in found),
    )


@token.command(examples=["headrace users token revoke TOKEN"])
@click.argument("token_id", metavar="TOKEN")
@backend_store_uri_option
@json_option
def revoke(token_id: str, backend_store_uri: str, as_json: bool) -> None:
    """Make a token worthless, at once."""
    with _user_store(backend_store_uri) as store:
        store.revoke_token(token_id)
    if as_json:
        output.emit_json({"token_id": token_id})
    else:
        output.note(f"Token {token_id} is worthless now.")


@contextmanager
def _user_store(uri: str) -> Iterator[UserStore]:
    from headrace.errors import InvalidRequest
    from headrace.store.open import open_store

    store = open_store(uri)
    try:
        if store.users is None:
            raise InvalidRequest(
                "Users are kept in a server's database, and the address given is that of a "
                "server; name the database with --backend-store-uri."
            )
        yield store.users
    finally:
        store.close()


def _password(name: str, from_stdin: bool) -> str:
    """The password, asked for twice, or the first line of standard input."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("There is nobody to ask for the password; add --password-stdin.")
    answer: str = click.prompt(
        f"Password of {name}", hide_input=True, confirmation_prompt=True, err=True
    )
    return answer
