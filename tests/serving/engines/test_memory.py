"""What memory is free, by all who have a say in it."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from headrace.serving.engines import memory


def test_a_process_counts_on_no_more_than_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    before = memory.free_memory()
    assert before is not None
    monkeypatch.setattr(memory._process, "most", None)  # it is put back as it was
    held = psutil.Process().memory_info().rss
    memory.count_on(held + (before - held) // 2)
    found = memory.free_memory()
    assert found is not None
    assert 0 < found < before
    memory.count_on(held // 2)
    assert memory.free_memory() == 0


def test_the_machine_says_what_is_free() -> None:
    found = memory.free_memory()
    if found is None:
        pytest.skip("this system does not say what memory is free")
    assert 0 <= found <= psutil.virtual_memory().total


def test_a_container_has_its_own_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("500\n")
    (tmp_path / "memory.stat").write_text("anon 350\ninactive_file 100\nactive_file 50\n")
    assert memory.free_memory() == 600
    (tmp_path / "memory.stat").write_text("anon 350\n")
    assert memory.free_memory() == 500
    (tmp_path / "memory.current").write_text("4000\n")
    assert memory.free_memory() == 0
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_memory() != 0
