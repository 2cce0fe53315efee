"""Keeping the workers of one model version alive: started, replaced when they die, and ended.

A worker that dies is replaced for as long as the server runs, at once or ever later (see
`backoff`); the health of the server says when there is none.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final
from weakref import WeakKeyDictionary

import psutil

from headrace.errors import InvalidModel
from headrace.serving.backoff import Backoff
from headrace.serving.engines.memory import free_memory
from headrace.serving.settings import ServingSettings
from headrace.serving.worker_loss import Loss, WorkerLost
from headrace.serving.worker_process import Listener, Ready, WorkerProcess
from headrace.serving.worker_spec import WorkerSpec

log = logging.getLogger("headrace.serving")

_ROOM: Final = 1.25
"""The memory that must be free for another worker, in sizes of the one that it replaces."""


class Workforce:
    """See the module. Belongs to the event loop."""

    def __init__(
        self,
        name: str,
        spec: WorkerSpec,
        settings: ServingSettings,
        listener: Listener,
    ) -> None:
        self.restarts = 0
        """Workers that were started in the place of others."""
        self.last_failure: str | None = None
        """Why the last worker was lost, or could not be started."""
        self._name = name
        self._spec = spec
        self._settings = settings
        self._listener = listener
        self._ready: dict[WorkerProcess, Ready] = {}
        self._starting: set[WorkerProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._backoff = Backoff(name)
        self._loaded_at: WeakKeyDictionary[WorkerProcess, float] = WeakKeyDictionary()
        self._is_closing = False

    @property
    def alive(self) -> int:
        """Workers that have loaded the model."""
        return len(self._ready)

    @property
    def starting(self) -> int:
        """Workers that are loading it."""
        return len(self._starting)

    def ready(self) -> Iterable[WorkerProcess]:
        """Those that may be given something new."""
        return [worker for worker in self._ready if not worker.is_leaving]

    def leaving(self) -> Iterable[WorkerProcess]:
        """Those that only finish what they have."""
        return [worker for worker in self._ready if worker.is_leaving]

    def facts(self, worker: WorkerProcess) -> Ready:
        """What a loaded worker has said of itself."""
        return self._ready[worker]

    def why_hopeless(self) -> str | None:
        """What requests are told while there is no worker, and none to be expected soon."""
        if self._ready or not self._backoff.is_hopeless:
            return None
        return (
            f"{self._name} cannot be loaded again: {_sentence(self.last_failure or '')} The server "
            "goes on trying."
        )

    async def start(self) -> Ready:
        """Load the model in all workers. Raises InvalidModel with the reason when it cannot be."""
        jobs = [asyncio.create_task(self._load()) for _ in range(self._settings.workers)]
        try:
            return (await asyncio.gather(*jobs))[0]
        except WorkerLost as error:
            await self.close(0)
            raise InvalidModel(
                f"{self._name} cannot be served: {_sentence(error.loss.reason)}"
            ) from None
        except BaseException:
            await self.close(0)
            raise
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)

    def lost(self, worker: WorkerProcess, loss: Loss) -> None:
        """A worker is gone: have another one in its place, if it was not meant to go."""
        was_ready = self._ready.pop(worker, None) is not None
        if self._is_closing or not was_ready or worker.is_retiring:
            return
        self._note(loss)
        pause = self._backoff.ended(time.monotonic() - self._loaded_at[worker])
        log.error(
            "a worker of %s is gone: %s; another one is started%s",
            *(self._name, loss.reason, f" in {pause:g} seconds" if pause else ""),
        )
        self._run(self._replace(pause))

    def retire(
        self, worker: WorkerProcess, reason: str, finish: Callable[[], None], *, at_once: bool
    ) -> None:
        """Replace a worker that still works: by another one that is loaded first, where there is
        memory for both. `finish` is called once the old one gets nothing new, which is now where
        it must be `at_once`.
        """
        if worker not in self._ready or self._is_closing:
            return
        if at_once and not worker.is_leaving:
            worker.is_leaving = True
            finish()
        if not worker.is_retiring:
            worker.is_retiring = True
            self.last_failure = reason
            log.warning("a worker of %s is replaced: %s", self._name, reason)
            self._run(self._retire(worker, finish))

    def has_room_beside(self, worker: WorkerProcess) -> bool:
        """Whether there is memory for another one."""
        try:
            held = psutil.Process(worker.pid).memory_info().rss
        except psutil.Error:
            return True
        free = free_memory()
        return free is None or free > held * _ROOM

    async def close(self, grace: float) -> None:
        """End all workers, those that do not end within `grace` seconds by force; return when all
        have ended.
        """
        self._is_closing = True
        for task in self._tasks:
            task.cancel()
        workers = [*self._ready, *self._starting]
        for worker in workers:
            worker.is_leaving = True
            if grace > 0 and worker in self._ready:
                worker.close(grace)
            else:
                worker.kill(Loss("the server has ended it"))
        await asyncio.gather(*(worker.wait() for worker in workers))

    async def _load(self) -> Ready:
        """Add a worker. Raises WorkerLost."""
        worker = WorkerProcess(self._spec, self._listener, self._settings.memory_limit)
        self._starting.add(worker)
        try:
            async with asyncio.timeout(self._settings.load_timeout):
                ready = await worker.start()
        except TimeoutError:
            reason = (
                f"it was not loaded within {self._settings.load_timeout:g} seconds; expected less, "
                "or a larger --load-timeout"
            )
            raise WorkerLost(Loss(reason)) from None
        else:
            if worker.ended is not None:  # between its word and now
                raise WorkerLost(worker.ended)
            self._ready[worker] = ready
            self._loaded_at[worker] = time.monotonic()
        finally:
            if worker not in self._ready:
                worker.kill(Loss("it could not be loaded"))
                await worker.wait()
            self._starting.discard(worker)
        return ready

    async def _replace(self, pause: float = 0.0) -> None:
        """Add a worker after a pause, however often it takes."""
        await asyncio.sleep(pause)
        while True:
            try:
                await self._load()
            except WorkerLost as error:
                self._note(error.loss)
                pause = self._backoff.failed()
                log.error(
                    "a worker of %s could not be started (time %d in a row): %s; the next try is "
                    "in %g seconds",
                    *(self._name, self._backoff.failures, error.loss.reason, pause),
                )
                self._listener.changed()
                await asyncio.sleep(pause)
            else:
                self._backoff.succeeded()
                self.restarts += 1
                self._listener.changed()
                return

    async def _retire(self, worker: WorkerProcess, finish: Callable[[], None]) -> None:
        new_first = self.has_room_beside(worker)
        if new_first:
            await self._replace()
        if not worker.is_leaving:
            worker.is_leaving = True
            finish()
        if not new_first:
            await worker.wait()
            await self._replace()

    def _note(self, loss: Loss) -> None:
        self.last_failure = loss.reason
        if loss.trace:
            log.error("%s:\n%s", self._name, loss.trace.rstrip())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _sentence(reason: str) -> str:
    """A reason with one full stop at its end: messages of the model's loading bring theirs."""
    return reason if reason.endswith((".", ".)")) else f"{reason}."
