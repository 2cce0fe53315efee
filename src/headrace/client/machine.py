"""How busy this machine is: processor, memory, disk, network and, with NVML, GPUs.

Names and units are those of MLflow's system metrics; megabytes are millions of bytes. psutil and
pynvml (the package nvidia-ml-py, in the extra `gpu`) are imported with the first reading.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from headrace.forks import undivided

_MEGA: Final = 1e6
_DRIVER: Final = Path("/proc/driver/nvidia/gpus")


class Machine:
    """Reads this machine. Belongs to one thread."""

    def __init__(self) -> None:
        with undivided():
            import psutil

        self._psutil = psutil
        self._gpus = _gpus()
        # Of the time since the call before; the first tells nothing.
        psutil.cpu_percent()

    def network(self) -> tuple[int, int]:
        """Bytes received and sent since this machine was started."""
        counters = self._psutil.net_io_counters()
        return counters.bytes_recv, counters.bytes_sent

    def read(self) -> dict[str, float]:
        """All but the network, which is counted from a point that the caller chooses."""
        memory = self._psutil.virtual_memory()
        disk = self._psutil.disk_usage(os.sep)
        found = {
            "cpu_utilization_percentage": self._psutil.cpu_percent(),
            "system_memory_usage_megabytes": memory.used / _MEGA,
            "system_memory_usage_percentage": memory.percent,
            "disk_usage_percentage": disk.percent,
            "disk_usage_megabytes": disk.used / _MEGA,
            "disk_available_megabytes": disk.free / _MEGA,
        }
        for number, gpu in enumerate(self._gpus):
            found.update((f"gpu_{number}_{name}", value) for name, value in gpu.read())
        return found


class _Gpu:
    """One GPU, by its handle in NVML. What it cannot tell (a slice of one, say) is left out."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle

    def read(self) -> Iterator[tuple[str, float]]:
        """What it tells now."""
        nvml, handle = self._nvml, self._handle
        memory = self._ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        if memory is not None:
            yield "memory_usage_percentage", 100 * memory.used / memory.total
            yield "memory_usage_megabytes", memory.used / _MEGA
        rates = self._ask(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
        if rates is not None:
            yield "utilization_percentage", float(rates.gpu)
        power = self._ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        if power is not None:
            yield "power_usage_watts", power / 1000
            limit = self._ask(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle))
            if limit:
                yield "power_usage_percentage", 100 * power / limit

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except self._nvml.NVMLError:
            return None


def _gpus() -> list[_Gpu]:
    """The GPUs of NVIDIA's; none without pynvml, or where there is no driver."""
    try:
        with undivided():
            import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        return [_Gpu(pynvml, pynvml.nvmlDeviceGetHandleByIndex(index)) for index in range(count)]
    except pynvml.NVMLError:
        return []


def gpu_names(driver: Path = _DRIVER) -> str | None:
    """The models of this machine's NVIDIA GPUs ("2 x NVIDIA H100"), as the Linux driver says."""
    counts: dict[str, int] = {}
    try:
        for gpu in sorted(driver.iterdir()):
            for line in (gpu / "information").read_text(errors="replace").splitlines():
                name, _, value = line.partition(":")
                if name.strip() == "Model":
                    counts[value.strip()] = counts.get(value.strip(), 0) + 1
    except OSError:
        return None
    names = [f"{count} x {model}" if count > 1 else model for model, count in counts.items()]
    return ", ".join(names) or None
