"""Requirements tried before they are kept: installed into a clean environment."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from headrace.errors import InvalidRequest
from headrace.models.environment.prepare import install, make_environment, python_in
from headrace.models.environment.wanted import Wanted

_TRY: Final = """\
import importlib, json, sys
failed = {}
for name in json.load(sys.stdin):
    try:
        importlib.import_module(name)
    except BaseException as error:
        failed[name] = f"{type(error).__name__}: {error}"
with open(sys.argv[1], "w") as file:
    json.dump(failed, file)
"""
_SHOWN: Final = 10


def verify_requirements(
    requirements: Sequence[str],
    constraints: Sequence[str],
    modules: Iterable[str],
    code: Path | None = None,
) -> None:
    """Install requirements into a new environment, and import `modules` there.

    `code` is the folder of shipped code, which imports find too. The environment is removed again.
    InvalidRequest says what cannot be installed, conflicts or does not import; Unavailable where
    packages could not be reached.
    """
    wanted = Wanted(platform.python_version(), (), (), ())
    # References to constraints.txt are followed here; what it says is handed over by itself.
    lines = [line for line in requirements if not line.startswith("-c ")]
    with tempfile.TemporaryDirectory(prefix="headrace-verify-") as temporary:
        environment = Path(temporary, "environment")
        make_environment(environment, wanted)
        install(environment, lines, constraints)
        failed = _failed_imports(environment, _to_import(modules), code)
    if failed:
        shown = [f" - {name}: {reason}" for name, reason in list(failed.items())[:_SHOWN]]
        raise InvalidRequest(
            "The requirements do not suffice: in a clean environment these modules of the model do "
            "not import.\n" + "\n".join(shown) + "\nAdd what is missing with "
            "'extra_pip_requirements', or your own code with 'code_paths'."
        )


def _to_import(modules: Iterable[str]) -> list[str]:
    standard = sys.stdlib_module_names | {"__main__", "__mp_main__", "headrace"}
    return sorted(name for name in modules if name.partition(".")[0] not in standard)


def _failed_imports(environment: Path, names: list[str], code: Path | None) -> dict[str, str]:
    """The modules that do not import in an environment, each with the error."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if code is not None:
        variables["PYTHONPATH"] = str(code)
    answer = environment / "failed.json"
    ended = subprocess.run(  # noqa: S603 - the interpreter that was just made, no shell
        [str(python_in(environment)), "-c", _TRY, str(answer)],
        input=json.dumps(names).encode(),
        cwd=environment,
        env=variables,
        capture_output=True,
        check=False,
    )
    if ended.returncode or not answer.is_file():
        said = ended.stderr.decode(errors="replace").strip()[-2000:]
        return {"the interpreter": f"ended with {ended.returncode}: {said}"}
    failed: dict[str, str] = json.loads(answer.read_text(encoding="utf-8"))
    return failed
