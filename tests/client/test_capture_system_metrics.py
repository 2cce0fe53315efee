"""System metrics: real readings, under MLflow's names, for real runs on a database."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import threading
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from headrace.client import machine, system_metrics
from headrace.client.client import Client
from headrace.client.machine import Machine
from headrace.client.switches import switches
from headrace.client.system_metrics import (
    Sampler,
    disable_system_metrics_logging,
    enable_system_metrics_logging,
    set_system_metrics_node_id,
    set_system_metrics_samples_before_logging,
    set_system_metrics_sampling_interval,
)
from headrace.errors import HeadraceError, InvalidRequest

NAMES = {
    "cpu_utilization_percentage",
    "system_memory_usage_megabytes",
    "system_memory_usage_percentage",
    "disk_usage_percentage",
    "disk_usage_megabytes",
    "disk_available_megabytes",
    "network_receive_megabytes",
    "network_transmit_megabytes",
}
"""What MLflow logs on a machine without GPUs."""


class Logging:
    """A client, and a way to wait for what is logged through it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.batches: list[tuple[str, Sequence[Any]]] = []
        self.logged = threading.Semaphore(0)
        self.error: HeadraceError | None = None

    def log_batch(self, run_id: str, metrics: Sequence[Any]) -> None:
        self.logged.release()
        if self.error is not None:
            raise self.error
        self.client.log_batch(run_id, metrics=metrics)
        self.batches.append((run_id, metrics))

    def get_run(self, run_id: str) -> Any:
        if self.error is not None:
            raise self.error
        return self.client.get_run(run_id)

    def get_metric_history(self, run_id: str, key: str) -> Any:
        return self.client.get_metric_history(run_id, key)

    def wait(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.logged.acquire(timeout=30)

    def steps(self, run_id: str, name: str = "system/disk_usage_megabytes") -> list[int]:
        return [point.step for point in self.client.get_metric_history(run_id, name)]


@pytest.fixture
def client(database: str) -> Logging:
    return Logging(Client(database))


@pytest.fixture
def sampler() -> Iterator[Sampler]:
    made = Sampler()
    yield made
    for run_id in list(made._runs):
        made.leave(run_id)


@pytest.fixture(autouse=True)
def often() -> None:
    set_system_metrics_sampling_interval(0.02)


def new_run(client: Logging) -> str:
    return client.client.create_run("0").info.run_id


def test_a_machine_is_read_in_mlflows_units() -> None:
    import psutil

    here = Machine()
    found = here.read()
    assert set(found) == NAMES - {"network_receive_megabytes", "network_transmit_megabytes"}
    memory = psutil.virtual_memory()
    assert found["system_memory_usage_megabytes"] * 1e6 == pytest.approx(memory.used, rel=0.5)
    assert found["disk_available_megabytes"] * 1e6 == pytest.approx(
        psutil.disk_usage("/").free, rel=0.1
    )
    assert all(0 <= value <= 100 for name, value in found.items() if "percentage" in name)
    assert min(here.network()) >= 0


def test_runs_get_points_until_they_end(client: Logging, sampler: Sampler) -> None:
    first, second = new_run(client), new_run(client)
    sampler.watch(client, first)
    sampler.watch(client, second)
    client.wait(6)
    sampler.leave(first)
    sampler.leave(second)
    for run_id in (first, second):
        steps = client.steps(run_id)
        assert steps == list(range(len(steps)))
        assert set(client.client.get_run(run_id).data.metrics) == {f"system/{n}" for n in NAMES}
    written = len(client.batches)
    sampler.watch(client, new_run(client))
    client.wait(2)
    assert {run_id for run_id, _ in client.batches[written:]}.isdisjoint({first, second})


def test_a_run_that_goes_on_continues_its_steps(client: Logging, sampler: Sampler) -> None:
    run_id = new_run(client)
    sampler.watch(client, run_id)
    client.wait(3)
    sampler.leave(run_id)
    known = len(client.steps(run_id))
    sampler.watch(client, run_id, resumed=True)
    client.wait(2)
    sampler.leave(run_id)
    asked = len(client.steps(run_id))
    assert asked > known
    elsewhere = Sampler()  # another process, which must ask
    elsewhere.watch(client, run_id, resumed=True)
    client.wait(2)
    elsewhere.leave(run_id)
    steps = client.steps(run_id)
    assert len(steps) > asked
    assert steps == list(range(len(steps)))


def test_a_point_is_the_mean_of_some_samples(client: Logging, sampler: Sampler) -> None:
    set_system_metrics_samples_before_logging(3)
    set_system_metrics_node_id("node-1")
    run_id = new_run(client)
    sampler.watch(client, run_id)
    client.wait()
    sampler.leave(run_id)
    assert set(client.client.get_run(run_id).data.metrics) == {f"system/node-1/{n}" for n in NAMES}
    run = system_metrics._Watched(client, run_id, 0)
    written = len(client.batches)
    run.take({"x": 1.0}, (0, 0))
    run.take({"x": 2.0}, (0, 0))
    assert len(client.batches) == written
    run.take({"x": 6.0}, (0, 0))
    means = {metric.key: metric.value for metric in client.batches[-1][1]}
    assert means["system/node-1/x"] == 3.0


def test_a_sample_that_is_late_is_not_logged(client: Logging) -> None:
    run = system_metrics._Watched(client, new_run(client), 0)
    run.stop()
    run.take({"x": 1.0}, (0, 0))
    assert client.batches == []


def test_points_wait_until_their_steps_are_known(client: Logging) -> None:
    run_id = new_run(client)
    system_metrics._Watched(client, run_id, 0).take({"x": 5.0}, (0, 0))
    run = system_metrics._Watched(client, run_id, None)
    client.error = HeadraceError("the server is away")
    for value in (1.0, 2.0):
        with pytest.raises(HeadraceError):
            run.take({"x": value}, (0, 0))
    client.error = None
    run.take({"x": 3.0}, (0, 0))
    points = client.client.get_metric_history(run_id, "system/x")
    assert [(point.step, point.value) for point in points] == [
        (0, 5.0),
        (1, 1.0),
        (2, 2.0),
        (3, 3.0),
    ]


def test_the_network_is_counted_from_the_runs_beginning(client: Logging) -> None:
    run_id = new_run(client)
    run = system_metrics._Watched(client, run_id, 0)
    run.begin((5_000_000, 7_000_000))
    run.take({}, (6_500_000, 7_000_000))
    run.begin((6_500_000, 7_000_000))
    run.take({}, (9_000_000, 8_000_000))
    values = [metric.value for _, batch in client.batches for metric in batch]
    assert values == [1.5, 0.0, 4.0, 1.0]


def test_a_run_that_cannot_be_written_is_mentioned_once(
    client: Logging,
    sampler: Sampler,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(system_metrics, "_warned", set())
    client.error = HeadraceError("the server is away")
    well = Logging(client.client)
    run_id, other = new_run(client), new_run(client)
    sampler.watch(client, run_id)
    sampler.watch(well, other)
    client.wait(3)
    well.wait(3)
    sampler.leave(run_id)
    sampler.leave(other)
    assert caplog.text.count("the server is away") == 1
    assert client.steps(other)


def test_nothing_is_loaded_for_a_run_that_is_over_soon(tmp_path: Path) -> None:
    program = """
import sys, threading
from headrace.client.system_metrics import sampler
sampler.watch(None, "r")
sampler.leave("r")
assert "psutil" not in sys.modules
assert all(t.daemon for t in threading.enumerate() if t is not threading.main_thread())
"""
    environment = {**os.environ, "HEADRACE_SYSTEM_METRICS_SAMPLING_INTERVAL": "10"}
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env=environment)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_does_not_sample(client: Logging, sampler: Sampler) -> None:
    program = """
import os, sys
from headrace.client.system_metrics import sampler
sampler.watch(None, "r")
child = os.fork()
if child == 0:
    assert not sampler._runs and sampler._thread is None
    sampler.leave("r")
    os._exit(7)
assert os.waitpid(child, 0)[1] >> 8 == 7
assert list(sampler._runs) == ["r"]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_gpus_are_read_as_far_as_they_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a stand-in for NVIDIA's library, which needs a driver."""
    monkeypatch.setitem(sys.modules, "pynvml", nvml())
    found = {name: value for name, value in Machine().read().items() if name.startswith("gpu")}
    assert found == {
        "gpu_0_memory_usage_percentage": 25.0,
        "gpu_0_memory_usage_megabytes": 2000.0,
        "gpu_0_utilization_percentage": 87.0,
        "gpu_0_power_usage_watts": 350.5,
        "gpu_0_power_usage_percentage": pytest.approx(50.0714, rel=1e-4),
        "gpu_1_memory_usage_percentage": 25.0,
        "gpu_1_memory_usage_megabytes": 2000.0,
    }


def test_without_a_driver_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    library = nvml()

    def fails() -> None:
        raise library.NVMLError("driver not loaded")

    library.nvmlInit = fails
    monkeypatch.setitem(sys.modules, "pynvml", library)
    assert machine._gpus() == []
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert machine._gpus() == []


def nvml() -> Any:
    """Two GPUs, of which the second (a slice of one, say) tells only its memory."""

    class NVMLError(Exception):
        pass

    def only_first(answer: Any) -> Any:
        def ask(handle: int) -> Any:
            if handle != 0:
                raise NVMLError("not supported")
            return answer

        return ask

    library: Any = types.ModuleType("pynvml")
    library.NVMLError = NVMLError
    library.nvmlInit = lambda: None
    library.nvmlDeviceGetCount = lambda: 2
    library.nvmlDeviceGetHandleByIndex = lambda index: index
    memory = types.SimpleNamespace(used=2_000_000_000, total=8_000_000_000)
    library.nvmlDeviceGetMemoryInfo = lambda _: memory
    library.nvmlDeviceGetUtilizationRates = only_first(types.SimpleNamespace(gpu=87))
    library.nvmlDeviceGetPowerUsage = only_first(350_500)
    library.nvmlDeviceGetEnforcedPowerLimit = only_first(700_000)
    return library


def test_the_functions_are_mlflows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [
        list(inspect.signature(function).parameters)
        for function in (
            enable_system_metrics_logging,
            disable_system_metrics_logging,
            set_system_metrics_sampling_interval,
            set_system_metrics_samples_before_logging,
            set_system_metrics_node_id,
        )
    ] == [[], [], ["interval"], ["samples"], ["node_id"]]
    disable_system_metrics_logging()
    assert not switches().system_metrics
    enable_system_metrics_logging()
    assert switches().system_metrics


@pytest.mark.parametrize("wrong", [0, -1, "soon", True, float("nan"), float("inf")])
def test_an_interval_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidRequest, match="interval"):
        set_system_metrics_sampling_interval(wrong)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "two", True])
def test_a_number_of_samples_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidRequest, match="samples"):
        set_system_metrics_samples_before_logging(wrong)


def test_none_takes_a_setting_back(monkeypatch: pytest.MonkeyPatch) -> None:
    set_system_metrics_sampling_interval(None)
    set_system_metrics_samples_before_logging(2)
    set_system_metrics_samples_before_logging(None)
    set_system_metrics_node_id(None)
    assert not [name for name in os.environ if name.startswith("HEADRACE_SYSTEM_METRICS_S")]
