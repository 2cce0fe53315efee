"""What workers say of streams, and their end, as the server takes it: without any process."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

import pytest

from headrace.models.flavors.openai_requests import Sampling
from headrace.serving.calls import ModelFailed
from headrace.serving.engines.base import Event, Finished, Piece, Started
from headrace.serving.settings import ServingSettings
from headrace.serving.streams import Streams
from headrace.serving.worker.events import told
from headrace.serving.worker_loss import Loss
from tests.serving.idle_workers import IdleWorkers, idle_worker
from tests.serving.loops import in_loop, until


def reading(streams: Streams) -> asyncio.Task[list[Event]]:
    """A stream that is read to its end; the first one has the key 1, the next one 2 …"""

    async def read() -> list[Event]:
        return [event async for event in streams.generate({"sampling": asdict(Sampling())})]

    return asyncio.create_task(read())


def whole(key: int) -> list[Event]:
    """What comes of a stream."""
    return [Started(key, 3), Piece(key, 0, f"text {key}", ()), Finished(key, 0, "stop", 1)]


@in_loop
async def test_a_worker_is_heard_of_its_own_streams_only() -> None:
    there = IdleWorkers(2)
    first, second = there.workers
    streams = Streams("m", ServingSettings(), there)
    answer = reading(streams)
    await until(lambda: streams.under_way == 1)
    assert streams.is_busy(first)
    streams.heard(second, [told(Piece(1, 0, "of a stranger", ())), told(Finished(1, 0, "stop", 1))])
    streams.heard(first, [told(event) for event in whole(1)])
    assert await answer == whole(1)
    assert not streams.is_busy(first)
    streams.heard(first, [told(event) for event in whole(1)])  # it is over


@in_loop
async def test_what_is_begun_anew_goes_before_what_waits() -> None:
    there = IdleWorkers(1)
    (lost,) = there.workers
    streams = Streams("m", ServingSettings(), there)
    answers = [reading(streams) for _ in range(3)]
    await until(lambda: streams.queued == 1)
    streams.heard(lost, [told(Started(key, 3)) for key in (1, 2)])
    there.workers = [other] = [idle_worker()]
    streams.lost(lost, Loss("it ended"))
    streams.heard(other, [told(event) for event in whole(3)])  # no word of it: it still waits
    assert (streams.under_way, streams.queued) == (2, 1)
    streams.heard(other, [told(event) for key in (1, 2) for event in whole(key)])
    streams.heard(other, [told(event) for event in whole(3)])
    async with asyncio.timeout(10):
        assert await asyncio.gather(*answers) == [whole(1), whole(2), whole(3)]


@in_loop
async def test_a_stream_is_begun_anew_once_and_only_before_its_text() -> None:
    there = IdleWorkers(1)
    streams = Streams("m", ServingSettings(), there)
    unlucky, begun = reading(streams), reading(streams)
    await until(lambda: streams.under_way == 2)
    for reason in ("it ended", "it ended again"):
        (lost,) = there.workers
        streams.heard(lost, [told(Started(1, 3))])
        if reason == "it ended":
            streams.heard(lost, [told(event) for event in whole(2)[:2]])
        there.workers = [idle_worker()]
        streams.lost(lost, Loss(reason))
    with pytest.raises(ModelFailed, match="it ended again"):
        await unlucky
    with pytest.raises(ModelFailed, match=r"it ended\."):
        await begun
    assert (streams.queued, streams.under_way) == (0, 0)


@in_loop
async def test_a_suspect_is_alone_until_it_has_started() -> None:
    there = IdleWorkers(1)
    (lost,) = there.workers
    streams = Streams("m", ServingSettings(), there)
    answers = [reading(streams), reading(streams)]
    await until(lambda: streams.under_way == 2)
    there.workers = [other] = [idle_worker()]
    streams.lost(lost, Loss("it ended"))
    assert (streams.under_way, streams.queued) == (1, 1)
    streams.heard(other, [told(Started(1, 3))])
    assert (streams.under_way, streams.queued) == (1, 1)  # the other one is a suspect, too
    streams.heard(other, [told(event) for event in whole(1)[1:]])
    streams.heard(other, [told(event) for event in whole(2)])
    assert await asyncio.gather(*answers) == [whole(1), whole(2)]
