"""Bodies that come in pieces, slowly, or too many at once."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from headrace.errors import InvalidRequest, PayloadTooLarge, TooManyRequests
from headrace.http.bodies import Bodies
from headrace.http.settings import ListenSettings


class Sender:
    """A client that sends when it is told to."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()

    def send(self, piece: bytes, *, more: bool) -> Sender:
        self._messages.put_nowait({"type": "http.request", "body": piece, "more_body": more})
        return self

    def hang_up(self) -> Sender:
        self._messages.put_nowait({"type": "http.disconnect"})
        return self

    async def receive(self) -> MutableMapping[str, Any]:
        return await self._messages.get()


def bodies(all_bytes: int = 100, **settings: Any) -> Bodies:
    return Bodies(ListenSettings(max_body_bytes=60, **settings), all_bytes)


def test_a_body_is_put_together() -> None:
    sender = Sender().send(b"one ", more=True).send(b"two", more=False)
    assert asyncio.run(bodies().whole(sender.receive, {})) == b"one two"


def test_a_body_that_is_too_long_is_refused_announced_or_not() -> None:
    with pytest.raises(PayloadTooLarge, match="61 bytes"):
        asyncio.run(bodies().whole(Sender().receive, {b"content-length": b"61"}))
    sender = Sender().send(b"x" * 40, more=True).send(b"x" * 21, more=True)
    with pytest.raises(PayloadTooLarge, match="more than 60 bytes"):
        asyncio.run(bodies().whole(sender.receive, {}))
    with pytest.raises(PayloadTooLarge):
        asyncio.run(bodies().whole(Sender().send(b"x" * 61, more=False).receive, {}))


def test_bodies_that_never_end_leave_room_for_others() -> None:
    async def crowd() -> None:
        reading = bodies()
        slow = [Sender().send(b"x" * 45, more=True) for _ in range(2)]
        waiting = [asyncio.create_task(reading.whole(each.receive, {})) for each in slow]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(TooManyRequests) as refused:
            await reading.whole(Sender().send(b"x" * 20, more=True).receive, {})
        assert refused.value.retry_after == 1
        small = Sender().send(b"small", more=False)  # it comes at once, and keeps nothing
        assert await reading.whole(small.receive, {}) == b"small"
        slow[0].hang_up()
        with pytest.raises(ClientDisconnect):
            await waiting[0]
        late = Sender().send(b"x" * 20, more=True).send(b"y", more=False)
        assert len(await reading.whole(late.receive, {})) == 21
        slow[1].send(b"", more=False)
        assert len(await waiting[1]) == 45

    asyncio.run(crowd())


def test_a_body_that_trickles_is_given_up() -> None:
    async def trickle() -> None:
        sender = Sender().send(b"x", more=True)

        async def drip() -> None:
            while True:
                await asyncio.sleep(0.01)
                sender.send(b"x", more=True)

        dripping = asyncio.create_task(drip())
        with pytest.raises(InvalidRequest, match=r"not there after 0\.25 seconds"):
            await bodies(body_timeout=0.05).whole(sender.receive, {})
        dripping.cancel()

    asyncio.run(trickle())


def test_a_body_that_stops_is_told_how_far_it_came() -> None:
    sender = Sender().send(b"abc", more=True)
    with pytest.raises(InvalidRequest, match=r"stopped after 3 bytes for 0\.01 seconds"):
        asyncio.run(bodies(body_timeout=0.01).whole(sender.receive, {}))
