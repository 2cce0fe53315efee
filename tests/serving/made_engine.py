"""An engine that does what its prompts say: what to do, and a number.

`count N`: so many pieces; `forever`; `silent`: none, and no end; `refuse`; `raise`; `hang`; `exit`.
Each piece is a line: the process, and how many choices are under way.
"""

from __future__ import annotations

import ctypes
import os
import time
from typing import Any, Final

from headrace.serving.engines.base import (
    Event,
    Finished,
    Generation,
    GenerationEngine,
    Piece,
    Refused,
    Started,
)
from headrace.serving.worker.generating import Generator

STEP: Final = 0.002
"""Seconds that a step takes."""
CAPACITY: Final = 2


class MadeEngine(GenerationEngine):
    """See the module."""

    model_name = "made"
    capacity = CAPACITY
    context_length = 1000

    def __init__(self) -> None:
        self._asked: dict[int, tuple[str, int, int]] = {}
        self._new: list[int] = []

    def add(self, generation: Generation) -> None:
        assert isinstance(generation.prompt, str)
        what, _, number = generation.prompt.partition(" ")
        self._asked[generation.key] = (what, int(number or 0), generation.sampling.n)
        self._new.append(generation.key)

    def cancel(self, key: int) -> None:
        self._asked.pop(key, None)

    def step(self) -> list[Event]:
        time.sleep(STEP)
        events: list[Event] = [Started(key, 1) for key in self._new if key in self._asked]
        self._new.clear()
        under_way = sum(choices for _, _, choices in self._asked.values())
        for key in list(self._asked):
            events += self._go_on(key, f"{os.getpid()} {under_way}\n")
        return events

    def _go_on(self, key: int, text: str) -> list[Event]:
        what, left, choices = self._asked[key]
        match what:
            case "hang":
                ctypes.PyDLL(None).sleep(3600)
            case "exit":
                os._exit(5)
            case "raise":
                raise ValueError("the secret of the engine")
            case "refuse":
                del self._asked[key]
                return [Refused(key, "no such thing")]
            case "count" if left == 0:
                del self._asked[key]
                return [Finished(key, index, "stop", 1) for index in range(choices)]
            case "count" | "forever":
                self._asked[key] = (what, left - 1, choices)
                return [Piece(key, index, text) for index in range(choices)]
        return []

    @property
    def is_idle(self) -> bool:
        return not self._asked


def made(_model: Any, _wanted: dict[str, Any]) -> Generator:
    """What a worker makes text with."""
    return Generator(MadeEngine())
