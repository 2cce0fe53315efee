from __future__ import annotations

import re
from datetime import timedelta

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.cli import output
from headrace.cli.options import age, key_value, local_folder, several
from headrace.cli.server import without_password


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30d", timedelta(days=30)),
        ("1d12h", timedelta(hours=36)),
        ("1.5h", timedelta(minutes=90)),
        ("2W", timedelta(days=14)),
        ("0d", timedelta()),
        ("10s", timedelta(seconds=10)),
    ],
)
def test_age(text: str, span: timedelta) -> None:
    assert age(text) == span


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1y", "1d 2h", "1..5h", "9999999999999w"])
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(click.BadParameter, match="expected such as 30d"):
        age(text)


def test_key_value() -> None:
    assert key_value("a=b=c") == ("a", "b=c")
    assert key_value("a=") == ("a", "")
    for wrong in ("a", "=b"):
        with pytest.raises(click.BadParameter, match="KEY=VALUE"):
            key_value(wrong)


def test_local_folder() -> None:
    assert local_folder("some/folder") == "some/folder"
    assert local_folder("file:///data/a%20b") == "/data/a b"
    with pytest.raises(click.BadParameter, match="object stores"):
        local_folder("s3://bucket/path")


def test_several() -> None:
    assert several("a, b,,c ") == ("a", "b", "c")
    assert several("") == ()


def test_a_password_is_not_shown() -> None:
    assert (
        without_password("postgresql://ann:secret@db/runs?password=x") == "postgresql://ann@db/runs"
    )
    assert without_password("postgresql://db/runs") == "postgresql://db/runs"
    assert without_password("postgresql://db/runs?password=a@b") == "postgresql://db/runs"
    assert without_password("postgresql://ann:a@b/?c@db/runs") == "postgresql://ann@db/runs"


@given(st.text())
def test_what_is_printed_cannot_steer_the_terminal(text: str) -> None:
    shown = output.printable(text)
    assert shown.isprintable()
    assert output.printable(shown) == shown
    if text.isprintable():
        assert shown == text


def test_an_escape_sequence_is_visible() -> None:
    assert output.printable("a\x1b[31mb\nc") == "a\\x1b[31mb\\nc"


@given(st.integers(0, 2**62))
def test_amount_is_short(size: int) -> None:
    assert re.fullmatch(r"\d+(\.\d)? ([KMGT]i)?B", output.amount(size))


def test_times() -> None:
    assert output.lasted(1_000, 1_500) == "0.5 s"
    assert output.lasted(1, 1 + 61_000) == "1 min 1 s"
    assert output.lasted(1, 1 + 3_660_000) == "1 h 1 min"
    assert output.lasted(1, 1 + 90_000_000_0) == "10 d 10 h"
    assert output.lasted(5, None) == ""
    assert output.clock(None) == ""
    assert output.clock(2**62) == str(2**62)
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", output.clock(1_700_000_000_000))


def test_a_table_that_is_not_for_a_terminal_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 500
    output.table(("A", "B"), [(1, long), ("[red]", "\x1b[0m")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["A", "B"]
    assert lines[1].split() == ["1", long]
    assert lines[2].split() == ["[red]", "\\x1b[0m"]


def test_a_narrow_terminal_gets_fewer_columns() -> None:
    columns, rows = ("ID", "LONG", "MORE"), [("1", "x" * 30, "y" * 30)]
    fitting = output._fitting
    assert fitting(columns, rows, (2, 1), 66) == [0, 1, 2]
    assert fitting(columns, rows, (2, 1), 65) == [0, 1]
    assert fitting(columns, rows, (2, 1), 10) == [0]
    assert fitting(columns, rows, (), 10) == [0, 1, 2]
    assert fitting(columns, [], (2,), 80) == [0, 1, 2]
