"""uv, set up as pip is set up, and what it says when it fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headrace.errors import InvalidRequest, Unavailable
from headrace.models.environment.uv_tool import find_uv, run_uv, uv_environment
from tests.models.environment.conftest import put


@pytest.fixture(autouse=True)
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration of pip and uv but what the test makes."""
    for name in os.environ:
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "none"))


def pip_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    put(tmp_path, {"pip.conf": text})
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))


def test_places_that_pip_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "[global]\nfind-links = /wheels/a\n  /wheels/b\nindex-url = https://one.example/simple\n"
        "[install]\nextra-index-url = https://two.example/simple https://three.example\n"
    )
    pip_conf(tmp_path, monkeypatch, text)

    variables = uv_environment()

    assert variables["UV_FIND_LINKS"] == "/wheels/a,/wheels/b"
    assert variables["UV_DEFAULT_INDEX"] == "https://one.example/simple"
    assert variables["UV_EXTRA_INDEX_URL"] == "https://two.example/simple https://three.example"
    assert variables["UV_INDEX_STRATEGY"] == "unsafe-best-match"


def test_variables_of_pip_go_over_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip_conf(tmp_path, monkeypatch, "[global]\nfind-links = /of/file\n")
    monkeypatch.setenv("PIP_FIND_LINKS", "/of/variable")

    assert uv_environment()["UV_FIND_LINKS"] == "/of/variable"


def test_what_uv_is_told_itself_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip_conf(tmp_path, monkeypatch, "[global]\nfind-links=/x\nindex-url=https://pip.example\n")
    monkeypatch.setenv("UV_FIND_LINKS", "/mine")
    monkeypatch.setenv("UV_INDEX_URL", "https://uv.example")
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "manual")

    variables = uv_environment()

    assert variables["UV_FIND_LINKS"] == "/mine"
    assert variables["UV_INDEX_URL"] == "https://uv.example"
    assert variables["UV_PYTHON_DOWNLOADS"] == "manual"
    assert "UV_DEFAULT_INDEX" not in variables


def test_uvs_configuration_file_has_the_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip_conf(tmp_path, monkeypatch, "[global]\nindex-url=https://pip.example\n")
    put(tmp_path, {"config/uv/uv.toml": ""})

    assert "UV_DEFAULT_INDEX" not in uv_environment()


def test_a_broken_configuration_is_pips_to_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip_conf(tmp_path, monkeypatch, "find-links = /no/section\n")

    assert "UV_FIND_LINKS" not in uv_environment()


def test_other_environments_do_not_leak_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/x")
    monkeypatch.setenv("VIRTUAL_ENV", "/y")

    assert {"PYTHONPATH", "VIRTUAL_ENV"} & uv_environment().keys() == set()


def test_uv_comes_with_headrace() -> None:
    assert Path(find_uv()).is_file()
    assert run_uv(["--version"], Path.cwd(), "It does not run").startswith("uv ")


def test_what_uv_says_without_its_indexes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody listens there; the host stands for a private one.
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://me:hunter2@127.0.0.1:1/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    put(tmp_path, {"r.txt": "six"})

    with pytest.raises(Unavailable) as caught:
        run_uv(["pip", "compile", "-q", "--no-cache", "r.txt"], tmp_path, "It cannot be compiled")

    text = caught.value.message
    assert "could not be reached" in text
    assert "127.0.0.1" not in text
    assert "hunter2" not in text


def test_an_index_in_the_requirements_is_hidden_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    put(tmp_path, {"r.txt": "-i http://private.invalid:1/simple\nsix"})

    with pytest.raises((Unavailable, InvalidRequest)) as caught:
        run_uv(["pip", "compile", "-q", "--no-cache", "r.txt"], tmp_path, "It cannot be compiled")

    assert "private.invalid" not in caught.value.message


def test_an_index_with_a_name_is_hidden_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "corp=http://127.0.0.1:1/simple?a=b")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    put(tmp_path, {"r.txt": "six @ http://127.0.0.1/six-1.zip"})

    with pytest.raises((Unavailable, InvalidRequest)) as caught:
        run_uv(["pip", "compile", "-q", "--no-cache", "r.txt"], tmp_path, "It cannot be compiled")

    assert "127.0.0.1" not in caught.value.message
