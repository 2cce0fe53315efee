from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.errors import AlreadyExists, InvalidRequest, NotFound
from headrace.models.trust import open_folder
from headrace.models.trust.keys import PublicKey
from headrace.models.trust.own_key import signing_key
from headrace.models.trust.signers import (
    add_signer,
    is_trusted,
    remove_signer,
    signers_file,
    trusted_signers,
)

ANN = PublicKey(bytes(range(32)))
BOB = PublicKey(bytes(range(32, 64)))
EVE = PublicKey(bytes(range(64, 96)))


def test_a_signer_comes_and_goes(keys: Path) -> None:
    assert trusted_signers() == []
    added = add_signer("  Ann   Lee ", ANN)
    assert added.name == "Ann Lee"
    assert keys.stat().st_mode & 0o777 == 0o700
    add_signer("bob", BOB)
    assert [(one.name, one.key, one.source) for one in trusted_signers()] == [
        ("Ann Lee", ANN, "file"),
        ("bob", BOB, "file"),
    ]
    assert trusted_signers()[0].since == added.since
    assert len(added.since) == len("2026-01-31")
    assert remove_signer("Ann Lee").key == ANN
    assert remove_signer(BOB.fingerprint).name == "bob"
    assert not is_trusted(ANN)
    with pytest.raises(NotFound, match="headrace trust list"):
        remove_signer("bob")


def test_neither_name_nor_key_is_added_twice() -> None:
    add_signer("ann", ANN)
    for name, key in (("ann", BOB), ("bob", ANN)):
        with pytest.raises(AlreadyExists, match="'ann' is trusted already"):
            add_signer(name, key)
    assert len(trusted_signers()) == 1


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\x1bb", "a\u202eb"])
def test_a_name_that_could_mislead_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="signer's name"):
        add_signer(name, ANN)


def test_a_name_of_two_lines_adds_one_signer() -> None:
    add_signer(f"ann\n{BOB.text} 2026-01-01 bob", ANN)
    assert [one.key for one in trusted_signers()] == [ANN]


def test_what_people_wrote_into_the_file_stays() -> None:
    add_signer("ann", ANN)
    path = signers_file()
    path.write_text(f"# our team\n\n{path.read_text()}{BOB.text}\n")
    assert [(one.name, one.since) for one in trusted_signers()][1] == ("trusted_signers", "")
    add_signer("eve", EVE)
    remove_signer("ann")
    assert path.read_text().startswith(f"# our team\n\n{BOB.text}\n{EVE.text} ")


def test_a_line_that_is_not_understood_is_said() -> None:
    add_signer("ann", ANN)
    with open(signers_file(), "a") as file:
        file.write("ed25519:tooshort 2026-01-01 bob\n")
    for read in (trusted_signers, lambda: add_signer("eve", EVE), lambda: is_trusted(ANN)):
        with pytest.raises(InvalidRequest, match="line 2"):
            read()


def test_processes_that_add_together_lose_nobody(keys: Path) -> None:
    script = (
        "import sys; from headrace.models.trust.keys import PublicKey;"
        "from headrace.models.trust.signers import add_signer; number = int(sys.argv[1]);"
        "[add_signer(f'{number}-{i}', PublicKey(bytes([number, i] * 16))) for i in range(20)]"
    )
    started = [subprocess.Popen([sys.executable, "-c", script, str(n)]) for n in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    assert len(trusted_signers()) == 60
    assert [path.name for path in keys.iterdir()] == ["trusted_signers"]


def test_the_setting_names_keys_and_files_of_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bob.pem").write_text(BOB.pem)
    (tmp_path / "team").write_text(f"# team\n{EVE.text} 2026-01-01 Eve\n")
    monkeypatch.setenv(
        "HEADRACE_TRUSTED_SIGNERS", f"{ANN.text}, {tmp_path}/bob.pem,{tmp_path}/team"
    )
    assert [(one.name, one.key) for one in trusted_signers()] == [
        ("HEADRACE_TRUSTED_SIGNERS", ANN),
        ("bob.pem", BOB),
        ("Eve", EVE),
    ]
    assert {one.source for one in trusted_signers()} == {"environment"}
    both = f"{ANN.pem}{BOB.pem}{EVE.text}"
    for text in (both, both.replace("\n", "\\n")):
        monkeypatch.setenv("HEADRACE_TRUSTED_SIGNERS", text)
        assert {one.key for one in trusted_signers()} == {ANN, BOB, EVE}


@pytest.mark.parametrize("value", ["/nowhere/keys", "ann", f"{ANN.text},ed25519:x", ANN.text[:-3]])
def test_a_setting_that_is_not_understood_is_said(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HEADRACE_TRUSTED_SIGNERS", value)
    with pytest.raises(InvalidRequest, match="HEADRACE_TRUSTED_SIGNERS"):
        trusted_signers()


def test_whom_one_trusts_decides_what_may_run(
    model: Path,
    stranger: Callable[[Path], PublicKey],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = stranger(model)
    assert signing_key().public != key
    assert not open_folder(model).is_trusted
    add_signer("ann", key)
    assert open_folder(model).is_trusted
    remove_signer("ann")
    assert not open_folder(model).is_trusted
    monkeypatch.setenv("HEADRACE_TRUSTED_SIGNERS", key.pem)
    assert open_folder(model).is_trusted


def test_where_the_file_cannot_be_written_the_setting_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEADRACE_KEYS", str(tmp_path / "file" / "keys"))
    with pytest.raises(InvalidRequest, match="HEADRACE_TRUSTED_SIGNERS"):
        add_signer("ann", ANN)
