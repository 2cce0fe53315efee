"""The console: whose print is kept where, what stays as it was, what a killed program leaves."""

# ruff: noqa: T201  (what programs print is what these tests are about)

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.client import console as module
from headrace.client.console import Console, Log
from tests.fixtures.live_files import LiveFolder, LocalLiveFile

ROOT = Path(__file__).parents[2]


@pytest.fixture
def live(tmp_path: Path) -> LiveFolder:
    return LiveFolder(tmp_path / "live")


@pytest.fixture
def console() -> Iterator[Console]:
    made = Console()
    yield made
    for run_id in list(made._logs):
        made.end(run_id)


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, LiveFolder]:
    return {name: LiveFolder(tmp_path / name) for name in ("outer", "inner", "other")}


def test_both_streams_are_kept_in_order(
    console: Console, live: LiveFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    print("before")
    console.begin("r", live.open)
    print("one", 2, end="!\n")
    sys.stderr.write("three\n")
    print("vier ✓")
    console.end("r")
    print("after")
    assert live.text() == "one 2!\nthree\nvier ✓\n"
    assert capsys.readouterr().out == "before\none 2!\nvier ✓\nafter\n"


def test_the_streams_stay_what_they_are(console: Console, live: LiveFolder, tmp_path: Path) -> None:
    with open(tmp_path / "out", "w", encoding="latin-1") as stream, _stdout(stream):
        original = stream.write
        console.begin("r", live.open)
        assert sys.stdout is stream
        assert (stream.encoding, stream.isatty(), stream.mode) == ("latin-1", False, "w")
        assert sys.stdout.write("äöü") == 3
        sys.stdout.writelines(["x\n", "y\n"])
        with pytest.raises(TypeError):
            sys.stdout.write(b"bytes")  # type: ignore[arg-type]  # what a caller may get wrong
        console.end("r")
        assert stream.write == original
    assert (tmp_path / "out").read_bytes() == "äöüx\ny\n".encode("latin-1")
    assert live.text() == "äöüx\ny\n"


def test_who_holds_the_stream_already_is_heard(console: Console, live: LiveFolder) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with _stdout(stream):
        handler = logging.StreamHandler(sys.stdout)
        console.begin("r", live.open)
        handler.emit(logging.makeLogRecord({"msg": "epoch %d", "args": (3,)}))
        console.end("r")
    assert live.text() == "epoch 3\n"


def test_what_is_redirected_is_no_console_output(console: Console, live: LiveFolder) -> None:
    console.begin("r", live.open)
    with contextlib.redirect_stdout(io.StringIO()) as taken:
        print("aside")
    print("kept")
    console.end("r")
    assert taken.getvalue() == "aside\n"
    assert live.text() == "kept\n"


def test_a_run_that_prints_nothing_has_no_file(console: Console, live: LiveFolder) -> None:
    console.begin("r", live.open)
    console.end("r")
    assert live.sources() == []


def test_output_belongs_to_the_innermost_run(
    console: Console, folders: dict[str, LiveFolder]
) -> None:
    console.begin("outer", folders["outer"].open)
    print("a")
    console.begin("inner", folders["inner"].open)
    print("b")
    console.end("inner")
    print("c")
    console.end("outer")
    assert folders["outer"].text() == "a\nc\n"
    assert folders["inner"].text() == "b\n"


def test_each_thread_prints_to_its_own_run(
    console: Console, folders: dict[str, LiveFolder]
) -> None:
    console.begin("outer", folders["outer"].open)
    begun, printed = threading.Event(), threading.Event()

    def train() -> None:
        console.begin("other", folders["other"].open)
        begun.set()
        assert printed.wait(20)
        print("from the thread")
        console.end("other")
        print("the thread, its run over")

    thread = threading.Thread(target=train)
    thread.start()
    assert begun.wait(20)
    print("from the main thread")
    worker = threading.Thread(target=print, args=("from a worker",))
    worker.start()
    worker.join()
    printed.set()
    thread.join()
    console.end("outer")
    assert folders["outer"].text() == "from the main thread\nthe thread, its run over\n"
    # A thread without a run of its own: the run that began last.
    assert folders["other"].text() == "from a worker\nfrom the thread\n"


def test_a_run_that_is_begun_twice_is_kept_in_two_logs(console: Console, live: LiveFolder) -> None:
    console.begin("r", live.open)
    print("one")
    console.begin("r", live.open)
    print("two")
    console.end("r")
    console.end("r")
    print("three")
    assert live.text() == "one\ntwo\n"
    assert len(live.sources()) == 2


def test_many_threads_lose_nothing(console: Console, live: LiveFolder) -> None:
    console.begin("r", live.open)

    def count(name: int) -> None:
        for number in range(500):
            sys.stdout.write(f"{name}:{number}\n")

    threads = [threading.Thread(target=count, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    console.end("r")
    lines = live.text().splitlines()
    assert len(lines) == 4000
    for name in range(8):
        own = [line for line in lines if line.startswith(f"{name}:")]
        assert own == [f"{name}:{number}" for number in range(500)]


def test_whoever_wraps_the_stream_meanwhile_stays(console: Console, live: LiveFolder) -> None:
    stream = io.StringIO()
    with _stdout(stream):
        console.begin("r", live.open)
        ours = stream.write

        def theirs(text: str) -> int:
            return ours(text.upper())

        stream.write = theirs  # type: ignore[method-assign]  # as other libraries do it
        print("one")
        console.end("r")
        print("two")
        assert stream.write is theirs
        console.begin("r", live.open)
        print("three")
        console.end("r")
    assert stream.getvalue() == "ONE\nTWO\nTHREE\n"
    assert live.text() == "ONE\nTHREE\n"


def test_a_stream_that_cannot_be_wrapped_is_left_alone(console: Console, live: LiveFolder) -> None:
    class Fixed:
        __slots__ = ("written",)

        def __init__(self) -> None:
            self.written = ""

        def write(self, text: str) -> None:
            self.written += text

    stream = Fixed()
    with _stdout(stream):
        console.begin("r", live.open)
        print("x")
        console.end("r")
    assert stream.written == "x\n"


def test_no_streams_at_all_is_fine(
    console: Console, live: LiveFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    console.begin("r", live.open)
    console.end("r")


def test_a_file_that_cannot_be_written_hurts_nobody(
    console: Console, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def full(_: str) -> LocalLiveFile:
        print("a warning of our own", file=sys.stderr)
        raise OSError("no space")

    console.begin("r", full)
    print("one")
    print("two")
    console.end("r")
    assert capsys.readouterr().out == "one\ntwo\n"
    assert caplog.text.count("no longer kept: no space") == 1


def test_a_print_from_inside_a_write_is_kept_after_it(live: LiveFolder) -> None:
    """A signal handler that prints, say: it runs wherever the main thread happens to be."""

    class Interrupted(LocalLiveFile):
        def write(self, data: bytes) -> None:
            super().write(data)
            if data == b"one\n":
                log.write("handler\n")

    log = Log(lambda path: Interrupted(live.root / path))
    log.write("one\n")
    log.write("two\n")
    log.close()
    assert live.text() == "one\nhandler\ntwo\n"


def test_nobody_waits_for_another_threads_file(live: LiveFolder) -> None:
    """It may wait for us: for the lock of a handler of `logging` in which we print, say."""
    writing, go_on = threading.Event(), threading.Event()

    class Slow(LocalLiveFile):
        def write(self, data: bytes) -> None:
            if data == b"one\n":
                writing.set()
                assert go_on.wait(20)
            super().write(data)

    log = Log(lambda path: Slow(live.root / path))
    thread = threading.Thread(target=log.write, args=("one\n",))
    thread.start()
    assert writing.wait(20)
    log.write("two\n")
    go_on.set()
    thread.join()
    assert live.text() == "one\ntwo\n"
    log.close()


def test_a_traceback_ends_the_log_of_a_failed_run(live: LiveFolder) -> None:
    log = Log(live.open)
    log.write("step 1\n")
    try:
        raise ValueError("the loss is gone")
    except ValueError as error:
        log.close(error)
    assert live.text().startswith("step 1\nTraceback (most recent call last)")
    assert live.text().endswith("ValueError: the loss is gone\n")


def test_text_that_is_no_utf_8_is_kept_readable(live: LiveFolder) -> None:
    log = Log(live.open)
    log.write("file \udc80\n")
    log.close()
    assert live.text() == "file \\udc80\n"


@given(st.lists(st.text(max_size=30), max_size=30), st.integers(1, 50))
def test_a_log_is_all_that_was_printed(texts: list[str], chunk: int) -> None:
    """But for progress bars, which are drawn over."""
    texts = [text.replace("\r", "") for text in texts]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_BYTES", chunk)
        live = LiveFolder(Path(folder))
        log = Log(live.open)
        for text in texts:
            log.write(text)
        log.close()
        found = b"".join(file.read_bytes() for files in live.sources() for file in files)
        assert found == "".join(texts).encode("utf-8", "backslashreplace")
        for files in live.sources():
            starts = [int(file.stem) for file in files]
            ends = [start + file.stat().st_size for start, file in zip(starts, files, strict=True)]
            assert starts == [0, *ends[:-1]]


def test_files_are_named_after_where_they_begin(
    live: LiveFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 1000)
    log = Log(live.open)
    for number in range(300):
        log.write(f"line {number}\n")
    log.write("ü" * 1700)
    log.close()
    [chunks] = live.sources()
    data = b"".join(chunk.read_bytes() for chunk in chunks)
    assert data.decode() == "".join(f"line {n}\n" for n in range(300)) + "ü" * 1700
    assert [chunk.stat().st_size for chunk in chunks[:-1]] == [1000] * (len(chunks) - 1)
    assert [chunk.name for chunk in chunks] == [f"{i * 1000:012}.log" for i in range(len(chunks))]


def test_of_endless_output_the_beginning_and_the_end_are_kept(
    live: LiveFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    monkeypatch.setattr(module, "END_BYTES", 100)
    log = Log(live.open)
    for number in range(1000):
        log.write(f"{number:08}\n")
    assert len(live.text()) == 1000
    log.close()
    text = live.text()
    assert text.startswith("00000000\n00000001\n")
    assert text.endswith("00000999\n")
    # 111 lines and a byte in front, 11 lines at the end; the rest is counted.
    assert "\n[7,901 bytes were printed here and not kept]\n" in text


def test_a_progress_bar_is_kept_now_and_then(
    live: LiveFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("headrace.client.console.time.monotonic", lambda: clock[0])
    log = Log(live.open)
    for step in range(1001):
        clock[0] += 0.01
        log.write(f"\r{step}/1000")
    log.write("\ndone\n")
    log.close()
    drawn = live.text().split("\r")[1:]
    assert 10 <= len(drawn) <= 13
    assert drawn[0] == "0/1000"
    assert drawn[-1] == "1000/1000\ndone\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_prints_for_itself(live: LiveFolder, tmp_path: Path) -> None:
    program = """
import os, sys, threading
from pathlib import Path
from headrace.client.console import console
from tests.fixtures.live_files import LiveFolder
console.begin("r", LiveFolder(Path(sys.argv[1])).open)
console._logs["r"]._lock.acquire()  # as if a thread of the parent were writing
holder = threading.Thread(target=print, args=("a thread",))
holder.start()
child = os.fork()
if child == 0:
    print("child", flush=True)
    console.begin("own", LiveFolder(Path(sys.argv[2])).open)
    print("own", flush=True)
    console.end("own")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
console._logs["r"]._lock.release()
holder.join()
print("parent")
console.end("r")
"""
    own = LiveFolder(tmp_path / "own")
    out = _run(program, str(live.root), str(own.root))
    assert out.count("child\n") == out.count("own\n") == out.count("parent\n") == 1
    assert live.text() == "a thread\nparent\n"
    assert own.text() == "own\n"


def test_what_a_killed_program_printed_is_there(live: LiveFolder) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from headrace.client.console import console
from tests.fixtures.live_files import LiveFolder
console.begin("r", LiveFolder(Path(sys.argv[1])).open)
for number in range(1000):
    print("line", number)
sys.stderr.write("no end to this line")
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(live.root)],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL
    expected = "".join(f"line {number}\n" for number in range(1000)) + "no end to this line"
    assert live.text() == expected


def test_what_somebody_has_seen_is_kept(console: Console, live: LiveFolder) -> None:
    class Killed(io.StringIO):
        """The program is killed when this text has reached the terminal."""

        def write(self, text: str) -> int:
            assert live.text().endswith(text)
            return super().write(text)

    with _stdout(Killed()):
        console.begin("r", live.open)
        print("one", "two")
        console.end("r")


def _run(program: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


@contextlib.contextmanager
def _stdout(stream: Any) -> Iterator[None]:
    original = sys.stdout
    sys.stdout = stream
    try:
        yield
    finally:
        sys.stdout = original
