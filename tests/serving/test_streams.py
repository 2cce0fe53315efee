"""Streams of text from worker processes, whatever the engine does to them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import TooManyRequests, Unavailable
from headrace.models.flavors.openai_requests import Sampling
from headrace.serving.calls import DeadlineExceeded, ModelFailed
from headrace.serving.engines.base import Event, Finished, Piece, Refused, Started
from headrace.serving.pool import Pool
from headrace.serving.worker import boot
from headrace.serving.worker.calls import Call
from tests.serving import made_engine, made_worker
from tests.serving.conftest import PoolMaker, started
from tests.serving.loops import in_loop, outcome, until
from tests.serving.models import answered, asked

PROGRAM = (made_worker.__file__, boot.__file__, made_engine.__file__)


def made_pool(
    make_pool: PoolMaker, folder: Path, **settings: Any
) -> AbstractAsyncContextManager[Pool]:
    """A pool whose workers have the engine of `made_engine.py`."""
    return started(make_pool(folder, program=PROGRAM, **settings))


def head(prompt: str, choices: int = 1) -> dict[str, Any]:
    sampling = asdict(Sampling(n=choices))
    fixed = {"messages": None, "tools": None, "is_streamed": True, "is_pinned": False}
    return {**fixed, "sampling": sampling, "prompt": prompt}


async def events_of(pool: Pool, prompt: str, choices: int = 1) -> list[Event]:
    return await rest_of(pool.generate(head(prompt, choices)))


async def rest_of(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events]


def pieces(events: list[Event]) -> list[list[int]]:
    """What each piece said: the process, and how many choices were under way. Those that waited
    for their reader together are one.
    """
    lines = "".join(each.text for each in events if isinstance(each, Piece)).splitlines()
    return [list(map(int, line.split())) for line in lines]


async def begun(pool: Pool, prompt: str) -> asyncio.Task[list[Event]]:
    """A stream that is under way."""
    before = pool.status().under_way
    task = asyncio.create_task(events_of(pool, prompt))
    await until(lambda: pool.status().under_way > before)
    return task


@in_loop
async def test_a_stream_ends_by_itself_when_all_its_choices_have(
    unruly: Path, make_pool: PoolMaker
) -> None:
    async with made_pool(make_pool, unruly) as pool:
        events = await events_of(pool, "count 3", choices=2)
        assert isinstance(events[0], Started)
        assert len(pieces(events)) == 6
        assert [each.index for each in events if isinstance(each, Finished)] == [0, 1]
        refused = await events_of(pool, "refuse")
        assert isinstance(refused[-1], Refused)
        assert pool.status().under_way == 0


@in_loop
async def test_no_worker_gets_more_than_it_has_room_for(unruly: Path, make_pool: PoolMaker) -> None:
    async with made_pool(make_pool, unruly, workers=2) as pool:
        streams = await asyncio.gather(*(events_of(pool, "count 20") for _ in range(10)))
        said = [piece for events in streams for piece in pieces(events)]
        assert len(said) == 200
        assert max(under_way for _, under_way in said) == made_engine.CAPACITY
        assert len({process for process, _ in said}) == 2


@in_loop
async def test_who_asks_for_more_choices_than_there_is_room_goes_alone(
    unruly: Path, make_pool: PoolMaker
) -> None:
    async with made_pool(make_pool, unruly) as pool:
        both = await asyncio.gather(events_of(pool, "count 5"), events_of(pool, "count 5", 3))
        assert [max(under_way for _, under_way in pieces(each)) for each in both] == [1, 3]


@in_loop
async def test_a_caller_who_leaves_frees_the_place_at_once(
    unruly: Path, make_pool: PoolMaker
) -> None:
    async with made_pool(make_pool, unruly) as pool:
        leavers = [await begun(pool, "forever") for _ in range(made_engine.CAPACITY)]
        waiting = asyncio.create_task(events_of(pool, "count 2"))
        await until(lambda: pool.status().queued == 1)
        leavers[0].cancel()
        assert [under_way for _, under_way in pieces(await waiting)] == [made_engine.CAPACITY] * 2
        async with aclosing(pool.generate(head("forever"))) as events:
            assert isinstance(await anext(events), Started)
        assert pool.status().under_way == 1
        leavers[1].cancel()


@in_loop
async def test_too_many_that_wait_are_refused_at_once(unruly: Path, make_pool: PoolMaker) -> None:
    async with made_pool(make_pool, unruly, max_queue=1) as pool:
        tasks = [await begun(pool, "forever") for _ in range(made_engine.CAPACITY)]
        tasks.append(asyncio.create_task(events_of(pool, "count 1")))
        await until(lambda: pool.status().queued == 1)
        with pytest.raises(TooManyRequests):
            await events_of(pool, "count 1")
        for task in tasks:
            task.cancel()


@pytest.mark.parametrize(
    ("deed", "reason"),
    [("exit", "ended with status 5"), ("raise", "ValueError: the secret of the engine")],
)
def test_an_engine_that_ends_takes_only_those_along_that_had_begun(
    unruly: Path, make_pool: PoolMaker, deed: str, reason: str
) -> None:
    @in_loop
    async def test() -> None:
        async with made_pool(make_pool, unruly) as pool:
            events = pool.generate(head("forever"))
            while not isinstance(await anext(events), Piece):
                pass
            under_way = asyncio.create_task(outcome(rest_of(events)))
            culprit = asyncio.create_task(outcome(events_of(pool, deed)))
            waiting = asyncio.create_task(events_of(pool, "count 3"))
            for task in (under_way, culprit):
                error = await task
                assert isinstance(error, ModelFailed)
                assert error.http_status == 500
                assert reason in error.message
                assert "Traceback" not in error.message
            assert len(pieces(await waiting)) == 3
            assert pool.status().under_way == 0

    test()


@in_loop
async def test_what_came_together_with_an_engines_end_is_tried_again_alone(
    unruly: Path, make_pool: PoolMaker
) -> None:
    async with made_pool(make_pool, unruly) as pool:
        prompts = ("exit", "count 3", "count 3", "count 3")  # it is there before any text is
        results = await asyncio.gather(*(outcome(events_of(pool, each)) for each in prompts))
        assert [isinstance(each, ModelFailed) for each in results] == [True, False, False, False]
        await until(lambda: pool.status().restarts == 2)


@in_loop
async def test_a_stream_that_stands_still_is_ended_and_the_others_go_on(
    unruly: Path, make_pool: PoolMaker
) -> None:
    async with made_pool(make_pool, unruly, timeout=2) as pool:
        other = await begun(pool, "forever")
        with pytest.raises(DeadlineExceeded, match="for 2 seconds"):
            await events_of(pool, "silent")
        assert not other.done()
        assert (pool.status().under_way, pool.status().restarts) == (1, 0)
        other.cancel()


@in_loop
async def test_a_worker_that_makes_no_step_is_replaced(unruly: Path, make_pool: PoolMaker) -> None:
    async with made_pool(make_pool, unruly, timeout=1) as pool:
        assert isinstance(await outcome(events_of(pool, "hang")), DeadlineExceeded)
        await until(lambda: pool.status().restarts == 1)
        assert len(pieces(await events_of(pool, "count 2"))) == 2


@in_loop
async def test_a_worker_that_is_killed_ends_its_streams_only(
    unruly: Path, make_pool: PoolMaker
) -> None:
    async with made_pool(make_pool, unruly, workers=2) as pool:
        streams = [pool.generate(head("forever")) for _ in range(2)]
        said: list[int] = []
        for stream in streams:
            async for event in stream:
                if isinstance(event, Piece):
                    said.append(int(event.text.split()[0]))
                    break
        assert len(set(said)) == 2
        os.kill(said[0], signal.SIGKILL)
        with pytest.raises(ModelFailed, match="SIGKILL"):
            async for _ in streams[0]:
                pass
        await anext(streams[1])
        for stream in streams:
            await stream.aclose()


@in_loop
async def test_draining_waits_for_streams_and_closing_does_not(
    unruly: Path, make_pool: PoolMaker
) -> None:
    async with made_pool(make_pool, unruly) as pool:
        tasks = [asyncio.create_task(events_of(pool, "count 100")) for _ in range(3)]
        await until(lambda: pool.status().queued == 1)
        await pool.drain()
        assert [len(pieces(task.result())) for task in tasks] == [100] * 3

    async with made_pool(make_pool, unruly) as pool:
        endless = asyncio.create_task(outcome(events_of(pool, "forever")))
        await until(lambda: pool.status().under_way == 1)
        await pool.close()
        assert isinstance(await endless, Unavailable)


@in_loop
async def test_a_worker_that_leaks_finishes_its_streams_before_it_goes(
    unruly: Path, make_pool: PoolMaker
) -> None:
    async with made_pool(make_pool, unruly, memory_limit=400 << 20) as pool:
        endless = pool.generate(head("silent"))
        await anext(endless)
        stream = await begun(pool, "count 500")
        while pool.status().last_failure is None:
            await pool.predict(Call("invocations", asked(("leak", 10))))
        events = await stream
        assert len(pieces(events)) == 500
        await until(lambda: pool.status().restarts == 1)
        assert pool.status().alive == 2
        await endless.aclose()
        await until(lambda: pool.status().alive == 1)
        assert {process for process, _ in pieces(await events_of(pool, "count 1"))} != {
            process for process, _ in pieces(events)
        }


@in_loop
async def test_predictions_and_streams_share_a_worker(unruly: Path, make_pool: PoolMaker) -> None:
    async with made_pool(make_pool, unruly) as pool:
        stream = await begun(pool, "forever")
        answers = await asyncio.gather(
            *(pool.predict(Call("invocations", asked("echo"))) for _ in range(5))
        )
        assert [answered(each.body) for each in answers] == [["0.0"]] * 5
        assert not stream.done()
        stream.cancel()
