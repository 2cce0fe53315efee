"""`headrace models generate-dockerfile` and `build-docker`: images that serve models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from headrace.cli import output
from headrace.cli.models import models, tracked


def _image_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What both commands are told; the last ones are MLflow's."""
    for option in (
        click.option(
            "--install-mlflow",
            is_flag=True,
            help="MLflow's; not needed: a model that imports MLflow lists it in its requirements.",
        ),
        click.option("--install-java", is_flag=True, help="MLflow's, for Spark; refused."),
        click.option("--mlflow-home", metavar="DIR", help="MLflow's; refused."),
        click.option(
            "--env-manager",
            metavar="NAME",
            default="uv",
            show_default=True,
            help="uv (or virtualenv, MLflow's word for the same); no other.",
        ),
        click.option(
            "--base-image",
            metavar="IMAGE",
            help="What the image is made from; it has the model's Python.  "
            "[default: python:MINOR-slim]",
        ),
        click.option(
            "--trust",
            is_flag=True,
            help="Let this model run code, here and in the image, though nobody whom you trust "
            "has signed it.",
        ),
        click.option(
            "--mount",
            is_flag=True,
            help="Leave the model's files out; they are mounted at /opt/ml/model.",
        ),
        tracked,
        click.option(
            "--model-uri",
            "-m",
            metavar="URI",
            help="A folder, runs:/ID/PATH, models:/NAME/VERSION, models:/NAME@ALIAS, models:/m-ID. "
            "Without one, the image serves any model that is mounted, and makes its environment "
            "when it starts.",
        ),
    ):
        command = option(command)
    return command


@models.command(
    name="generate-dockerfile",
    examples=[
        "headrace models generate-dockerfile -m models:/churn@champion -d image",
        "headrace models generate-dockerfile -m ./model -d image --mount",
    ],
)
@_image_options
@click.option(
    "--output-directory",
    "-d",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    default="mlflow-dockerfile",
    show_default=True,
    help="Where the Dockerfile goes, with all that it copies.",
)
def generate_dockerfile(
    model_uri: str | None,
    output_directory: Path,
    env_manager: str,
    mlflow_home: str | None,
    install_java: bool,
    install_mlflow: bool,
    **options: Any,
) -> None:
    """Write a Dockerfile that serves a model.

    The folder has all that a build needs; it can be built where Docker runs.
    """
    from headrace.deploy.context import write_context
    from headrace.deploy.docker import check_options, explain_mlflow
    from headrace.deploy.dockerfile import run_command
    from headrace.deploy.image import plan_image

    check_options(env_manager, mlflow_home, install_java=install_java)
    if install_mlflow:
        explain_mlflow()
    plan = plan_image(model_uri, **options)
    write_context(plan, output_directory)
    what = f"The model is {plan.signed_by}." if plan.model else "The model is to be mounted."
    output.note(f"{what} Build its image, and run it on port 8080:")
    output.note(f"  docker build -t {plan.tag} {output_directory}")
    output.note(f"  {run_command(plan, plan.tag)}")


@models.command(
    name="build-docker",
    examples=[
        "headrace models build-docker -m models:/churn@champion -n churn",
        "headrace models build-docker -m runs:/RUN_ID/model -n churn:1 --base-image python:3.11",
    ],
)
@_image_options
@click.option(
    "--name",
    "-n",
    metavar="IMAGE",
    default="mlflow-pyfunc-servable",
    show_default=True,
    help="The name of the image.",
)
def build_docker(name: str, **options: Any) -> None:
    """Build a Docker image that serves a model.

    It listens on port 8080, as a user without rights.
    """
    from headrace.deploy import docker

    docker.build_docker(name=name, **options)
    output.note(f"The image {name} is built. Run it: docker run --init -p 8080:8080 {name}")
