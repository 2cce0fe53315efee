"""What a run notes of the program: command line without secrets, packages, tags, switches."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.client import context
from headrace.client.command_line import MASK, command_line, masked
from headrace.client.machine import gpu_names
from headrace.client.switches import Switches, set_capture, switches
from headrace.errors import InvalidRequest
from headrace.models.environment.installed import installed_packages, packages_text

HEX = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("--token x", "--token ***"),
        ("--password=x", "--password=***"),
        ("OPENAI_API_KEY=x", "OPENAI_API_KEY=***"),
        ("++db.password=a=b", "++db.password=***"),
        ("-apiKey -x", "-apiKey ***"),
        ("--auth --lr 0.1", "--auth --lr 0.1"),
        ("--uri postgresql://me:pw@host/db", "--uri postgresql://***@host/db"),
        ("https://host/a?token=x&b=1", "https://host/a?token=***&b=1"),
        ("--note=https://me:pw@host/", "--note=https://***@host/"),
        (f"run ghp_{HEX}", "run ***"),
        (f"hf_{HEX}", "***"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.c2ln", "***"),
        # What only looks alike stays, for it says how the model was trained.
        ("--max-tokens 100", "--max-tokens 100"),
        ("--tokenizer=bert", "--tokenizer=bert"),
        ("--keyboard qwerty", "--keyboard qwerty"),
        ("--monkey=1 --author ann", "--monkey=1 --author ann"),
    ],
)
def test_what_looks_like_a_secret_is_masked(given: str, shown: str) -> None:
    assert " ".join(masked(given.split())) == shown


@given(
    st.lists(st.text(max_size=30), max_size=8), st.text(st.characters(codec="utf-8"), min_size=8)
)
def test_no_secret_of_an_option_is_shown(words: list[str], secret: str) -> None:
    secret = f"~{secret}~"
    shown = masked([*words, f"--password={secret}", "--api-key", secret])
    assert not any(secret in word for word in shown)
    assert len(shown) == len(words) + 3


def test_the_command_can_be_given_to_a_shell_again(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["python", "-u", "train.py", "--name", "two words", "a'b", "--token", "x"]
    monkeypatch.setattr(sys, "orig_argv", words)
    assert shlex.split(command_line()) == [*words[:-1], MASK]
    monkeypatch.setattr(sys, "orig_argv", ["python", "-c", "password = 'x'", "--lr", "1"])
    assert command_line() == "python -c … --lr 1"
    monkeypatch.setattr(sys, "orig_argv", ["python", "x" * 10_000])
    assert len(command_line()) == 4_000


def test_packages_are_those_that_python_finds() -> None:
    expected: dict[str, str] = {}
    for found in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower()
        expected.setdefault(name, found.version)
    assert installed_packages() == expected
    assert f"msgspec=={expected['msgspec']}\n" in packages_text()


def test_packages_without_a_version_in_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "My_Package.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: My.Package\nVersion: 1.5\n")
    (tmp_path / "Old-2.0-py3.11.egg-info").mkdir()
    (tmp_path / "scikit_learn-1.9.1.dist-info").mkdir()
    (tmp_path / "broken.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "none.zip")])
    assert installed_packages() == {"my-package": "1.5", "old": "2.0", "scikit-learn": "1.9.1"}


def test_gpus_are_named_as_the_driver_names_them(tmp_path: Path) -> None:
    driver = tmp_path / "gpus"
    assert gpu_names(driver) is None
    for slot, model in (("0000:01", "NVIDIA H100"), ("0000:02", "NVIDIA H100"), ("0000:03", "T4")):
        (driver / slot).mkdir(parents=True)
        (driver / slot / "information").write_text(f"Model: \t\t {model}\nIRQ:  5\n")
    assert gpu_names(driver) == "2 x NVIDIA H100, T4"


def test_everything_is_on_until_somebody_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADRACE_CAPTURE", raising=False)
    assert switches() == Switches(True, True, True, True, True)
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    assert not switches().system_metrics
    monkeypatch.setenv("HEADRACE_CAPTURE", "false")
    monkeypatch.setenv("HEADRACE_CAPTURE_GIT", "yes")
    assert switches() == Switches(True, False, False, False, False)


def test_a_program_can_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CAPTURE", "true")
    set_capture(console=False, packages=False)
    assert switches() == Switches(True, True, False, False, True)
    set_capture(console=True)
    assert switches().console
    with pytest.raises(InvalidRequest, match="'git'"):
        set_capture(git="no")  # type: ignore[arg-type]  # what a caller may get wrong
    assert switches().git


def test_a_setting_that_is_no_yes_or_no_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CAPTURE_GIT", "perhaps")
    with pytest.raises(InvalidRequest, match="HEADRACE_CAPTURE_GIT is 'perhaps'"):
        context.context_tags()


def test_the_tags_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CAPTURE", "true")
    tags = context.context_tags()
    assert tags["headrace.python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}")
    assert {"headrace.command", "headrace.platform", "headrace.host", "mlflow.user"} <= set(tags)
    set_capture(program=False, git=False)
    assert set(context.context_tags()) == {
        "mlflow.user",
        "mlflow.source.name",
        "mlflow.source.type",
    }


def test_a_tool_or_prompt_belongs_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, commit in (("here", "a" * 40), ("there", "b" * 40)):
        (tmp_path / folder / ".git").mkdir(parents=True)
        (tmp_path / folder / ".git" / "HEAD").write_text(commit)
    monkeypatch.chdir(tmp_path / "here")
    for script, commit in (
        (str(tmp_path / "there" / "train.py"), "b" * 40),
        (str(Path(sys.prefix, "bin", "pytest")), "a" * 40),
        ("", "a" * 40),
        ("-c", "a" * 40),
    ):
        monkeypatch.setattr(sys, "argv", [script])
        found = context.checkout()
        assert found is not None
        assert found.commit == commit
