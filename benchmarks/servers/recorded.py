"""A server of models whose every exchange is kept in memory, or none: run by path, not imported.

python recorded.py FOLDER PORT keep|none
"""

from __future__ import annotations

import sys

from headrace.client.model_source import UriSource
from headrace.serving.loading import VersionLoader
from headrace.serving.recording import Exchange
from headrace.serving.run import Serving, serve
from headrace.serving.settings import ServingSettings


class Keeping:
    """The recorder that does least: what the seam itself costs."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    def record(self, exchange: Exchange) -> None:
        """Keep it."""
        self.exchanges.append(exchange)


if __name__ == "__main__":
    folder, port, what = sys.argv[1:]
    serve(
        Serving({"model": UriSource(folder)}),
        VersionLoader(ServingSettings(port=int(port)), "local"),
        recorder=Keeping() if what == "keep" else None,
    )
