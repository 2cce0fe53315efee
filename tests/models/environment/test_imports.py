"""The imports of shipped code."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.models.environment.imports import modules_imported_by, modules_in_source
from tests.models.environment.conftest import put

SOURCE = """
import os, numpy as np
from google import protobuf
from . import sibling
from .near import thing
from typing import TYPE_CHECKING
import importlib
if TYPE_CHECKING:
    import only_for_types
else:
    import other_branch
def f():
    import inside_function
    importlib.import_module("by_name.deep")
    importlib.import_module(variable)
    importlib.import_module(".relative", __package__)
    return __import__("old_way")
class C:
    try:
        import maybe
    except ImportError:
        from instead import it
"""


def test_imports_wherever_they_stand() -> None:
    tops = {name.partition(".")[0] for name in modules_in_source(SOURCE)}

    assert tops == {
        *("os", "numpy", "google", "typing", "importlib", "other_branch", "inside_function"),
        *("by_name", "old_way", "maybe", "instead"),
    }
    assert "google.protobuf" in modules_in_source(SOURCE)


def test_folders_and_what_is_shipped_itself(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "mypkg/__init__.py": "import six",
            "mypkg/sub/deep.py": "import mypkg.sub, tool, tomli",
            "mypkg/__pycache__/old.py": "import stale",
            "mypkg/notes.txt": "import text",
            "tool.py": "import mypkg",
        },
    )

    found = modules_imported_by([tmp_path / "mypkg", tmp_path / "tool.py"])

    assert found == {"six", "tomli"}


def test_a_file_of_a_package_is_shipped_under_the_packages_name(tmp_path: Path) -> None:
    put(tmp_path, {"pkg/__init__.py": "", "pkg/yaml.py": "import yaml, pkg.other"})

    assert modules_imported_by([tmp_path / "pkg" / "yaml.py"]) == {"yaml"}


def test_what_is_no_python_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path, {"old.py": "print 'two'", "good.py": "import six"})

    with caplog.at_level(logging.WARNING, "headrace"):
        found = modules_imported_by([tmp_path / "old.py", tmp_path / "good.py"])

    assert found == {"six"}
    assert "old.py" in caplog.text


@given(st.text(max_size=60))
def test_any_text_is_python_or_a_syntax_error(text: str) -> None:
    with contextlib.suppress(SyntaxError, ValueError):
        assert isinstance(modules_in_source(text), set)
