"""Addresses that become memory where they are written to."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from headrace.serving.engines.reserved import Reserved, as_many_as_granted
from tests.serving.engines.held import held_bytes

MIB = 1 << 20
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measures as Linux tells")


def test_what_is_written_takes_memory_until_it_is_given_back() -> None:
    before = held_bytes()
    reserved = Reserved(1 << 36)
    array = np.frombuffer(reserved.buffer, np.uint8)
    assert not array[: 8 * MIB].any()
    assert held_bytes() == before
    array[: 8 * MIB] = 1
    assert held_bytes() - before == 8 * MIB
    reserved.give_back(MIB + 1, 3 * MIB - 1)  # but for the pages that are others' too
    assert held_bytes() - before == 6 * MIB + 2 * 4096
    assert array[: MIB + 1].all()
    assert not array[MIB + 4096 : 3 * MIB - 4096].any()
    assert array[3 * MIB - 1 : 8 * MIB].all()
    reserved.give_back(5, 6)
    assert array[5] == 1
    reserved.give_back()
    assert held_bytes() == before
    assert not array[: 8 * MIB].any()


def test_it_goes_with_the_last_array_of_it() -> None:
    before = held_bytes()
    array = np.frombuffer(Reserved(MIB).buffer, np.uint8)
    array[:] = 1
    assert held_bytes() - before == MIB
    del array
    assert held_bytes() == before


def test_as_many_as_the_system_grants() -> None:
    asked = []

    def made(slots: int) -> int:
        asked.append(slots)
        Reserved(slots << 45)
        return slots

    granted = as_many_as_granted(64, made)
    assert asked == [64, 32, 16, 8, 4, 2, 1][: asked.index(granted) + 1]
    assert granted < 8  # of 2 ** 48 bytes of addresses, a process has a half at most
    with pytest.raises(OSError, match="memory"):
        as_many_as_granted(3, lambda slots: Reserved(slots << 60))
