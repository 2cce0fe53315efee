"""The `headrace` command: its groups, and how every command ends."""

from __future__ import annotations

import errno
from typing import Any

import click

from headrace.cli.command import Lazy, LazyGroup, write_lines
from headrace.errors import (
    AlreadyExists,
    HeadraceError,
    InvalidModel,
    InvalidRequest,
    InvalidState,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from headrace.version import VERSION

FAILED = 1
USAGE = 2
NOT_FOUND = 3
REFUSED = 4
INTERRUPTED = 130
_REFUSALS = (Unauthenticated, PermissionDenied, InvalidState, AlreadyExists, InvalidModel)

COMMANDS = {
    "demo": Lazy("headrace.cli.demo:demo", "Train on a real data set and see it tracked."),
    "server": Lazy("headrace.cli.server:server", "Run the tracking server."),
    "experiments": Lazy(
        "headrace.cli.experiments:experiments", "Make, list and export experiments."
    ),
    "runs": Lazy("headrace.cli.runs:runs", "List, search, show and compare runs."),
    "artifacts": Lazy(
        "headrace.cli.artifacts:artifacts", "List, download and upload the files of runs."
    ),
    "sync": Lazy("headrace.cli.sync:sync", "Copy what is tracked to another place."),
    "models": Lazy(
        "headrace.cli.model_commands:models",
        "Serve models, predict with them, and make what they need.",
    ),
    "trust": Lazy(
        "headrace.cli.trust:trust", "Say whose models may run code here, sign and verify models."
    ),
    "users": Lazy("headrace.cli.users:users", "Say who may use a server: users and tokens."),
    "db": Lazy("headrace.cli.db:db", "Upgrade, check, back up and clean up a database."),
}
START_HERE = (
    "headrace demo              a server, a training, and what was tracked",
    "headrace server            a server on http://127.0.0.1:5000",
    "headrace runs list         the runs that are tracked",
    "headrace COMMAND --help    what a command does, with examples",
)
EXIT_CODES = (
    "0    done",
    "1    it could not be done: the message says what failed",
    "2    wrong usage: an option, a value or a filter is not valid",
    "3    what was named does not exist",
    "4    refused: credentials, permission, or the state of the thing",
    "130  stopped by Ctrl-C",
)


class RootGroup(LazyGroup):
    """Turns our errors, the system's and Ctrl-C into a line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except HeadraceError as error:
            message, code = error.message, exit_code_of(error)
        except (KeyboardInterrupt, click.Abort):
            message, code = "stopped.", INTERRUPTED
        except OSError as error:
            if error.errno == errno.EPIPE or error.strerror is None:
                raise
            where = f"{error.filename}: " if error.filename else ""
            message, code = f"{where}{error.strerror}.", FAILED
        click.echo(f"Error: {message}", err=True)
        raise click.exceptions.Exit(code)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Where to start, and what the exit codes mean."""
        write_lines(formatter, "Start here", START_HERE)
        write_lines(formatter, "Exit codes", EXIT_CODES)
        super().format_epilog(ctx, formatter)


def exit_code_of(error: HeadraceError) -> int:
    """The exit code that tells a script what kind of error this was."""
    if isinstance(error, NotFound):
        return NOT_FOUND
    if isinstance(error, _REFUSALS):
        return REFUSED
    if isinstance(error, InvalidRequest):
        return USAGE
    return FAILED


@click.group(
    name="headrace",
    cls=RootGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(VERSION, "--version", "-V", message="headrace %(version)s")
def root() -> None:
    """Track machine-learning experiments, over MLflow's protocol.

    Commands that read or write what is tracked find it through --tracking-uri, or
    HEADRACE_TRACKING_URI, or MLFLOW_TRACKING_URI: a server's address (http://…) or a database
    (sqlite:///FILE, postgresql://…). With --json they print one JSON document on stdout.
    """


def main() -> None:
    """The console script."""
    root(prog_name="headrace")
