"""`headrace models serve`: a server that answers with models."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from headrace import settings
from headrace.cli import output
from headrace.cli.command import Command
from headrace.cli.models import models, tracked
from headrace.cli.options import (
    allowed_origins_option,
    max_connections_option,
    port_option,
    several,
)

if TYPE_CHECKING:
    from headrace.models.sources import ModelSource


_SIZES: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def memory_size(text: str) -> int:
    """Bytes, from a text such as 4GiB or 500MB."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]i?)?b?", text.strip().lower())
    if match is None:
        raise click.BadParameter(f"'{text}' is no size; expected such as 4GiB or 500MB.")
    return int(float(match[1]) * _SIZES[match[2] or ""])


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
        max_connections_option,
        allowed_origins_option,
        click.option(
            "--allowed-hosts",
            type=several,
            metavar="HOST,…",
            envvar=list(settings.ALLOWED_HOSTS.names),
            default="",
            show_envvar=True,
            help="Host headers to accept, besides local and private addresses; * stands for any "
            "text.",
        ),
        port_option,
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
@tracked
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
    envvar=list(settings.SERVING_WORKERS.names),
    default=1,
    show_default=True,
    show_envvar=True,
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
@click.option(
    "--load-timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    default=600.0,
    show_default=True,
    help="Seconds that a worker may take to load a model.",
)
@click.option(
    "--env-manager",
    type=click.Choice(["auto", "uv", "virtualenv", "local"]),
    default="auto",
    show_default=True,
    help="uv makes an environment of what the model needs (virtualenv, MLflow's word, does the "
    "same); local takes the packages that are installed here; auto does so where they are what the "
    "model asks for.",
)
@click.option(
    "--python",
    metavar="PATH",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The Python of an environment that was made for the model already.",
)
@click.option(
    "--shadow",
    "shadow_uris",
    metavar="[NAME=]URI",
    multiple=True,
    help="A version that gets a copy of the traffic and answers nobody. May be repeated.",
)
@click.option(
    "--max-batch",
    type=click.IntRange(1, 65_536),
    metavar="COUNT",
    default=64,
    show_default=True,
    help="Requests that are predicted together at most; 1 turns batching off.",
)
@click.option(
    "--max-queue",
    type=click.IntRange(1, 1_000_000),
    metavar="COUNT",
    default=1000,
    show_default=True,
    help="Requests of a model that may wait; further ones are answered 429.",
)
@click.option(
    "--memory-limit",
    type=memory_size,
    metavar="SIZE",
    help="What a worker may hold, such as 4GiB; one that holds more is replaced.",
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "transformers", "onnxruntime", "plain", "vllm"]),
    default="auto",
    show_default=True,
    help="What makes text, for language models.",
)
@click.option(
    "--slots",
    type=click.IntRange(1, 4096),
    metavar="COUNT",
    default=16,
    show_default=True,
    help="Answers that a language model makes at the same time.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    metavar="COUNT",
    help="Threads that a worker calculates with.  [default: as its libraries choose]",
)
@click.option("--no-conda", is_flag=True, hidden=True)  # MLflow's, for --env-manager local
@click.option("--install-mlflow", is_flag=True, hidden=True)  # MLflow's; nothing needs it here
@click.option("--debug", is_flag=True, help="Send the traceback of a model's failure to callers.")
def serve(
    model_uris: Sequence[str],
    shadow_uris: Sequence[str],
    trust: bool,
    env_manager: str,
    python: Path | None,
    no_conda: bool,
    install_mlflow: bool,  # noqa: ARG001 - MLflow's option
    **options: Any,
) -> None:
    """Serve models until Ctrl-C.

    One server answers MLflow's scoring protocol (/invocations), the Open Inference Protocol
    (/v2/…) and, for language models, OpenAI's API (/v1/…); /docs shows all of it. A model that is
    named by an alias is replaced without a dropped request when the alias moves.
    """
    _end_when_told()
    if no_conda:
        env_manager = "local"
    from headrace.serving.settings import ServingSettings
    from headrace.serving.spawning import Reserve

    chosen = ServingSettings(**options, api_key=settings.SERVING_API_KEY.get())
    with Reserve() as reserve:
        if python is not None or env_manager in ("local", "auto"):
            reserve.start(python or Path(sys.executable), chosen.threads_each)
            reserve.prepare(Path(_named(model_uris[0])[1]))
        # What a server consists of is imported while the worker imports what the model does.
        from headrace.serving.loading import VersionLoader
        from headrace.serving.run import Serving
        from headrace.serving.run import serve as run

        sources = _sources(model_uris)
        shadows = _sources(shadow_uris, only=next(iter(sources)) if len(sources) == 1 else None)
        manager = "uv" if env_manager == "virtualenv" else env_manager
        loader = VersionLoader(
            chosen,
            manager,  # type: ignore[arg-type]  # click checked it
            trust,
            _model_config(),
            python,
            reserve,
        )
        for source in (*sources.values(), *shadows.values()):
            output.note(f"Loading {source.uri}")
        run(Serving(sources, shadows), loader, announce)


def _end_when_told() -> None:
    """Let SIGTERM end the program while models load, also in a container: for a first process, the
    kernel does nothing by itself.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))


def _sources(texts: Sequence[str], only: str | None = None) -> dict[str, ModelSource]:
    """Models by the names they are served under; `only` is the name where there is one."""
    from headrace.client.model_source import UriSource, default_name

    named = [_named(text) for text in texts]
    sources: dict[str, ModelSource] = {}
    for name, uri in named:
        sources[name or only or default_name(uri)] = UriSource(uri)
    if len(sources) < len(named):
        raise click.UsageError("Two models have the same name; give them names: -m NAME=URI.")
    return sources


def _model_config() -> dict[str, Any] | None:
    """What SERVING_MODEL_CONFIG says."""
    text = settings.SERVING_MODEL_CONFIG.get()
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"SERVING_MODEL_CONFIG is no JSON: {error}.") from None
    if not isinstance(found, dict):
        raise click.UsageError("SERVING_MODEL_CONFIG is no JSON object.")
    return found


def announce(address: str) -> None:
    """Say where the server is, and how to use it."""
    output.note(f"Headrace serves {address}")
    output.note(f"  {address}/docs shows what it answers, and lets you try it")
    output.note("Stop it with Ctrl-C.")
