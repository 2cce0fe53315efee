"""`headrace artifacts`: list, download and upload the files of runs and models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.cli import output, tracking
from headrace.cli.command import Group
from headrace.cli.options import json_option, tracking_uri_option
from headrace.protocol import runs
from headrace.protocol.artifacts import FileInfo
from headrace.protocol.uris import scheme_of

if TYPE_CHECKING:
    from headrace.artifacts.open import ArtifactPlace


@click.group(cls=Group)
def artifacts() -> None:
    """List, download and upload the files of runs.

    PATH is relative to the files of the run, with '/' between folders. In place of a run's id a
    URI can be listed and downloaded: models:/NAME@ALIAS, models:/m-ID, runs:/ID/PATH.
    """


@artifacts.command(
    name="list",
    examples=[
        "headrace artifacts list RUN_ID",
        "headrace artifacts list RUN_ID plots --json",
        "headrace artifacts list models:/churn@champion",
    ],
)
@click.argument("run_id")
@click.argument("path", default="")
@click.option("--recursive", "-r", is_flag=True, help="Also what is in folders.")
@tracking_uri_option
@json_option
def list_(run_id: str, path: str, recursive: bool, tracking_uri: str, as_json: bool) -> None:
    """List the files of a run or model, or those in a folder of them."""
    with _files_of(run_id, tracking_uri) as root:
        found = list(_entries(root, path.strip("/"), recursive))
    if as_json:
        output.emit_json({"files": found})
        return
    output.table(
        ("PATH", "SIZE"),
        ((f"{e.path}/" if e.is_dir else e.path, output.amount(e.file_size)) for e in found),
    )


@artifacts.command(
    examples=[
        "headrace artifacts download RUN_ID",
        "headrace artifacts download RUN_ID plots/roc.png --to here",
        "headrace artifacts download models:/churn@champion",
    ]
)
@click.argument("run_id")
@click.argument("path", default="")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder to write into.  [default: one of the run's or model's name, or . for a PATH]",
)
@tracking_uri_option
@json_option
def download(run_id: str, path: str, folder: Path | None, tracking_uri: str, as_json: bool) -> None:
    """Download files of a run or model: all, or one file or folder.

    Files that are there are replaced.
    """
    from headrace.artifacts import transfer

    path = path.strip("/")
    if folder is None:
        folder = Path() if path else Path(_name_of(run_id))
    with _files_of(run_id, tracking_uri) as root:
        place = root.below(path)
        where = transfer.download(place.store, place.path, folder) if path else folder
        if not path:
            _download_all(root, folder)
    if as_json:
        output.emit_json({"path": str(where)})
    else:
        output.note(f"Downloaded to {where}.")


@artifacts.command(
    examples=[
        "headrace artifacts upload RUN_ID report.html",
        "headrace artifacts upload RUN_ID plots --to figures",
    ]
)
@click.argument("run_id")
@click.argument("local", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--to", "path", default="", metavar="PATH", help="The folder of the run to put it in."
)
@tracking_uri_option
@json_option
def upload(run_id: str, local: Path, path: str, tracking_uri: str, as_json: bool) -> None:
    """Upload a file to a run, or all files in a folder."""
    from headrace.artifacts import transfer

    if scheme_of(run_id):
        raise click.UsageError(f"'{run_id}' is no run's id; a model's files are not added to.")
    with _files_of(run_id, tracking_uri) as root:
        place = root.below(path.strip("/"))
        if local.is_dir():
            transfer.upload_folder(place.store, local, place.path)
        else:
            target = place.below(local.name)
            transfer.upload_file(target.store, local, target.path)
    if as_json:
        output.emit_json({"run_id": run_id, "path": path.strip("/")})
    else:
        output.note(f"Uploaded {local}.")


@contextmanager
def _files_of(run_id: str, tracking_uri: str) -> Iterator[ArtifactPlace]:
    from headrace.artifacts.open import open_artifacts
    from headrace.client.client import Client

    if scheme_of(run_id) in ("models", "runs"):
        tracking.require_database(tracking.normalized(tracking_uri))
        yield Client(tracking.normalized(tracking_uri))._locate(run_id)
        return
    with tracking.tracked(tracking_uri) as store:
        uri = store.runs.get(runs.RunRef(run_id)).run.info.artifact_uri
    yield open_artifacts(uri, tracking.normalized(tracking_uri))


def _name_of(run_id: str) -> str:
    """What a folder of its files is called: iris@champion for models:/iris@champion."""
    return run_id.rpartition(":/")[2].strip("/").replace("/", "-")


def _entries(root: ArtifactPlace, path: str, recursive: bool) -> Iterator[FileInfo]:
    folder = root.below(path)
    for info in folder.store.list(folder.path):
        inside = f"{path}/{info.path}" if path else info.path
        if info.is_dir and recursive:
            yield from _entries(root, inside, recursive)
        else:
            yield FileInfo(inside, info.is_dir, info.file_size)


def _download_all(root: ArtifactPlace, folder: Path) -> None:
    from headrace.artifacts import transfer

    folder.mkdir(parents=True, exist_ok=True)
    for info in root.store.list(root.path):
        place = root.below(info.path)
        transfer.download(place.store, place.path, folder)
