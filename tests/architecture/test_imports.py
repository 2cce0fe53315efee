"""What may import what, beyond the contracts in pyproject.toml; and what an import costs."""

from __future__ import annotations

import graphlib
import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from functools import cache

import grimp
import pytest

from tests.architecture.source_tree import ROOT, report

MAX_MODULES = 350
HEAVY = {
    *("asyncio", "click", "httptools", "matplotlib", "numpy", "obstore", "pandas", "polars"),
    *("psycopg", "rich", "sklearn", "sqlalchemy", "starlette", "torch", "urllib3", "uvicorn"),
}

# Who must never reach whom, for safety rather than for taste. The packages come one by one:
# a rule sleeps until both of its ends exist.
NEVER = {
    "headrace.server": ("headrace.models", "headrace.client", "headrace.projects"),
    "headrace.serving": ("headrace.store.sql", "headrace.server"),
    "headrace.store.sql": ("headrace.store.rest", "headrace.client", "headrace.server"),
    "headrace.store.rest": ("headrace.store.sql", "sqlalchemy"),
}


@cache
def import_graph() -> grimp.ImportGraph:
    return grimp.build_graph("headrace", include_external_packages=True, cache_dir=None)


def forbidden_chains(graph: grimp.ImportGraph, rules: Mapping[str, tuple[str, ...]]) -> list[str]:
    problems = []
    for importer, targets in rules.items():
        for target in targets:
            if importer not in graph.modules or target not in graph.modules:
                continue
            internal = target.startswith("headrace")
            importers = {importer, *graph.find_descendants(importer)}
            imported = {target, *(graph.find_descendants(target) if internal else ())}
            for module in sorted(importers):
                for other in sorted(imported):
                    chain = graph.find_shortest_chain(importer=module, imported=other)
                    if chain:
                        problems.append(" → ".join(chain))
    return problems


def find_cycle(graph: grimp.ImportGraph) -> list[str]:
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle
    return []


def loaded_by(statement: str) -> list[str]:
    """The modules that a fresh interpreter has loaded after `statement`."""
    program = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    modules: list[str] = json.loads(answer.stdout)
    return modules


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert not find_cycle(import_graph())


def test_what_must_never_be_reached_is_not() -> None:
    problems = forbidden_chains(import_graph(), NEVER)
    assert not problems, report(problems)


def test_every_top_folder_has_its_layer() -> None:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = configuration["tool"]["importlinter"]["contracts"]
    layered = next(contract for contract in contracts if contract.get("exhaustive"))
    named = {
        name.strip(" ()")
        for layer in layered["layers"]
        for name in layer.replace(":", "|").split("|")
    }
    packages = {child.rpartition(".")[2] for child in import_graph().find_children("headrace")}
    assert packages <= named


def test_import_headrace_is_light() -> None:
    modules = loaded_by("import headrace")
    assert "headrace" in modules
    assert len(modules) <= MAX_MODULES
    assert not HEAVY & set(modules)


def test_every_module_can_be_imported_first() -> None:
    """A hidden cycle shows only when the wrong module comes first; so each comes first once."""
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    for loaded in [m for m in sys.modules if m.partition('.')[0] == 'headrace']:\n"
        "        del sys.modules[loaded]\n"
        "    importlib.import_module(name)\n"
    )
    ours = sorted(name for name in import_graph().modules if name.startswith("headrace"))
    answer = subprocess.run(
        [sys.executable, "-c", program, *ours],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert answer.returncode == 0, answer.stderr


def test_the_rules_bite() -> None:
    graph = grimp.ImportGraph()
    for module in ("headrace.server", "headrace.server.app", "headrace.sync", "headrace.client"):
        graph.add_module(module)
    assert not forbidden_chains(graph, NEVER)
    assert not find_cycle(graph)

    graph.add_import(importer="headrace.server.app", imported="headrace.sync")
    graph.add_import(importer="headrace.sync", imported="headrace.client")
    chains = forbidden_chains(graph, NEVER)
    assert chains == ["headrace.server.app → headrace.sync → headrace.client"]

    graph.add_import(importer="headrace.client", imported="headrace.server.app")
    assert find_cycle(graph)
    with pytest.raises(subprocess.CalledProcessError):
        loaded_by("import headrace.no_such_module")
    assert HEAVY & set(loaded_by("import asyncio"))
