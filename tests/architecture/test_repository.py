"""What must not be committed: addresses of one machine, registries, large files."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tests.architecture.source_tree import ROOT, report, repository_files, text_files

MAX_BYTES = 2_000_000

# Somebody's folder; a drive by which a file was made.
_MACHINE_PATH = re.compile(r"(?<![\w./\\-])/(?:root|work|home/\w+|Users/\w+)/")
# Where packages come from is the business of whoever installs, not of this tree.
_REGISTRY = re.compile(
    r"\b(?:pypi\.org|pythonhosted\.org|registry\.npmjs\.org|registry\.yarnpkg\.com|\w+\.jfrog\.io)"
    r"|--(?:extra-)?index[-]url|--find[-]links|\bUV_INDEX\b|resolved\": \"http",
)


def found(pattern: re.Pattern[str], files: Iterable[tuple[str, str]]) -> list[str]:
    return [
        f"{path}:{number}: {line.strip()[:120]}"
        for path, text in files
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_path_of_one_machine() -> None:
    # Tests of paths need some that look like anybody's; they must not be those of this checkout.
    outside_tests = (file for file in text_files() if not file[0].startswith("tests/"))
    problems = found(_MACHINE_PATH, outside_tests)
    problems += found(re.compile(rf"{re.escape(str(ROOT))}\b"), text_files())
    assert not problems, report(problems)


def test_no_registry() -> None:
    problems = found(_REGISTRY, text_files())
    assert not problems, report(problems)


def test_no_large_file() -> None:
    sizes = {name: (ROOT / name).stat().st_size for name in repository_files()}
    problems = [f"{name}: {size:,} bytes" for name, size in sizes.items() if size > MAX_BYTES]
    assert sizes
    assert not problems, report(problems)


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_constraints_are_names_and_versions() -> None:
    pinned = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+")
    files = sorted((ROOT / "constraints").glob("*.txt"))
    assert files
    for path in files:
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        assert [line for line in lines if not pinned.fullmatch(line)] == [], path.name


def test_the_rules_bite() -> None:
    home = "/ho" + "me/ann/data.db"
    assert found(_MACHINE_PATH, [("x.py", f'path = "{home}"')])
    assert not found(_MACHINE_PATH, [("x.py", "docs/work/plan.md and https://a.example/root/x")])
    assert found(_REGISTRY, [("x.txt", "https://" + "pypi" + ".org/simple")])
    assert found(_REGISTRY, [("x.txt", "--index" + "-url x")])
