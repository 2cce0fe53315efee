"""`headrace demo`: a server, a training that tracks to it, and what was tracked."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import click

from headrace import settings
from headrace.cli import output
from headrace.cli.command import Command

DEFAULT_PORT = 5000


@click.command(
    cls=Command,
    examples=["headrace demo", "headrace demo --port 8080", "headrace demo --exit"],
)
@click.option(
    "--port",
    "-p",
    type=click.IntRange(0, 65_535),
    metavar="NUMBER",
    help=f"The port of the server.  [default: {DEFAULT_PORT}, or a free one if it is taken]",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default="headrace-demo",
    show_default=True,
    help="Where the server keeps its database and files; made if it is not there.",
)
@click.option("--exit", "exits", is_flag=True, help="Stop when the training is done.")
@click.pass_context
def demo(ctx: click.Context, port: int | None, folder: Path, exits: bool) -> None:
    """Train on a real data set and see it tracked.

    Starts a server, trains a few classifiers of handwritten digits in a program that tracks to it
    over HTTP, shows what was found, and keeps the server up until Ctrl-C. Everything lies in one
    folder, which can be thrown away. Needs scikit-learn.
    """
    from headrace.errors import Unavailable
    from headrace.server.run import serve
    from headrace.server.settings import ServerSettings

    if importlib.util.find_spec("sklearn") is None:
        raise Unavailable(
            "The demo trains with scikit-learn, which is not installed: "
            "pip install 'headrace[demo]'."
        )
    folder.mkdir(parents=True, exist_ok=True)
    chosen = ServerSettings(
        port=_free_port() if port is None else port,
        backend_store_uri=f"sqlite:///{folder.absolute()}/headrace.db",
        artifacts_destination=str(folder.absolute() / "artifacts"),
    )
    training = Training(folder.absolute(), exits)
    serve(chosen, training.start)
    ctx.exit(training.finish())


class Training:
    """The training program, in a process of its own as any user's would be."""

    def __init__(self, folder: Path, exits: bool) -> None:
        self._folder = folder
        self._exits = exits
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, address: str) -> None:
        """Start it against the server at `address`."""
        output.note(f"A server runs at {address}; its data lies in {self._folder}.")
        # A run or an experiment that the environment names is not what the demo is about.
        named = {name for variable in settings.all_variables() for name in variable.names}
        environment = {name: value for name, value in os.environ.items() if name not in named}
        # The matrices are small: more threads would only wait for each other.
        environment.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        environment[settings.JOURNAL.names[0]] = str(self._folder / "journal")
        self._process = subprocess.Popen(  # noqa: S603 - our own program, no shell
            [sys.executable, "-m", "headrace.cli.demo_training", address],
            stdin=subprocess.DEVNULL,
            env=environment,
        )
        threading.Thread(target=self._watch, args=(address,), daemon=True).start()

    def finish(self) -> int:
        """End it, if it is still there, and give its exit status."""
        if self._process is None:
            return 1
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
            return 130
        return self._process.returncode

    def _watch(self, address: str) -> None:
        assert self._process is not None
        status = self._process.wait()
        if self._exits or status:
            # As Ctrl-C would: the server finishes what is under way and returns.
            os.kill(os.getpid(), signal.SIGINT)
            return
        output.note(f"\nThe server is still up at {address}; Ctrl-C stops it.")


def _free_port() -> int:
    """The usual port; 0, which takes any, if somebody has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", DEFAULT_PORT))
        except OSError:
            output.note(f"Port {DEFAULT_PORT} is taken, so the server gets another.")
            return 0
    return DEFAULT_PORT
