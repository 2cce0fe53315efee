"""What the import and the first log load: modules, in programs of their own.

The seconds that they cost are in the benchmark: a busy machine must not fail a test.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

MODULES = 350

LISTED = """
{program}
import json, sys
print(json.dumps(sorted(sys.modules)))
"""

FIRST_LOG = """
import headrace
headrace.set_tracking_uri({uri!r})
headrace.start_run()
headrace.log_metric("m", 1)
"""


def loaded_by(program: str) -> set[str]:
    """The modules that are there after `program`."""
    done = subprocess.run(
        [sys.executable, "-c", LISTED.format(program=program)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(json.loads(done.stdout.splitlines()[0]))


def test_the_import_is_light() -> None:
    modules = loaded_by("import headrace; dir(headrace)")
    assert len(modules) <= MODULES
    assert not {"sqlalchemy", "urllib3", "pandas", "numpy", "msgspec"} & modules


def test_the_first_log_is_light_on_a_database(tmp_path: Path) -> None:
    modules = loaded_by(FIRST_LOG.format(uri=f"sqlite:///{tmp_path}/h.db"))
    assert not {"urllib3", "pandas", "numpy", "starlette"} & modules


@pytest.fixture
def server(server_url: str) -> str:
    return server_url


def test_the_first_log_is_light_over_http(server: str) -> None:
    modules = loaded_by(FIRST_LOG.format(uri=server))
    assert not {"sqlalchemy", "pandas", "numpy", "starlette"} & modules
