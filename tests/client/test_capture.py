"""What a run notes of its making, from its beginning to its end, by a real client."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from headrace.client import capture, context, git
from headrace.client import console as console_module
from headrace.client.client import Client
from headrace.client.switches import set_capture
from headrace.client.system_metrics import sampler
from headrace.errors import Unavailable
from tests.fixtures.live_files import LiveFolder


class WritingClient(Client):
    """A client whose live files are on local disk."""

    live: LiveFolder

    def live_file(self, run_id: str, artifact_path: str) -> Any:
        return self.live.open(artifact_path)


@pytest.fixture
def client(uri: str, tmp_path: Path) -> WritingClient:
    made = WritingClient(uri)
    made.live = LiveFolder(tmp_path / "live")
    return made


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a change that is not committed; this program's script lies in it."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "train.py").write_text("rate = 0.1\n")
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    (folder / "train.py").write_text("rate = 0.2\n")
    monkeypatch.setattr(sys, "argv", [str(folder / "train.py")])
    return folder


@pytest.fixture(autouse=True)
def everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CAPTURE", "true")
    monkeypatch.setattr(capture, "_changes", capture._Changes())


def new_run(client: Client) -> str:
    experiment = client.search_experiments()[0].experiment_id
    return client.create_run(experiment, tags=context.context_tags()).info.run_id


def artifact(client: Client, run_id: str, path: str, folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    return Path(client.download_artifacts(run_id, path, str(folder))).read_text()


def test_a_run_notes_what_made_it(client: WritingClient, checkout: Path, tmp_path: Path) -> None:
    run_id = new_run(client)
    capture.begin(client, run_id)
    sys.stdout.write("epoch 1\n")
    capture.end(run_id)
    tags = client.get_run(run_id).data.tags
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True
    )
    assert tags["mlflow.source.git.commit"] == head.stdout.strip()
    assert tags["mlflow.source.git.branch"] == "main"
    assert tags["mlflow.source.git.dirty"] == "true"
    assert "+rate = 0.2" in artifact(client, run_id, "headrace/uncommitted.diff", tmp_path / "a")
    assert "msgspec==" in artifact(client, run_id, "headrace/packages.txt", tmp_path / "b")
    assert client.live.text() == "epoch 1\n"


def test_what_is_switched_off_is_not_noted(
    client: WritingClient, checkout: Path, tmp_path: Path
) -> None:
    set_capture(git=False, program=False, packages=False, console=False, system_metrics=False)
    run_id = new_run(client)
    capture.begin(client, run_id)
    sys.stdout.write("epoch 1\n")
    assert run_id not in sampler._runs
    capture.end(run_id)
    assert client.list_artifacts(run_id) == []
    assert client.live.sources() == []
    assert not [tag for tag in client.get_run(run_id).data.tags if "git" in tag or "head" in tag]


@pytest.mark.parametrize(
    ("setting", "asked", "sampled"),
    [(True, None, True), (True, False, False), (False, None, False), (False, True, True)],
)
def test_start_run_has_the_last_word_on_system_metrics(
    client: WritingClient, setting: bool, asked: bool | None, sampled: bool
) -> None:
    set_capture(system_metrics=setting)
    run_id = new_run(client)
    capture.begin(client, run_id, asked)
    assert (run_id in sampler._runs) == sampled
    capture.end(run_id)
    assert run_id not in sampler._runs


def test_a_resumed_run_keeps_what_it_noted_first(client: WritingClient, checkout: Path) -> None:
    run_id = new_run(client)
    capture.begin(client, run_id, resumed=True)
    sys.stdout.write("again\n")
    capture.end(run_id)
    assert client.list_artifacts(run_id, "headrace") == []
    assert client.live.text() == "again\n"


def test_git_is_asked_once_for_runs_that_follow_one_another(
    client: WritingClient, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def ask(found: git.Checkout, cancelled: threading.Event) -> git.Uncommitted | None:
        asked.append(found)
        return git.uncommitted(found, cancelled)

    monkeypatch.setattr(capture, "uncommitted", ask)
    for _ in range(3):
        run_id = new_run(client)
        capture.begin(client, run_id)
        capture.end(run_id)
        assert client.get_run(run_id).data.tags["mlflow.source.git.dirty"] == "true"
    assert len(asked) == 1
    monkeypatch.setattr(capture, "FRESH_SECONDS", 0.0)
    run_id = new_run(client)
    capture.begin(client, run_id)
    capture.end(run_id)
    assert len(asked) == 2


def test_a_slow_note_is_done_without(
    client: WritingClient,
    checkout: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And git, which would go on, is told to stop."""
    stopped = threading.Event()

    def hangs(_: Any, cancelled: threading.Event) -> None:
        assert cancelled.wait(30)
        stopped.set()

    monkeypatch.setattr(capture, "uncommitted", hangs)
    monkeypatch.setattr(capture, "END_SECONDS", 0.1)
    run_id = new_run(client)
    capture.begin(client, run_id)
    capture.end(run_id)
    assert stopped.wait(30)
    assert "HEADRACE_CAPTURE_GIT" in caplog.text


def test_our_failures_are_only_mentioned(
    client: WritingClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise Unavailable("the server is away")

    monkeypatch.setattr(client, "log_text", fails, raising=False)
    monkeypatch.setattr(client, "live_file", fails, raising=False)
    run_id = new_run(client)
    capture.begin(client, run_id)
    sys.stdout.write("still printed\n")
    capture.end(run_id)
    # Once by the notes, once by the console.
    assert caplog.text.count("the server is away") == 2
    monkeypatch.setattr(console_module.console, "begin", fails)
    monkeypatch.setattr(sampler, "leave", fails)
    capture.begin(client, run_id)
    capture.end(run_id)
    assert caplog.text.count("the server is away") == 4


def test_a_wrong_setting_does_not_stop_a_run_that_has_begun(
    client: WritingClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = new_run(client)
    monkeypatch.setenv("HEADRACE_CAPTURE_CONSOLE", "perhaps")
    capture.begin(client, run_id)
    capture.end(run_id)
    assert "HEADRACE_CAPTURE_CONSOLE is 'perhaps'" in caplog.text


def test_the_error_that_ended_a_run_is_in_its_console(client: WritingClient) -> None:
    run_id = new_run(client)
    capture.begin(client, run_id)
    capture.end(run_id, ValueError("the loss is gone"))
    assert client.live.text().endswith("ValueError: the loss is gone\n")


def test_nothing_heavy_is_imported_where_the_run_begins() -> None:
    program = """
import sys
from headrace.client import capture, context
context.context_tags()
before = set(sys.modules)
class Nobody:
    def log_text(self, *a): pass
    def log_batch(self, *a, **k): pass
sys.setswitchinterval(10)  # the other threads wait
capture.begin(Nobody(), "r")
print(*(set(sys.modules) - before))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert {"psutil", "subprocess", "tempfile"}.isdisjoint(done.stdout.split())
