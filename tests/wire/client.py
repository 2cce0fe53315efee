"""Running a program of `programs/` under the real MLflow client, and reading what it reports."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).with_name("programs")

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Off unless asked for; the server says whether it can.
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


def steps_of(program: str) -> list[str]:
    """The names of a program's steps, in order, without running it."""
    text = (PROGRAMS / f"{program}.py").read_text()
    return re.findall(r"^@step\ndef (\w+)", text, re.MULTILINE)


def run_program(
    python: Path,
    program: str,
    url: str,
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    timeout: float = 300,
) -> dict[str, dict[str, Any]]:
    """The report of each step of `program` against the server at `url`."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [str(python), "-m", f"tests.wire.programs.{program}", url],
        env={**os.environ, **_ENVIRONMENT, "PYTHONPATH": str(ROOT), **(environment or {})},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr[-5000:]
    reports = {line["step"]: line for line in lines}
    assert list(reports) == steps_of(program), done.stderr[-5000:]
    reports[""] = {"stderr": done.stderr}
    return reports


_RUN = re.compile(r"[0-9a-f]{32}")


def calls_of(report: Mapping[str, Any]) -> list[list[Any]]:
    """The tracking calls of a step, each kind once: method, path, keys of query and body, status.

    How artifacts travel is left out: a server that can sign URLs is asked in another way.
    """
    found = []
    for sent in report["requests"]:
        path = _RUN.sub("*", sent["path"])
        if not path.startswith("/api/2.0/mlflow/"):
            continue
        call = [sent["method"], path, sent["query"], sent["body"], sent["status"]]
        if call not in found:
            found.append(call)
    return sorted(found, key=json.dumps)
