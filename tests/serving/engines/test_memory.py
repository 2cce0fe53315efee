"""How many places a model gets, by the memory that is free."""

from __future__ import annotations

import logging
import math
import mmap
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


def layout(token_bytes: int = 1 << 20) -> memory.Layout:
    quarter = token_bytes // 4
    return memory.Layout(token_bytes, stretch_bytes=quarter, copied_bytes=quarter)


def test_room_is_for_tokens_and_not_for_places(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "headrace.serving"):
        room = layout().room(20 * GIB, 16, 4096, "phi")
    # 70 % of 20 GiB are 14,336 MiB; a quarter may be there twice; slots keep a little.
    assert room.tokens == 14_336 * 4 // 5 - 16 * 2
    assert f"phi has memory for {room.tokens} tokens" in caplog.text
    assert "16 places for up to 4096 tokens each" in caplog.text


def test_nothing_is_said_where_there_is_room_for_all(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "headrace.serving"):
        assert layout().room(200 * GIB, 16, 4096, "phi").tokens > 16 * 4096
    assert not caplog.text


def test_pages_are_counted_whole() -> None:
    fine = memory.Layout(token_bytes=64 * 512, stretch_bytes=512)
    room = fine.room(GIB, 1, 100, "phi")
    assert room.needed(100) == 100 + 2 * mmap.PAGESIZE // 512


def test_small_rows_are_kept() -> None:
    assert not layout(token_bytes=4096).gives_back(256)
    assert layout(token_bytes=4096).gives_back(257)


def test_a_process_counts_on_no_more_than_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    before = memory.free_memory()
    assert before is not None
    monkeypatch.setattr(memory._process, "most", None)  # it is put back as it was
    held = psutil.Process().memory_info().rss
    memory.count_on(held + (before - held) // 2)
    found = memory.free_memory()
    assert found is not None
    assert 0 < found < before
    memory.count_on(held // 2)
    assert memory.free_memory() == 0


def test_where_nobody_knows_there_is_room() -> None:
    assert layout().room(None, 16, 4096, "phi") == memory.Room()
    assert memory.Room().tokens == math.inf
    assert layout().room(0, 16, 4096, "phi").tokens == 0


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
