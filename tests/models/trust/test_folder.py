"""Each test is an attack, or the way that stays open."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import InvalidModel, NotFound, NotTrusted
from headrace.models.trust import SIGNATURE_FILE, VerifiedFolder, open_folder, sign_folder
from headrace.models.trust.keys import PublicKey
from headrace.models.trust.own_key import signing_key
from tests.models.trust.conftest import FILES

A_PICKLE = "a pickle"
Stranger = Callable[[Path], PublicKey]


def every_way(folder: VerifiedFolder, name: str) -> list[Callable[[], object]]:
    return [
        lambda: folder.read(name),
        lambda: folder.file(name),
        lambda: folder.copy(name),
        lambda: folder.code(name, A_PICKLE),
        lambda: folder.code_path(name, A_PICKLE),
    ]


def test_own_models_open_and_may_run(signed: Path) -> None:
    folder = open_folder(signed)
    assert folder.is_trusted
    assert folder.signer == signing_key().public.fingerprint
    assert folder.names == sorted(FILES)
    for name, content in FILES.items():
        assert folder.read(name) == content
        assert folder.code(name, A_PICKLE) == content
        assert folder.file(name) == signed / name
        assert folder.code_path(name, A_PICKLE).read_bytes() == content
    assert folder.file("weights") == signed / "weights"
    folder.require_trust("some.module", "a loader_module")
    assert folder.unsigned_files() == []


def test_has_knows_files_and_folders(signed: Path, model: Path) -> None:
    folder = open_folder(signed)
    known = [folder.has(name) for name in ("MLmodel", "code", "code/shipped", "", ".")]
    assert known == [True] * 5
    others = ("mlmodel", "cod", "code/", "../model", SIGNATURE_FILE, "nothing", "/", "\x00")
    assert [folder.has(name) for name in others] == [False] * len(others)
    (signed / SIGNATURE_FILE).unlink()
    unsigned = open_folder(signed)
    assert [unsigned.has(name) for name in ("MLmodel", "code", "")] == [True] * 3
    assert [unsigned.has(name) for name in others] == [False] * len(others)


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("name", sorted(FILES))
def test_one_changed_byte_is_found_whoever_vouches(signed: Path, name: str, trust: bool) -> None:
    content = bytearray(FILES[name])
    content[len(content) // 2] ^= 1
    (signed / name).write_bytes(content)
    with pytest.raises(InvalidModel, match="has been changed") as caught:
        open_folder(signed, trust=trust)
    assert f"'{name}'" in caught.value.message
    assert "headrace trust sign" in caught.value.message
    assert caught.value.http_status == 400


def test_missing_files_are_named(signed: Path) -> None:
    shutil.rmtree(signed / "weights")
    (signed / "model.pkl").unlink()
    with pytest.raises(InvalidModel) as caught:
        open_folder(signed, trust=True)
    for name in ("model.pkl", "weights/part-1.safetensors", "weights/part-2.safetensors"):
        assert f"'{name}' is missing" in caught.value.message


def test_many_wrong_files_make_a_short_message(model: Path) -> None:
    for number in range(100):
        (model / f"{number}.bin").write_bytes(b"1")
    sign_folder(model)
    for number in range(100):
        (model / f"{number}.bin").unlink()
    with pytest.raises(InvalidModel, match="and 95 more files"):
        open_folder(model)


def test_a_file_swapped_after_the_check_is_found(signed: Path, tmp_path: Path) -> None:
    folder = open_folder(signed)
    (signed / "model.pkl").write_bytes(b"evil")
    (signed / "code" / "shipped" / "more.py").write_bytes(b"evil")
    with pytest.raises(InvalidModel, match=r"'model\.pkl' has been changed"):
        folder.read("model.pkl")
    with pytest.raises(InvalidModel, match=r"'model\.pkl' has been changed"):
        folder.code("model.pkl", A_PICKLE)
    with pytest.raises(InvalidModel, match=r"'model\.pkl' was changed while"):
        folder.code_path("model.pkl", A_PICKLE)
    with pytest.raises(InvalidModel, match=r"'code/shipped/more\.py' was changed while"):
        folder.code_path("code", "shipped code")


def test_a_copy_that_fails_leaves_nothing(
    signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(copies))
    folder = open_folder(signed)
    (signed / "code" / "shipped" / "more.py").write_bytes(b"evil")
    with pytest.raises(InvalidModel):
        folder.code_path("code", "shipped code")
    assert list(copies.iterdir()) == []


def test_a_copy_is_private_and_nobody_changes_it_afterwards(signed: Path) -> None:
    folder = open_folder(signed)
    code = folder.code_path("code", "shipped code")
    home = code.parent
    assert home.stat().st_mode & 0o777 == 0o700
    (signed / "code" / "shipped" / "more.py").write_bytes(b"evil")
    (signed / "code" / "shipped" / "evil.py").write_bytes(b"evil")
    assert (code / "shipped" / "more.py").read_bytes() == b"MORE = 43\n"
    assert sorted(path.name for path in (code / "shipped").iterdir()) == ["__init__.py", "more.py"]
    assert [path.name for path in home.iterdir()] == ["code"]


@pytest.mark.parametrize("is_signed", [True, False])
def test_what_is_judged_before_it_is_read_is_copied_whoever_signed(
    signed: Path, stranger: Stranger, is_signed: bool
) -> None:
    stranger(signed)
    if not is_signed:
        (signed / SIGNATURE_FILE).unlink()
    folder = open_folder(signed)
    assert not folder.is_trusted
    copy = folder.copy("weights")
    single = folder.copy("weights/part-1.safetensors")
    (signed / "weights" / "part-1.safetensors").write_bytes(b"evil")
    for path in (copy / "part-1.safetensors", single):
        assert path.read_bytes() == FILES["weights/part-1.safetensors"]
    assert len(list(copy.iterdir())) == 2
    if is_signed:
        with pytest.raises(InvalidModel, match="was changed while"):
            folder.copy("weights")
    (signed / "weights" / "part-1.safetensors").unlink()
    (signed / "weights" / "part-1.safetensors").symlink_to("/etc/passwd")
    with pytest.raises(InvalidModel, match="symbolic link"):
        folder.copy("weights")


def test_copies_live_as_long_as_the_folder_and_lasting_ones_as_the_process(
    signed: Path, tmp_path: Path
) -> None:
    folder = open_folder(signed)
    passing = folder.code_path("model.pkl", A_PICKLE)
    other = open_folder(signed)
    forgotten = other.code_path("model.pkl", A_PICKLE)
    lasting = other.code_path("code", "shipped code", lasting=True)
    folder.close()
    folder.close()
    del other
    assert not passing.exists()
    assert not forgotten.exists()
    assert (lasting / "shipped" / "more.py").exists()
    shutil.rmtree(lasting.parent)

    script = (
        "import os, sys; from pathlib import Path; from headrace.models.trust import open_folder\n"
        "folder = open_folder(Path(sys.argv[1]), trust=True)\n"
        "print(folder.code_path('code', 'code', lasting=True), folder.code_path('code', 'code'))\n"
        "if os.fork() == 0: sys.exit(0)\n"
        "os.wait(); sys.stdout.flush()\n"
        "print(len(list(Path(sys.argv[2]).glob('*/code/shipped/more.py'))))\n"
    )
    copies = tmp_path / "copies"
    copies.mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", script, str(signed), str(copies)],
        env=os.environ | {"TMPDIR": str(copies)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.splitlines()[-1] == "2", "a forked child took the copies along"
    assert list(copies.iterdir()) == []


def test_a_file_that_was_added_is_never_handed_out(signed: Path) -> None:
    (signed / "weights" / "pytorch_model.bin").write_bytes(b"evil")
    (signed / "evil.py").write_bytes(b"evil")
    folder = open_folder(signed, trust=True)
    assert folder.unsigned_files() == ["evil.py", "weights/pytorch_model.bin"]
    assert not folder.has("evil.py")
    for name in ("evil.py", "weights/pytorch_model.bin"):
        for way in every_way(folder, name):
            with pytest.raises(InvalidModel, match="not among the files that are signed"):
                way()
    with pytest.raises(InvalidModel, match=r"'weights/pytorch_model\.bin' is not among"):
        folder.file("weights")
    with pytest.raises(InvalidModel, match=r"'evil\.py' is not among"):
        folder.file(".")
    copy = folder.code_path("weights", "weights")
    assert sorted(path.name for path in copy.iterdir()) == [
        "part-1.safetensors",
        "part-2.safetensors",
    ]


@pytest.mark.parametrize("is_signed", [True, False])
def test_what_is_left_out_of_signatures_is_never_handed_out(signed: Path, is_signed: bool) -> None:
    (signed / ".git" / "hooks").mkdir(parents=True)
    (signed / ".git" / "hooks" / "evil.py").write_bytes(b"evil")
    (signed / ".gitignore").write_bytes(b"evil")
    if not is_signed:
        (signed / SIGNATURE_FILE).unlink()
    folder = open_folder(signed, trust=True)
    assert folder.names == sorted(FILES)
    for name in (".git", ".git/hooks", ".git/hooks/evil.py", ".gitignore", SIGNATURE_FILE):
        assert not folder.has(name)
        for way in every_way(folder, name):
            with pytest.raises(InvalidModel, match="never part of a model"):
                way()


def test_without_a_signature_data_is_read_and_code_refused(signed: Path) -> None:
    (signed / SIGNATURE_FILE).unlink()
    folder = open_folder(signed)
    assert folder.signer is None
    assert not folder.is_trusted
    assert folder.read("MLmodel") == FILES["MLmodel"]
    assert folder.file("weights") == signed / "weights"
    for refused in (
        lambda: folder.code("model.pkl", A_PICKLE),
        lambda: folder.code_path("model.pkl", A_PICKLE),
        lambda: folder.require_trust("model.pkl", A_PICKLE),
    ):
        with pytest.raises(NotTrusted, match=r"'model\.pkl' is a pickle") as caught:
            refused()
        assert "nobody has signed the model" in caught.value.message
        assert "trust=True" in caught.value.message
        assert "headrace trust" in caught.value.message
        assert caught.value.http_status == 403
    vouched = open_folder(signed, trust=True)
    assert vouched.code("model.pkl", A_PICKLE) == FILES["model.pkl"]
    assert vouched.code_path("code", "shipped code") == signed / "code"


def test_a_strangers_signature_lets_data_through_and_names_the_stranger(
    signed: Path, stranger: Stranger
) -> None:
    (signed / "model.pkl").write_bytes(b"evil")
    key = stranger(signed)
    folder = open_folder(signed)
    assert folder.signer == key.fingerprint
    assert not folder.is_trusted
    assert folder.read("MLmodel") == FILES["MLmodel"]
    with pytest.raises(NotTrusted, match="whom you do not trust") as caught:
        folder.code("model.pkl", A_PICKLE)
    assert key.fingerprint in caught.value.message
    assert f"headrace trust add NAME {key.text}" in caught.value.message
    assert "trust=True" in caught.value.message
    vouched = open_folder(signed, trust=True)
    assert vouched.code("model.pkl", A_PICKLE) == b"evil"
    (signed / "model.pkl").write_bytes(b"worse")
    with pytest.raises(InvalidModel):
        vouched.code("model.pkl", A_PICKLE)


@pytest.mark.parametrize("is_signed", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../secret",
        "weights/../../secret",
        "/etc/passwd",
        "weights//part-1.safetensors",
        "./MLmodel",
        "weights\\part-1.safetensors",
        "MLmodel\x00",
        "%2e%2e/secret",
        "MODEL.PKL",
        "mlmodel",
        "model\N{FULLWIDTH FULL STOP}pkl",
        "m\N{CYRILLIC SMALL LETTER O}del.pkl",
        "C:/secret",
        "x" * 300,
        "x/" * 3000,
    ],
)
def test_names_that_lead_elsewhere(signed: Path, name: str, is_signed: bool) -> None:
    (signed.parent / "secret").write_bytes(b"secret")
    if not is_signed:
        (signed / SIGNATURE_FILE).unlink()
    folder = open_folder(signed, trust=True)
    assert not folder.has(name)
    for way in every_way(folder, name):
        with pytest.raises(InvalidModel) as caught:
            way()
        assert len(caught.value.message) < 1000


@pytest.mark.parametrize("is_signed", [True, False])
def test_links_are_not_followed(signed: Path, tmp_path: Path, is_signed: bool) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(signed / "weights", outside)
    shutil.rmtree(signed / "weights")
    (signed / "weights").symlink_to(outside)
    if is_signed:
        with pytest.raises(InvalidModel, match="symbolic link"):
            open_folder(signed, trust=True)
        return
    (signed / SIGNATURE_FILE).unlink()
    folder = open_folder(signed, trust=True)
    for name in ("weights", "weights/part-1.safetensors", "."):
        with pytest.raises(InvalidModel, match="symbolic link"):
            folder.file(name)


def test_a_signed_file_that_is_now_a_link_to_the_same_bytes_is_refused(
    signed: Path, tmp_path: Path
) -> None:
    os.rename(signed / "model.pkl", tmp_path / "model.pkl")
    (signed / "model.pkl").symlink_to(tmp_path / "model.pkl")
    with pytest.raises(InvalidModel, match=r"'model\.pkl' is a symbolic link"):
        open_folder(signed)


@pytest.mark.parametrize("name", ["model.pkl", SIGNATURE_FILE])
@pytest.mark.parametrize("made", ["pipe", "folder", "link", "device"])
def test_what_is_no_file_neither_hangs_nor_passes(signed: Path, name: str, made: str) -> None:
    path = signed / name
    path.unlink()
    if made == "pipe":
        os.mkfifo(path)
    elif made == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if made == "device" else "/nowhere")
    with pytest.raises(InvalidModel, match=name.replace(".", r"\.")):
        open_folder(signed, trust=True)


def test_a_pipe_among_files_that_are_not_signed(model: Path) -> None:
    os.mkfifo(model / "weights" / "pipe")
    folder = open_folder(model, trust=True)
    with pytest.raises(InvalidModel, match="'weights/pipe'"):
        folder.file("weights")
    with pytest.raises(InvalidModel, match="no regular file"):
        folder.read("weights/pipe")


def test_a_reader_says_how_much_it_takes(signed: Path) -> None:
    folder = open_folder(signed)
    assert folder.read("weights/part-1.safetensors", 5000)
    with pytest.raises(InvalidModel, match="has 5000 bytes, at most 4999"):
        folder.read("weights/part-1.safetensors", 4999)


def test_there_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        open_folder(tmp_path / "nowhere")


def test_large_files_are_read_in_threads(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        (model / f"{number}.bin").write_bytes(bytes([number]) * (3 << 20))
    sign_folder(model)
    seen: set[str] = set()
    opened = os.open

    def noting(*arguments: Any, **named: Any) -> int:
        seen.add(threading.current_thread().name)
        return opened(*arguments, **named)

    monkeypatch.setattr(os, "open", noting)
    folder = open_folder(model)
    assert any(name.startswith("headrace-digest") for name in seen)
    assert (folder.code_path("3.bin", A_PICKLE)).read_bytes() == bytes([3]) * (3 << 20)
    (model / "2.bin").write_bytes(bytes([2]) * (3 << 20) + b"!")
    with pytest.raises(InvalidModel, match=r"'2\.bin' has been changed"):
        open_folder(model)
