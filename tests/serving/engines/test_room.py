"""How many tokens and places a model has memory for."""

from __future__ import annotations

import logging
import math
import mmap

import pytest

from headrace.serving.engines import room
from headrace.serving.engines.room import Layout, Room, fitting

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
        assert fitting(slots, each, free, "phi") == found
    assert bool(caplog.text) is (found < slots)
    assert not caplog.text or f"phi gets {found} places instead of {slots}" in caplog.text


def layout(token_bytes: int = 1 << 20) -> Layout:
    quarter = token_bytes // 4
    return Layout(token_bytes, stretch_bytes=quarter, copied_bytes=quarter)


def test_room_is_for_tokens_and_not_for_places(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "headrace.serving"):
        found = layout().room(lambda: 20 * GIB, 16, 4096, "phi")
    # 70 % of 20 GiB are 14,336 MiB; a quarter may be there twice; slots keep a little.
    assert found.tokens == 14_336 * 4 // 5 - 16 * 2
    assert f"phi has memory for {found.tokens} tokens" in caplog.text
    assert "16 places for up to 4096 tokens each" in caplog.text


def test_nothing_is_said_where_there_is_room_for_all(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "headrace.serving"):
        assert layout().room(lambda: 200 * GIB, 16, 4096, "phi").tokens > 16 * 4096
    assert not caplog.text


def test_what_the_others_leave_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_LOOK_EVERY", 0.0)
    free = 10_000
    found = Layout(token_bytes=1, stretch_bytes=2 * mmap.PAGESIZE).room(
        lambda: free, 4, 1000, "phi"
    )
    assert found.tokens == 7_000 - 4 * 2
    free = 4_000  # we have taken all of it
    found.look([5_000, 1_000])
    assert found.tokens == 7_000 - 4 * 2
    free = 1_000  # and others the rest
    found.look([5_000, 1_000])
    assert found.tokens == 4_900 - 4 * 2
    free = 0
    found.look([])
    assert found.tokens == 0


def test_memory_is_not_looked_at_at_each_token() -> None:
    looks = 0

    def free() -> int:
        nonlocal looks
        looks += 1
        return GIB

    found = Layout(1, 1).room(free, 4, 1000, "phi")
    for _ in range(1000):
        found.look([1])
    assert looks < 1000


def test_pages_are_counted_whole() -> None:
    fine = Layout(token_bytes=64 * 512, stretch_bytes=512)
    found = fine.room(lambda: GIB, 1, 100, "phi")
    assert found.needed(100) == 100 + 2 * mmap.PAGESIZE // 512


def test_small_rows_are_kept() -> None:
    assert not layout(token_bytes=4096).gives_back(256)
    assert layout(token_bytes=4096).gives_back(257)


def test_where_nobody_knows_there_is_room() -> None:
    assert layout().room(lambda: None, 16, 4096, "phi") == Room()
    assert Room().tokens == math.inf
    assert layout().room(lambda: 0, 16, 4096, "phi").tokens == 0
