"""How a server starts: its first worker before all else, which ends with whatever is refused."""

from __future__ import annotations

import json
import os
import signal
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import headrace.sklearn
from headrace.models.signature import infer_signature
from headrace.serving.process_group import close_stdin
from headrace.serving.spawning import Reserve, flavors_in
from headrace.serving.worker.preparing import LIBRARIES
from headrace.serving.worker_spec import WorkerSpec
from tests.fixtures.child_process import start_child
from tests.serving.served import ServingProcess
from tests.serving.waiting import wait_until

ROWS = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]})
REQUEST = json.dumps({"dataframe_split": {"columns": ["x"], "data": [[3.0]]}}).encode()
WORKER = "headrace.serving.worker.main"
_SERVES = "Headrace serves "


@dataclass
class Commands:
    """Starts `headrace models serve`, as a user does."""

    folder: Path
    started: list[ServingProcess] = field(default_factory=list)

    def __call__(self, *words: str) -> ServingProcess:
        """Run it with these words, on a free port."""
        log = self.folder / f"serve-{len(self.started)}.log"
        program = Path(sys.executable).with_name("headrace")
        process = start_child(
            [program, "models", "serve", "--port", "0", *words],
            log=log,
            parent_death_signal=signal.SIGKILL,
            cwd=self.folder,
        )
        server = ServingProcess(process, log)
        self.started.append(server)
        return server


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Commands]:
    """Starts servers for one test: `serve("-m", folder)`."""
    commands = Commands(tmp_path)
    yield commands
    for server in commands.started:
        if server.process.poll() is None:
            os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait()


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline of scikit-learn, saved by skops, with a signature that has a tensor."""
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, [0, 0, 1, 1])
    folder = tmp_path_factory.mktemp("models") / "pipeline"
    signature = infer_signature(ROWS, np.asarray(model.predict(ROWS)))
    headrace.sklearn.save_model(model, folder, signature=signature, input_example=ROWS)
    return folder


def members_of(server: ServingProcess) -> list[psutil.Process]:
    """The processes that the server has started, which are in its session."""
    found = []
    for each in psutil.process_iter():
        try:
            is_member = os.getsid(each.pid) == server.process.pid != each.pid
            if is_member and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def serves(server: ServingProcess) -> ServingProcess:
    """The server, once it listens."""
    server.wait_for(_SERVES)
    server.address = server.log.partition(_SERVES)[2].split()[0]
    return server


def files_in(pid: int) -> str:
    """The libraries that a process has in memory."""
    return Path(f"/proc/{pid}/maps").read_text()


def test_the_server_predicts_and_has_no_numpy_itself(pipeline: Path, serve: Commands) -> None:
    server = serves(serve("-m", str(pipeline)))
    answer = server.ask(REQUEST)
    assert answer.json() == {"predictions": [1]}
    (worker,) = server.workers()
    assert "_multiarray_umath" in files_in(worker.pid)
    assert "_multiarray_umath" not in files_in(server.process.pid)
    assert server.stop() == 0
    assert members_of(server) == []


def test_several_models_have_a_worker_each(pipeline: Path, serve: Commands) -> None:
    server = serves(serve("-m", f"a={pipeline}", "-m", f"b={pipeline}", "--workers", "2"))
    assert len(server.workers()) == 4
    for name in "ab":
        answer = server.ask(REQUEST, path=f"/models/{name}/invocations")
        assert answer.json() == {"predictions": [1]}, answer


def refused(server: ServingProcess) -> str:
    """What is said when the server ends, with all that it has started."""
    server.process.wait(60)
    wait_until(lambda: members_of(server) == [])
    assert server.process.returncode not in (0, -signal.SIGKILL)
    return server.log


@pytest.mark.parametrize("manager", ["local", "auto"])
def test_the_worker_ends_where_there_is_no_model(serve: Commands, manager: str) -> None:
    said = refused(serve("-m", "nowhere", "--env-manager", manager))
    assert "nowhere" in said
    assert "Traceback" not in said


def test_the_worker_ends_with_a_model_that_is_none(serve: Commands, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "MLmodel").write_text("flavors:\n  sklearn:\n    a: [\n")
    assert "MLmodel" in refused(serve("-m", str(model), "--env-manager", "local"))


def test_the_worker_ends_with_a_model_that_is_not_trusted(serve: Commands, tmp_path: Path) -> None:
    model = make_pipeline(LogisticRegression()).fit(ROWS, [0, 0, 1, 1])
    headrace.sklearn.save_model(model, tmp_path / "model", serialization_format="pickle")
    (tmp_path / "model" / "model.sig").unlink()
    said = refused(serve("-m", str(tmp_path / "model"), "--env-manager", "local"))
    assert "--trust" in said
    assert said.rstrip().endswith("headrace trust add NAME KEY.)")


@pytest.mark.parametrize("manager", ["uv", "auto"])
def test_that_an_environment_is_being_made_is_said(
    serve: Commands, tmp_path: Path, manager: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    model = make_pipeline(LogisticRegression()).fit(ROWS, [0, 0, 1, 1])
    wanted = ["a-package-that-nobody-has==1"]
    headrace.sklearn.save_model(model, tmp_path / "model", pip_requirements=wanted)
    said = refused(serve("-m", str(tmp_path / "model"), "--env-manager", manager))
    assert "making the model's environment" in said
    assert ("installed here does not fit: a-package" in said) == (manager == "auto")


def test_the_worker_ends_when_the_server_is_killed(pipeline: Path, serve: Commands) -> None:
    server = serve("-m", str(pipeline), "--env-manager", "local")
    wait_until(lambda: any(WORKER in each.cmdline() for each in members_of(server)))
    server.process.kill()
    server.process.wait()
    wait_until(lambda: members_of(server) == [])


def test_a_reserve_ends_its_worker_with_the_block() -> None:
    with Reserve() as reserve:
        reserve.start(Path(sys.executable))
        (child,) = workers_here()
    assert not child.is_running()


def test_a_reserve_gives_its_worker_once_and_to_who_wants_such_a_one() -> None:
    here = Path(sys.executable)
    with Reserve() as reserve:
        assert reserve.take(here) is None
        reserve.start(here, 1)
        assert reserve.take(here, 2) is None
        assert workers_here() == []
        reserve.start(here, 1)
        taken = reserve.take(here, 1)
        assert taken is not None
        assert reserve.take(here, 1) is None
    assert [each.pid for each in workers_here()] == [taken.process.pid]
    taken.connection.close()
    assert taken.process.wait(60) == 0
    close_stdin(taken.process)


def test_a_version_is_given_to_the_worker_in_reserve_and_the_next_one_to_another() -> None:
    here = Path(sys.executable)
    with Reserve() as reserve:
        reserve.start(here)
        (ahead,) = workers_here()
        spec = WorkerSpec(here, {}, reserve=reserve)
        spawned = [spec.spawned(), spec.spawned()]
    assert spawned[0].process.pid == ahead.pid != spawned[1].process.pid
    for process, connection in spawned:
        connection.close()
        assert process.wait(60) == 0
        close_stdin(process)


def test_an_environment_without_the_libraries_is_no_reason_to_end(
    pipeline: Path, tmp_path: Path
) -> None:
    venv.create(tmp_path / "bare")
    python = tmp_path / "bare" / "bin" / "python"
    with Reserve() as reserve:
        reserve.start(python)
        reserve.prepare(pipeline)
        taken = reserve.take(python)
    assert taken is not None
    taken.connection.close()
    assert taken.process.wait(60) == 0
    close_stdin(taken.process)


def test_a_python_that_cannot_be_started_leaves_the_reserve_empty(tmp_path: Path) -> None:
    with Reserve() as reserve:
        reserve.start(tmp_path / "none")
        reserve.prepare(tmp_path)
        assert reserve.take(tmp_path / "none") is None


def workers_here() -> list[psutil.Process]:
    """The workers that this process has started itself."""
    living = psutil.Process().children()
    living = [each for each in living if each.status() != psutil.STATUS_ZOMBIE]
    return [each for each in living if WORKER in each.cmdline()]


def test_nothing_but_what_is_listed_is_read_out_of_a_description(
    pipeline: Path, tmp_path: Path
) -> None:
    assert flavors_in(pipeline) == ["sklearn"]
    (tmp_path / "MLmodel").write_bytes(b"flavors:\n  evil_module:\n  onnx:\n  \xff:\n  sys:\n")
    assert flavors_in(tmp_path) == ["onnx"]
    assert set(flavors_in(pipeline)) <= LIBRARIES.keys()


def test_a_description_that_cannot_be_read_names_nothing(tmp_path: Path) -> None:
    assert flavors_in(tmp_path) == []
    assert flavors_in(Path("models:/churn@champion")) == []
    assert flavors_in(Path("a\0b")) == []
    os.mkfifo(tmp_path / "MLmodel")
    assert flavors_in(tmp_path) == []
