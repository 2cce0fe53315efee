"""An image's steps done in a folder, and its entry point started and asked."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import headrace.pyfunc as pyfunc  # noqa: PLR0402 - mypy: the facade finds it at run time
from headrace.deploy.context import write_context
from headrace.deploy.image import plan_image
from headrace.models.trust import open_folder
from tests.deploy.dockerfile_steps import Image, plain_environment
from tests.fixtures.child_process import start_child, unused_port
from tests.fixtures.servers import RunningServer

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]
SCRIPT = """
from importlib.metadata import version
from headrace.models import ModelConfig, set_model
from headrace.pyfunc import PythonModel

class Says(PythonModel):
    def predict(self, context, model_input, params=None):
        return [version("click"), context.model_config["word"]]

set_model(Says())
"""
SLOW = """
import os
import threading
from pathlib import Path

if "LOADING" in os.environ:
    Path(os.environ["LOADING"]).touch()
    threading.Event().wait()
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that pins what clashes with Headrace's own packages, and says what it has."""
    home = tmp_path_factory.mktemp("model")
    (home / "says.py").write_text(SCRIPT)
    pyfunc.save_model(
        home / "says",
        python_model=str(home / "says.py"),
        pip_requirements=["click==7.1.2", "msgspec==0.15.1"],
        model_config={"word": "saved"},
        input_example=pd.DataFrame({"a": [1.0]}),
    )
    return home / "says"


@pytest.fixture(scope="module")
def image(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image of that model, built in a folder."""
    home = tmp_path_factory.mktemp("image")
    write_context(plan_image(model), home / "context")
    made = Image(home / "context", home / "root")
    made.build(plain_environment())
    return made


@contextmanager
def running(image: Image, log: Path, *words: str, **variables: str) -> Iterator[RunningServer]:
    """The container, as a process of this machine; it listens on a port of its own."""
    port = unused_port()
    here = {"HEADRACE_HOST": "127.0.0.1", "HEADRACE_PORT": str(port)}
    process = start_child(
        [*image.entry_point, *words],
        log=log,
        parent_death_signal=signal.SIGKILL,
        environment={**plain_environment(), **image.environment, **here, **variables},
        cwd=log.parent,
    )
    server = RunningServer(f"http://127.0.0.1:{port}", port, process, log)
    try:
        server.wait_until_healthy(60)
        yield server
    finally:
        server.kill()


def wait_for(file: Path, process: subprocess.Popen[bytes]) -> None:
    """Return when the file is there."""
    deadline = time.monotonic() + 60
    while not file.exists():
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < deadline, f"{file} does not come"
        time.sleep(0.02)


def ask(server: RunningServer) -> Any:
    body = json.dumps({"dataframe_split": {"columns": ["a"], "data": [[1.0]]}}).encode()
    headers = {"Content-Type": "application/json", "Host": "says.models.svc"}
    request = urllib.request.Request(f"{server.url}/invocations", body, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["predictions"]


def health(image: Image, server: RunningServer) -> int:
    variables = {**os.environ, "HEADRACE_PORT": str(server.port)}
    return subprocess.run(image.health, env=variables, check=False).returncode


def test_the_entry_point_serves_and_stops_when_told(image: Image, tmp_path: Path) -> None:
    assert image.user == "10001:10001"
    assert all(each.startswith(("useradd", "python -m pip")) for each in image.skipped)

    with running(image, tmp_path / "log") as server:
        assert ask(server) == ["7.1.2", "saved"]
        assert health(image, server) == 0
        assert server.stop() == 0
        assert health(image, server) != 0


def test_it_ends_while_it_loads_though_it_is_the_first_process(
    image: Image, tmp_path: Path
) -> None:
    unshare = shutil.which("unshare")
    alone = [unshare or "unshare", "--pid", "--fork", "--kill-child", "--"]
    if unshare is None or subprocess.run([*alone, "true"], check=False).returncode:
        pytest.skip("no namespace of processes can be made here")
    (tmp_path / "slow.py").write_text(SCRIPT + SLOW)
    pyfunc.save_model(
        tmp_path / "slow",
        python_model=str(tmp_path / "slow.py"),
        model_config={"word": "slow"},
        input_example=pd.DataFrame({"a": [1.0]}),
    )
    loading = tmp_path / "loading"
    words = [*alone, *image.entry_point, "-m", f"slow={tmp_path / 'slow'}"]
    variables = {"HEADRACE_HOST": "127.0.0.1", "HEADRACE_PORT": "0", "LOADING": str(loading)}
    process = start_child(
        words,
        log=tmp_path / "log",
        parent_death_signal=signal.SIGKILL,
        environment={**plain_environment(), **image.environment, **variables},
    )
    wait_for(loading, process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    os.kill(int(children.read_text().split()[0]), signal.SIGTERM)
    assert process.wait(30) == 143


def test_mlflows_variables_and_further_words_are_followed(image: Image, tmp_path: Path) -> None:
    config = json.dumps({"word": "told"})
    variables = {"MLFLOW_MODELS_WORKERS": "2", "SERVING_MODEL_CONFIG": config}
    with running(image, tmp_path / "log", "--max-batch", "1", **variables) as server:
        assert ask(server)[1] == "told"
        workers = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        assert len(workers.read_text().split()) == 2


def test_a_mounted_model_gets_its_environment_when_it_starts(model: Path, tmp_path: Path) -> None:
    write_context(plan_image(None), tmp_path / "context")
    image = Image(tmp_path / "context", tmp_path / "root")
    image.build(plain_environment())
    mounted = tmp_path / "root" / "opt" / "ml" / "model"
    shutil.copytree(model, mounted)
    key = open_folder(model).signer_key
    assert key is not None

    with running(image, tmp_path / "log", HEADRACE_TRUSTED_SIGNERS=key.text) as server:
        assert ask(server) == ["7.1.2", "saved"]
    made = tmp_path / "root" / "var" / "cache" / "headrace" / "environments"
    assert len(list(made.glob("py*/ready.json"))) == 1


def test_the_model_in_the_image_is_checked_when_it_starts(image: Image, tmp_path: Path) -> None:
    script = image.root / "opt" / "ml" / "model" / "says.py"
    saved = script.read_text()
    script.write_text(saved.replace("click", "pip"))
    try:
        with (
            pytest.raises(AssertionError, match=r"'says\.py' has been changed"),
            running(image, tmp_path / "log"),
        ):
            pass
    finally:
        script.write_text(saved)
