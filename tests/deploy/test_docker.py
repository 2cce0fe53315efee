"""Building images: without an engine, and with a docker that writes down what it is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

import headrace
from headrace.cli.main import root
from headrace.errors import InvalidRequest, Unavailable
from headrace.models.environment import Requirements, write_environment
from headrace.models.model import Model
from headrace.models.trust import sign_folder

ENGINE = """#!/bin/sh
if [ "$1" = version ]; then echo 28; exit 0; fi
echo "$@" > "{folder}/words"
for each in "$@"; do case "$each" in id=*) cat "${{each##*src=}}" >> "{folder}/secrets";; esac; done
test ! -e "{folder}/fails"
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "churn"
    folder.mkdir()
    write_environment(folder, Requirements(pip_requirements=["six==1.17.0"]))
    Model(flavors={"python_function": {"loader_module": "none"}}).save(folder / "MLmodel")
    sign_folder(folder)
    return folder


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where a docker writes down what it was told."""
    folder = tmp_path / "engine"
    folder.mkdir()
    (folder / "docker").write_text(ENGINE.format(folder=folder))
    (folder / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(root, ["models", *words])
    return done.exit_code, done.output


def test_without_an_engine_it_says_what_to_do(
    model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match=r"no command 'docker'.*generate-dockerfile"):
        headrace.models.build_docker(str(model))

    (tmp_path / "docker").write_text("#!/bin/sh\necho 'Cannot connect to the engine' >&2\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    with pytest.raises(Unavailable, match="Cannot connect to the engine"):
        headrace.models.build_docker(str(model))


def test_it_builds_with_the_indexes_of_this_user_as_secrets(
    model: Path, engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "own=https://me:geheim@wheels.example.org/simple")
    monkeypatch.setenv("UV_EXTRA_INDEX_URL", "https://more.example.org/simple")

    assert run("build-docker", "-m", str(model), "-n", "churn:1")[0] == 0

    words = (engine / "words").read_text()
    assert words.startswith("build --tag churn:1 --secret id=uv.toml,src=")
    assert "geheim" not in words
    secrets = (engine / "secrets").read_text()
    assert 'index-url = "https://me:geheim@wheels.example.org/simple"' in secrets
    assert 'extra-index-url = ["https://more.example.org/simple"]' in secrets
    assert "[global]\nindex-url = https://me:geheim@wheels.example.org/simple" in secrets
    context = Path(words.split()[-1])
    assert not context.exists(), "what was written for it is gone again"


def test_a_build_that_fails_is_said(model: Path, engine: Path) -> None:
    (engine / "fails").touch()
    with pytest.raises(InvalidRequest, match="Docker did not build the image"):
        headrace.models.build_docker(str(model), "churn")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--env-manager", "conda"], "made by uv"),
        (["--env-manager", "local"], "made by uv"),
        (["--mlflow-home", "/src"], "Leave it out"),
        (["--install-java"], "models of Spark"),
        (["--enable-mlserver"], "No such option"),
    ],
)
@pytest.mark.parametrize("command", ["build-docker", "generate-dockerfile"])
def test_mlflows_options_that_have_no_meaning_are_refused(
    model: Path, tmp_path: Path, command: str, words: list[str], said: str
) -> None:
    more = ["-d", str(tmp_path / "image")] if command == "generate-dockerfile" else []
    status, output = run(command, "-m", str(model), *words, *more)
    assert status != 0
    assert said in output
    assert not (tmp_path / "image").exists()


def test_mlflow_itself_is_not_needed(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = tmp_path / "image"
    status, _ = run("generate-dockerfile", "-m", str(model), "--install-mlflow", "-d", str(image))
    assert status == 0
    assert "Headrace serves the model" in caplog.text
    assert "mlflow" not in (image / "requirements" / "requirements.txt").read_text()


def test_names_that_are_no_images_are_refused(model: Path) -> None:
    with pytest.raises(InvalidRequest, match="names no image"):
        headrace.models.build_docker(str(model), "--privileged")
