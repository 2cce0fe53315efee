"""Requirements that are tried in a clean environment while a model is saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.errors import InvalidRequest
from headrace.models.environment import Requirements, write_environment
from headrace.models.environment.verify import verify_requirements
from tests.models.environment.conftest import put

pytestmark = pytest.mark.heavy


def test_what_suffices(tmp_path: Path) -> None:
    put(tmp_path, {"code/shipped.py": "import six"})

    verify_requirements(["six==1.17.0"], ["six<2"], ["six", "shipped"], tmp_path / "code")


def test_a_module_that_nothing_brings() -> None:
    with pytest.raises(
        InvalidRequest, match=r"(?s)do not suffice.*tomli\.sub: ModuleNotFoundError"
    ):
        verify_requirements(["six==1.17.0"], [], ["six", "os", "tomli.sub", "__main__"])


def test_packages_that_conflict() -> None:
    with pytest.raises(InvalidRequest, match="cannot be installed"):
        verify_requirements(["six==1.17.0"], ["six<1.17"], [])


def test_nothing_is_written_where_it_fails(tmp_path: Path) -> None:
    given = Requirements(pip_requirements=["six==1.17.0", "mlflow-skinny==0.0.1"], verify=True)

    with pytest.raises(InvalidRequest, match="cannot be installed"):
        write_environment(tmp_path, given, modules=["six"])

    assert list(tmp_path.iterdir()) == []
