"""Reading a run's console log, which is kept among its artifacts, while it grows.

Each process that prints while it logs to the run has a folder of its own, `console/SOURCE`, whose
name begins with the time at which it began. In it lie files named after the offset, in bytes, at
which they continue the log. See client/console, which writes them.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from headrace.artifacts.base import ArtifactStore
from headrace.artifacts.paths import join
from headrace.errors import NotFound
from headrace.protocol.console import SOURCE

FOLDER: Final = "headrace/console"
"""The folder of the logs, in the artifacts of a run."""
PAGE_BYTES: Final = 256 * 1024

_CHUNK: Final = re.compile(r"([0-9]{12})\.log")


class Page(NamedTuple):
    """A piece of a log, and the offset at which the next one begins."""

    text: str
    next_offset: int


def chunk_name(offset: int) -> str:
    """The name of the file that continues a log from `offset` on."""
    return f"{offset:012}.log"


def sources(store: ArtifactStore, root: str) -> list[str]:
    """The processes that have printed while they logged to a run, the earliest first.

    `root` is the store path of the run's artifacts.
    """
    entries = store.list(join(root, FOLDER))
    return sorted(entry.path for entry in entries if entry.is_dir and SOURCE.fullmatch(entry.path))


def read_page(
    store: ArtifactStore, root: str, source: str, offset: int, *, complete: bool = False
) -> Page:
    """The text of a source's log from `offset` on, at most PAGE_BYTES of it.

    Empty at the end, and for what is not there (yet). A page ends between two characters. Unless
    the log is `complete`, it also ends where something is still on its way here; in a complete
    log such a gap is passed over, with a mark.
    """
    folder = join(root, f"{FOLDER}/{source}")
    chunks = sorted(
        (int(match[1]), entry.file_size or 0)
        for entry in store.list(folder)
        if not entry.is_dir and (match := _CHUNK.fullmatch(entry.path))
    )
    data = bytearray()
    begin = offset
    text = ""
    for start, size in chunks:
        position = begin + len(data)
        if start + size <= position:
            continue
        if start > position:
            if data or not complete:
                break
            text, begin, position = f"\n[{start - position:,} bytes are missing]\n", start, start
        data += _read(
            store, join(folder, chunk_name(start)), position - start, PAGE_BYTES - len(data)
        )
        if len(data) >= PAGE_BYTES:
            break
    whole = data if complete and len(data) < PAGE_BYTES else _whole_characters(data)
    return Page(text + whole.decode("utf-8", "replace"), begin + len(whole))


def _read(store: ArtifactStore, path: str, start: int, length: int) -> bytes:
    try:
        with store.read(path) as reader:
            return b"".join(reader.chunks(start, min(length, max(0, reader.size - start))))
    except NotFound:
        return b""  # removed since it was listed


def _whole_characters(data: bytearray) -> bytearray:
    """`data` without the beginning of a UTF-8 sequence that its end cuts off."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-back] if back < needed else data
        if byte < 0x80:
            break
    return data
