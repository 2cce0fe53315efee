"""A caller's mistake that comes with every request is told once."""

from __future__ import annotations

import logging

import pytest

from headrace.serving.worker.said_once import SaidOnce


def test_a_warning_is_said_once_and_an_error_each_time(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("headrace.test-said-once")
    log.addFilter(SaidOnce())
    for _ in range(3):
        log.warning("unused: %s", "a")
        log.warning("unused: %s", "b")
        log.error("broken")
    assert sorted(caplog.messages) == ["broken"] * 3 + ["unused: a", "unused: b"]


def test_unlike_warnings_have_an_end(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("headrace.test-said-at-most")
    log.addFilter(SaidOnce())
    for place in range(1100):
        log.warning("unused: %d", place)
    assert len(caplog.messages) == 1000
