"""How many places a model gets, by the memory that is free."""

from __future__ import annotations

import logging
from pathlib import Path

import psutil
import pytest

from headrace.serving.engines import memory

GIB = 1 << 30


@pytest.mark.parametrize(
    ("slots", "each", "free", "found"),
    [
        (16, GIB, 100 * GIB, 16),
        (16, 3 * GIB, 20 * GIB, 4),
        (16, 30 * GIB, 20 * GIB, 1),
        (16, GIB, 0, 1),
        (16, GIB, None, 16),
        (16, 0, 0, 16),
    ],
)
def test_places_have_room(
    slots: int, each: int, free: int | None, found: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "headrace.serving"):
        assert memory.fitting(slots, each, free, "phi") == found
    assert bool(caplog.text) is (found < slots)
    assert not caplog.text or f"phi gets {found} places instead of {slots}" in caplog.text


def test_the_machine_says_what_is_free() -> None:
    found = memory.free_memory()
    if found is None:
        pytest.skip("this system does not say what memory is free")
    assert 0 <= found <= psutil.virtual_memory().total


def test_a_container_has_its_own_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    assert memory.free_memory() == 600
    (tmp_path / "memory.current").write_text("4000\n")
    assert memory.free_memory() == 0
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_memory() != 0
