"""The time of one request, repeated on one connection."""

from __future__ import annotations

import statistics
import time

from benchmarks.wire import Wire

WARM_UPS = 2


def median_ms(wire: Wire, request: bytes, repeats: int) -> float:
    """Median milliseconds from sending the request to holding its whole answer."""
    for _ in range(WARM_UPS):
        wire.ask(request)
    times: list[float] = []
    for _ in range(repeats):
        started = time.perf_counter()
        wire.ask(request)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3
