"""Packages that are installed somewhere, and folders of models with what they need."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from headrace.models.environment import Requirements, write_environment

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """`install("name", "1.0", "pkg/__init__.py", …)` as an installer leaves it, on the path."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(site)])

    def install(name: str, version: str, *files: str, record: bool = True) -> Path:
        about = site / f"{name.replace('-', '_')}-{version}.dist-info"
        about.mkdir()
        for file in files:
            path = site / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("", encoding="utf-8")
        if record:
            lines = [f"{file},sha256=x,0\n" for file in (*files, f"{about.name}/RECORD")]
            (about / "RECORD").write_text("".join(lines), encoding="utf-8")
        else:
            tops = {file.partition("/")[0].removesuffix(".py") for file in files}
            (about / "top_level.txt").write_text("\n".join(sorted(tops)), encoding="utf-8")
        return site

    return install


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's folder that needs `six`."""
    folder = tmp_path / "model"
    folder.mkdir()
    write_environment(folder, Requirements(pip_requirements=["six==1.17.0"]))
    return folder


@pytest.fixture(autouse=True)
def no_downloads_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of caches of this test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("HEADRACE_CACHE", str(folder))
    return folder


def put(folder: Path, files: Mapping[str, str]) -> Path:
    """Write files into a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder
