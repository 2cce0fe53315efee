"""How many requests go together."""

from __future__ import annotations

from headrace.serving.batching import BatchPolicy


def test_a_batch_that_takes_long_halves_those_after_it() -> None:
    policy = BatchPolicy(64, timeout=16.0)
    policy.observe(40, 1.5)
    assert policy.size == 20
    policy.observe(20, 1.5)
    assert policy.size == 10


def test_batches_grow_again_one_by_one_up_to_the_setting() -> None:
    policy = BatchPolicy(4, timeout=16.0)
    policy.observe(4, 1.5)
    for _ in range(10):
        policy.observe(policy.size, 0.1)
    assert policy.size == 4
    policy.observe(1, 0.1)
    assert policy.size == 4


def test_a_single_request_may_take_long() -> None:
    policy = BatchPolicy(4, timeout=16.0)
    for _ in range(10):
        policy.observe(1, 15.0)
    assert policy.size == 1


def test_callers_are_told_when_to_come_back() -> None:
    policy = BatchPolicy(4, timeout=16.0)
    assert policy.seconds_until_room(1000, 1) == 1
    for _ in range(50):
        policy.observe(1, 0.5)
    assert 49 <= policy.seconds_until_room(200, 1) <= 50
    assert policy.seconds_until_room(200, 2) == 25
    assert policy.seconds_until_room(200, 0) == policy.seconds_until_room(200, 1)


def test_what_cannot_be_answered_in_time_is_known() -> None:
    policy = BatchPolicy(4, timeout=16.0)
    assert not policy.is_too_late(0.001)
    for _ in range(50):
        policy.observe(1, 4.0)
    assert policy.is_too_late(3.9)
    assert not policy.is_too_late(4.1)


def test_a_slow_model_is_always_tried() -> None:
    policy = BatchPolicy(4, timeout=16.0)
    for _ in range(50):
        policy.observe(1, 9.0)
    assert not policy.is_too_late(8.0)


def test_sizes_are_counted() -> None:
    policy = BatchPolicy(4, timeout=16.0)
    for size in (1, 3, 3):
        policy.observe(size, 0.1)
    assert policy.sizes == {1: 1, 3: 2}


def test_a_free_worker_waits_a_moment_for_its_share_of_many_callers() -> None:
    policy = BatchPolicy(64, timeout=16.0)
    for _ in range(50):
        policy.observe(16, 0.004)
    policy.expect(32, 1, now=100.0)
    assert 0.0029 < policy.wait(1, 100.0) <= 0.003
    assert policy.wait(16, 100.0) == 0
    assert policy.wait(1, 100.004) == 0
    policy.expect(30, 2, now=200.0)
    assert policy.wait(9, 200.0) > 0
    assert policy.wait(10, 200.0) == 0


def test_nobody_waits_long_for_others() -> None:
    policy = BatchPolicy(64, timeout=16.0)
    policy.observe(16, 1.0)
    policy.expect(32, 1, now=100.0)
    assert policy.wait(1, 100.0) <= 0.0051


def test_who_asks_alone_never_waits() -> None:
    policy = BatchPolicy(64, timeout=16.0)
    assert policy.wait(1, 100.0) == 0
    policy.observe(1, 0.004)
    policy.expect(1, 1, now=100.0)
    assert policy.wait(1, 100.0) == 0
