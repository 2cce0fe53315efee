from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from docs.reference.generate import commands
from headrace.cli.command import Command, Lazy
from headrace.cli.main import COMMANDS, RootGroup, exit_code_of, root
from headrace.errors import (
    AlreadyExists,
    HeadraceError,
    InvalidRequest,
    InvalidState,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)
from headrace.version import VERSION
from tests.cli.conftest import Headrace

LEAVES = [
    (context.command, context)
    for context in commands(root)
    if not isinstance(context.command, click.Group)
]


def test_the_list_of_commands_says_what_the_commands_say() -> None:
    for name, entry in COMMANDS.items():
        command = root.get_command(click.Context(root), name)
        assert command is not None
        assert command.name == name
        loaded = command.get_short_help_str(limit=200)
        has_its_own = name in {"demo", "server", "sync"}
        assert entry.short_help.rstrip(".") == loaded.rstrip(".") or has_its_own


@pytest.mark.parametrize(
    ("command", "context"), LEAVES, ids=[context.command_path for _, context in LEAVES]
)
def test_every_command_teaches(command: click.Command, context: click.Context) -> None:
    assert command.help
    assert isinstance(command, Command)
    assert command.examples
    assert all(line.startswith(("headrace ", "export ")) for line in command.examples)
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, f"{context.command_path} {parameter.opts}"


def test_every_command_that_prints_data_has_json() -> None:
    without = {
        context.command_path
        for command, context in LEAVES
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert without == {
        "headrace demo",
        "headrace server",
        "headrace experiments export",
        "headrace models predict",  # what it prints is JSON
        "headrace models serve",
        "headrace models generate-dockerfile",  # it prints no data, as the next two
        "headrace models build-docker",
        "headrace models update-pip-requirements",
    }


def test_examples_are_commands_that_exist(headrace: Headrace) -> None:
    for command, _ in LEAVES:
        assert isinstance(command, Command)
        for line in command.examples:
            words = shlex.split(line.partition("$(")[2].rstrip(")") or line, comments=True)
            if "&&" in words:
                words = words[: words.index("&&")]
            if "<" in words:
                words = words[: words.index("<")]
            if ">" in words:
                words = words[: words.index(">")]
            if words[0] == "export":
                continue
            with root.make_context("headrace", words[1:]) as context:
                name, found, rest = root.resolve_command(context, words[1:])
                while isinstance(found, click.Group):
                    context = click.Context(found, info_name=name, parent=context)
                    name, found, rest = found.resolve_command(context, rest)
                assert found is not None
                if "upload" in words:
                    Path(words[4]).touch()
                if "-i" in words:
                    Path(words[words.index("-i") + 1]).touch()
                found.make_context(name, list(rest), parent=context)


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from headrace.cli.main import main\n"
        "sys.argv = ['headrace', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    printed, loaded = done.stdout, done.stderr
    names = {name.partition(".")[0] for name in loaded.split()}
    assert "experiments" in printed
    assert not names & {"sqlalchemy", "rich", "urllib3", "starlette", "msgspec", "asyncio"}


def test_version_and_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "headrace", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout == f"headrace {VERSION}\n"


def test_the_help_says_what_the_exit_codes_mean(headrace: Headrace) -> None:
    shown = headrace("--help").out
    for code in ("0 ", "1 ", "2 ", "3 ", "4 ", "130 "):
        assert f"\n  {code}" in shown


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (HeadraceError("x"), 1),
        (Unavailable("x"), 1),
        (InvalidRequest("x"), 2),
        (NotFound("x"), 3),
        (Unauthenticated("x"), 4),
        (PermissionDenied("x"), 4),
        (InvalidState("x"), 4),
        (AlreadyExists("x"), 4),
    ],
)
def test_exit_codes(error: HeadraceError, code: int) -> None:
    assert exit_code_of(error) == code


def test_a_misspelt_command_is_wrong_usage(headrace: Headrace) -> None:
    ran = headrace("rums")
    assert ran.code == 2
    assert "rums" in ran.err
    assert not ran.out


def test_an_unwritable_file_is_a_line_not_a_traceback(headrace: Headrace) -> None:
    headrace("experiments", "create", "e")
    ran = headrace("experiments", "export", "e", "-o", "no/such/folder/out.csv")
    assert ran.code == 1
    assert ran.err.startswith("Error: ")
    assert "No such file" in ran.err


@click.command()
def interrupted() -> None:
    raise KeyboardInterrupt


def test_ctrl_c_is_130() -> None:
    group = RootGroup("headrace", lazy={"wait": Lazy(f"{__name__}:interrupted", "Wait.")})
    result = CliRunner().invoke(group, ["wait"])
    assert result.exit_code == 130
    assert result.stderr == "Error: stopped.\n"


def test_a_closed_pipe_is_quiet(headrace: Headrace, tmp_path: Path) -> None:
    headrace("experiments", "create", "e")
    readable, writable = os.pipe()
    os.close(readable)
    done = subprocess.run(
        [sys.executable, "-m", "headrace", "experiments", "list", "--json"],
        stdout=writable,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        timeout=30,
        check=False,
    )
    os.close(writable)
    assert done.stderr == b""
    assert done.returncode == 1
