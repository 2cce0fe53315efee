"""An exemption from a check says why on its own line; nothing is left for later."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator, Sequence

from tests.architecture.source_tree import PythonFile, python_files, report, text_files

_EXEMPTION = re.compile(
    r"#\s*(?:ruff:\s*)?(?:noqa|type:\s*ignore|pragma:\s*no cover|nosec|mypy:)"
    r"(?::?\s*[A-Z]+\d+(?:\s*,\s*[A-Z]+\d+)*|\[[\w,\s-]*\])?",
)
_REASON = re.compile(r"\w\w+")
# Spelled in two halves, so that this file does not find itself.
_LEFT_FOR_LATER = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")


def comments(file: PythonFile) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(file.text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def exemptions_without_reason(files: Sequence[PythonFile]) -> list[str]:
    problems = []
    for file in files:
        for line, comment in comments(file):
            if _EXEMPTION.search(comment) and not _REASON.search(_EXEMPTION.sub("", comment)):
                problems.append(f"{file.path}:{line}: say why: {comment}")
    return problems


def left_for_later(files: Sequence[tuple[str, str]]) -> list[str]:
    return [
        f"{path}:{number}: {line.strip()}"
        for path, text in files
        for number, line in enumerate(text.splitlines(), 1)
        if _LEFT_FOR_LATER.search(line)
    ]


def test_every_exemption_says_why() -> None:
    problems = exemptions_without_reason(python_files("src", "benchmarks", "examples", "tests"))
    assert not problems, report(problems)


def test_nothing_is_left_for_later() -> None:
    ours = [(path, text) for path, text in text_files() if path != "pyproject.toml"]
    problems = left_for_later(ours)
    assert not problems, report(problems)


def test_the_rules_bite() -> None:
    silent = PythonFile(
        "silent.py",
        "a = 1  # noqa: E501\n"
        "b = 2  # type: ignore[assignment]\n"
        "c = 3  # noqa: BLE001, S110\n"
        "d = '# noqa'\n",
    )
    spoken = PythonFile(
        "spoken.py",
        "a = 1  # noqa: E501 - the address is that long\n"
        "b = 2  # type: ignore[assignment]  # the stubs are older than the library\n",
    )
    assert len(exemptions_without_reason([silent])) == 3
    assert not exemptions_without_reason([spoken])
    assert left_for_later([("later.py", "x = 1  # TO" + "DO: finish")])
