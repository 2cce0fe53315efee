"""What Headrace signs, verified by OpenSSF's model-signing library; and what that signs, here.

The library reads the bundle, the envelope and the manifest, lists and hashes the files, and
compares. It has no verifier for Ed25519, so the check of the signature itself, one call of
`cryptography`, is given to it the way its own verifiers are built in. Runs in .bench/frameworks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.models.trust import SIGNATURE_FILE, open_folder, sign_folder
from headrace.models.trust.own_key import signing_key

model_signing = pytest.importorskip("model_signing", reason="runs in .bench/frameworks")

pytestmark = pytest.mark.heavy

FILES = {
    "MLmodel": b"flavors: {}\n",
    "a/b.txt": b"1",
    "a-b/c.txt": b"2",
    "a.txt": b"3",
    "code/shipped/__init__.py": b"",
    "weights/large.bin": b"x" * 3_000_000,
    "\N{GREEK SMALL LETTER ALPHA} beta.json": b"{}",
}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADRACE_KEYS", str(tmp_path / "keys"))
    folder = tmp_path / "model"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    assert sign_folder(folder)
    return folder


def ed25519_verifier(pem: str) -> Any:
    """A verifier of the library's own kind, for an Ed25519 key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from model_signing._signing import sign_sigstore_pb

    loaded = load_pem_public_key(pem.encode())
    assert isinstance(loaded, Ed25519PublicKey)
    key: Ed25519PublicKey = loaded
    hint = hashlib.sha256(pem.encode()).hexdigest()

    class Ed25519Verifier(sign_sigstore_pb.Verifier):  # type: ignore[misc]  # untyped base
        def _verify_bundle(self, bundle: Any) -> tuple[str, bytes]:
            assert bundle.verification_material.public_key.hint == hint
            envelope = bundle.dsse_envelope
            key.verify(envelope.signatures[0].sig, sign_sigstore_pb.pae(envelope.payload))
            return envelope.payload_type, envelope.payload

    return Ed25519Verifier()


def verify_with_library(model: Path) -> None:
    from model_signing import verifying

    config = verifying.Config()
    config._verifier = ed25519_verifier(signing_key().public.pem)
    config.verify(model, model / SIGNATURE_FILE)


def test_the_library_verifies_what_headrace_signed(model: Path) -> None:
    verify_with_library(model)


def test_what_neither_of_the_two_signs(model: Path) -> None:
    (model / ".git").mkdir()
    (model / ".git" / "config").write_text("[core]")
    (model / ".gitignore").write_text("*.tmp")
    assert sign_folder(model)
    verify_with_library(model)


def change_a_byte(model: Path) -> None:
    content = bytearray(FILES["weights/large.bin"])
    content[1_500_000] ^= 1
    (model / "weights/large.bin").write_bytes(content)


def add_a_file(model: Path) -> None:
    (model / "code/shipped/evil.py").write_bytes(b"")


def take_a_file_away(model: Path) -> None:
    (model / "a/b.txt").unlink()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_a_byte, "Hash mismatch for 'weights/large.bin'"),
        (add_a_file, "Extra files found in model 'model': code/shipped/evil.py"),
        (take_a_file_away, "Missing files in model 'model': a/b.txt"),
    ],
)
def test_the_library_sees_every_change(
    model: Path, change: Callable[[Path], None], said: str
) -> None:
    change(model)
    with pytest.raises(ValueError, match="Signature mismatch") as caught:
        verify_with_library(model)
    assert said in str(caught.value)


def test_the_library_rejects_another_key_and_a_changed_statement(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cryptography.exceptions import InvalidSignature

    bundle = json.loads((model / SIGNATURE_FILE).read_bytes())
    sig = bundle["dsseEnvelope"]["signatures"][0]
    sig["sig"] = sig["sig"][::-1].lstrip("=") + "=="
    (model / SIGNATURE_FILE).write_text(json.dumps(bundle))
    with pytest.raises(InvalidSignature):
        verify_with_library(model)


def test_the_digest_of_the_whole_is_the_librarys(model: Path) -> None:
    """So that other documents can name the model by it, whoever signed."""
    import base64

    from model_signing import hashing
    from model_signing._signing.signing import Payload

    config = hashing.Config().set_ignored_paths(paths=[SIGNATURE_FILE])
    theirs = Payload(config.hash(model)).statement.pb
    bundle = json.loads((model / SIGNATURE_FILE).read_bytes())
    ours = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    assert ours["subject"][0]["digest"]["sha256"] == theirs.subject[0].digest["sha256"]
    assert [one["name"] for one in ours["predicate"]["resources"]] == [
        one["name"] for one in theirs.predicate["resources"]
    ]


def test_what_the_library_signed_is_unsigned_here_and_never_trusted(
    model: Path, tmp_path: Path
) -> None:
    """It takes keys on the NIST curves, certificates and identities; Headrace checks none."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from model_signing import signing

    key = tmp_path / "ec.pem"
    key.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (model / SIGNATURE_FILE).unlink()
    signing.Config().use_elliptic_key_signer(private_key=key).sign(model, model / SIGNATURE_FILE)
    folder = open_folder(model)
    assert folder.signer is None
    assert not folder.is_trusted
    assert folder.read("MLmodel") == FILES["MLmodel"]
