"""System metrics: how busy the machine is while a run goes on, under MLflow's names.

One thread per process samples for all its runs: every 10 seconds by default, and not at all for
a run that is over before. It reads the whole machine, as MLflow does, not this process.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from headrace import settings
from headrace.client.switches import set_capture
from headrace.errors import InvalidRequest
from headrace.forks import undivided
from headrace.protocol.metrics import Metric

if TYPE_CHECKING:
    from headrace.client.machine import Machine

PREFIX: Final = "system/"
DEFAULT_INTERVAL: Final = 10.0
MIN_INTERVAL: Final = 0.01
WARM_UP_SECONDS: Final = 1.0
"""Before that the thread does nothing: a run that is shorter pays nothing."""
STOP_SECONDS: Final = 1.0
MAX_WAITING_POINTS: Final = 1000
_log: Final = logging.getLogger("headrace")


class Logs(Protocol):
    """What the sampler needs of a client."""

    def log_batch(self, run_id: str, metrics: Any) -> Any:
        """See RunCalls."""
        ...

    def get_run(self, run_id: str) -> Any:
        """See RunCalls."""
        ...

    def get_metric_history(self, run_id: str, key: str) -> Any:
        """See RunCalls."""
        ...


def enable_system_metrics_logging() -> None:
    """Log system metrics for runs that start from now on, as they do unless it is off."""
    set_capture(system_metrics=True)


def disable_system_metrics_logging() -> None:
    """Log no system metrics for runs that start from now on."""
    set_capture(system_metrics=False)


def set_system_metrics_sampling_interval(interval: float | None) -> None:
    """Sample every `interval` seconds; 10 for None. Raises InvalidRequest unless it is > 0."""
    given: object = interval
    number = isinstance(given, int | float) and not isinstance(given, bool) and 0 < given < 1e9
    if given is not None and not number:
        raise InvalidRequest(
            f"Invalid value {given!r} for 'interval': expected seconds, more than 0."
        )
    _keep(settings.SYSTEM_METRICS_INTERVAL, interval)


def set_system_metrics_samples_before_logging(samples: int | None) -> None:
    """Log the mean of so many samples; 1 for None. Raises InvalidRequest unless it is >= 1."""
    given: object = samples
    number = isinstance(given, int) and not isinstance(given, bool) and given >= 1
    if given is not None and not number:
        raise InvalidRequest(
            f"Invalid value {given!r} for 'samples': expected a whole number, 1 or more."
        )
    _keep(settings.SYSTEM_METRICS_SAMPLES, samples)


def set_system_metrics_node_id(node_id: str | None) -> None:
    """Log under `system/<node_id>/…`, so that machines of one run can be told apart."""
    _keep(settings.SYSTEM_METRICS_NODE_ID, node_id)


def _keep(variable: settings.Variable, value: object) -> None:
    """In the environment, so that processes started from this one follow."""
    if value is None:
        os.environ.pop(variable.names[0], None)
    else:
        os.environ[variable.names[0]] = str(value)


class Sampler:
    """The runs of this process that are watched, and the thread that samples for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._runs: dict[str, _Watched] = {}
        self._next_steps: dict[str, int] = {}
        self._thread: threading.Thread | None = None

    def watch(self, client: Logs, run_id: str, *, resumed: bool = False) -> None:
        """Log the metrics of a run from now on; those of a resumed one go on where they ended.

        Raises InvalidRequest for a setting that is no number.
        """
        run = _Watched(client, run_id, self._next_steps.get(run_id, None if resumed else 0))
        with self._changed:
            self._runs[run_id] = run
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._sample_all, name="headrace-system-metrics", daemon=True
                )
                self._thread.start()
            self._changed.notify()

    def leave(self, run_id: str) -> None:
        """Log nothing more for a run; a batch that is on its way is waited for, for a second."""
        with self._changed:
            run = self._runs.pop(run_id, None)
            self._changed.notify()
        if run is not None:
            run.stop()
            if run.next_step:
                while len(self._next_steps) >= 1000:
                    self._next_steps.pop(next(iter(self._next_steps)))
                self._next_steps[run_id] = run.next_step

    def forget(self) -> None:
        """In a child after a fork: the runs are watched by the parent."""
        self._changed = threading.Condition()
        self._runs, self._next_steps, self._thread = {}, {}, None

    def _sample_all(self) -> None:
        machine: Machine | None = None
        while (interval := self._interval()) is not None:
            until = time.monotonic() + interval
            if machine is None:
                self._sleep(time.monotonic() + min(WARM_UP_SECONDS, interval / 2))
            try:
                machine = self._take(machine, until)
            except Exception as error:  # noqa: BLE001 - a machine that cannot be read is no reason to stop training
                _warn_once(f"System metrics cannot be read: {error}")
                self._sleep(until)

    def _interval(self) -> float | None:
        """Seconds between samples; None when there has been nobody to sample for."""
        with self._changed:
            if not self._runs:
                # Runs that follow one another share a thread.
                self._changed.wait(DEFAULT_INTERVAL)
            if not self._runs:
                self._thread = None
                return None
            return max(MIN_INTERVAL, min(run.interval for run in self._runs.values()))

    def _take(self, machine: Machine | None, until: float) -> Machine | None:
        """Give each run a sample, then; what reads the machine is made when it is needed."""
        with undivided():
            from headrace.client.machine import Machine

        with self._changed:
            if not self._runs:
                return machine
        machine = machine or Machine()
        network = machine.network()
        with self._changed:
            for run in self._runs.values():
                run.begin(network)
        self._sleep(until)
        with self._changed:
            runs = list(self._runs.values())
        if runs:
            _sample(machine, runs)
        return machine

    def _sleep(self, until: float) -> None:
        """Until then, or until no run is watched."""
        with self._changed:
            while self._runs and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)


class _Watched:
    """A run, with the samples since its last point."""

    def __init__(self, client: Logs, run_id: str, next_step: int | None) -> None:
        self.next_step = next_step
        self.interval = settings.SYSTEM_METRICS_INTERVAL.get_float(DEFAULT_INTERVAL)
        self._client = client
        self._run_id = run_id
        self._needed = max(1, int(settings.SYSTEM_METRICS_SAMPLES.get_float(1)))
        node = settings.SYSTEM_METRICS_NODE_ID.get()
        self._prefix = f"{PREFIX}{node}/" if node else PREFIX
        self._network_at_start: tuple[int, int] | None = None
        self._samples: list[dict[str, float]] = []
        self._points: list[tuple[int, dict[str, float]]] = []
        self._lock = threading.Lock()
        self._stopped = False

    def stop(self) -> None:
        """Log nothing more."""
        self._stopped = True
        if self._lock.acquire(timeout=STOP_SECONDS):
            self._lock.release()

    def begin(self, network: tuple[int, int]) -> None:
        """Count the network from here, unless a beginning is known."""
        self._network_at_start = self._network_at_start or network

    def take(self, sample: dict[str, float], network: tuple[int, int]) -> None:
        """Add a sample, and log the mean of all when they are enough."""
        received, sent = self._network_at_start or network
        own = {
            "network_receive_megabytes": (network[0] - received) / 1e6,
            "network_transmit_megabytes": (network[1] - sent) / 1e6,
        }
        self._samples.append({**sample, **own})
        if len(self._samples) < self._needed:
            return
        samples, self._samples = self._samples, []
        with self._lock:
            if not self._stopped:
                self._log(samples)

    def _log(self, samples: list[dict[str, float]]) -> None:
        means = {
            name: sum(sample.get(name, 0.0) for sample in samples) / len(samples)
            for name in samples[-1]
        }
        # Kept where nobody can say yet which step comes next: the server is away.
        self._points.append((time.time_ns() // 1_000_000, means))
        del self._points[:-MAX_WAITING_POINTS]
        if self.next_step is None:
            self.next_step = self._step_after_the_last()
        while self._points:
            at, values = self._points[0]
            points = [
                Metric(self._prefix + name, round(value, 3), at, self.next_step)
                for name, value in values.items()
            ]
            self._client.log_batch(self._run_id, metrics=points)
            self.next_step += 1
            del self._points[0]

    def _step_after_the_last(self) -> int:
        metrics = self._client.get_run(self._run_id).data.metrics
        names = [name for name in metrics if name.startswith(self._prefix)]
        if not names:
            return 0
        history = self._client.get_metric_history(self._run_id, names[0])
        last: int = max(point.step for point in history)
        return last + 1


def _sample(machine: Machine, runs: list[_Watched]) -> None:
    sample, network = machine.read(), machine.network()
    for run in runs:
        try:
            run.take(sample, network)
        except Exception as error:  # noqa: BLE001 - one run's trouble must not be another's, nor training's
            _warn_once(f"System metrics could not be logged: {error}")


_warned: set[str] = set()


def _warn_once(message: str) -> None:
    if message not in _warned and len(_warned) < 10:
        _warned.add(message)
        _log.warning("%s", message)


sampler: Final = Sampler()
"""The sampler of this process."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=sampler.forget)
