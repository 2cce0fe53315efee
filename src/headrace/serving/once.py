"""One prediction without a server: a worker that is started for it, asked and ended."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final

from headrace.errors import (
    HeadraceError,
    InvalidModel,
    InvalidRequest,
    NotFound,
    NotTrusted,
    PayloadTooLarge,
    error_from_code,
)
from headrace.models.handover import hand_over
from headrace.serving.calls import ModelFailed
from headrace.serving.process_group import await_end, end_group, kill_group
from headrace.serving.spawning import flavors_in, spawn
from headrace.serving.worker import boot
from headrace.serving.worker.answers import Answered, Failed, answers_of
from headrace.serving.worker.calls import Call, told_call
from headrace.serving.worker.frames import MAX_BODY, MAX_TOLD, Frame, Unpacker, pack, text_in
from headrace.serving.worker_loss import WorkerDied, loss_by

MAX_INPUT: Final = MAX_BODY
"""Bytes of an input at most: what a frame holds."""
_PROGRAM: Final = (boot.__file__, "headrace.serving.worker.once")
_CHUNK: Final = 1 << 20
_GRACE: Final = 5.0
"""Seconds that the worker has to end by itself, after it has answered."""
_RAISED: Final[dict[str, type[HeadraceError]]] = {
    each.__name__: each for each in (InvalidModel, InvalidRequest, NotFound, NotTrusted)
}
"""What the loading of a model raises on purpose."""


def read_input(file: BinaryIO) -> bytes:
    """All of it; of what is larger than `MAX_INPUT` no more than shows that."""
    held = BytesIO()
    while held.tell() <= MAX_INPUT and (data := file.read(_CHUNK)):
        held.write(data)
    return held.getvalue()


def predict_once(
    folder: Path,
    call: Call,
    python: Path,
    *,
    trust: bool = False,
    variables: Mapping[str, str] | None = None,
) -> bytes:
    """What the model in `folder` answers to a call, from a process of the interpreter `python`,
    with `variables` beside this process's own. What the model prints goes to stderr.

    Raises PayloadTooLarge; NotFound, InvalidModel, NotTrusted and InvalidRequest where the model
    cannot be loaded or the call does not fit it; ModelFailed where its code raises or ends the
    process.
    """
    if len(call.body) > MAX_INPUT:
        raise PayloadTooLarge(
            f"The input has more than {MAX_INPUT:,} bytes, which is what can be predicted for at "
            "a time. Split it."
        )
    try:
        process, connection = spawn(python, None, variables, _PROGRAM)
    except OSError as error:
        raise InvalidRequest(f"{python} cannot be run: {error.strerror}.") from None
    grace = 0.0
    try:
        with connection:
            worker = _Worker(process, connection)
            worker.say({"op": "prepare", "flavors": flavors_in(folder)})
            # Checked while the worker imports its libraries.
            worker.say({"op": "load", "handed": hand_over(folder, trust=trust)})
            answer = _asked(worker, call)
        grace = _GRACE
        return answer
    finally:
        _end(process, grace)


class _Worker:
    """A worker, spoken to by one who waits for it."""

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self._process = process
        self._socket = connection
        self._unpacker = Unpacker(max_head=MAX_TOLD)

    def say(self, head: dict[str, Any], body: bytes = b"") -> None:
        """Send a frame. Where nobody is there any more, `hear` says why."""
        with suppress(BrokenPipeError, ConnectionResetError):
            for piece in pack(head, [body]):
                self._socket.sendall(piece)

    def hear(self, when: str) -> Frame:
        """The next frame. WorkerDied says how the process ended, and `when`."""
        with suppress(ConnectionResetError):
            while data := self._socket.recv(_CHUNK):
                if frames := self._unpacker.feed(data):
                    return frames[0]
        loss = loss_by(_end(self._process, _GRACE))
        hint = ", as the system does where memory runs out" if loss.is_outside else ""
        raise WorkerDied(f"The model's process ended {when}: {loss.reason}{hint}.")


def _asked(worker: _Worker, call: Call) -> bytes:
    """The answer to a call, of a worker that was told to load a model."""
    try:
        _check_loaded(worker.hear("while the model was loaded")[0])
        worker.say({"op": "predict", "calls": [told_call(call)]}, call.body)
        return _answer(worker.hear("over this input"))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ModelFailed("The model's process did not answer in Headrace's language.") from error


def _check_loaded(head: dict[str, Any]) -> None:
    """Raise what kept the worker from loading the model."""
    if head["op"] == "ready":
        return
    message, trace = text_in(head["message"]), head["trace"]
    raised = _RAISED.get(head.get("kind") or "")
    if raised is not None:
        raise raised(message)
    trace = None if trace is None else text_in(trace)
    raise ModelFailed(f"The model could not be loaded: {message}", trace)


def _answer(frame: Frame) -> bytes:
    """The prediction. Raises why there is none."""
    head, body = frame
    (answer,) = answers_of(head["answers"], body)
    if isinstance(answer, Answered):
        return bytes(answer.body)
    if answer.code == Failed.code:
        raise ModelFailed(answer.message, answer.trace)
    raise error_from_code(answer.code, answer.message, answer.status)


def _end(process: subprocess.Popen[bytes], grace: float) -> int:
    """Wait until the process has ended, by itself within `grace` seconds or by force, and end what
    it has started; its exit status.
    """
    timer = threading.Timer(grace, kill_group, [process])
    timer.start()
    try:
        await_end(process)
    finally:
        timer.cancel()
        timer.join()  # so that it ends no stranger who has got the number
        status = end_group(process)
    return status
