"""Predictions in worker processes, whatever the model does to them."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest

from headrace.errors import InvalidModel, TooManyRequests, Unavailable
from headrace.serving import predictions
from headrace.serving.calls import DeadlineExceeded, ModelFailed
from headrace.serving.engines import memory
from headrace.serving.pool import Pool
from headrace.serving.worker.answers import Answered
from headrace.serving.worker.calls import Call
from tests.serving import short_lived_worker
from tests.serving.conftest import PoolMaker, started
from tests.serving.loops import in_loop, outcome, until
from tests.serving.models import answered, asked, save_unruly

MEGABYTES = 1 << 20


def call(*rows: tuple[str, float] | str) -> Call:
    return Call("invocations", asked(*rows))


async def said(pool: Pool, *rows: tuple[str, float] | str) -> str:
    """The prediction for the first row."""
    text: str = answered((await pool.predict(call(*rows))).body)[0]
    return text


def status_of(result: Answered | Exception) -> int:
    if isinstance(result, Answered):
        return 200
    assert isinstance(result, ModelFailed | DeadlineExceeded), repr(result)
    return result.http_status


# ------------------------------------------------------------------------------ together


@in_loop
async def test_requests_that_come_together_are_predicted_together(
    unruly: Path, make_pool: PoolMaker
) -> None:
    async with started(make_pool(unruly, max_batch=8)) as pool:
        values = await asyncio.gather(*(said(pool, ("echo", number)) for number in range(20)))
        assert values == [str(float(number)) for number in range(20)]
        assert set(pool.status().batches) == {8, 4}


@in_loop
async def test_a_model_that_asks_for_it_gets_one_request_at_a_time(
    tmp_path: Path, make_pool: PoolMaker
) -> None:
    async with started(make_pool(save_unruly(tmp_path / "alone", batching=False))) as pool:
        assert await asyncio.gather(*(said(pool, "rows") for _ in range(5))) == ["1"] * 5
        assert pool.status().batches == {1: 5}


@pytest.mark.parametrize(
    ("deed", "status"),
    [
        ("raise", 400),
        ("sys_exit", 400),
        ("interrupt", 400),
        ("stop", 400),
        ("exit", 500),
        ("segfault", 500),
    ],
)
def test_only_the_request_that_is_to_blame_fails(
    unruly: Path, make_pool: PoolMaker, deed: str, status: int
) -> None:
    @in_loop
    async def test() -> None:
        async with started(make_pool(unruly)) as pool:
            rows = ["pid", "pid", deed, "pid", "pid"]
            results = await asyncio.gather(*(outcome(pool.predict(call(row))) for row in rows))
            assert [status_of(each) for each in results] == [200, 200, status, 200, 200]
            assert isinstance(results[2], ModelFailed)
            assert "Traceback" not in results[2].message
            assert await said(pool, ("echo", 1)) == "1.0"
            assert pool.status().restarts == (2 if status == 500 else 0)

    test()


@in_loop
async def test_a_model_that_hangs_fails_its_own_request_in_time(
    unruly: Path, make_pool: PoolMaker
) -> None:
    async with started(make_pool(unruly, timeout=16)) as pool:
        rows = ["pid", "hang", "pid", "pid"]
        results = await asyncio.gather(*(outcome(pool.predict(call(row))) for row in rows))
        assert [status_of(each) for each in results] == [200, 504, 200, 200]


@in_loop
async def test_one_that_hangs_is_ended_early_where_there_is_no_memory_for_another_worker(
    unruly: Path, tmp_path: Path, make_pool: PoolMaker
) -> None:
    told = tmp_path / "meminfo"
    told.write_text("MemAvailable: 0 kB\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "_MEMINFO", told)
        async with started(make_pool(unruly, timeout=16)) as pool:
            rows = ["pid", "hang", "pid", "pid"]
            results = await asyncio.gather(*(outcome(pool.predict(call(row))) for row in rows))
            assert [status_of(each) for each in results] == [200, 504, 200, 200]
            assert pool.status().restarts == 2


@in_loop
async def test_a_slow_model_whose_batch_is_taken_apart_answers_those_it_can(
    tmp_path: Path, make_pool: PoolMaker
) -> None:
    """Each of its predictions takes more than a quarter of the time limit, and none hangs."""
    slow = save_unruly(tmp_path / "slow", each_call=1.6)
    async with started(make_pool(slow, timeout=6)) as pool:
        rows = ["pid", "raise", "pid", "pid"]
        results = await asyncio.gather(*(outcome(pool.predict(call(row))) for row in rows))
        assert [status_of(each) for each in results][:2] == [200, 400]
        assert isinstance(results[0], Answered)
        worker = int(answered(results[0].body)[0])
        assert {status_of(each) for each in results[2:]} <= {200, 504}
        assert psutil.pid_exists(worker)
        await until(lambda: pool.status().under_way == 0)
        assert "hung" not in str(pool.status().last_failure)


@in_loop
async def test_answers_come_as_they_are_there_where_each_is_asked_alone(
    tmp_path: Path, make_pool: PoolMaker
) -> None:
    slow = save_unruly(tmp_path / "slow", each_call=1.0)
    async with started(make_pool(slow, timeout=120)) as pool:
        rows = ["pid", "raise", "pid", "pid"]
        asking = [asyncio.create_task(outcome(pool.predict(call(row)))) for row in rows]
        await asking[0]
        assert not any(each.done() for each in asking[1:])
        results = await asyncio.gather(*asking)
        assert [status_of(each) for each in results] == [200, 400, 200, 200]
        assert pool.status().batches == {4: 1}


@in_loop
async def test_what_nobody_waits_for_any_more_is_left_out_of_a_batch(
    tmp_path: Path, make_pool: PoolMaker
) -> None:
    notes = tmp_path / "notes"
    slow = save_unruly(tmp_path / "slow", notes=str(notes), each_call=0.5)
    async with started(make_pool(slow, timeout=6)) as pool:
        calls = [call("raise"), *(call(("note", float(number))) for number in range(20))]
        results = await asyncio.gather(*(outcome(pool.predict(each)) for each in calls))
        assert status_of(results[0]) == 400
        assert status_of(results[-1]) == 504
        await until(lambda: pool.status().under_way == 0)
        assert notes.read_text().count("\n") < 20


@in_loop
async def test_one_that_hangs_is_ended_once_others_have_done_what_it_was_at(
    unruly: Path, make_pool: PoolMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds memory, and nobody waits for it: not only after the time limit."""
    monkeypatch.setattr(predictions, "_HUNG", 0.02)
    async with started(make_pool(unruly, timeout=60)) as pool:
        victim = psutil.Process(int(answered((await pool.predict(call("pid"))).body)[0]))
        victim.suspend()
        results = await asyncio.gather(*(pool.predict(call("pid")) for _ in range(2)))
        assert victim.pid not in {int(answered(each.body)[0]) for each in results}
        await until(lambda: not psutil.pid_exists(victim.pid))


@in_loop
async def test_requests_behind_one_that_hangs_get_another_worker(
    unruly: Path, make_pool: PoolMaker
) -> None:
    async with started(make_pool(unruly, timeout=8)) as pool:
        hung = asyncio.create_task(outcome(pool.predict(call("hang"))))
        await until(lambda: pool.status().under_way == 1)
        assert await said(pool, ("echo", 1)) == "1.0"
        assert not hung.done()
        assert status_of(await hung) == 504
        await until(lambda: pool.status().alive == 1)
        assert pool.status().restarts == 1


@in_loop
async def test_a_worker_is_not_ended_because_nobody_waits_for_it_any_more(
    unruly: Path, make_pool: PoolMaker
) -> None:
    async with started(make_pool(unruly, timeout=8)) as pool:
        worker = await said(pool, "pid")
        asking = asyncio.create_task(pool.predict(call(("slow", 3))))
        await until(lambda: pool.status().under_way == 1)
        asking.cancel()
        await until(lambda: pool.status().under_way == 0)
        assert await said(pool, "pid") == worker


@in_loop
async def test_answers_of_many_megabytes(unruly: Path, make_pool: PoolMaker) -> None:
    async with started(make_pool(unruly)) as pool:
        sizes = [9 * MEGABYTES, 10, 12 * MEGABYTES, 5]
        texts = await asyncio.gather(*(said(pool, ("long", size)) for size in sizes))
        assert [len(text) for text in texts] == sizes


@in_loop
async def test_requests_of_many_megabytes(unruly: Path, make_pool: PoolMaker) -> None:
    async with started(make_pool(unruly)) as pool:
        rows = [("echo", float(number)) for number in range(100_000)]
        whole = answered((await pool.predict(call(*rows))).body)
        assert whole[::33_333] == ["0.0", "33333.0", "66666.0", "99999.0"]


@in_loop
async def test_several_pools_share_nothing(unruly: Path, make_pool: PoolMaker) -> None:
    async with started(make_pool(unruly)) as first, started(make_pool(unruly)) as second:
        results = await asyncio.gather(
            outcome(first.predict(call("exit"))), *(said(second, "pid") for _ in range(5))
        )
        assert len(set(results[1:])) == 1
        await until(lambda: first.status().restarts == 1)
        assert second.status().restarts == 0


# -------------------------------------------------------------------------- what must wait


@in_loop
async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(
    unruly: Path, make_pool: PoolMaker
) -> None:
    async with started(make_pool(unruly, max_queue=3)) as pool:
        slow = asyncio.create_task(outcome(pool.predict(call(("slow", 1)))))
        await until(lambda: pool.status().under_way == 1)
        results = await asyncio.gather(*(outcome(pool.predict(call("pid"))) for _ in range(5)))
        refused = [each for each in results if isinstance(each, TooManyRequests)]
        assert len(refused) == 2
        assert refused[0].retry_after
        assert isinstance(await slow, Answered)


@in_loop
async def test_what_nobody_waits_for_is_not_predicted(tmp_path: Path, make_pool: PoolMaker) -> None:
    notes = tmp_path / "notes"
    model = save_unruly(tmp_path / "noting", notes=str(notes))
    async with started(make_pool(model, timeout=30)) as pool:
        first = asyncio.create_task(pool.predict(call(("slow", 2))))
        await until(lambda: pool.status().under_way == 1)
        cancelled = asyncio.create_task(pool.predict(call(("note", 1))))
        gone = asyncio.create_task(pool.predict(call(("note", 2)), lambda: True))
        wanted = asyncio.create_task(pool.predict(call(("note", 3)), lambda: False))
        await until(lambda: pool.status().queued == 3)
        cancelled.cancel()
        await asyncio.gather(first, wanted)
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert notes.read_text() == "3.0\n"


@in_loop
async def test_what_waited_too_long_is_not_predicted(tmp_path: Path, make_pool: PoolMaker) -> None:
    notes = tmp_path / "notes"
    model = save_unruly(tmp_path / "noting", notes=str(notes), seconds=3)
    async with started(make_pool(model, timeout=2)) as pool:
        slow = asyncio.create_task(outcome(pool.predict(call(("slow", 1.9)))))
        await until(lambda: pool.status().under_way == 1)
        # The worker beside the one that is stuck loads for longer than this may wait.
        rows = [call(("slow", 1.9)), call(("note", 1))]
        results = await asyncio.gather(*(outcome(pool.predict(row)) for row in rows))
        assert [status_of(each) for each in results] == [504, 504]
        assert isinstance(await slow, Answered)
        await until(lambda: pool.status().restarts == 1)
        assert await said(pool, ("echo", 1)) == "1.0"
        assert not notes.exists()


@in_loop
async def test_workers_that_end_by_themselves_are_started_ever_later(
    unruly: Path, make_pool: PoolMaker, caplog: pytest.LogCaptureFixture
) -> None:
    async with started(make_pool(unruly, program=(short_lived_worker.__file__,))) as pool:
        await until(lambda: "another one is started in 1 seconds" in caplog.text)
        assert pool.status().restarts == 6
        told = [each.getMessage() for each in caplog.records if "is gone" in each.msg]
        pauses = [each.partition("another one is started")[2] for each in told]
        assert pauses == [*[""] * 5, " in 0.5 seconds", " in 1 seconds"]
        assert caplog.text.count("6 workers of unruly in a row") == 1


# ------------------------------------------------------------------------------- memory


@in_loop
async def test_memory_that_is_refused_fails_one_request_and_replaces_the_worker(
    unruly: Path, make_pool: PoolMaker
) -> None:
    async with started(make_pool(unruly, memory_limit=600 * MEGABYTES)) as pool:
        before = await said(pool, "pid")
        result = await outcome(pool.predict(call(("allocate", 2000))))
        assert status_of(result) == 400
        assert "memory" in str(result)
        await until(lambda: pool.status().restarts == 1)
        assert await said(pool, "pid") != before


@in_loop
async def test_a_worker_that_leaks_is_replaced_and_no_request_is_lost(
    unruly: Path, make_pool: PoolMaker
) -> None:
    async with started(make_pool(unruly, memory_limit=600 * MEGABYTES, max_batch=2)) as pool:
        pids = [await said(pool, ("leak", 25)) for _ in range(60)]
        assert len(set(pids)) > 1
        assert "limit" in str(pool.status().last_failure)


@in_loop
async def test_a_worker_that_dies_while_another_one_takes_its_place(
    unruly: Path, make_pool: PoolMaker
) -> None:
    limit = 400 * MEGABYTES
    async with started(make_pool(unruly, config={"seconds": 1}, memory_limit=limit)) as pool:
        while pool.status().last_failure is None:
            await said(pool, ("leak", 10))
        assert pool.status().alive == 1
        assert status_of(await outcome(pool.predict(call("exit")))) == 500
        await until(lambda: pool.status().restarts == 1)
        assert await said(pool, ("echo", 1)) == "1.0"
        assert (pool.status().alive, pool.status().starting) == (1, 0)


@in_loop
async def test_a_model_that_is_larger_than_the_limit_is_not_served(
    unruly: Path, make_pool: PoolMaker
) -> None:
    with pytest.raises(InvalidModel, match="the limit is 1,000,000"):
        await make_pool(unruly, memory_limit=1_000_000).start()


# -------------------------------------------------------------------- keeping workers alive


@in_loop
async def test_a_worker_that_somebody_kills_takes_no_request_along(
    unruly: Path, make_pool: PoolMaker
) -> None:
    async with started(make_pool(unruly)) as pool:
        pid = int(await said(pool, "pid"))
        slow = asyncio.create_task(said(pool, ("slow", 0.5), "pid"))
        await until(lambda: pool.status().under_way == 1)
        os.kill(pid, signal.SIGKILL)
        assert await slow == "None"
        assert pool.status().restarts == 1
        assert "SIGKILL" in str(pool.status().last_failure)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"load": "raise"}, "ValueError: the secret of row 7"),
        ({"load": "sys_exit"}, "SystemExit: 3"),
        ({"load": "exit"}, "ended with status 5"),
        ({"load": "hang"}, "not loaded within 3 seconds"),
    ],
)
def test_a_model_that_cannot_be_loaded_says_why(
    unruly: Path, make_pool: PoolMaker, config: dict[str, str], reason: str
) -> None:
    @in_loop
    async def test() -> None:
        limit = 3 if config["load"] == "hang" else 60
        before = set(psutil.Process().children())
        with pytest.raises(InvalidModel, match=reason) as caught:
            await make_pool(unruly, config=config, load_timeout=limit, workers=2).start()
        assert "Traceback" not in caught.value.message
        assert set(psutil.Process().children()) <= before

    test()


@in_loop
async def test_a_model_that_cannot_be_loaded_again_is_tried_again(
    unruly: Path, tmp_path: Path, make_pool: PoolMaker
) -> None:
    broken = tmp_path / "broken"
    config = {"load": "exit", "state": str(broken)}
    async with started(make_pool(unruly, config=config)) as pool:
        broken.touch()
        assert status_of(await outcome(pool.predict(call("exit")))) == 500
        waiting = await outcome(pool.predict(call("pid")))
        assert isinstance(waiting, Unavailable)
        assert isinstance(await outcome(pool.predict(call("pid"))), Unavailable)
        assert pool.status().alive == 0
        broken.unlink()
        await until(lambda: pool.status().alive == 1)
        assert await said(pool, ("echo", 1)) == "1.0"


@in_loop
async def test_a_pool_that_drains_finishes_what_it_has(unruly: Path, make_pool: PoolMaker) -> None:
    pool = make_pool(unruly, max_batch=1)
    await pool.start()
    pid = int(await said(pool, "pid"))
    tasks = [asyncio.create_task(said(pool, ("slow", 0.2))) for _ in range(4)]
    await until(lambda: pool.status().under_way == 1)
    await pool.drain()
    assert [task.result() for task in tasks] == ["None"] * 4
    assert not psutil.pid_exists(pid)
    with pytest.raises(Unavailable):
        await pool.predict(call("pid"))


@in_loop
async def test_a_pool_that_is_closed_ends_workers_that_hang_and_their_children(
    unruly: Path, make_pool: PoolMaker
) -> None:
    pool = make_pool(unruly)
    await pool.start()
    pids = [int(await said(pool, deed)) for deed in ("pid", "fork", "spawn")]
    hung = asyncio.create_task(outcome(pool.predict(call("hang"))))
    await until(lambda: pool.status().under_way == 1)
    await pool.close(0.1)
    assert isinstance(await hung, Unavailable)
    await until(lambda: not any(map(_is_alive, pids)))


@in_loop
async def test_children_that_keep_all_they_inherit_do_not_hide_a_workers_end(
    unruly: Path, make_pool: PoolMaker
) -> None:
    async with started(make_pool(unruly)) as pool:
        children = [int(await said(pool, deed)) for deed in ("fork", "spawn")]
        assert status_of(await outcome(pool.predict(call("exit")))) == 500
        assert await said(pool, ("echo", 1)) == "1.0"
        await until(lambda: not any(map(_is_alive, children)))


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
