"""Data in files: their digests are those of sha256sum, and nothing is left out unsaid."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.data import from_path, get_source
from headrace.errors import InvalidRequest

LISTING = (
    "find -L . -type f -print0 | sed -z 's,^[.]/,,' | LC_ALL=C sort -z | xargs -0 sha256sum"
    " | sha256sum"
)


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_bytes(b"a,b\n1,2\n" * 100_000)
    dataset = from_path(file)
    assert dataset.digest == hashlib.sha256(file.read_bytes()).hexdigest()[:32]
    assert (dataset.name, dataset.source_type, dataset.path) == ("data.csv", "local", file)
    assert dataset.source.to_dict() == {"uri": str(file)}
    assert dataset.profile == {"profile_version": 1, "num_files": 1, "num_bytes": 800_000}
    assert get_source(dataset).load() == str(file)
    copy = shutil.copy(file, tmp_path / "copy.csv")
    assert from_path(copy).digest == dataset.digest


def test_a_folder_has_the_digest_of_its_listing(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    (folder / "b").mkdir(parents=True)
    (folder / "empty").mkdir()
    for name in ("b/1", "b.txt", "ü", "with\nbreak", "back\\slash", "a b"):
        (folder / name).write_text(name)
    (folder / "linked").symlink_to(folder / "b" / "1")
    done = subprocess.run(
        ["sh", "-c", LISTING], cwd=folder, capture_output=True, text=True, check=True
    )
    dataset = from_path(str(folder), name="pictures")
    assert dataset.digest == done.stdout[:32]
    assert (dataset.name, dataset.profile["num_files"]) == ("pictures", 7)


def test_names_and_contents_of_a_folder_count(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a").write_text("1")
    known = from_path(folder).digest
    moved = folder.rename(tmp_path / "moved")
    assert from_path(moved).digest == known
    (moved / "a").write_text("2")
    changed = from_path(moved).digest
    (moved / "a").rename(moved / "b")
    assert len({known, changed, from_path(moved).digest}) == 3


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=5), min_size=2, max_size=2, unique=True))
def test_other_bytes_have_another_digest(tmp_path: Path, contents: list[bytes]) -> None:
    digests = set()
    for content in contents:
        (tmp_path / "file").write_bytes(content)
        digests.add(from_path(tmp_path / "file").digest)
    assert len(digests) == 2


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"'path' cannot be read.*missing"):
        from_path(tmp_path / "missing")
    with pytest.raises(InvalidRequest, match="'path'"):
        from_path(3.5)  # type: ignore[arg-type]  # what a caller may get wrong
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidRequest, match="neither file nor folder"):
        from_path(tmp_path)


def test_a_circle_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "again").symlink_to(tmp_path)
    with pytest.raises(InvalidRequest, match="circle"):
        from_path(tmp_path)


def test_a_given_digest_is_kept(tmp_path: Path) -> None:
    assert from_path(tmp_path, digest="v1").digest == "v1"
    with pytest.raises(InvalidRequest, match="digest"):
        from_path(tmp_path, digest="x" * 37)
