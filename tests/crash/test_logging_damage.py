"""Logs that a power cut, a broken disk or a newer version left: read as far as they are whole."""

from __future__ import annotations

import shutil
import struct
import tempfile
from pathlib import Path
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

import headrace
from headrace.client import entries
from headrace.client.entries import Logged, RunCreated
from headrace.journal import segment
from headrace.journal.reader import JournalReader
from headrace.journal.writer import JournalWriter
from headrace.protocol.runs import CreateRun, LogBatch
from headrace.protocol.wire import Param
from tests.crash.logging_world import World

RUN = "a" * 32


def writer_in(place: Path) -> JournalWriter:
    return JournalWriter([place], entries.spell_series, size=4096)


def fill_log(log: JournalWriter, run_id: str, count: int = 300) -> None:
    log.append(entries.encode(RunCreated(CreateRun(experiment_id="0", run_id=run_id))))
    for step in range(count):
        log.append(entries.POINT.pack(step, 1000 + step, step), (run_id, f"m{step % 3}"))


def read_all(folder: Path) -> list[tuple[bytes, bytes]]:
    reader = JournalReader(folder)
    assert reader.claim()
    found = []
    while records := reader.read():
        found += [(record.name, record.body) for record in records]
    reader.tail()
    reader.close()
    return found


@given(st.data())
def test_what_lies_before_the_damage_is_read_and_nothing_wrong(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as place:
        damage_and_read(Path(place), data)


def damage_and_read(place: Path, data: st.DataObject) -> None:
    log = writer_in(place)
    fill_log(log, RUN)
    folder = log.open()
    whole = read_all(folder)
    copy = place / "copy"
    shutil.copytree(folder, copy)  # while it is open, as a power cut would leave it
    log.close()
    files = sorted(copy.glob("*.segment"))
    index = data.draw(st.integers(0, len(files) - 1))
    damaged = files[index]
    size = damaged.stat().st_size
    kind = data.draw(st.sampled_from(["truncate", "zeros", "flip", "noise", "remove"]))
    at = data.draw(st.integers(0, size - 1))
    content = bytearray(damaged.read_bytes())
    if kind == "remove":
        damaged.unlink()
    elif kind == "truncate":
        damaged.write_bytes(content[:at])
    else:
        width = data.draw(st.integers(1, min(64, size - at)))
        noise = data.draw(st.binary(min_size=width, max_size=width))
        content[at : at + width] = {
            "zeros": bytes(width),
            "noise": noise,
            "flip": bytes(byte ^ 0x10 for byte in content[at : at + width]),
        }[kind]
        damaged.write_bytes(content)
    found = read_all(copy)
    # Only what was written, in the order it was written.
    rest = iter(whole)
    assert all(record in rest for record in found)
    # And all of it that lies in segments before the damage.
    before = sum(len(records_of(file)) for file in files[:index])
    assert found[:before] == whole[:before]


def records_of(file: Path) -> list[segment.Record]:
    reader = segment.SegmentReader(file)
    found = list(reader.read(reader.size))
    reader.close()
    return found


def append_raw(log: JournalWriter, name: bytes | None, body: bytes) -> None:
    """A record as a newer version might write it."""

    def spell(_: object) -> bytes:
        return name or b""

    log._spell = spell
    log.append(body, name)
    log._spell = entries.spell_series


def test_a_damaged_log_holds_up_no_other(world: World, tmp_path: Path) -> None:
    """Each is delivered as far as it goes; what cannot be read stays, and its program's files."""
    uri = f"sqlite:///{tmp_path}/h.db"
    home = world.home(uri)
    logs: dict[str, JournalWriter] = {}
    for number, kind in enumerate(["header", "newer", "cut", "empty", "unknown", "whole"]):
        log = logs[kind] = writer_in(home)
        fill_log(log, f"{number}" * 32)
    # What a newer version may write: a kind of entry, a kind of point, a field of a series.
    append_raw(logs["unknown"], None, b'{"type":"log_dreams","request":{}}')
    append_raw(logs["unknown"], None, b"no document at all")
    append_raw(logs["unknown"], b'["%s","k",null,null,null,"new"]' % (b"4" * 32), b"\0" * 24)
    append_raw(logs["unknown"], b'{"run":"x"}', b"\0" * 24)
    logs["unknown"].append(b"\0" * 40, ("4" * 32, "longer"))
    params = [Param("after", "1")]
    logs["unknown"].append(entries.encode(Logged(LogBatch(run_id="4" * 32, params=params))))
    folders = {kind: log.open() for kind, log in logs.items()}
    for log in logs.values():
        log.close()

    def first(kind: str) -> Path:
        return min(folders[kind].glob("*.segment"))

    content = first("header").read_bytes()
    first("header").write_bytes(b"\0" * 16 + content[16:])
    newer = first("newer").read_bytes()
    first("newer").write_bytes(b"HRJ2" + newer[4:])
    first("cut").write_bytes(first("cut").read_bytes()[:1000])
    (folders["empty"] / "progress").write_bytes(b"")
    world.drain(uri)
    client = headrace.Client(uri)

    def points(number: int) -> int:
        keys = client.get_run(f"{number}" * 32).data.metrics
        return sum(len(client.get_metric_history(f"{number}" * 32, key)) for key in keys)

    assert (points(3), points(4), points(5)) == (300, 300, 300)
    assert client.get_run("4" * 32).data.params == {"after": "1"}
    unreadable = [each for each in world.refusals(uri) if each.error_code == "UNREADABLE"]
    assert len(unreadable) >= 5
    # What no version could read, or only a newer one, is not thrown away.
    for kind in ("header", "newer"):
        assert first(kind).exists()
    for kind in ("unknown", "whole", "empty"):
        assert not folders[kind].exists()


def test_a_half_written_record_is_not_read(tmp_path: Path) -> None:
    """A process that is killed in the middle of an append had not acknowledged it."""
    log = writer_in(tmp_path)
    log.append(b"one")
    end = log.mark().ends[0][1]
    view = log._view
    assert view is not None
    payload = struct.pack("<I", 0) + b"two"
    view[end + 8 : end + 8 + len(payload)] = payload
    assert [body for _, body in read_all(log.open())] == [b"one"]
    view[end : end + 8] = struct.pack("<II", len(payload), crc32(payload) ^ 1)
    assert [body for _, body in read_all(log.open())] == [b"one"]
    view[end : end + 8] = struct.pack("<II", len(payload), crc32(payload))
    assert [body for _, body in read_all(log.open())] == [b"one", b"two"]
    log.close()
