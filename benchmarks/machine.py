"""The machine that a run was made on, as far as it decides the figures."""

from __future__ import annotations

import os
import platform
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

SYNCS = 200
PAGE = 4096


@dataclass(frozen=True)
class Machine:
    """Cores, memory, kernel, Python, and what one fdatasync costs in the benchmark's folder."""

    cores: int
    processor: str
    memory_gb: float
    kernel: str
    python: str
    sync_us: float
    load_before: float

    def lines(self) -> list[str]:
        """One fact a line."""
        return [
            f"{self.cores} cores ({self.processor}), {self.memory_gb:.0f} GB of memory, "
            f"Linux {self.kernel}, Python {self.python}",
            f"disk: a 4 KiB write and its fdatasync take {self.sync_us:.0f} µs (median of {SYNCS})",
            f"load average before the run: {self.load_before:.2f}",
        ]


def describe(folder: Path) -> Machine:
    """Look at this machine; ``folder`` is on the disk that the databases will use."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        processor=processor_name(),
        memory_gb=pages / 1e9,
        kernel=platform.release(),
        python=platform.python_version(),
        sync_us=median_sync_us(folder / "sync-probe"),
        load_before=os.getloadavg()[0],
    )


def processor_name() -> str:
    """The model name that the kernel reports."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def median_sync_us(path: Path) -> float:
    """Median microseconds of writing one page of a preallocated file and syncing it."""
    times: list[float] = []
    with path.open("wb", 0) as file:
        file.truncate(SYNCS * PAGE)
        os.fsync(file.fileno())
        for number in range(SYNCS):
            started = time.perf_counter()
            os.pwrite(file.fileno(), os.urandom(PAGE), number * PAGE)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    path.unlink()
    return statistics.median(times) * 1e6
