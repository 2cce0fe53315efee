"""Which packages modules come from."""

from __future__ import annotations

import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from headrace.models.environment.installed import normalized_name
from headrace.models.environment.owners import owners_of
from tests.models.environment.conftest import Install


def names(*modules: str) -> set[str]:
    return {owner.name for owner in owners_of(modules)}


def test_names_of_modules_are_not_those_of_packages() -> None:
    assert names("sklearn.tree", "yaml", "PIL.Image") == {"scikit-learn", "pyyaml", "pillow"}


def test_versions_are_those_installed() -> None:
    import msgspec

    [owner] = owners_of(["msgspec.json"])

    assert owner.version == msgspec.__version__


@pytest.mark.parametrize("module", ["os.path", "sys", "_thread", "__main__", "no_such_module", ""])
def test_nothing_to_install(module: str) -> None:
    assert names(module) == set()


def test_every_package_as_importlib_knows_it() -> None:
    # The libraries' own way, which takes a third of a second: the same answers.
    known = packages_distributions()
    expected = {
        top: {normalized_name(name) for name in owners}
        for top, owners in known.items()
        if top.isidentifier() and "headrace" not in owners and not top.endswith("mypyc")
    }

    found = {top: names(top) for top in expected}

    # A folder without a file of its own (a namespace, headers) belongs to nobody.
    differing = {top for top in expected if found[top] and found[top] != expected[top]}
    assert differing == set()
    assert sum(map(bool, found.values())) > 0.7 * len(expected)


def test_packages_that_fill_one_namespace(install: Install) -> None:
    install("google-one", "1.0", "corp/one/__init__.py", "corp/one/deep.py")
    install("google-two", "2.0", "corp/two/__init__.py")

    assert names("corp.one.deep") == {"google-one"}
    assert names("corp.two.Thing") == {"google-two"}
    assert names("corp") == set()


def test_a_package_that_puts_files_into_another(install: Install) -> None:
    install("base", "1.0", "base/__init__.py", "base/own.py")
    install("base-plugin", "1.0", "base/plugin.py")

    assert names("base.plugin") == {"base-plugin"}
    assert names("base.own") == {"base"}


def test_packages_that_overwrite_each_other(install: Install) -> None:
    install("cv", "1.0", "cv/__init__.py")
    install("cv-headless", "1.0", "cv/__init__.py")

    assert names("cv") == {"cv", "cv-headless"}


def test_a_name_that_another_name_ends_with(install: Install) -> None:
    install("long", "1.0", "my/six_like.py", "xcorp/__init__.py")
    install("short", "1.0", "corp/__init__.py")

    assert names("corp") == {"short"}


def test_a_package_without_a_list_of_files(install: Install) -> None:
    install("debian-like", "1.0", "deb_like/__init__.py", record=False)

    assert names("deb_like.part") == {"debian-like"}


def test_local_code_is_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    assert names("mine") == set()


def test_what_is_installed_later_is_seen(install: Install) -> None:
    install("first", "1.0", "first.py")
    assert names("later") == set()

    install("later", "3.1", "later.py")

    assert names("later") == {"later"}


def test_nothing_is_imported(install: Install) -> None:
    site = install("loud", "1.0", "loud/__init__.py", "loud/part.py")
    (site / "loud" / "__init__.py").write_text("raise SystemExit('imported')", encoding="utf-8")

    assert names("loud.part") == {"loud"}
    assert "loud" not in sys.modules
