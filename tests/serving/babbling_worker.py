"""A worker that answers each call as it was told to: `python babbling_worker.py HEAD SOCKET`.

HEAD is the head of a frame in JSON; its body is a megabyte of zeros.
"""

from __future__ import annotations

import json
import socket
import struct
import sys

READY = {"op": "ready", "takes_several": True, "seconds": 0.0, "generates": None, "memory": None}


def frame(head: str, body: bytes) -> bytes:
    text = head.encode()
    return struct.pack("!II", len(text), len(body)) + text + body


def main(head: str, descriptor: str) -> None:
    """Babble until the other end closes."""
    with socket.socket(fileno=int(descriptor)) as connection:
        connection.recv(1 << 20)  # the model to load
        connection.sendall(frame(json.dumps(READY), b""))
        while connection.recv(1 << 20):
            connection.sendall(frame(head, bytes(1 << 20)))


if __name__ == "__main__":
    main(*sys.argv[1:])
