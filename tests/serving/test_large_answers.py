"""Answers of many megabytes."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from headrace.serving.app import ScoringApp
from headrace.serving.invocations import error_reply
from headrace.serving.requests import Reply, Request, Route
from headrace.serving.settings import ServingSettings
from tests.serving.loops import in_loop
from tests.serving.models import answered, asked
from tests.serving.served import ServingLauncher

LENGTH = 10_000_001
SCOPE = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"localhost")]}


@in_loop
async def test_others_have_their_turn_between_the_pieces_of_one_answer() -> None:
    body = bytearray(itertools.islice(itertools.cycle(b"0123456789abc"), LENGTH))

    async def answer(_request: Request) -> Reply:
        return Reply(body)

    turns = 0
    pieces: list[bytes] = []
    messages: list[MutableMapping[str, Any]] = []

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        """A client that takes everything at once."""
        messages.append(message)
        if message["type"] == "http.response.body":
            pieces.append(bytes(message["body"]))

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("nobody reads a body of a GET")

    app = ScoringApp([Route("GET", "/", answer, error_reply)], ServingSettings())
    other = asyncio.create_task(others())
    await app(SCOPE, receive, send)
    other.cancel()
    assert (b"content-length", b"%d" % LENGTH) in messages[0]["headers"]
    assert b"".join(pieces) == body
    assert [each.get("more_body", False) for each in messages[1:]] == [
        *[True] * (len(pieces) - 1),
        False,
    ]
    assert max(map(len, pieces)) <= 1 << 20
    assert turns >= len(pieces) - 1 >= LENGTH >> 20


@pytest.mark.parametrize("rows", [1, 3])
def test_a_large_answer_arrives_whole(
    unruly: Path, shared_serving_process: ServingLauncher, rows: int
) -> None:
    server = shared_serving_process(unruly)
    answer = server.ask(asked(*[("long", LENGTH)] * rows))
    assert answer.status == 200
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert answered(answer.body) == ["x" * LENGTH] * rows
    assert json.loads(server.ask(asked("echo")).body) == {"predictions": ["0.0"]}
