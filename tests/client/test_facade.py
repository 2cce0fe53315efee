"""Every way in: names of the front door, modules found as attributes, imports as MLflow's users
write them.
"""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import headrace
from headrace import artifacts, config, entities, exceptions, system_metrics, tracking
from headrace.client.client import Client
from headrace.tracking import fluent

IMPORTS = [
    "import headrace as mlflow; mlflow.tracking.MlflowClient()",
    "import headrace.tracking; headrace.tracking.MlflowClient()",
    "import headrace as mlflow; mlflow.tracking.fluent.active_run()",
    "import headrace as mlflow; mlflow.entities.ViewType.ALL; mlflow.exceptions.MlflowException",
    "import headrace as mlflow; mlflow.artifacts.load_text",
    "import headrace as mlflow; mlflow.config.enable_async_logging()",
    "import headrace as mlflow; mlflow.utils.mlflow_tags.MLFLOW_RUN_NAME",
    "import headrace as mlflow; mlflow.data.from_numpy",
    "import headrace.artifacts as a; a.download_artifacts",
    "from headrace import MlflowClient, MlflowException",
    "from headrace.tracking import MlflowClient",
    "from headrace.tracking.client import MlflowClient",
    "from headrace.tracking.fluent import active_run, log_metric",
    "from headrace.client import MlflowClient",
    "from headrace.entities import Metric, Param, RunStatus, RunTag, ViewType",
    "from headrace.entities.model_registry import ModelVersion, RegisteredModel",
    "from headrace.entities.model_registry.model_version_status import ModelVersionStatus",
    "from headrace.exceptions import MlflowException, RestException",
    "from headrace.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_USER",
    "from headrace.system_metrics import enable_system_metrics_logging",
    "from headrace.config import set_tracking_uri",
]


@pytest.mark.parametrize("program", IMPORTS)
def test_imports_as_mlflow_is_imported(program: str) -> None:
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_every_name_is_there() -> None:
    for name in headrace.__all__:
        assert getattr(headrace, name) is not None
    assert len(set(headrace.__all__)) == len(headrace.__all__)
    assert set(headrace.__all__) <= set(dir(headrace))
    with pytest.raises(AttributeError, match="'headrace' has no attribute 'nothing'"):
        _ = headrace.nothing


def test_a_door_shows_the_same_things() -> None:
    for door in (fluent, tracking, config, system_metrics, exceptions):
        for name in door.__all__:
            found = getattr(headrace, name, None)
            assert found is None or getattr(door, name) is found, (door, name)
    assert tracking.MlflowClient is Client
    assert exceptions.MlflowException is headrace.MlflowException
    assert artifacts.load_text is importlib.import_module("headrace.client.artifacts").load_text


def test_every_name_of_a_door_is_there() -> None:
    for door in ("config", "entities", "entities.model_registry", "exceptions", "system_metrics"):
        module = importlib.import_module(f"headrace.{door}")
        assert all(hasattr(module, name) for name in module.__all__)
    assert entities.ExperimentTag is entities.RunTag


def test_errors_as_mlflow_users_read_them() -> None:
    with pytest.raises(exceptions.MlflowException) as caught:
        headrace.set_experiment()
    error = caught.value
    assert (error.error_code, error.get_http_status_code()) == ("INVALID_PARAMETER_VALUE", 400)
    assert '"error_code": "INVALID_PARAMETER_VALUE"' in error.serialize_as_json()


@pytest.mark.parametrize("name", ["deployments", "projects"])
def test_what_is_to_come_is_said_to_be(name: str) -> None:
    with pytest.raises(AttributeError, match=f"no '{name}' yet"):
        getattr(headrace, name)
    assert not hasattr(headrace, name)
