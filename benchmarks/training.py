"""Programs that log, as training does, under ``headrace`` or ``mlflow``: run by path, not imported.

    python training.py MODULE URI calls COUNT SYNCHRONOUS     single calls (default, false)
    python training.py MODULE URI points COUNT SYNCHRONOUS    a loop, and until all is readable
    python training.py MODULE URI away COUNT                  all kinds of calls without a server
    python training.py MODULE URI first                       CPU up to the first metric
    python training.py MODULE URI autolog                     CPU and modules, autologging on

Prints one line, ``FIGURES`` and a JSON object: times in microseconds of each call, CPU in seconds,
memory in bytes. It uses nothing but the standard library and what it measures.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from array import array
from collections.abc import Callable
from typing import Any

KEYS = [f"metric_{number}" for number in range(10)]
WARM_UPS = 200
RUN_OF_CALLS = 1000
"""Calls in one run, where there is no server."""
PAUSE_S = 0.02
"""Where there is no server, before each text: so that its absence is felt for seconds."""

Figures = dict[str, float]


def main(arguments: list[str]) -> int:
    name, uri, what, *rest = arguments
    figures = PROGRAMS[what](name, uri, *rest)
    print("FIGURES", json.dumps(figures), flush=True)
    # Ending what is open is no part of any figure.
    os._exit(0)


def tracked(name: str, uri: str) -> Any:
    """The module, tracking at `uri`."""
    module = importlib.import_module(name)
    module.set_tracking_uri(uri)
    return module


def options(synchronous: str) -> dict[str, bool]:
    """How the logging call is told: not at all, or ``synchronous=False``."""
    return {} if synchronous == "default" else {"synchronous": False}


def calls(name: str, uri: str, count: str, synchronous: str) -> Figures:
    """Single calls of ``log_metric`` with a live server, after some that are not counted."""
    module = tracked(name, uri)
    module.start_run()
    given = options(synchronous)
    log_in_loop(module, WARM_UPS, given, first_step=10**9)
    flush(module)
    return spread(log_in_loop(module, int(count), given))


def points(name: str, uri: str, count: str, synchronous: str) -> Figures:
    """A loop: points a second until all are readable, its calls, and what memory it took."""
    module = tracked(name, uri)
    run_id = module.start_run().info.run_id
    given = options(synchronous)
    log_in_loop(module, WARM_UPS, given, first_step=10**9)
    flush(module)
    gc.collect()
    before = memory("VmRSS")
    forget_peak()
    times = array("q", bytes(8 * int(count)))
    grown = len(times) * times.itemsize
    started = time.perf_counter()
    log_in_loop(module, int(count), given, times=times)
    flush(module)
    seconds = time.perf_counter() - started
    peak = memory("VmHWM") - before - grown
    found = module.MlflowClient().get_metric_history(run_id, KEYS[0])
    wanted = len(range(0, int(count), len(KEYS))) + WARM_UPS // len(KEYS)
    if len(found) != wanted:
        raise SystemExit(f"{len(found)} of {wanted} points of a metric are readable")
    return {**spread(times), "rate": int(count) / seconds, "memory": peak}


def log_in_loop(
    module: Any,
    count: int,
    given: dict[str, bool],
    *,
    first_step: int = 0,
    times: array[int] | None = None,
) -> array[int]:
    """Log `count` points, ten metrics a step; the nanoseconds of each call."""
    log_metric, clock = module.log_metric, time.perf_counter_ns
    times = array("q", bytes(8 * count)) if times is None else times
    for number in range(count):
        key, step = KEYS[number % 10], first_step + number // 10
        begun = clock()
        log_metric(key, 0.5, step=step, **given)
        times[number] = clock() - begun
    return times


def away(name: str, uri: str, count: str) -> Figures:
    """The longest of each kind of call while no server answers."""
    module = tracked(name, uri)
    begun = time.perf_counter_ns()
    module.start_run()
    longest = {"first_start_run": (time.perf_counter_ns() - begun) / 1e3}
    module.log_metric("loss", 0.5, step=0)
    module.log_param("lr", 0.1)
    module.log_text("x", "notes.txt")
    module.end_run()

    def timed(kind: str, call: Callable[..., object], *given: object) -> None:
        begun = time.perf_counter_ns()
        call(*given)
        taken = (time.perf_counter_ns() - begun) / 1e3
        longest[kind] = max(longest.get(kind, 0.0), taken)

    for _ in range(max(1, int(count) // RUN_OF_CALLS)):
        timed("start_run", module.start_run)
        for number in range(RUN_OF_CALLS - 52):
            timed("log_metric", module.log_metric, "loss", 0.5, number)
        for number in range(40):
            timed("log_param", module.log_param, f"param {number}", number)
        for number in range(10):
            time.sleep(PAUSE_S)
            timed("log_text", module.log_text, "text" * 100, f"notes-{number}.txt")
        timed("end_run", module.end_run)
    return longest


def first(name: str, uri: str) -> Figures:
    """CPU of this process (and of its children that ended) up to the first metric, and stored."""
    before = time.process_time()
    module = importlib.import_module(name)
    imported = time.process_time() - before
    modules = len(sys.modules)
    module.set_tracking_uri(uri)
    module.start_run()
    module.log_metric("loss", 0.5, step=1)
    logged = time.process_time() - before
    flush(module)
    ended = os.times()
    return {
        "import_cpu": imported,
        "import_modules": modules,
        "first_metric_cpu": logged,
        "stored_cpu": time.process_time() - before + ended.children_user + ended.children_system,
    }


def autolog(name: str, _uri: str) -> Figures:
    """The import with autologging switched on for all libraries, none of them imported."""
    before = time.process_time()
    importlib.import_module(name).autolog()
    return {"autolog_cpu": time.process_time() - before, "autolog_modules": len(sys.modules)}


def flush(module: Any) -> None:
    """Return when all that was logged can be read."""
    if module.__name__ == "mlflow":
        module.flush_async_logging()
    elif not module.flush(timeout=600):
        raise SystemExit("what was logged did not reach the server in ten minutes")


def spread(times: array[int]) -> Figures:
    """Median, 99th percentile and longest, in microseconds."""
    ordered = sorted(times)
    return {
        "p50": ordered[len(ordered) // 2] / 1e3,
        "p99": ordered[len(ordered) * 99 // 100] / 1e3,
        "longest": ordered[-1] / 1e3,
    }


def memory(field: str) -> int:
    """Bytes that this process holds now (VmRSS), or held at most since `forget_peak` (VmHWM)."""
    with open("/proc/self/status", encoding="ascii") as file:
        found = next(line for line in file if line.startswith(f"{field}:"))
    return int(found.split()[1]) * 1024


def forget_peak() -> None:
    """Begin anew with the most memory that this process held (see proc(5), clear_refs)."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


PROGRAMS: dict[str, Callable[..., Figures]] = {
    "calls": calls,
    "points": points,
    "away": away,
    "first": first,
    "autolog": autolog,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
