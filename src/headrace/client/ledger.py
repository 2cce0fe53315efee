"""What a sender leaves beside its journals for those who log, and for `headrace sync`.

    destination.json   the tracking URI, without credentials
    sender-HOST.json   how the sender fares: whether the server can be reached, and if not, why
    run-ids.jsonl      runs that the server knows under another id than we do (plain MLflow)
    refused.jsonl      what the server refused, one JSON document a line: why, and what it was

All of it is small; lines are only ever added.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from headrace.client.entries import Entry, encode
from headrace.errors import HeadraceError
from headrace.journal.folder import host_name, own_file, remove

DESTINATION: Final = "destination.json"
STATE: Final = f"sender-{host_name()}.json"
RUN_IDS: Final = "run-ids.jsonl"
REFUSED: Final = "refused.jsonl"
REFUSED_FILES: Final = "refused"


class Destination(Struct):
    """Where the journals of a folder go."""

    uri: str


class SenderState(Struct, omit_defaults=True):
    """How the sender fares. `failures` counts attempts that failed; 0 after one that did not."""

    pid: int
    failures: int = 0
    reason: str = ""


class RunId(Struct):
    """A run's id here, and the one that the server gave it."""

    ours: str
    theirs: str


class Refusal(Struct, omit_defaults=True):
    """Something that the server refused for good: what it was, and its own words."""

    run_id: str
    what: str
    reason: str
    error_code: str
    time: int
    writer: str
    entry: msgspec.Raw

    def digest(self) -> bytes:
        """Equal for the same thing refused again, after a sender died half-way."""
        text = f"{self.writer}\0{self.run_id}\0{self.what}\0".encode() + bytes(self.entry)
        return hashlib.sha256(text).digest()


def refusal(run_id: str, entry: Entry, error: HeadraceError, writer: str) -> Refusal:
    """The refusal of `entry`, with what can be sent again."""
    return Refusal(
        run_id,
        describe(entry),
        error.message,
        error.error_code,
        time.time_ns() // 1_000_000,
        writer,
        msgspec.Raw(encode(entry)),
    )


def describe(entry: Any) -> str:
    """An entry in a few words, without its values."""
    kind = type(entry).__struct_config__.tag
    if kind == "log_artifact":
        return f"the artifact '{entry.path}'"
    if kind != "log_batch":
        return {
            "create_run": "the run itself",
            "update_run": "the run's status or name",
            "log_inputs": "inputs",
            "log_outputs": "outputs",
        }[str(kind)]
    parts = []
    for word, pairs in (
        ("metric", entry.request.metrics),
        ("parameter", entry.request.params),
        ("tag", entry.request.tags),
    ):
        keys = list(dict.fromkeys(pair.key for pair in pairs))
        if keys:
            shown = ", ".join(f"'{key}'" for key in keys[:3]) + (" …" if len(keys) > 3 else "")
            count = f" ({len(pairs)} values)" if len(pairs) > 1 else ""
            parts.append(f"{word} {shown}{count}")
    return "; ".join(parts) or "nothing"


class Ledger:
    """The notes of one folder. Safe to use from any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._known: set[bytes] | None = None
        self._run_ids: dict[str, str] = {}
        self._run_ids_read = 0

    def note_destination(self, uri: str) -> None:
        """Write down where this folder's journals go. `uri` holds no credentials."""
        if not (self.folder / DESTINATION).exists():
            self._replace(DESTINATION, Destination(uri))

    def destination(self) -> str | None:
        """The tracking URI that this folder's journals go to; None when nobody said."""
        try:
            text = (self.folder / DESTINATION).read_bytes()
            return msgspec.json.decode(text, type=Destination).uri
        except (OSError, msgspec.DecodeError):
            return None

    def note_state(self, state: SenderState) -> None:
        """Write down how the sender fares."""
        self._replace(STATE, state)

    def state(self) -> SenderState | None:
        """How the sender fares; None when there was none yet."""
        try:
            return msgspec.json.decode((self.folder / STATE).read_bytes(), type=SenderState)
        except (OSError, msgspec.DecodeError):
            return None

    def note_run_id(self, ours: str, theirs: str) -> None:
        """Keep, before anything relies on it, the id that the server gave a run."""
        self._append(RUN_IDS, msgspec.json.encode(RunId(ours, theirs)), to_disk=True)
        self._run_ids[ours] = theirs

    def run_id(self, ours: str) -> str:
        """The id under which the server knows a run."""
        found = self._run_ids.get(ours)
        if found is None:
            self._read_run_ids()
            found = self._run_ids.get(ours, ours)
        return found

    def note_refusal(self, refused: Refusal) -> None:
        """Set aside what the server refused, once."""
        if self._known is None:
            self._known = {each.digest() for each in self.refusals()}
        digest = refused.digest()
        if digest not in self._known:
            self._append(REFUSED, msgspec.json.encode(refused), to_disk=True)
            self._known.add(digest)

    def keep_file(self, writer: str, file: Path) -> str:
        """Keep the file of an artifact that was refused; where, relative to the folder."""
        kept = self.folder / REFUSED_FILES / f"{writer}-{file.name}"
        try:
            kept.parent.mkdir(mode=0o700, exist_ok=True)
            shutil.move(file, kept)
        except OSError:
            return ""  # it is gone, or there is no place for it
        return kept.relative_to(self.folder).as_posix()

    def note_unreadable(self, writer: str, body: bytes, reason: str) -> None:
        """Set aside a record that this version cannot read, as it is."""
        raw = msgspec.Raw(msgspec.json.encode({"type": "unreadable", "record": body}))
        now = time.time_ns() // 1_000_000
        self.note_refusal(Refusal("", "a record", reason, "UNREADABLE", now, writer, raw))

    def refusals(self, since: int = 0, until: int | None = None) -> Iterator[Refusal]:
        """What was refused, oldest first: all, or what lies between two bytes of the file."""
        for line in self._lines(REFUSED, since, until):
            try:
                yield msgspec.json.decode(line, type=Refusal)
            except msgspec.DecodeError:
                continue  # a line that a power cut tore

    def take_refusals(self) -> Iterator[Refusal]:
        """What was refused, to be sent again; it is forgotten when all of it has been taken.

        What is refused once more must be noted once more.
        """
        taken = self.folder / f"{REFUSED}.again"
        if not taken.exists():
            try:
                os.rename(self.folder / REFUSED, taken)
            except FileNotFoundError:
                return
        self._known = None
        for line in self._lines(taken.name, 0):
            yield msgspec.json.decode(line, type=Refusal)
        taken.unlink()

    def forget_refusals(self) -> None:
        """Remove what was refused, with the files that were kept of it."""
        for name in (REFUSED, f"{REFUSED}.again"):
            (self.folder / name).unlink(missing_ok=True)
        remove(self.folder / REFUSED_FILES)
        self._known = None

    def refused_bytes(self) -> int:
        """The length of the file of refusals: whether there are new ones."""
        try:
            return (self.folder / REFUSED).stat().st_size
        except OSError:
            return 0

    def _read_run_ids(self) -> None:
        for line in self._lines(RUN_IDS, self._run_ids_read):
            self._run_ids_read += len(line) + 1
            try:
                found = msgspec.json.decode(line, type=RunId)
            except msgspec.DecodeError:
                continue
            self._run_ids[found.ours] = found.theirs

    def _lines(self, name: str, since: int, until: int | None = None) -> Iterator[bytes]:
        try:
            with open(self.folder / name, "rb") as file:
                file.seek(since)
                data = file.read(-1 if until is None else until - since)
        except OSError:
            return
        yield from data.split(b"\n")[:-1]

    def _append(self, name: str, line: bytes, *, to_disk: bool) -> None:
        with self._lock:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            descriptor = os.open(self.folder / name, flags, 0o600)
            try:
                os.write(descriptor, line + b"\n")
                if to_disk:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _replace(self, name: str, document: Struct) -> None:
        with self._lock:
            temp = self.folder / f".{name}.{os.getpid()}"
            with open(temp, "wb", opener=own_file) as file:
                file.write(msgspec.json.encode(document))
            os.replace(temp, self.folder / name)
