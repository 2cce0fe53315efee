"""Headrace as a wheel of its own install."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

import headrace
from headrace.deploy.wheel import write_wheel
from headrace.models.environment.uv_tool import find_uv, uv_environment
from headrace.version import VERSION


def test_the_same_install_gives_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()

    first, second = write_wheel(tmp_path), write_wheel(tmp_path / "again")

    assert first.name == f"headrace-{VERSION}-py3-none-any.whl"
    assert first.read_bytes() == second.read_bytes()
    assert [path.name for path in tmp_path.glob("*")] == ["again", first.name]


def test_all_of_the_package_is_in_it(tmp_path: Path) -> None:
    package = Path(headrace.__file__).parent
    expected = {
        f"headrace/{path.relative_to(package).as_posix()}"
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    with zipfile.ZipFile(write_wheel(tmp_path)) as archive:
        names = set(archive.namelist())
        times = {entry.date_time for entry in archive.infolist()}
        record = archive.read(f"headrace-{VERSION}.dist-info/RECORD").decode()

    assert times == {(1980, 1, 1, 0, 0, 0)}
    about = {name for name in names if ".dist-info/" in name}
    assert names - about == expected
    assert {name.rpartition("/")[2] for name in about} == {
        *("METADATA", "RECORD", "WHEEL", "entry_points.txt")
    }
    assert {line.partition(",")[0] for line in record.splitlines()} == names
    assert any(name.endswith("py.typed") for name in names)


@pytest.mark.heavy
def test_it_installs_and_runs_in_a_clean_environment(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path)
    uv, environment = find_uv(), uv_environment()
    python = tmp_path / "env" / "bin" / "python"

    def run(*command: str | Path) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    run(uv, "venv", "--quiet", "--no-project", "env")
    run(uv, "pip", "install", "--quiet", "--python", python, wheel)

    assert run(python.parent / "headrace", "--version") == f"headrace {VERSION}"
    where = run(python, "-c", "import headrace.store.sql.migrations as m; print(m.__file__)")
    assert where.startswith(str(tmp_path / "env"))
    run(uv, "pip", "check", "--python", python)
