"""The console of a run: what its programs have printed, read from wherever one is. Headrace's own.

MLflow has nothing like it; the log lies among the run's artifacts, where its clients find it too.
"""

from __future__ import annotations

import re
from typing import Final

from headrace.errors import InvalidRequest
from headrace.protocol.endpoint import Endpoint
from headrace.protocol.runs import RunRef
from headrace.protocol.wire import Answer, Int64

MAX_OFFSET: Final = 10**12 - 1
"""Bytes; far more than a log may have."""
SOURCE: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")
"""What the name of a source looks like."""


class ReadConsole(RunRef):
    """Asks for what was printed from the byte `offset` on.

    Each process that logs to a run has a log of its own, its `source`; the first, if absent.
    """

    offset: Int64 = 0
    source: str | None = None

    def __post_init__(self) -> None:
        RunRef.__post_init__(self)
        if not 0 <= self.offset <= MAX_OFFSET:
            raise InvalidRequest(
                f"Invalid value {self.offset} for 'offset': expected 0 to {MAX_OFFSET}, such as "
                "the 'next_offset' of an earlier answer."
            )
        self.source = self.source or None
        if self.source is not None and not SOURCE.fullmatch(self.source):
            raise InvalidRequest(
                f"Invalid value {self.source[:100]!r} for 'source': expected one of the 'sources' "
                "of an earlier answer."
            )


class ConsolePage(Answer):
    """A piece of a log, at most 256 KiB of it, and where the next one begins.

    An empty text means that this is all so far; `is_running` says whether more may come.
    """

    text: str
    next_offset: Int64
    is_running: bool
    sources: list[str] = []
    source: str | None = None


READ = Endpoint(
    "GET",
    "/2.0/headrace/runs/console",
    ReadConsole,
    ConsolePage,
    "Read what a run's programs have printed.",
)
