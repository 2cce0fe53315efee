"""`headrace db`: upgrade, check, back up and clean up a database."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.cli import output
from headrace.cli.command import Group
from headrace.cli.options import (
    age,
    artifacts_destination_option,
    backend_store_uri_option,
    json_option,
)
from headrace.cli.progress import progress
from headrace.cli.tracking import require_database

if TYPE_CHECKING:
    from headrace.store.sql.gc import Deleted
    from headrace.store.sql.upkeep import Upkeep


@click.group(cls=Group)
def db() -> None:
    """Upgrade, check, back up and clean up a database.

    These work on the database itself, beside running servers.
    """


@db.command(examples=["headrace db version", "headrace db version --json"])
@backend_store_uri_option
@json_option
def version(backend_store_uri: str, as_json: bool) -> None:
    """Show the version of the schema, and the one that this program needs."""
    from headrace.store.sql.migrations import CURRENT_VERSION, schema_version

    with _upkeep(backend_store_uri) as upkeep, upkeep.reading() as connection:
        found = schema_version(connection)
    if as_json:
        output.emit_json({"schema_version": found, "needed": CURRENT_VERSION})
        return
    output.facts([("Schema version", found), ("This program's", CURRENT_VERSION)])


@db.command(examples=["headrace db backup before.db", "headrace db upgrade"])
@backend_store_uri_option
@json_option
def upgrade(backend_store_uri: str, as_json: bool) -> None:
    """Bring the schema up to date, as a server does when it starts.

    It happens in one transaction: all of it, or nothing. There is no way back but a backup.
    """
    from headrace.store.open import SERVER_ARTIFACT_ROOT
    from headrace.store.sql import migrations
    from headrace.store.sql.database import Database, database_url

    database = Database(database_url(backend_store_uri), SERVER_ARTIFACT_ROOT)
    try:
        before, after = migrations.upgrade(database)
    finally:
        database.close()
    if as_json:
        output.emit_json({"before": before, "after": after})
    elif before == after:
        output.note(f"The schema is up to date: version {after}.")
    else:
        output.note(f"Upgraded the schema from version {before} to {after}.")


@db.command(examples=["headrace db check", "headrace db check --json"])
@backend_store_uri_option
@json_option
@click.pass_context
def check(ctx: click.Context, backend_store_uri: str, as_json: bool) -> None:
    """Look for damage; exit with 1 if there is some.

    Checked are the file (SQLite's own integrity check), tables and columns, references, rows that
    belong to nothing, and that the latest value of each metric is the latest. Reads the whole
    database, changes nothing.
    """
    from headrace.store.sql.check import CHECKS, run_checks

    names = [each.name for each in CHECKS]
    with _current(backend_store_uri) as upkeep, progress("checking") as report:
        findings = run_checks(upkeep, lambda name: report(names.index(name), len(names)))
    if as_json:
        output.emit_json({"sound": not findings, "findings": [vars(each) for each in findings]})
    elif findings:
        output.table(
            ("CHECK", "COUNT", "FINDING"),
            ((each.check, each.count, each.message) for each in findings),
        )
    else:
        output.note(f"Sound: {', '.join(names)}.")
    if findings:
        ctx.exit(1)


@db.command(
    examples=[
        "headrace db backup headrace-backup.db",
        "headrace db backup backup.dump --backend-store-uri postgresql://headrace@db.example/runs",
    ]
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--overwrite", is_flag=True, help="Replace FILE if it is there.")
@backend_store_uri_option
@json_option
def backup(file: Path, overwrite: bool, backend_store_uri: str, as_json: bool) -> None:
    """Copy the database to FILE, also while servers write to it.

    The copy is of one moment, and is checked before FILE appears. For SQLite it is a database that
    can be used as it is; for PostgreSQL an archive of pg_dump, which must be installed, to be read
    by pg_restore. Files of runs are not in it: copy the artifact folder after the database.
    """
    from headrace.store.sql.backup import back_up

    require_database(backend_store_uri)
    with progress("copying") as report:
        size = back_up(backend_store_uri, file, report, overwrite=overwrite)
    if as_json:
        output.emit_json({"file": str(file), "bytes": size})
    else:
        output.note(f"Wrote {file} ({output.amount(size)}).")


@db.command(
    examples=[
        "headrace db gc                          # what would go",
        "headrace db gc --older-than 7d --yes    # remove it",
    ]
)
@click.option(
    "--older-than",
    type=age,
    metavar="AGE",
    default="30d",
    show_default=True,
    help="Only what was deleted so long ago: 30d, 12h, 0d for everything.",
)
@click.option("--yes", "--execute", "execute", is_flag=True, help="Remove it, do not only show it.")
@click.option(
    "--leave-files-outside",
    is_flag=True,
    help="Remove also what has its files outside of the artifacts destination, and leave these.",
)
@artifacts_destination_option
@backend_store_uri_option
@json_option
def gc(
    older_than: timedelta,
    execute: bool,
    leave_files_outside: bool,
    artifacts_destination: str,
    backend_store_uri: str,
    as_json: bool,
) -> None:
    """Remove for good what was deleted: runs, logged models, experiments, and their files.

    Without --yes it only shows what would go. What is not deleted is never touched, nor is what a
    version of a registered model needs. Servers may be running; if it is stopped in the middle,
    the next run finishes what was begun.
    """
    from headrace.artifacts.local import LocalArtifactStore
    from headrace.cli import removal
    from headrace.errors import NotFound

    require_database(backend_store_uri)
    if not Path(artifacts_destination).is_dir():
        raise NotFound(
            f"There is no folder {artifacts_destination}. Name the one where the server keeps "
            "artifacts with --artifacts-destination: otherwise files would stay behind."
        )
    before = int(time.time() * 1000 - older_than / timedelta(milliseconds=1))
    with _current(backend_store_uri) as upkeep:
        artifacts = LocalArtifactStore(artifacts_destination)
        found = removal.choose(upkeep, artifacts, before, leave_files_outside=leave_files_outside)
        if not execute:
            sizes = [removal.size_of(artifacts, each) for each in found]
            _show_plan(found, sizes, as_json)
            return
        with progress("removing") as report:
            outcome = removal.remove(upkeep, artifacts, found, before, report)
    kept = [each for each in found if each.kept_for]
    if as_json:
        output.emit_json(
            {"removed": outcome.removed, "rows": outcome.rows, "kept": [_plain(e) for e in kept]}
        )
        return
    told = ", ".join(
        f"{count} {kind}{'s' * (count > 1)}" for kind, count in outcome.removed.items()
    )
    belonged = f", with {outcome.rows} rows that belonged to it" if outcome.rows else ""
    output.note(f"Removed {told or 'nothing'}{belonged}.")
    if kept:
        output.note(f"Kept {len(kept)} that are still needed; without --yes they are listed.")


def _show_plan(found: Sequence[Deleted], sizes: Sequence[int], as_json: bool) -> None:
    if as_json:
        entries = [{**_plain(e), "bytes": size} for e, size in zip(found, sizes, strict=True)]
        going = [entry for entry in entries if not entry["kept_for"]]
        output.emit_json(
            {"would_remove": going, "would_keep": [e for e in entries if e["kept_for"]]}
        )
        return
    table = [
        (
            each.public_id,
            each.kind.value,
            each.name,
            output.clock(each.deleted_time),
            output.amount(size),
            f"kept for {each.kept_for}" if each.kept_for else "",
        )
        for each, size in zip(found, sizes, strict=True)
    ]
    if not table:
        output.note("Nothing was deleted so long ago.")
        return
    output.table(("ID", "KIND", "NAME", "DELETED", "FILES", ""), table)
    freed = [size for each, size in zip(found, sizes, strict=True) if not each.kept_for]
    output.note(
        f"{len(freed)} would go, with {output.amount(sum(freed))} of files. Nothing was changed; "
        "add --yes to remove them for good."
    )


def _plain(each: Deleted) -> dict[str, object]:
    return {
        "id": each.public_id,
        "kind": each.kind.value,
        "name": each.name,
        "experiment_id": str(each.experiment),
        "deleted_time": each.deleted_time,
        "artifact_uri": each.artifact_uri,
        "kept_for": each.kept_for,
    }


@contextmanager
def _upkeep(uri: str) -> Iterator[Upkeep]:
    """The database at `uri`, which has to be there."""
    from headrace.store.sql.upkeep import Upkeep

    require_database(uri)
    upkeep = Upkeep(uri)
    try:
        yield upkeep
    finally:
        upkeep.close()


@contextmanager
def _current(uri: str) -> Iterator[Upkeep]:
    """The database at `uri`, with the schema that this program knows. Raises InvalidState."""
    from headrace.errors import InvalidState
    from headrace.store.sql.migrations import CURRENT_VERSION, schema_version

    with _upkeep(uri) as upkeep:
        with upkeep.reading() as connection:
            found = schema_version(connection)
        if found != CURRENT_VERSION:
            raise InvalidState(
                f"The database has schema version {found}, this program needs {CURRENT_VERSION}. "
                "'headrace db upgrade' brings an older one up to date; for a newer one, install "
                "the Headrace that wrote it."
            )
        yield upkeep
