"""A process that logs to one run of a database, and says what was acknowledged, line by line.

Point n has value, step and time n; with it go the parameter `pn` and the tag `last` = n.
"""

from __future__ import annotations

import os
import subprocess
import sys

from headrace.protocol import metrics, runs
from headrace.protocol.wire import Param, Tag
from headrace.store.open import open_store


def start(uri: str, run_id: str, first: int, count: int) -> subprocess.Popen[bytes]:
    """Start it; each line of its output is `ask n` or `done n`."""
    return subprocess.Popen(command(uri, run_id, first, count), stdout=subprocess.PIPE)


def command(uri: str, run_id: str, first: int, count: int) -> list[str]:
    """The words that start it."""
    return [sys.executable, __file__, uri, run_id, str(first), str(count)]


def main(uri: str, run_id: str, first: str, count: str) -> None:
    """Log `count` points from the number `first` on."""
    store = open_store(uri)
    for n in range(int(first), int(first) + int(count)):
        os.write(1, b"ask %d\n" % n)
        if n % 2:
            store.metrics.log(
                metrics.LogMetric(run_id=run_id, key="m", value=n, timestamp=n, step=n)
            )
        else:
            store.runs.log_batch(
                runs.LogBatch(
                    run_id=run_id,
                    metrics=[metrics.Metric("m", n, n, n)],
                    params=[Param(f"p{n}", str(n))],
                    tags=[Tag("last", str(n))],
                )
            )
        os.write(1, b"done %d\n" % n)
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
