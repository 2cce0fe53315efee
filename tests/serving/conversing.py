"""Conversations with a server of language models, without any client library."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.serving.served import ServingProcess
from tests.serving.waiting import wait_until

SCRIPT = Path(__file__).with_name("chatty_model.py")
CHAT = "/v1/chat/completions"
PATIENCE = 60.0


def save_chatty(folder: Path, task: str | None = "llm/v1/chat") -> Path:
    """Save the model of `chatty_model.py` into a new folder."""
    import headrace.pyfunc as pyfunc  # noqa: PLR0402 - mypy: the facade finds it at run time

    pyfunc.save_model(
        folder, python_model=str(SCRIPT), metadata=None if task is None else {"task": task}
    )
    return folder


def saying(text: str, **more: Any) -> bytes:
    """A request whose only message is this."""
    return json.dumps({"messages": [{"role": "user", "content": text}], **more}).encode()


class Stream:
    """An answer that comes in pieces."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        self.response = connection.getresponse()

    def events(self) -> Iterator[tuple[str, str]]:
        """The name and the data of each event, as soon as it is there."""
        name = ""
        while line := self.response.readline():
            kind, _, value = line.decode().rstrip("\n").partition(": ")
            if kind == "event":
                name = value
            elif kind == "data":
                yield name, value

    def pieces(self) -> Iterator[str]:
        """The text, as soon as it is there. Fails for one that does not end as it should."""
        for name, data in self.events():
            assert name == "", data
            if data == "[DONE]":
                return
            text = json.loads(data)["choices"][0]["delta"].get("content")
            if text:
                yield text
        raise AssertionError("it ended without [DONE]")

    def hang_up(self) -> None:
        """Close the connection, in the middle of whatever comes."""
        self.response.close()
        self._connection.close()


@contextmanager
def streaming(server: ServingProcess, body: bytes, path: str = CHAT) -> Iterator[Stream]:
    """A stream that is open as long as the block."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    stream = Stream(connection)
    try:
        yield stream
    finally:
        stream.hang_up()


def wait_until_busy(
    server: ServingProcess, *, queued: int, under_way: int, model: str = "chatty"
) -> None:
    """Return when so many requests wait for a model, and workers are at so many."""

    def is_so() -> bool:
        models = server.ask(path="/models").json()["models"]
        (workers,) = (each["workers"] for each in models if each["name"] == model)
        return (workers["queued"], workers["under_way"]) == (queued, under_way)

    wait_until(is_so, f"there were never {queued} queued and {under_way} under way")
