"""Options that several commands share, and the kinds of values they take."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from urllib.parse import unquote, urlsplit

import click

from headrace import settings
from headrace.protocol.uris import scheme_of

DEFAULT_DATABASE = "sqlite:///headrace.db"
DEFAULT_ARTIFACTS = "headrace-artifacts"

_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_AGE = re.compile(r"(?:\d+(?:\.\d+)?[wdhms])+")


def age(text: str) -> timedelta:
    """A span of time: 30d, 12h, 1d12h. Without a unit it would be anybody's guess."""
    wrong = click.BadParameter(f"{text!r} is not a span of time; expected such as 30d or 12h.")
    if not _AGE.fullmatch(text.lower()):
        raise wrong
    span = timedelta()
    try:
        for count, unit in re.findall(r"([\d.]+)([wdhms])", text.lower()):
            span += timedelta(**{_UNITS[unit]: float(count)})
    except OverflowError:
        raise wrong from None
    return span


def several(text: str) -> tuple[str, ...]:
    """Values with commas between them."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def key_value(text: str) -> tuple[str, str]:
    """A key and a value; everything behind the first '=' is the value."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.BadParameter(f"{text!r} is not a pair; expected KEY=VALUE.")
    return key, value


def local_folder(text: str) -> str:
    """A folder on this machine, as a path or a `file:` URI."""
    scheme = scheme_of(text)
    if scheme == "file":
        return unquote(urlsplit(text).path)
    if scheme:
        raise click.BadParameter(
            f"{text!r} is not a folder on this machine; object stores are not supported yet."
        )
    return text


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document instead of text."
)

tracking_uri_option = click.option(
    "--tracking-uri",
    metavar="URI",
    envvar=list(settings.TRACKING_URI.names),
    default=DEFAULT_DATABASE,
    show_default=True,
    show_envvar=True,
    help="A server (http://…) or a database (sqlite:///FILE, postgresql://…).",
)

backend_store_uri_option = click.option(
    "--backend-store-uri",
    metavar="URI",
    envvar=list(settings.BACKEND_STORE_URI.names),
    default=DEFAULT_DATABASE,
    show_default=True,
    show_envvar=True,
    help="The database: sqlite:///FILE or postgresql://USER@HOST/NAME.",
)

artifacts_destination_option = click.option(
    "--artifacts-destination",
    type=local_folder,
    metavar="FOLDER",
    envvar=list(settings.ARTIFACTS_DESTINATION.names),
    default=DEFAULT_ARTIFACTS,
    show_default=True,
    show_envvar=True,
    help="The folder where the server keeps artifacts.",
)

view_option = click.option(
    "--view",
    type=click.Choice(["active", "deleted", "all"]),
    default="active",
    show_default=True,
    help="Those that are there, those that were deleted, or both.",
)

max_results_option = click.option(
    "--max-results",
    metavar="COUNT",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="At most so many.",
)


def view_type(view: str) -> str:
    """The protocol's name for a `--view`."""
    return {"active": "ACTIVE_ONLY", "deleted": "DELETED_ONLY", "all": "ALL"}[view]


def confirm(question: str, yes: bool) -> None:
    """Go on after a yes. Raises UsageError where there is nobody to ask, Abort for a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} There is nobody to ask; add --yes to go on.")
    click.confirm(question, abort=True, err=True)


port_option = click.option(
    "--port",
    "-p",
    type=click.IntRange(0, 65_535),
    metavar="NUMBER",
    envvar=list(settings.PORT.names),
    default=5000,
    show_default=True,
    show_envvar=True,
    help="The port to listen on; 0 takes a free one.",
)

allowed_origins_option = click.option(
    "--allowed-origins",
    "--cors-allowed-origins",
    type=several,
    metavar="ORIGIN,…",
    envvar=list(settings.ALLOWED_ORIGINS.names),
    default="",
    show_envvar=True,
    help="Origins of pages that may send requests and read answers, besides the server's own and "
    "local ones.",
)

max_connections_option = click.option(
    "--max-connections",
    type=click.IntRange(1),
    metavar="COUNT",
    envvar=list(settings.MAX_CONNECTIONS.names),
    show_envvar=True,
    help="Connections that a process takes; further ones take the place of idle ones, or are "
    "answered 503.  [default: half of the files that it may open, 10000 at most]",
)
