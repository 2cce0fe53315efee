"""Where journals lie: one folder for a destination, without its credentials, ours alone."""

from __future__ import annotations

import os
import string
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.client import places

SECRET = st.text(string.ascii_letters + string.digits, min_size=8, max_size=20).map("S3".__add__)


@given(SECRET, SECRET, st.sampled_from(["https", "http", "postgresql", "postgresql+psycopg"]))
def test_no_credentials_are_shown_or_written(user: str, password: str, scheme: str) -> None:
    uri = f"{scheme}://{quote(user)}:{quote(password)}@db.example.com:5432/base?token={password}"
    for shown in (places.without_credentials(uri), places.folder_name(uri)):
        assert user not in shown
        assert password not in shown
        assert "db.example.com" in shown
    # Other credentials lead to the same place: they change, and the journal waits.
    plain = f"{scheme}://db.example.com:5432/base"
    assert places.without_credentials(uri) == plain
    assert places.folder_name(uri) == places.folder_name(plain)


@given(SECRET)
def test_a_password_with_an_at_sign_is_cut_off_whole(password: str) -> None:
    shown = places.without_credentials(f"https://user:{password}@x@host/path")
    assert shown == "https://host/path"
    assert places.without_credentials(f"sqlite:///a.db?key={password}") == "sqlite:///a.db"


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_folder_is_one_name_and_another_ones_is_another(one: str, other: str) -> None:
    first = places.folder_name(f"sqlite:///{quote(one)}")
    second = places.folder_name(f"sqlite:///{quote(other)}")
    assert (first == second) == (one == other)
    for name in (first, second):
        assert "/" not in name
        assert not name.startswith((".", "-"))
        assert len(name) < 60


def test_the_folder_of_all_journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_JOURNAL", "~/journals")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert places.journal_root() == tmp_path / "journals"
    monkeypatch.setenv("HEADRACE_JOURNAL", "below")
    assert places.journal_root() == Path.cwd() / "below"
    monkeypatch.delenv("HEADRACE_JOURNAL")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert places.journal_root() == tmp_path / "state" / "headrace" / "journal"
    monkeypatch.delenv("XDG_STATE_HOME")
    assert places.journal_root() == tmp_path / ".local" / "state" / "headrace" / "journal"


def test_memory_stands_in_only_where_it_is_ours_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "_MEMORY", tmp_path)
    home = tmp_path / "home" / "name"
    first, second = places.with_memory(home)
    own = tmp_path / f"headrace-{os.getuid()}"
    assert first == home
    assert second.is_relative_to(own)
    assert own.stat().st_mode & 0o777 == 0o700
    assert places.with_memory(tmp_path / "other" / "name")[1] != second
    own.chmod(0o777)
    assert places.with_memory(home) == [home]
    own.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    own.symlink_to(tmp_path / "elsewhere")
    assert places.with_memory(home) == [home]
    monkeypatch.setattr(places, "_MEMORY", tmp_path / "none")
    assert places.with_memory(home) == [home]
