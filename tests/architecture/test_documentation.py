"""The pages are true: links lead somewhere, code compiles, settings and commands are all there."""

from __future__ import annotations

import ast
import importlib.util
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from docs.reference import generate
from headrace import settings
from tests.architecture.source_tree import ROOT, python_files, report, repository_files

REFERENCE = ROOT / "docs" / "reference"

_FENCE = re.compile(r"^([ ]*)(```+)([\w-]*)[^\n]*\n(.*?)^\1\2[ ]*$", re.MULTILINE | re.DOTALL)
_INLINE_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)


def pages() -> Iterator[tuple[Path, str]]:
    for name in repository_files():
        if name.endswith(".md"):
            yield ROOT / name, (ROOT / name).read_text(encoding="utf-8")


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as the usual renderers name them."""
    found = set()
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        plain = unicodedata.normalize("NFC", heading.replace("`", "")).lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


def broken_links(page: Path, text: str) -> list[str]:
    problems = []
    prose = _INLINE_CODE.sub("", _FENCE.sub("", text))
    for link in _LINK.findall(prose):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            problems.append(f"{page.name}: {link} leads nowhere")
        elif anchor and target.suffix == ".md" and anchor not in anchors(target.read_text()):
            problems.append(f"{page.name}: {link} names no heading there")
    return problems


def broken_code(page: Path, text: str) -> list[str]:
    problems = []
    for indent, _, language, code in _FENCE.findall(text):
        if language not in {"python", "py"}:
            continue
        plain = re.sub(f"^{indent}", "", code, flags=re.MULTILINE)
        try:
            compile(plain, str(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except SyntaxError as error:
            problems.append(f"{page.name}: {error.msg}: {(error.text or '').strip()}")
    return problems


def test_links_lead_somewhere() -> None:
    problems = [problem for page, text in pages() for problem in broken_links(page, text)]
    assert not problems, report(problems)


def test_python_in_pages_compiles() -> None:
    problems = [problem for page, text in pages() for problem in broken_code(page, text)]
    assert not problems, report(problems)


def test_settings_are_read_in_one_place() -> None:
    problems = [
        f"{file.path}: {name} belongs in settings.py"
        for file in python_files("src")
        if not file.path.endswith("headrace/settings.py")
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for name in re.findall(r"\AHEADRACE_\w+\Z", node.value)
    ]
    assert not problems, report(problems)


def test_every_setting_has_its_entry() -> None:
    page = (REFERENCE / "settings.md").read_text()
    assert page == generate.settings_page(), "make docs writes it anew"
    assert all(name in page for v in settings.all_variables() for name in v.names)


def test_every_command_has_its_entry() -> None:
    if importlib.util.find_spec("headrace.cli.main") is None:
        pytest.skip("no headrace.cli.main")
    root = importlib.import_module("headrace.cli.main").root
    page = (REFERENCE / "cli.md").read_text()
    assert page == generate.commands_page(root), "make docs writes it anew"


def test_every_decision_has_a_number_of_its_own_and_fits_a_page() -> None:
    found = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert found
    numbers = [path.name[:4] for path in found]
    assert numbers == [f"{number:04}" for number in range(1, len(found) + 1)]
    for path in found:
        assert len(path.read_text().splitlines()) <= 40, f"{path.name} is longer than a page"


def test_the_architecture_page_is_at_most_two() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 120


def test_the_rules_bite(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A heading: `code`\n[a](page.md#a-heading-code) [b](gone.md) [c](#gone)\n")
    assert broken_links(page, page.read_text()) == [
        "page.md: gone.md leads nowhere",
        "page.md: #gone names no heading there",
    ]
    assert broken_code(page, "```python\nwith a as:\n    pass\n```\n")
    assert not broken_code(page, "```python\nresult = await run()\n```\n```sh\nif (\n```\n")

    group = click.Group("headrace", commands={"db": click.Group("db")})
    group.add_command(click.Command("server"))
    group.add_command(click.Command("old", hidden=True))
    paths = [context.command_path for context in generate.commands(group)]
    assert paths == ["headrace", "headrace db", "headrace server"]
    assert "## headrace server\n" in generate.commands_page(group)
