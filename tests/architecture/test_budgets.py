"""The house budgets: how long a file or function, how wide a class or signature may get."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from tests.architecture.source_tree import (
    PythonFile,
    classes,
    functions,
    is_public,
    python_files,
    report,
)

MAX_FILE_LINES = 500
MAX_TEST_FILE_LINES = 800
MAX_MEDIAN_FILE_LINES = 150
MAX_FUNCTION_LINES = 60
MAX_PUBLIC_METHODS = 20
MAX_PARAMETERS = 8
MAX_SAVE_AND_LOG_PARAMETERS = 12
GIVEN_BY_MLFLOW = "MLflow's signature"  # said beside a def, it is not ours to narrow


def long_files(files: Sequence[PythonFile], limit: int) -> list[str]:
    return [
        f"{file.path}: {file.line_count} lines, at most {limit}"
        for file in files
        if file.line_count > limit
    ]


def long_functions(files: Sequence[PythonFile]) -> list[str]:
    problems = []
    for file in files:
        for function in functions(file.tree):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                where = f"{file.path}:{function.lineno}"
                problems.append(
                    f"{where}: {function.name} has {lines} lines, at most {MAX_FUNCTION_LINES}"
                )
    return problems


def wide_signatures(files: Sequence[PythonFile]) -> list[str]:
    problems = []
    for file in files:
        for function in functions(file.tree):
            arguments = function.args
            named = [
                argument.arg
                for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
                if argument.arg not in {"self", "cls"}
            ]
            what_users_log = function.name.split("_")[0] in {"save", "log"}
            limit = MAX_SAVE_AND_LOG_PARAMETERS if what_users_log else MAX_PARAMETERS
            is_given = GIVEN_BY_MLFLOW in file.text.splitlines()[function.lineno - 1]
            if len(named) > limit and not is_given:
                where = f"{file.path}:{function.lineno}"
                problems.append(
                    f"{where}: {function.name} has {len(named)} parameters, at most {limit}"
                )
    return problems


def wide_classes(files: Sequence[PythonFile]) -> list[str]:
    problems = []
    for file in files:
        for node in classes(file.tree):
            own = {
                function.name
                for function in functions(node)
                if function in node.body and is_public(function.name)
            }
            if len(own) > MAX_PUBLIC_METHODS:
                where = f"{file.path}:{node.lineno}"
                problems.append(
                    f"{where}: {node.name} has {len(own)} public methods,"
                    f" at most {MAX_PUBLIC_METHODS}"
                )
    return problems


def test_files_are_short() -> None:
    problems = long_files(python_files("src", "benchmarks", "examples"), MAX_FILE_LINES)
    problems += long_files(python_files("tests"), MAX_TEST_FILE_LINES)
    assert not problems, report(problems)


def test_half_of_the_files_are_shorter_still() -> None:
    assert statistics.median(f.line_count for f in python_files("src")) <= MAX_MEDIAN_FILE_LINES


def test_functions_are_short() -> None:
    problems = long_functions(python_files("src", "benchmarks", "examples", "tests"))
    assert not problems, report(problems)


def test_signatures_are_narrow() -> None:
    problems = wide_signatures(python_files("src", "benchmarks"))
    assert not problems, report(problems)


def test_classes_are_narrow() -> None:
    problems = wide_classes(python_files("src", "benchmarks"))
    assert not problems, report(problems)


def test_the_rules_bite() -> None:
    long = PythonFile("long.py", "def work():\n" + "    pass\n" * 60)
    parameters = ", ".join(f"p{n}" for n in range(9))
    wide = PythonFile("wide.py", f"def save_it({parameters}): ...\ndef read({parameters}): ...\n")
    methods = "".join(f"    def m{n}(self): ...\n" for n in range(21))
    crowded = PythonFile("crowded.py", f"class Crowd:\n{methods}    def _inner(self): ...\n")

    assert long_files([long], 60) == ["long.py: 61 lines, at most 60"]
    assert long_functions([long]) == ["long.py:1: work has 61 lines, at most 60"]
    assert wide_signatures([wide]) == ["wide.py:2: read has 9 parameters, at most 8"]
    assert wide_classes([crowded]) == ["crowded.py:1: Crowd has 21 public methods, at most 20"]
    assert not long_functions([PythonFile("ok.py", "def work():\n" + "    pass\n" * 59)])
