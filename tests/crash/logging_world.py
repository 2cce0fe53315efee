"""Programs that log, and what lies between them and their server, for the tests of logging."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from headrace.client import outbox, places
from headrace.client.ledger import Ledger, Refusal
from headrace.client.sender import Sender, keeps_run_ids, open_destination
from headrace.client.sender_process import LOG, is_running
from tests.fixtures.child_process import start_child

PRELUDE = """
import os, sys, threading, time
import headrace
from pathlib import Path

def said(text, file=os.environ.get("SAID", "")):
    # Straight to the system: what is written here was acknowledged, also when we are killed next.
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, f"{text}\\n".encode())
    os.close(descriptor)

def wait_for(path):
    while not Path(path).exists():
        time.sleep(0.01)
"""
"""What every program starts with."""


@dataclass
class Program:
    """A program that logs, in a process of its own."""

    process: subprocess.Popen[bytes]
    said_path: Path
    log_path: Path

    @property
    def said(self) -> list[str]:
        """The lines it has said: what it did for certain."""
        try:
            return self.said_path.read_text().splitlines()
        except FileNotFoundError:
            return []

    @property
    def printed(self) -> str:
        """What it has printed, warnings too."""
        return self.log_path.read_text(errors="replace")

    @property
    def warnings(self) -> list[str]:
        """The warnings of Headrace that it printed."""
        return [line for line in self.printed.splitlines() if line.startswith("headrace:")]

    def wait(self, timeout: float = 60) -> int:
        """Its exit status."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the program does not end\n{self.printed}") from None

    def succeed(self, timeout: float = 60) -> None:
        """Fail with what it printed, unless it ends with 0."""
        assert self.wait(timeout) == 0, self.printed

    def until(self, line: str, timeout: float = 60) -> None:
        """Return when it has said a line."""
        eventually(
            lambda: line in self.said or self.process.poll() is not None,
            f"'{line}' from the program",
            timeout,
        )
        assert line in self.said, self.printed

    def kill(self) -> None:
        """SIGKILL it, and not its sender."""
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class World:
    """A folder of journals, a folder to work in, and programs that log to `uri`."""

    folder: Path
    journal: Path
    programs: list[Program] = field(default_factory=list)
    uris: set[str] = field(default_factory=set)

    def start(
        self,
        uri: str,
        code: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
    ) -> Program:
        """Start a program: `code` after the prelude, with `arguments` in sys.argv[1:]."""
        number = len(self.programs)
        self.uris.add(uri)
        file = self.folder / f"program-{number}.py"
        logging = (
            "import logging\n"
            "logging.basicConfig(format='%(name)s: %(message)s', level=logging.WARNING)\n"
        )
        file.write_text(logging + PRELUDE + code)
        said, log = self.folder / f"said-{number}", self.folder / f"program-{number}.log"
        process = start_child(
            [sys.executable, str(file), *arguments],
            log=log,
            parent_death_signal=signal.SIGKILL,
            environment={
                **os.environ,
                "HEADRACE_TRACKING_URI": uri,
                "HEADRACE_JOURNAL": str(self.journal),
                "HEADRACE_CAPTURE": "false",
                "HEADRACE_FLUSH_TIMEOUT": "10",
                "SAID": str(said),
                **(environment or {}),
            },
            cwd=self.folder,
        )
        program = Program(process, said, log)
        self.programs.append(program)
        return program

    def home(self, uri: str) -> Path:
        """The folder of the journals that go to `uri`."""
        return self.journal / places.folder_name(uri)

    def ledger(self, uri: str) -> Ledger:
        """What the senders to `uri` have noted."""
        return Ledger(self.home(uri))

    def refusals(self, uri: str) -> list[Refusal]:
        """What was set aside."""
        return list(self.ledger(uri).refusals())

    def logs(self, uri: str) -> list[Path]:
        """The logs that are not delivered and cleared up yet."""
        home = self.home(uri)
        return [path for path in home.iterdir() if path.is_dir() and path.name != "refused"]

    def end_sender(self, uri: str) -> None:
        """SIGKILL the sender to `uri`, if there is one, and see it gone."""
        _end_sender_in(self.home(uri))

    def sender(self, uri: str, *more: Path) -> Sender:
        """A sender in this process, which a test can let work step by step."""
        self.end_sender(uri)
        return Sender([self.home(uri), *more], uri, open_destination, lambda _: keeps_run_ids(uri))

    def drain(self, uri: str, *more: Path) -> None:
        """Deliver all that dead processes left, as another program or a person would."""
        sender = self.sender(uri, *more)
        try:
            fault = sender.drain()
            assert fault is None, fault
        finally:
            sender.close()

    def delivered(self, uri: str, timeout: float = 30) -> None:
        """Return when every log has been delivered and cleared up, by whoever is at work."""
        eventually(lambda: not self.logs(uri), "an empty journal", timeout)

    def close(self) -> None:
        """End all programs and senders."""
        for program in self.programs:
            if program.process.poll() is None:
                program.kill()
            sys.stderr.write(f"--- {program.log_path.name}\n{program.printed[-5000:]}\n")
        outbox.close_outboxes()
        for home in map(self.home, self.uris):
            for place in places.with_memory(home):
                log = place / LOG
                if log.exists():
                    sys.stderr.write(f"--- sender in {place}\n{log.read_text()[-5000:]}\n")
                _end_sender_in(place)
                if place != home:
                    shutil.rmtree(place.parent, ignore_errors=True)  # what was kept in memory


def _end_sender_in(home: Path) -> None:
    state = Ledger(home).state()
    if state is not None and is_running(home):
        with suppress(ProcessLookupError):
            os.kill(state.pid, signal.SIGKILL)
        eventually(lambda: not is_running(home), "the end of the sender", 10)


def eventually(condition: Callable[[], Any], what: str, timeout: float = 30) -> None:
    """Return when `condition` holds; fail naming `what` was waited for."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s for {what}")
        time.sleep(0.02)


@dataclass
class Gate:
    """An HTTP proxy before a server: it passes, delays, refuses or swallows, and remembers."""

    target: int
    server: ThreadingHTTPServer
    mode: str = "pass"
    seen: list[tuple[str, Any]] = field(default_factory=list)
    answered: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server.server_port}"

    def paths(self) -> list[str]:
        """The paths of all requests, in the order they came."""
        return [path for path, _ in self.seen]


PAGE = b"<html><body>Please sign in to the hotel's network</body></html>"
_ANSWERS = {"503": 503, "429": 429, "500": 500, "502": 502, "html": 200, "html-404": 404}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    gate: Gate

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (its name there)
        pass

    def _answer(self, status: int, body: bytes, kind: str = "text/html") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.gate.answered += 1

    def _handle(self) -> None:
        gate = self.gate
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            document = json.loads(body) if body else None
        except ValueError:
            document = None
        gate.seen.append((self.path, document))
        mode = gate.mode
        if mode == "hang":
            gate.released.wait(120)
            self.close_connection = True
            return
        if mode == "slow":
            gate.released.wait(1.0)
        if mode == "poison" and (b"poison" in body or "poison" in self.path):
            self._answer(500, PAGE)
            return
        if mode in _ANSWERS:
            self._answer(_ANSWERS[mode], PAGE)
            return
        connection = http.client.HTTPConnection("127.0.0.1", gate.target, timeout=60)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            data = answer.read()
        except OSError:
            self.close_connection = True
            return
        finally:
            connection.close()
        if mode == "cut":  # it did it, and nobody hears of it
            self.close_connection = True
            return
        self._answer(answer.status, data, answer.headers.get("Content-Type", ""))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815  (its names there)


@contextmanager
def gate(target: int, mode: str = "pass", port: int = 0) -> Iterator[Gate]:
    """A gate before the server at port `target`."""
    server = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {}))
    server.daemon_threads = True
    made = Gate(target, server, mode)
    server.RequestHandlerClass.gate = made  # type: ignore[attr-defined]  # the class made above
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
