from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from headrace.artifacts.tree import Tree
from headrace.models.trust.hashing import digest_of, for_each, listing_of, problem_of


def test_a_listing_follows_no_link_and_leaves_out_what_is_never_signed(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "a" / "b").mkdir(parents=True)
    (model / "empty").mkdir()
    (model / ".git" / "hooks").mkdir(parents=True)
    (model / "a" / ".git").mkdir()
    for name in ("z", "a/b/c", ".git/config", ".gitignore", "model.sig", "a/.git/x", "a/model.sig"):
        (model / name).write_text("")
    (model / "loop").symlink_to(model)
    (model / "a" / "file").symlink_to(model / "z")
    os.mkfifo(model / "a" / "pipe")
    files, others = listing_of(model)
    assert files == ["a/.git/x", "a/b/c", "a/model.sig", "z"]
    assert others == ["a/file", "a/pipe", "loop"]
    assert listing_of(model, "a/b").files == ["a/b/c"]


def test_digests_are_those_of_the_bytes_and_in_order(tmp_path: Path) -> None:
    contents = {f"{number}": bytes([number]) * (number << 18) for number in range(9)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    tree = Tree(tmp_path, only_read=True)
    found = for_each(tree, list(contents), lambda name: digest_of(tree, name))
    assert found == [hashlib.sha256(content).hexdigest() for content in contents.values()]


def test_what_is_wrong_with_a_file_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder-link").symlink_to("folder")
    os.mkfifo(tmp_path / "pipe")
    tree = Tree(tmp_path, only_read=True)
    for name, said in {
        "absent": "is missing",
        "folder": "is a folder",
        "link": "is a symbolic link",
        "folder-link/x": "leads through a symbolic link or a file",
        "file/x": "leads through a symbolic link or a file",
        "pipe": "is no regular file",
        "x" * 300: "cannot be read: File name too long",
    }.items():
        with pytest.raises(OSError) as caught:
            digest_of(tree, name)
        assert problem_of(caught.value) == said
