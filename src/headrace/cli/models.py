"""`headrace models`: environments for models, predictions in them, and what models need."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import click

from headrace.cli import output
from headrace.cli.command import Group
from headrace.cli.options import json_option, key_value
from headrace.cli.progress import progress

_LOCAL: Final = "local"
_MANAGERS: Final = ("uv", "virtualenv", _LOCAL)


def _track(_context: click.Context, _option: click.Parameter, uri: str | None) -> None:
    """What --tracking-uri does."""
    if uri:
        from headrace.client.tracking import set_tracking_uri

        set_tracking_uri(uri)


tracked = click.option(
    "--tracking-uri",
    metavar="URI",
    callback=_track,
    expose_value=False,
    help="Where runs:/ and models:/ lie.  [default: HEADRACE_TRACKING_URI]",
)


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command here: which model, where it is tracked, whether to trust it."""
    for option in (
        click.option(
            "--trust",
            is_flag=True,
            help="Let this model run code, though nobody whom you trust has signed it.",
        ),
        tracked,
        click.option(
            "--model-uri",
            "-m",
            metavar="URI",
            required=True,
            help="A folder, runs:/ID/PATH, models:/NAME/VERSION, models:/NAME@ALIAS, models:/m-ID.",
        ),
    ):
        command = option(command)
    return command


_env_manager_option = click.option(
    "--env-manager",
    type=click.Choice(_MANAGERS),
    default=_MANAGERS[0],
    show_default=True,
    help="uv makes an environment of what the model needs (virtualenv, MLflow's word, does the "
    "same); local takes the packages that are installed here.",
)


@click.group(cls=Group)
def models() -> None:
    """Serve models, predict with them, and make what they need.

    Environments lie in HEADRACE_CACHE (~/.cache/headrace) and are named by their content: the
    second time they are there at once. Deleting that folder is safe.
    """


@models.command(
    name="prepare-env",
    examples=[
        "headrace models prepare-env -m ./model",
        "headrace models prepare-env -m models:/churn@champion --json",
    ],
)
@_shared
@_env_manager_option
@json_option
def prepare_env(model_uri: str, trust: bool, env_manager: str, as_json: bool) -> None:
    """Make the environment of a model ahead of time.

    Predicting in it, or serving, then begins at once. Prints the path of its Python.
    """
    from headrace.client.model_loading import local_model

    python, is_new = _python(local_model(model_uri), env_manager, (), trust)
    if as_json:
        output.emit_json({"python": str(python), "is_new": is_new})
    else:
        click.echo(str(python))


@models.command(
    examples=[
        "headrace models predict -m ./model -i request.json",
        "headrace models predict -m runs:/RUN_ID/model -i rows.csv -o answer.json",
        "headrace models predict -m ./model -i request.json -r scikit-learn==1.7.0",
    ]
)
@_shared
@click.option(
    "--input-path",
    "-i",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What to predict for.  [default: stdin]",
)
@click.option(
    "--output-path",
    "-o",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the predictions go, as JSON.  [default: stdout]",
)
@click.option(
    "--content-type",
    "-t",
    type=click.Choice(["json", "csv"]),
    help="What the input is: JSON as scoring servers take it, or CSV with a header.  "
    "[default: csv for a FILE that ends so, else json]",
)
@_env_manager_option
@click.option(
    "--pip-requirements-override",
    "-r",
    metavar="REQ,…",
    help="Requirements, between commas, that replace the model's own for the same packages.",
)
@click.option(
    "--env",
    "variables",
    metavar="KEY=VALUE",
    type=key_value,
    multiple=True,
    help="An environment variable for the model. May be repeated.",
)
@click.option("--install-mlflow", is_flag=True, hidden=True)  # MLflow's; nothing needs it here
@click.option("--debug", is_flag=True, help="Show the traceback of a model's failure.")
def predict(  # noqa: PLR0913, PLR0917 - MLflow's signature
    model_uri: str,
    trust: bool,
    input_path: Path | None,
    output_path: Path | None,
    content_type: str | None,
    env_manager: str,
    pip_requirements_override: str | None,
    variables: Sequence[tuple[str, str]],
    install_mlflow: bool,  # noqa: ARG001 - MLflow's option
    debug: bool,
) -> None:
    """Predict with a model in its own environment.

    That has what the model needs, and is the one that headrace models serve takes; it is made when
    it is not there yet. What the model prints goes to stderr.
    """
    from headrace.client.model_loading import local_model
    from headrace.predicting import CONTENT_TYPES, check_output, write_answer
    from headrace.serving.calls import ModelFailed
    from headrace.serving.once import predict_once, read_input
    from headrace.serving.worker.calls import Call

    override = [part.strip() for part in (pip_requirements_override or "").split(",")]
    override = [part for part in override if part]
    if env_manager == _LOCAL and override:
        raise click.UsageError(
            "--pip-requirements-override needs an environment to put them in; use --env-manager uv."
        )
    check_output(output_path)
    if content_type is None:
        content_type = "csv" if input_path and input_path.suffix.lower() == ".csv" else "json"
    folder = local_model(model_uri)
    python, _ = _python(folder, env_manager, override, trust)
    if input_path is None:
        body = read_input(sys.stdin.buffer)
    else:
        with input_path.open("rb") as file:
            body = read_input(file)
    call = Call("invocations", body, CONTENT_TYPES[content_type])
    try:
        answer = predict_once(folder, call, python, trust=trust, variables=dict(variables))
    except ModelFailed as error:
        if debug and error.trace:
            click.echo(error.trace.rstrip(), err=True)
        raise
    if output_path is None:
        click.echo(answer)
    else:
        write_answer(output_path, answer)


@models.command(
    name="update-pip-requirements",
    examples=[
        "headrace models update-pip-requirements -m ./model add pandas==2.2.3 'pyarrow>=17'",
        "headrace models update-pip-requirements -m runs:/RUN_ID/model remove pyarrow",
    ],
)
@_shared
@click.argument("operation", type=click.Choice(["add", "remove"]))
@click.argument("requirement_strings", metavar="REQUIREMENT…", nargs=-1, required=True)
def update_pip_requirements(
    model_uri: str, trust: bool, operation: str, requirement_strings: tuple[str, ...]
) -> None:
    """Add or remove what a saved model needs.

    The model is signed anew. Adding replaces what the model had for the same package. Registered
    versions are read-only.
    """
    from headrace.client.model_requirements import update_model_requirements

    update_model_requirements(model_uri, operation, requirement_strings, trust=trust)
    output.note(f"The requirements of {model_uri} are as you said.")


def _python(
    folder: Path, env_manager: str, override: Sequence[str], trust: bool
) -> tuple[Path, bool]:
    """The Python that runs a model, and whether its environment is new; a bar turns while that is
    made.
    """
    from headrace.models.environment.prepare import plan_for, prepare

    if env_manager == _LOCAL:
        return Path(sys.executable), False
    made = plan_for(folder, override).made()
    if made is None:
        with progress("Making the model's environment"):
            made = prepare(folder, override=override, trust=trust)
    return made.python, made.is_new
