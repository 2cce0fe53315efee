"""Who may ask a server of models."""

from __future__ import annotations

import subprocess
import sys
from base64 import b64encode
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import InvalidRequest
from headrace.serving.run import refuse_to_serve_everybody
from headrace.serving.settings import ServingSettings
from tests.serving.models import asked
from tests.serving.served import ServingLauncher, ServingProcess

KEY = "open-sesame"


@pytest.fixture(scope="module")
def guarded(unruly: Path, shared_serving_process: ServingLauncher) -> ServingProcess:
    return shared_serving_process(unruly, api_key=KEY)


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {KEY}", 200),
        (f"bearer {KEY}", 200),
        (f"Basic {b64encode(f'me:{KEY}'.encode()).decode()}", 200),
        (f"Basic {b64encode(b'me:wrong').decode()}", 401),
        ("Basic ???", 401),
        ("Bearer wrong", 401),
        (f"Bearer {KEY}x", 401),
        (KEY, 401),
        ("Bearer \xff", 401),
        ("", 401),
    ],
)
def test_a_key_is_asked_for(guarded: ServingProcess, authorization: str, status: int) -> None:
    answer = guarded.ask(asked("echo"), Authorization=authorization)
    assert answer.status == status
    assert KEY not in guarded.log
    if status == 401:
        assert answer.json()["error_code"] == "UNAUTHENTICATED"
        assert ("not the key" in answer.json()["message"]) == bool(authorization)
        assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize("path", ["/docs", "/models", "/openapi.json", "/v2/models/unruly"])
def test_what_tells_of_models_needs_the_key(guarded: ServingProcess, path: str) -> None:
    assert guarded.ask(path=path).status == 401
    assert guarded.ask(path=path, Authorization=f"Bearer {KEY}").status == 200


@pytest.mark.parametrize("path", ["/ping", "/health", "/version"])
def test_load_balancers_need_no_key(guarded: ServingProcess, path: str) -> None:
    assert guarded.ask(path=path, Host="balancer.example").status == 200


@pytest.mark.parametrize("path", ["/ping", "/health", "/version", "/docs", "/v2/models/unruly"])
def test_a_head_alone_is_as_of_the_whole_answer(guarded: ServingProcess, path: str) -> None:
    """As some load balancers ask, and tools that look whether something is there."""
    headers = {"Authorization": f"Bearer {KEY}"}
    with closing(HTTPConnection("127.0.0.1", guarded.port, timeout=30)) as connection:
        told: list[tuple[int, str | None]] = []
        for method in ("GET", "HEAD", "GET"):
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            told.append((answer.status, answer.headers["content-length"]))
            assert len(answer.read()) == (0 if method == "HEAD" else int(told[0][1] or 0))
    assert told == [told[0]] * 3
    assert told[0][0] == 200


def test_pages_of_others_cannot_use_the_server(guarded: ServingProcess) -> None:
    key = f"Bearer {KEY}"
    foreign = guarded.ask(asked("echo"), Authorization=key, Origin="http://evil.example")
    assert foreign.status == 403
    renamed = guarded.ask(asked("echo"), Authorization=key, Host="evil.example")
    assert renamed.status == 403
    own = f"http://127.0.0.1:{guarded.port}"
    assert guarded.ask(asked("echo"), Authorization=key, Origin=own).status == 200


@pytest.mark.parametrize("path", ["/invocations", "/v2/models/unruly/infer", "/v1/embeddings"])
def test_a_compressed_body_is_not_read(guarded: ServingProcess, path: str) -> None:
    headers: Any = {"Authorization": f"Bearer {KEY}", "Content-Encoding": "gzip"}
    answer = guarded.ask(asked("echo"), path=path, **headers)
    assert answer.status == 415
    assert "not compressed" in answer.body.decode()


@pytest.mark.parametrize(
    ("path", "shape"),
    [("/nothing", "error_code"), ("/v1/nothing", "error"), ("/v2/nothing", "error")],
)
def test_a_path_that_is_not_there_is_told_in_the_shape_of_its_neighbours(
    guarded: ServingProcess, path: str, shape: str
) -> None:
    answer = guarded.ask(path=path)
    assert answer.status == 404
    assert shape in answer.json()


def test_a_failure_shows_its_traceback_only_where_it_was_asked_for(
    unruly: Path, shared_serving_process: ServingLauncher, guarded: ServingProcess
) -> None:
    quiet = guarded.ask(asked("raise"), Authorization=f"Bearer {KEY}")
    assert quiet.status == 400
    assert "Traceback" not in quiet.json()["message"]
    telling = shared_serving_process(unruly, debug=True).ask(asked("raise"))
    assert telling.status == 400
    assert "unruly_model.py" in telling.json()["message"]


def test_a_server_for_everybody_needs_a_key_or_the_word() -> None:
    with pytest.raises(InvalidRequest, match="HEADRACE_SERVING_API_KEY"):
        refuse_to_serve_everybody(ServingSettings(host="0.0.0.0"))  # noqa: S104 - refused
    refuse_to_serve_everybody(ServingSettings(host="0.0.0.0", api_key="k"))  # noqa: S104 - not bound
    refuse_to_serve_everybody(ServingSettings(host="0.0.0.0", insecure=True))  # noqa: S104 - not bound
    refuse_to_serve_everybody(ServingSettings(host="localhost"))


def test_an_engine_that_makes_text_is_refused_for_a_model_that_has_none(
    unruly: Path, serving_process: ServingLauncher
) -> None:
    server = serving_process(unruly, engine="vllm", wait=False)
    assert server.process.wait(60) != 0
    assert "no task that asks for it" in server.log


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", "no/such/folder"], "no/such/folder"),
        (["-m", "models:/no-such-model@prod"], "no-such-model"),
        (["-m", "a=x", "-m", "a=y"], "same name"),
        (["-m", "x", "--memory-limit", "much"], "4GiB"),
        (["-m", "x", "--shadow", "b=y"], "no model 'b' to shadow"),
    ],
)
def test_a_mistake_is_told_in_a_line(words: list[str], said: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "headrace", "models", "serve", "--port", "0", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
    )
    assert ended.returncode != 0
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
