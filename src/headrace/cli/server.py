"""`headrace server`: run the tracking server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace import settings
from headrace.cli import output, tracking
from headrace.cli.command import Command
from headrace.cli.options import (
    allowed_origins_option,
    artifacts_destination_option,
    backend_store_uri_option,
    max_connections_option,
    port_option,
    several,
)

if TYPE_CHECKING:
    from headrace.server.settings import ServerSettings

PROXIED = "mlflow-artifacts:"


@click.command(
    cls=Command,
    examples=[
        "headrace server",
        "headrace server --port 8080 --backend-store-uri sqlite:////var/lib/headrace/runs.db",
        "headrace server --workers 4 --backend-store-uri postgresql://headrace@db.example/runs",
        "headrace users add ann --role admin && headrace server --host 0.0.0.0",
    ],
)
@click.option(
    "--host",
    metavar="ADDRESS",
    envvar=list(settings.HOST.names),
    default="127.0.0.1",
    show_default=True,
    show_envvar=True,
    help="The address to listen on. Beyond this machine, there must be users.",
)
@port_option
@backend_store_uri_option
@artifacts_destination_option
@click.option(
    "--workers",
    "-w",
    type=click.IntRange(1, 256),
    metavar="COUNT",
    default=1,
    show_default=True,
    help="Processes that answer. More than one needs PostgreSQL.",
)
@click.option(
    "--public-url",
    metavar="URL",
    envvar=list(settings.PUBLIC_URL.names),
    show_envvar=True,
    help="The server's address as its clients see it, for URLs that it signs. "
    "[default: what the client called]",
)
@click.option(
    "--allowed-hosts",
    type=several,
    metavar="HOST,…",
    envvar=list(settings.ALLOWED_HOSTS.names),
    default="",
    show_envvar=True,
    help="Host headers to accept, besides local and private addresses; * stands for any text.",
)
@allowed_origins_option
@max_connections_option
@click.option(
    "--insecure", is_flag=True, help="Serve beyond this machine though there are no users."
)
@click.option("--default-artifact-root", metavar="URI", hidden=True)
def server(default_artifact_root: str | None, **options: Any) -> None:
    """Run the tracking server until Ctrl-C.

    It keeps what is tracked in a database (SQLite by default, made if it is not there) and files
    in a folder, and answers MLflow's REST protocol: point MLFLOW_TRACKING_URI of any program at
    it. As soon as there is a user (headrace users add), everybody has to say who they are.
    """
    from headrace.server.run import serve
    from headrace.server.settings import ServerSettings

    if default_artifact_root and not default_artifact_root.startswith(PROXIED):
        raise click.UsageError(
            "--default-artifact-root names a place that clients write to by themselves. Here "
            "files always go through the server: say where it keeps them with "
            "--artifacts-destination."
        )
    chosen = ServerSettings(**options)
    serve(chosen, lambda address: announce(address, chosen))


def announce(address: str, chosen: ServerSettings) -> None:
    """Say where the server is, where its data lies, and how to use it."""
    output.note(f"Headrace serves {address}")
    output.note(f"  database   {without_password(chosen.backend_store_uri)}")
    output.note(f"  artifacts  {Path(chosen.artifacts_destination).absolute()}")
    output.note("Point a program at it, and stop the server with Ctrl-C:")
    output.note(f"  export MLFLOW_TRACKING_URI={chosen.public_url or address}")


def without_password(uri: str) -> str:
    """A database's address as it may be shown; a SQLite file with its full path."""
    file = tracking.sqlite_file(uri)
    if file is not None:
        return f"sqlite:///{file.absolute()}"
    scheme, separator, rest = uri.partition("://")
    # The password ends at the last '@': rather too much is left out than a part of it shown.
    credentials = re.fullmatch(r"([^:/?]*)(?::.*)?@([^@]*)", rest, re.DOTALL)
    place = f"{credentials[1]}@{credentials[2]}" if credentials else rest
    return f"{scheme}{separator}{place.partition('?')[0]}"
