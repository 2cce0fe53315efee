from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.models.trust import SIGNATURE_FILE, open_folder, sign_folder
from tests.cli.conftest import Headrace

Model = Callable[[str, str], Path]


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_KEYS", str(tmp_path / "keys"))


@pytest.fixture
def model_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """`model_of(person, name)`: a folder signed with the key of that person."""

    def make(person: str, name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "MLmodel").write_text("flavors: {}\n")
        (folder / "model.pkl").write_bytes(b"a pickle")
        with monkeypatch.context() as patch:
            patch.setenv("HEADRACE_KEYS", str(tmp_path / person))
            sign_folder(folder)
        return folder

    return make


def test_keys_are_shown_added_listed_and_removed(
    headrace: Headrace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("HEADRACE_KEYS", str(tmp_path / "ann"))
        ann = headrace("trust", "show", "--json").json
        (tmp_path / "ann.pem").write_text(headrace("trust", "show", "--pem").out)
        shown = headrace("trust", "show")
    assert ann["fingerprint"] in shown.out
    assert ann["public_key"] in shown.out
    assert "PRIVATE" not in shown.out + shown.err

    own = headrace("trust", "show", "--json").json
    assert own["fingerprint"] != ann["fingerprint"]
    assert headrace("trust", "add", "ann", "nonsense").code == 2
    added = headrace("trust", "add", "ann", ann["public_key"], "--json")
    assert added.json == {"name": "ann", "fingerprint": ann["fingerprint"]}
    assert headrace("trust", "add", "again", str(tmp_path / "ann.pem")).code == 4

    listed = headrace("trust", "list", "--json").json["signers"]
    assert [(one["name"], one["fingerprint"], one["source"]) for one in listed] == [
        ("you", own["fingerprint"], "key"),
        ("ann", ann["fingerprint"], "file"),
    ]
    assert ann["fingerprint"] in headrace("trust", "list").out
    assert headrace("trust", "remove", "ann").code == 0
    assert headrace("trust", "remove", "ann").code == 3
    from_file = headrace("trust", "add", "ann", str(tmp_path / "ann.pem"), "--json")
    assert from_file.json["fingerprint"] == ann["fingerprint"]


def test_a_key_is_taken_from_a_model_after_a_yes(headrace: Headrace, model_of: Model) -> None:
    folder = model_of("ann", "hers")
    unasked = headrace("trust", "add", "ann", str(folder))
    assert unasked.code == 2
    assert open_folder(folder).signer is not None
    assert str(open_folder(folder).signer) in unasked.err
    assert not open_folder(folder).is_trusted
    assert headrace("trust", "add", "ann", str(folder), "--yes").code == 0
    assert open_folder(folder).is_trusted
    assert headrace("trust", "add", "ann", "models:/none/1", "--yes").code == 3
    (folder / SIGNATURE_FILE).unlink()
    assert headrace("trust", "add", "bob", str(folder), "--yes").code == 2


def test_a_private_key_is_not_taken_for_a_public_one(
    headrace: Headrace, model_of: Model, tmp_path: Path
) -> None:
    model_of("ann", "hers")
    refused = headrace("trust", "add", "ann", str(tmp_path / "ann" / "signing_key.pem"))
    assert refused.code == 2
    assert "keep it to yourself" in refused.err


def test_verify_says_who_signed_and_ends_with_4_where_loading_would_be_refused(
    headrace: Headrace, model_of: Model
) -> None:
    own = model_of("keys", "own")
    good = headrace("trust", "verify", str(own))
    assert good.code == 0, good.err
    assert "you" in good.out
    (own / "extra.py").write_text("")
    verified = headrace("trust", "verify", str(own), "--json").json
    assert verified["is_trusted"] is True
    assert verified["files"] == ["MLmodel", "model.pkl"]
    assert verified["unsigned_files"] == ["extra.py"]
    assert "extra.py" in headrace("trust", "verify", str(own)).err

    strangers = headrace("trust", "verify", str(model_of("eve", "hers")))
    assert strangers.code == 4
    assert "headrace trust add NAME ed25519:" in strangers.err

    (own / "model.pkl").write_bytes(b"a Pickle")
    changed = headrace("trust", "verify", str(own))
    assert changed.code == 4
    assert "'model.pkl' has been changed" in changed.err
    (own / SIGNATURE_FILE).unlink()
    assert headrace("trust", "verify", str(own)).code == 4
    shutil.rmtree(own)
    assert headrace("trust", "verify", str(own)).code == 3


def test_sign_after_an_edit(headrace: Headrace, model_of: Model) -> None:
    folder = model_of("eve", "hers")
    (folder / "MLmodel").write_text("edited: true\n")
    signed = headrace("trust", "sign", str(folder), "--json")
    assert signed.json == {
        "fingerprint": headrace("trust", "show", "--json").json["fingerprint"],
        "files": 2,
    }
    assert open_folder(folder).is_trusted
    assert headrace("trust", "sign", str(folder / "nowhere")).code == 3


def test_sign_ends_with_an_error_where_there_is_no_key(
    headrace: Headrace, model_of: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = model_of("eve", "hers")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEADRACE_KEYS", str(tmp_path / "file" / "keys"))
    refused = headrace("trust", "sign", str(folder))
    assert refused.code == 4
    assert "HEADRACE_SIGNING_KEY" in refused.err
