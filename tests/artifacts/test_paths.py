"""Untrusted paths: nothing that passes can leave the root, whatever decodes it later."""

from __future__ import annotations

import posixpath
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.artifacts.paths import base_name, join, path_of_uri, safe_path
from headrace.errors import InvalidRequest

NASTY = st.sampled_from(
    "..|.|/|//|\\|%2e|%2E%2e|%252e|%2f|%5c|%00|\0|#|%23|C:|.headrace|.HeadRace|a|é| |%|%25|\n|%0a|"
    f"{'x' * 256}|\ud800".split("|")
)
PATHS = st.one_of(
    st.text(max_size=40), st.lists(NASTY, max_size=8).map("".join), st.lists(NASTY).map("/".join)
)


@given(PATHS)
@example("a/%25252e%25252e/b")
def test_what_passes_is_clean_however_often_it_is_decoded(path: str) -> None:
    try:
        assert safe_path(path) == path
    except InvalidRequest:
        return
    form = path
    for _ in range(20):
        segments = form.split("/")
        assert not set(segments) & {"", ".", ".."}
        assert posixpath.normpath(posixpath.join("/root", form)) == f"/root/{form}"
        assert not set(form) & set("\\#\0\n")
        assert ".headrace" not in [s.lower() for s in segments]
        assert max(len(s.encode()) for s in segments) <= 255
        form = unquote(form)


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "../x",
        "a/../../x",
        "%2e%2e/x",
        "%252e%252e/x",
        "%25252e%25252e%25252fx",
        "/etc/passwd",
        "%2fetc/passwd",
        "C:/windows",
        "c:",
        "a\\..\\b",
        "a%5cb",
        "a#b",
        "a%23b",
        "a\0b",
        "a%00b",
        "a\x7fb",
        "a//b",
        "a/",
        ".",
        "a/./b",
        ".headrace/signing.key",
        "a/.Headrace/x",
        "x" * 256,
        "a/" * 2100 + "a",
        "%" + "25" * 12 + "41",
        "",
        "\udcff",
    ],
)
def test_unsafe_paths(path: str) -> None:
    with pytest.raises(InvalidRequest, match="Invalid path"):
        safe_path(path)


@pytest.mark.parametrize(
    "path",
    ["a", "1/abc/artifacts/m.pkl", "ü/日本 語.txt", "50%", "a%20b", "..a/b..", "a:b", ".hidden"],
)
def test_ordinary_paths_stay_as_they_are(path: str) -> None:
    assert safe_path(path) == path


def test_two_names_never_become_one() -> None:
    assert safe_path("x%41") != safe_path("xA")


@given(st.text(alphabet="ab%2e./#\\", max_size=12))
def test_quoting_cannot_smuggle(path: str) -> None:
    """What is refused as it is, is refused percent-encoded too."""
    try:
        safe_path(path)
    except InvalidRequest:
        if path:
            with pytest.raises(InvalidRequest):
                safe_path(quote(path, safe=""))


def test_the_root_only_where_it_is_allowed() -> None:
    assert safe_path("", allow_root=True) == ""


def test_uris() -> None:
    assert path_of_uri("mlflow-artifacts:/1/r/artifacts") == "1/r/artifacts"
    assert path_of_uri("mlflow-artifacts://host:5000/1/r/artifacts") == "1/r/artifacts"
    assert path_of_uri("mlflow-artifacts:/") == ""
    assert path_of_uri("s3://bucket/x") is None
    assert path_of_uri("/data/x") is None
    with pytest.raises(InvalidRequest):
        path_of_uri("mlflow-artifacts:/1/../../x")


def test_names_of_local_files() -> None:
    assert base_name("/home/me/model.pkl") == "model.pkl"
    assert base_name("C:\\data\\model.pkl") == "model.pkl"
    for path in ("", "/", "a/..", "x/.headrace"):
        with pytest.raises(InvalidRequest):
            base_name(path)


def test_joining() -> None:
    assert (join("a", "b"), join("", "b"), join("a", "")) == ("a/b", "b", "a")
