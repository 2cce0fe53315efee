"""Which worker takes the next stream of text."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.serving.places import Places
from headrace.serving.worker_process import WorkerProcess
from tests.serving.idle_workers import IdleWorkers


@pytest.fixture
def pair() -> tuple[WorkerProcess, WorkerProcess, Places]:
    there = IdleWorkers(2)
    first, second = there.workers
    return first, second, Places(there)


def test_the_one_with_most_room_takes_it(pair: Any) -> None:
    first, second, places = pair
    assert places.best(1, alone=False) is first
    places.take(first, 1, is_suspect=False)
    assert places.best(1, alone=False) is second
    places.take(second, 2, is_suspect=False)
    assert places.best(1, alone=False) is first
    places.take(first, 1, is_suspect=False)
    assert places.best(1, alone=False) is None
    places.free(second, 1)
    assert places.best(1, alone=False) is second


def test_more_choices_than_there_is_room_for_go_to_one_that_has_nothing_else(pair: Any) -> None:
    first, second, places = pair
    places.take(first, 1, is_suspect=False)
    assert places.best(5, alone=False) is second
    places.take(second, 1, is_suspect=False)
    assert places.best(5, alone=False) is None
    places.free(first, 1)
    assert places.best(5, alone=False) is first


def test_nothing_joins_a_suspect_until_it_is_cleared(pair: Any) -> None:
    first, second, places = pair
    places.take(first, 1, is_suspect=True)
    places.take(second, 1, is_suspect=False)
    places.take(second, 1, is_suspect=False)
    assert places.best(1, alone=False) is None
    places.clear(first)
    assert places.best(1, alone=False) is first
    assert places.best(1, alone=True) is None


def test_a_worker_that_is_lost_has_nothing(pair: Any) -> None:
    first, second, places = pair
    places.take(first, 2, is_suspect=True)
    places.take(second, 1, is_suspect=False)
    assert list(places.busy()) == [first, second]
    places.lost(first)
    assert not places.is_busy(first)
    assert places.best(1, alone=True) is first
