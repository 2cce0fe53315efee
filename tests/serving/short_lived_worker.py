"""A worker that ends by itself soon after it has loaded: `python short_lived_worker.py SOCKET`."""

from __future__ import annotations

import json
import socket
import struct
import sys
import time

READY = {"op": "ready", "takes_several": True, "seconds": 0.0, "generates": None, "memory": None}


def main(descriptor: str) -> None:
    """Say that the model is loaded, and die."""
    with socket.socket(fileno=int(descriptor)) as connection:
        connection.recv(1 << 20)  # the model to load
        head = json.dumps(READY).encode()
        connection.sendall(struct.pack("!II", len(head), 0) + head)
        time.sleep(0.05)


if __name__ == "__main__":
    main(sys.argv[1])
