"""What models raise is told to the log once in full, and then counted."""

from __future__ import annotations

import logging

import pytest

from headrace.serving.engines.raised import RaisedLog, origin_of, trace_of


def raised(what: str, error: type[Exception] = ValueError) -> Exception:
    """An error that comes from always the same line."""
    try:
        raise error(what)
    except Exception as caught:  # noqa: BLE001 - what it is does not matter
        return caught


class Told:
    """A log of what is raised, and the clock that it looks at."""

    def __init__(self, *, is_each_in_full: bool = False) -> None:
        self.now = 1000.0
        self._log = RaisedLog(
            logging.getLogger("headrace.test-raised"),
            is_each_in_full=is_each_in_full,
            clock=lambda: self.now,
        )

    def tell(self, error: Exception, origin: str | None = None) -> None:
        """It was raised again."""
        self._log.tell("m could not predict", origin or origin_of(error), trace_of(error))


def test_an_error_is_told_in_full_once_and_then_counted(caplog: pytest.LogCaptureFixture) -> None:
    told = Told()
    for row in range(1000):
        told.tell(raised(f"row {row}"))
    (text,) = caplog.messages
    assert text.startswith("m could not predict:\nTraceback (most recent call last):\n")
    assert text.endswith("ValueError: row 0")
    told.now += 61
    for row in range(1000):
        told.tell(raised(f"row {row}"))
    _, count = caplog.messages
    assert count.startswith(
        "m could not predict, 1000 times more since it was told last: ValueError at "
    )
    assert count.partition(" at ")[2].startswith(__file__ + ":")
    told.now += 61
    told.tell(raised("row 0"))
    assert "1000 times more" in caplog.messages[2]


def test_errors_of_other_classes_and_places_are_told_in_full(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = Told()
    told.tell(raised("a"))
    told.tell(raised("a", KeyError))
    try:
        raise ValueError("a")
    except ValueError as error:
        told.tell(error)
    assert [text.count("Traceback") for text in caplog.messages] == [1, 1, 1]


def test_tracebacks_have_an_end(caplog: pytest.LogCaptureFixture) -> None:
    told = Told()
    for place in range(1000):
        told.tell(raised("a"), f"ValueError at made.py:{place}")
    assert sum("Traceback" in text for text in caplog.messages) == 200
    assert len(caplog.messages) == 201
    told.now += 61
    told.tell(raised("a"), "ValueError at made.py:2000")
    assert "800 times more since it was told last: ValueError at made.py:2000" in caplog.text


def test_who_looks_for_an_error_is_told_each(caplog: pytest.LogCaptureFixture) -> None:
    told = Told(is_each_in_full=True)
    for row in range(3):
        told.tell(raised(f"row {row}"))
    assert [text[-5:] for text in caplog.messages] == ["row 0", "row 1", "row 2"]


def test_an_origin_is_short_however_deep_it_lies() -> None:
    def deep(left: int) -> None:
        if left:
            deep(left - 1)
        raise ValueError("at the end")

    with pytest.raises(ValueError, match="at the end") as caught:
        deep(500)
    assert len(origin_of(caught.value)) <= 1000
    assert origin_of(caught.value).startswith(f"ValueError at {__file__}:")


def test_an_error_that_a_model_keeps_has_one_origin() -> None:
    kept = ValueError("always the same")

    def deep(left: int) -> None:
        if left:
            deep(left - 1)
        raise kept

    origins = set()
    for _ in range(3):
        with pytest.raises(ValueError, match="always"):
            deep(20)
        origins.add(origin_of(kept))
    assert len(origins) == 1
