"""`headrace models serve`: a server that answers with models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from headrace import settings
from headrace.cli import output
from headrace.cli.command import Command
from headrace.cli.models import models, track

_DEFAULT_PORT: Final = 5000


def _named(text: str) -> tuple[str | None, str]:
    """NAME=URI, or a URI alone."""
    name, is_named, uri = text.partition("=")
    return (name, uri) if is_named and ":" not in name and "/" not in name else (None, text)


def _listening(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say where the server listens."""
    for option in (
        click.option(
            "--insecure", is_flag=True, help="Serve beyond this machine without asking for a key."
        ),
        click.option(
            "--port",
            "-p",
            type=click.IntRange(0, 65_535),
            metavar="NUMBER",
            envvar=list(settings.PORT.names),
            default=_DEFAULT_PORT,
            show_default=True,
            show_envvar=True,
            help="The port to listen on; 0 takes a free one.",
        ),
        click.option(
            "--host",
            "-h",
            metavar="ADDRESS",
            envvar=list(settings.HOST.names),
            default="127.0.0.1",
            show_default=True,
            show_envvar=True,
            help="The address to listen on. Beyond this machine, callers need a key.",
        ),
    ):
        command = option(command)
    return command


@models.command(
    cls=Command,
    examples=[
        "headrace models serve -m models:/churn@champion",
        "headrace models serve -m ./model --port 8080 --workers 2",
        "headrace models serve -m churn=models:/churn@champion -m fraud=models:/fraud/3",
    ],
)
@click.option(
    "--model-uri",
    "-m",
    "model_uris",
    metavar="[NAME=]URI",
    required=True,
    multiple=True,
    help="A folder, runs:/ID/PATH, models:/NAME/VERSION, models:/NAME@ALIAS, models:/m-ID. "
    "May be repeated.",
)
@click.option(
    "--tracking-uri",
    metavar="URI",
    callback=track,
    expose_value=False,
    help="Where runs:/ and models:/ lie.  [default: HEADRACE_TRACKING_URI]",
)
@click.option(
    "--trust",
    is_flag=True,
    help="Let these models run code, though nobody whom you trust has signed them.",
)
@_listening
@click.option(
    "--workers",
    "-w",
    type=click.IntRange(1, 256),
    metavar="COUNT",
    default=1,
    show_default=True,
    help="Processes that predict, for each model.",
)
@click.option(
    "--timeout",
    "-t",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    default=60.0,
    show_default=True,
    help="Seconds that a prediction may take.",
)
def serve(model_uris: Sequence[str], trust: bool, **options: Any) -> None:
    """Serve models until Ctrl-C.

    Answers MLflow's scoring protocol at /invocations.
    """
    from headrace.client.model_source import UriSource, default_name
    from headrace.serving.run import serve as run
    from headrace.serving.settings import ServingSettings

    named = [_named(text) for text in model_uris]
    sources = {name or default_name(uri): UriSource(uri) for name, uri in named}
    if len(sources) < len(named):
        raise click.UsageError("Two models have the same name; give them names: -m NAME=URI.")
    run(sources, ServingSettings(**options), announce, trust=trust)


def announce(address: str) -> None:
    """Say where the server is, and how to use it."""
    output.note(f"Headrace serves {address}")
    output.note("Ask it, and stop it with Ctrl-C:")
    output.note(
        f"  curl {address}/invocations -H 'Content-Type: application/json' -d @request.json"
    )
