"""The real scoring server as a process of its own: `python served.py REQUEST`, and what starts it.

The request is JSON: the folders of models by their names, and the settings.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.fixtures.child_process import start_child

START_TIMEOUT = 60.0
STOP_TIMEOUT = 40.0
_SAYS = "SERVES "


@dataclass(frozen=True)
class HttpAnswer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


@dataclass
class ServingProcess:
    """A server that runs. It is ended by the fixture that started it."""

    process: subprocess.Popen[bytes]
    log_path: Path
    address: str = ""
    """http://127.0.0.1:PORT"""

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.address.rpartition(":")[2])

    @property
    def log(self) -> str:
        """What the server and its workers have printed so far."""
        return self.log_path.read_text(errors="replace")

    def workers(self) -> list[psutil.Process]:
        """Its worker processes."""
        found = psutil.Process(self.process.pid).children()
        return [each for each in found if "headrace.serving.worker.main" in each.cmdline()]

    def ask(
        self, body: bytes = b"", *, path: str = "/invocations", timeout: float = 60, **headers: str
    ) -> HttpAnswer:
        """POST a body of JSON, or GET where there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            sent = {"Content-Type": "application/json", **headers}
            connection.request("POST" if body else "GET", path, body or None, sent)
            answer = connection.getresponse()
            return HttpAnswer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    @contextlib.contextmanager
    def asking(self, body: bytes, path: str = "/invocations") -> Iterator[socket.socket]:
        """A connection on which a body of JSON was sent; it is closed with the block, answered or
        not.
        """
        head = (
            f"POST {path} HTTP/1.1\r\nhost: localhost\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(head.encode() + body)
            yield connection

    def stop(self) -> int:
        """SIGTERM, wait, and give the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT)

    def wait_for(self, text: str) -> None:
        """Return when the log has this text; fail with the log when the server ends or is late."""
        deadline = time.monotonic() + START_TIMEOUT
        while text not in self.log:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server never said {text!r}\n{self.log}")
            time.sleep(0.01)


@dataclass
class ServingLauncher:
    """Starts servers; called by tests as `serving_process(...)`."""

    folder: Path
    servers: list[ServingProcess] = field(default_factory=list)

    def __call__(
        self,
        *models: Path | str,
        env_manager: str = "local",
        wait: bool = True,
        shadows: dict[str, str] | None = None,
        **settings: Any,
    ) -> ServingProcess:
        """Serve these models, each under its folder's name, with fields of ServingSettings."""
        request = {
            "sources": {Path(uri).name: str(uri) for uri in models},
            "shadows": shadows or {},
            "env_manager": env_manager,
            "settings": {"port": 0, **settings},
        }
        log_path = self.folder / f"serving-{len(self.servers)}.log"
        process = start_child(
            [sys.executable, "-m", __name__, json.dumps(request)],
            log=log_path,
            parent_death_signal=signal.SIGKILL,
            cwd=Path(__file__).parents[2],
        )
        server = ServingProcess(process, log_path)
        self.servers.append(server)
        if wait:
            server.wait_for(_SAYS)
            server.address = server.log.partition(_SAYS)[2].split()[0]
        return server

    def close(self) -> None:
        """End every server; their logs go where pytest shows them beside a failed test."""
        for server in self.servers:
            if server.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(server.process.pid, signal.SIGKILL)
                server.process.wait()
            sys.stderr.write(f"--- {server.log_path.name}\n{server.log[-20_000:]}\n")
        self.servers.clear()


@contextlib.contextmanager
def serving_launcher(folder: Path) -> Iterator[ServingLauncher]:
    """A `ServingLauncher` whose servers end with the block."""
    servers = ServingLauncher(folder)
    try:
        yield servers
    finally:
        servers.close()


def main(text: str) -> None:
    """Serve until SIGTERM or SIGINT."""
    from headrace.client.model_source import UriSource
    from headrace.serving.loading import VersionLoader
    from headrace.serving.run import Serving, serve
    from headrace.serving.settings import ServingSettings

    request = json.loads(text)
    serve(
        Serving(
            {name: UriSource(uri) for name, uri in request["sources"].items()},
            {name: UriSource(uri) for name, uri in request["shadows"].items()},
        ),
        VersionLoader(ServingSettings(**request["settings"]), request["env_manager"]),
        lambda address: print(f"{_SAYS}{address} ", flush=True),  # noqa: T201 - who started us reads it
    )


if __name__ == "__main__":
    main(sys.argv[1])
