"""What is kept for the reader of a stream of text."""

from __future__ import annotations

import asyncio

import pytest

from headrace.errors import Unavailable
from headrace.serving.engines.base import Event, Finished, Piece, Started, TokenLogprob
from headrace.serving.unread import Unread
from tests.serving.loops import in_loop


def kept(*events: Event) -> Unread:
    unread = Unread()
    for event in events:
        unread.keep(event)
    return unread


async def read(unread: Unread) -> list[Event]:
    return [event async for event in unread]


@in_loop
async def test_text_that_goes_on_is_one_piece_for_a_reader_who_is_late() -> None:
    first, second = TokenLogprob("a", -1.0, ()), TokenLogprob("b", -2.0, ())
    unread = kept(
        Started(1, 3),
        Piece(1, 0, "a", (first,)),
        Piece(1, 0, "b", (second,)),
        Piece(1, 1, "c", ()),
        Piece(1, 0, "d", ()),
        Finished(1, 0, "stop", 3),
    )
    unread.end()
    assert await read(unread) == [
        Started(1, 3),
        Piece(1, 0, "ab", (first, second)),
        Piece(1, 1, "c", ()),
        Piece(1, 0, "d", ()),
        Finished(1, 0, "stop", 3),
    ]


@in_loop
async def test_long_pieces_are_not_copied_again_and_again() -> None:
    unread = kept(*(Piece(1, 0, "x" * 1000, ()) for _ in range(100)))
    unread.end()
    texts = [event.text for event in await read(unread) if isinstance(event, Piece)]
    assert "".join(texts) == "x" * 100_000
    assert max(map(len, texts)) < 5000


@in_loop
async def test_what_came_before_an_error_is_read_first_and_the_first_end_counts() -> None:
    unread = kept(Piece(1, 0, "a", ()))
    unread.end(Unavailable("the first"))
    unread.end(Unavailable("the second"))
    unread.end()
    assert await anext(unread) == Piece(1, 0, "a", ())
    for _ in range(2):
        with pytest.raises(Unavailable, match="the first"):
            await anext(unread)


@in_loop
async def test_a_reader_who_waits_is_told_of_each_event_and_of_the_end() -> None:
    unread = Unread()
    reader = asyncio.create_task(read(unread))
    for number in range(3):
        await asyncio.sleep(0)  # it has taken what was there, and waits
        unread.keep(Started(1, number))
    await asyncio.sleep(0)
    unread.end()
    assert await reader == [Started(1, number) for number in range(3)]


@in_loop
async def test_only_a_reader_who_never_catches_up_has_too_much() -> None:
    unread = Unread()
    for _ in range(3):
        for _ in range(40_000):
            unread.keep(Piece(1, 0, "x", ()))
        assert not unread.is_too_much
        unread.keep(Started(1, 0))
        while not isinstance(await anext(unread), Started):
            pass
    for _ in range(50_001):
        unread.keep(Piece(1, 0, "x", ()))
    assert unread.is_too_much
