from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import InvalidModel, InvalidRequest, NotFound
from headrace.models.trust import SIGNATURE_FILE, open_folder, sign_folder, signature_over
from tests.models.trust.conftest import FILES


def bundle_of(folder: Path) -> Any:
    return json.loads((folder / SIGNATURE_FILE).read_bytes())


def statement_of(bundle: Any) -> Any:
    return json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_the_statement_lists_every_file_in_the_order_of_its_path(signed: Path) -> None:
    (signed / "code-of-others").mkdir()
    (signed / "code-of-others" / "a.py").write_bytes(b"")
    assert sign_folder(signed)
    statement = statement_of(bundle_of(signed))
    resources = statement["predicate"]["resources"]
    assert {one["name"]: one["digest"] for one in resources} == {
        name: sha256(data) for name, data in (FILES | {"code-of-others/a.py": b""}).items()
    }
    assert [one["name"] for one in resources] == [
        "MLmodel",
        "code/shipped/__init__.py",
        "code/shipped/more.py",
        "code-of-others/a.py",
        "model.pkl",
        "weights/part-1.safetensors",
        "weights/part-2.safetensors",
    ]
    root = sha256(b"".join(bytes.fromhex(one["digest"]) for one in resources))
    assert statement["subject"] == [{"name": "model", "digest": {"sha256": root}}]


def test_what_is_known_is_not_hashed_again(model: Path) -> None:
    assert sign_folder(model, {"model.pkl": sha256(b"other bytes")})
    with pytest.raises(InvalidModel, match=r"'model\.pkl' has been changed"):
        open_folder(model)
    (model / "model.pkl").write_bytes(b"other bytes")
    assert open_folder(model).read("model.pkl") == b"other bytes"


def test_a_signature_over_digests_is_the_folders(model: Path) -> None:
    content = signature_over("model", {name: sha256(data) for name, data in FILES.items()})
    assert content is not None
    (model / SIGNATURE_FILE).write_bytes(content)
    assert open_folder(model).names == sorted(FILES)
    assert sign_folder(model)
    assert (model / SIGNATURE_FILE).read_bytes() == content, "Ed25519 is deterministic"


@pytest.mark.parametrize(
    "digests",
    [
        {"../model.pkl": "0" * 64},
        {"/model.pkl": "0" * 64},
        {"a\\b": "0" * 64},
        {"a\x00b": "0" * 64},
        {"a//b": "0" * 64},
        {"model.sig": "0" * 64},
        {".git/config": "0" * 64},
        {"model.pkl": "0" * 63},
        {"model.pkl": "x" * 64},
        {"model\udc80": "0" * 64},
    ],
)
def test_what_could_not_be_verified_is_not_signed(digests: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        signature_over("model", digests)


def test_signing_again_after_an_edit(signed: Path) -> None:
    (signed / "MLmodel").write_bytes(b"edited: true\n")
    with pytest.raises(InvalidModel, match="headrace trust sign"):
        open_folder(signed)
    assert sign_folder(signed)
    assert open_folder(signed).read("MLmodel") == b"edited: true\n"
    assert [path.name for path in signed.iterdir() if path.name.startswith(".")] == []


def test_links_pipes_and_digests_of_nothing_are_refused(model: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"'absent\.bin' is to be signed"):
        sign_folder(model, {"absent.bin": "0" * 64})
    (model / "weights" / "link").symlink_to(model / "MLmodel")
    with pytest.raises(InvalidRequest, match=r"'weights/link' .* symbolic link"):
        sign_folder(model)
    (model / "weights" / "link").unlink()
    os.mkfifo(model / "pipe")
    with pytest.raises(InvalidRequest, match=r"'pipe' .* a pipe"):
        sign_folder(model)
    assert not (model / SIGNATURE_FILE).exists()


def test_a_name_that_no_artifact_can_have_is_refused(model: Path) -> None:
    os.rename(model / "MLmodel", os.fsencode(model) + b"/MLmodel\xff")
    with pytest.raises(InvalidRequest):
        sign_folder(model)


def test_there_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        sign_folder(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidRequest, match="is a file"):
        sign_folder(tmp_path / "file")


def test_the_name_is_that_of_the_folder_also_from_within(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model)
    assert sign_folder(Path())
    assert statement_of(bundle_of(model))["subject"][0]["name"] == "model"
    assert open_folder(Path()).names == sorted(FILES)
    assert sign_folder(Path(), name="churn")
    assert statement_of(bundle_of(model))["subject"][0]["name"] == "churn"


def test_a_failed_replacement_leaves_the_old_signature(
    signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (signed / SIGNATURE_FILE).read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InvalidRequest, match="No space left"):
        sign_folder(signed)
    assert (signed / SIGNATURE_FILE).read_bytes() == before
    assert sorted(path.name for path in signed.iterdir()) == [
        "MLmodel", "code", "model.pkl", "model.sig", "weights",
    ]  # fmt: skip
