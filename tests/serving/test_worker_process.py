"""One worker process, as the server sees it."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from headrace.models.handover import hand_over
from headrace.serving.worker.answers import Answered, Failed
from headrace.serving.worker.calls import Call
from headrace.serving.worker.frames import MAX_TOLD
from headrace.serving.worker_loss import Loss, WorkerLost
from headrace.serving.worker_process import WorkerProcess
from headrace.serving.worker_spec import WorkerSpec
from tests.serving.loops import in_loop
from tests.serving.models import asked

SPEAKS = """
import socket, struct, sys
connection = socket.socket(fileno=int(sys.argv[1]))
connection.recv(8)
head = b'%s'
connection.sendall(struct.pack("!II", len(head), 0) + head)
connection.recv(1 << 20)
import time
time.sleep(%d)
"""


@dataclass
class Notes:
    """Keeps what it is told."""

    answers: asyncio.Queue[Answered | Failed] = field(default_factory=asyncio.Queue)
    losses: asyncio.Queue[Loss] = field(default_factory=asyncio.Queue)
    grown: list[tuple[int, bool]] = field(default_factory=list)

    def answered(self, _worker: WorkerProcess, answers: list[Answered | Failed]) -> None:
        for answer in answers:
            self.answers.put_nowait(answer)

    def heard(self, _worker: WorkerProcess, events: list[list[Any]]) -> None:
        raise AssertionError(events)

    def grew(self, _worker: WorkerProcess, memory: int, *, is_spent: bool) -> None:
        self.grown.append((memory, is_spent))

    def lost(self, _worker: WorkerProcess, loss: Loss) -> None:
        self.losses.put_nowait(loss)

    def changed(self) -> None:
        """Nothing to note."""


def spec_of(folder: Path, **fields: Any) -> WorkerSpec:
    return replace(WorkerSpec(Path(sys.executable), hand_over(folder)), **fields)


@in_loop
async def test_a_worker_answers_in_order_and_says_what_it_holds(unruly: Path) -> None:
    notes = Notes()
    worker = WorkerProcess(spec_of(unruly), notes, 2 << 30)
    ready = await worker.start()
    assert ready.generates is None
    assert ready.memory
    worker.predict([Call("invocations", asked(("echo", number))) for number in range(3)], 60)
    answers = [await notes.answers.get() for _ in range(3)]
    assert [each.body for each in answers if isinstance(each, Answered)] == [
        b'{"predictions": ["%d.0"]}' % number for number in range(3)
    ]
    assert notes.grown[0][0] >= ready.memory / 2
    worker.close()
    assert (await notes.losses.get()).reason == "it ended with status 0"


@in_loop
async def test_answers_that_were_sent_before_the_end_are_heard(unruly: Path) -> None:
    notes = Notes()
    worker = WorkerProcess(spec_of(unruly), notes, None)
    await worker.start()
    worker.predict([Call("invocations", asked(("echo", 1)))], 60)
    worker.predict([Call("invocations", asked("exit"))], 60)
    assert (await notes.losses.get()).reason == "it ended with status 5"
    assert isinstance(notes.answers.get_nowait(), Answered)


@in_loop
async def test_a_python_that_is_not_there(unruly: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkerLost, match="could not be started"):
        await WorkerProcess(spec_of(unruly, python=tmp_path / "none"), Notes(), None).start()


@pytest.mark.parametrize(
    "head",
    ['{"op":"answers"}', "[]", "{", '{"op":"ready"}', '{"op":"answers","answers":[1]}'],
)
def test_a_worker_that_speaks_nonsense_is_ended(unruly: Path, tmp_path: Path, head: str) -> None:
    @in_loop
    async def test() -> None:
        program = tmp_path / "speaks.py"
        program.write_text(SPEAKS % (head, 3600))
        worker = WorkerProcess(spec_of(unruly, program=(str(program),)), Notes(), None)
        with pytest.raises(WorkerLost, match="did not answer in the server's language"):
            await worker.start()

    test()


@in_loop
async def test_a_head_that_would_fill_the_memory_of_the_server_is_not_waited_for(
    unruly: Path, tmp_path: Path
) -> None:
    program = tmp_path / "announces.py"
    program.write_text((SPEAKS % ("", 3600)).replace("len(head)", str(MAX_TOLD + 1)))
    worker = WorkerProcess(spec_of(unruly, program=(str(program),)), Notes(), None)
    with pytest.raises(WorkerLost, match="did not answer in the server's language"):
        async with asyncio.timeout(30):
            await worker.start()


@in_loop
async def test_what_a_model_sees_of_the_environment(
    unruly: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    spec = spec_of(unruly, engine={"threads": 3})
    worker = WorkerProcess(spec, Notes(), None)
    await worker.start()
    found = psutil.Process(worker.pid).environ()
    assert "PYTHONPATH" not in found
    assert (found["OPENBLAS_NUM_THREADS"], found["OMP_NUM_THREADS"]) == ("3", "3")
    worker.close()
    await worker.wait()
