"""The page on signatures: its programs run, and print what it says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs/how-to/describe-a-models-input.md"


def test_the_programs_of_the_page_print_what_it_says() -> None:
    blocks = re.findall(r"```(\w*)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    printed = ""
    shown = 0
    for language, text in blocks:
        if language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(text, names)  # noqa: S102  (our own page)
            printed = out.getvalue()
        else:
            assert lines(text) == lines(printed)
            shown += 1
    assert shown == 2
    assert "Bern" in printed


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]
