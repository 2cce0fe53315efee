"""What the page about evaluation shows is run as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import headrace

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "evaluate-a-model.md"


@pytest.mark.usefixtures("database")
def test_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 5
    seen: dict[str, Any] = {}
    exec(compile("\n".join(blocks), str(PAGE), "exec"), seen)  # noqa: S102 - the page itself
    said = capsys.readouterr().out
    assert "roc_auc" in said
    assert "met roc_auc" in said
    assert "NOT MET" not in said
    assert seen["result"].metrics["missed_cases"] >= 0
    assert "wrong" in seen["result"].tables
    assert len(headrace.search_runs(output_format="list")) == 5
