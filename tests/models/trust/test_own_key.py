from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from headrace.errors import InvalidRequest, InvalidState
from headrace.models.trust import SIGNATURE_FILE, open_folder, sign_folder, signature_over
from headrace.models.trust.own_key import own_public_keys, signing_key


def private_pem(passphrase: bytes | None = None) -> str:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase)
    return (
        ed25519.Ed25519PrivateKey.generate()
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        .decode()
    )


def test_a_key_is_made_on_first_use_for_its_owner_only(keys: Path) -> None:
    assert own_public_keys() == []
    assert not keys.exists(), "asking made a key"
    public = signing_key().public
    assert keys.stat().st_mode & 0o777 == 0o700
    [file] = keys.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert signing_key().public == public
    assert own_public_keys() == [public]


def test_the_file_is_one_that_other_tools_read(keys: Path) -> None:
    public = signing_key().public
    other = serialization.load_pem_private_key((keys / "signing_key.pem").read_bytes(), None)
    assert isinstance(other, ed25519.Ed25519PrivateKey)
    assert other.public_key().public_bytes_raw() == public.raw


def test_processes_that_start_together_agree_on_one_key(keys: Path) -> None:
    script = (
        "import sys; from headrace.models.trust.own_key import signing_key;"
        "sys.stdin.readline(); print(signing_key().public.text)"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = {process.communicate(timeout=60)[0] for process in started}
    assert printed == {f"{signing_key().public.text}\n"}
    assert [path.name for path in keys.iterdir()] == ["signing_key.pem"]


def test_the_setting_is_a_file_or_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = private_pem()
    file = tmp_path / "ci.pem"
    file.write_text(pem)
    seen = set()
    for value in (str(file), pem, pem.replace("\n", "\\n"), f"\n{pem}\n"):
        monkeypatch.setenv("HEADRACE_SIGNING_KEY", value)
        seen.add(signing_key().public)
    assert len(seen) == 1


def test_models_of_the_own_key_stay_trusted_under_the_setting(
    signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_SIGNING_KEY", private_pem())
    assert open_folder(signed).is_trusted
    own = open_folder(signed).signer
    assert sign_folder(signed)
    assert open_folder(signed).is_trusted
    assert open_folder(signed).signer != own


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("/nowhere/key.pem", "/nowhere/key.pem: No such file"),
        ("c2VjcmV0LXNlY3JldA==", "No such file"),
        ("x" * 5000, "File name too long"),
        ("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----", "no private key"),
        (private_pem(b"passphrase"), "passphrase"),
    ],
)
def test_a_setting_that_is_no_key_is_said_without_showing_it(
    model: Path, monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    monkeypatch.setenv("HEADRACE_SIGNING_KEY", value)
    with pytest.raises(InvalidRequest, match="HEADRACE_SIGNING_KEY") as caught:
        sign_folder(model)
    assert said in caught.value.message
    assert "c2Vjcm" not in caught.value.message
    assert not (model / SIGNATURE_FILE).exists()


def test_a_key_of_another_kind_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    monkeypatch.setenv("HEADRACE_SIGNING_KEY", pem.decode())
    with pytest.raises(InvalidRequest, match="openssl genpkey -algorithm ed25519"):
        signing_key()


def test_where_no_key_can_be_kept_a_model_is_saved_unsigned_with_a_warning(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").write_text("a home that is no folder")
    monkeypatch.setenv("HEADRACE_KEYS", str(tmp_path / "file" / "keys"))
    with pytest.raises(InvalidState, match="HEADRACE_SIGNING_KEY"):
        signing_key()
    with caplog.at_level(logging.WARNING):
        assert sign_folder(model) is False
        assert signature_over("model", {"MLmodel": "0" * 64}) is None
    assert "not signed" in caplog.text
    assert "HEADRACE_SIGNING_KEY" in caplog.text
    assert open_folder(model).signer is None
