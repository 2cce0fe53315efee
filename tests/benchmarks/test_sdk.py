"""The programs that the benchmark of logging runs: small, to see that they measure something."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.figures.sdk_away import CALLS, FIRST, blackhole
from benchmarks.load import LoadError
from benchmarks.peers import HOST, PEERS
from benchmarks.sdk import run_program

HEADRACE = PEERS["headrace"]


@pytest.mark.parametrize("way", ["default", "asynchronous"])
def test_the_loop_counts_what_arrived(tmp_path: Path, way: str) -> None:
    uri = f"sqlite:///{tmp_path}/first.db"
    figures = run_program(HEADRACE, tmp_path, uri, "points", "500", way)
    assert 0 < figures["p50"] <= figures["p99"] <= figures["longest"]
    assert figures["rate"] > 0
    assert list((tmp_path / "home" / "journal").iterdir())


def test_every_kind_of_call_is_timed_without_a_server(tmp_path: Path) -> None:
    with blackhole() as port:
        figures = run_program(HEADRACE, tmp_path, f"http://{HOST}:{port}", "away", "1000")
    assert set(figures) == {FIRST, *CALLS, "sender_cpu"}
    assert all(figures[name] > 0 for name in (FIRST, *CALLS))


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"calls: .*nonsense"):
        run_program(HEADRACE, tmp_path, "nonsense://", "calls", "5", "default")
