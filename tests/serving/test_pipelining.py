"""Callers that send many requests on one connection before they read an answer."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from tests.http.live_app import Reader
from tests.serving.models import answered, asked
from tests.serving.served import ServingLauncher

COUNT = 200


def test_predictions_come_in_the_order_of_their_requests(
    unruly: Path, serving_process: ServingLauncher
) -> None:
    server = serving_process(unruly, workers=2)
    sent = b"".join(_request(asked(("echo", float(number)))) for number in range(COUNT))
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        sending = threading.Thread(target=client.sendall, args=(sent,))
        sending.start()
        reader = Reader(client)
        found = [answered(reader.answer().body)[0] for _ in range(COUNT)]
        sending.join(60)
    assert found == [str(float(number)) for number in range(COUNT)]


def _request(body: bytes) -> bytes:
    head = (
        "POST /invocations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
