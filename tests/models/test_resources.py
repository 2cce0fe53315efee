"""What a model uses where it is served: classes, JSON, and the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.errors import InvalidRequest
from headrace.models import resources
from headrace.models.auth_policy import AuthPolicy, SystemAuthPolicy, UserAuthPolicy
from headrace.models.model import Model
from headrace.models.resources import (
    DatabricksFunction,
    DatabricksResource,
    DatabricksServingEndpoint,
    DatabricksTable,
    Resource,
    ResourceType,
    auth_policy_as_dict,
    resources_as_dict,
    resources_in,
)


def every_resource() -> list[Resource]:
    kinds = DatabricksResource.__subclasses__()
    return [kind(f"name-{place}", place % 2 == 0 or None) for place, kind in enumerate(kinds)]


def test_resources_are_written_as_mlflow_writes_them() -> None:
    given = [
        DatabricksServingEndpoint(endpoint_name="e"),
        DatabricksServingEndpoint("f", on_behalf_of_user=True),
        DatabricksTable(table_name="t"),
    ]
    assert resources_as_dict(given) == {
        "databricks": {
            "serving_endpoint": [{"name": "e"}, {"name": "f", "on_behalf_of_user": True}],
            "table": [{"name": "t"}],
        },
        "api_version": "1",
    }


def test_every_kind_comes_back() -> None:
    given = every_resource()
    assert {each.type for each in given} == set(ResourceType)
    table = resources_as_dict(given)
    assert sorted(map(repr, resources_in(table))) == sorted(map(repr, given))
    assert resources_as_dict(table) == table
    assert DatabricksTable("a") != DatabricksFunction("a")
    assert len({DatabricksTable("a"), DatabricksTable("a")}) == 1


def test_a_file_of_resources_is_read(tmp_path: Path) -> None:
    file = tmp_path / "resources.yaml"
    file.write_text('api_version: "1"\ndatabricks:\n  function:\n  - name: a.b.c\n')
    assert resources_as_dict(str(file)) == resources_as_dict([DatabricksFunction("a.b.c")])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1], "expected a list"),
        (7, "expected a list"),
        ({}, "API version None"),
        ({"api_version": "2"}, "API version '2'"),
        ({"api_version": "1", "elsewhere": {}}, "'elsewhere'"),
        ({"api_version": "1", "databricks": []}, "'databricks'"),
        ({"api_version": "1", "databricks": {"magic": []}}, "'magic'"),
        ({"api_version": "1", "databricks": {"table": [7]}}, "'table'"),
        ({"api_version": "1", "databricks": {"table": [{"name": 7}]}}, "text 'name'"),
        ("nowhere.yaml", "cannot be read"),
    ],
)
def test_what_is_no_resources_is_refused(given: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        resources_as_dict(given)


def test_yaml_that_is_a_trap_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "resources.yaml"
    file.write_text(f"!!python/object/apply:os.system ['touch {tmp_path}/marker']")
    with pytest.raises(InvalidRequest, match="no YAML"):
        resources_as_dict(file)
    assert not (tmp_path / "marker").exists()


def test_an_auth_policy_names_both_sides() -> None:
    policy = AuthPolicy(UserAuthPolicy(["sql"]), SystemAuthPolicy([DatabricksTable("t")]))
    assert auth_policy_as_dict(policy) == {
        "system_auth_policy": {
            "resources": {"databricks": {"table": [{"name": "t"}]}, "api_version": "1"}
        },
        "user_auth_policy": {"api_scopes": ["sql"]},
    }
    assert auth_policy_as_dict(AuthPolicy()) == {"system_auth_policy": {}, "user_auth_policy": {}}
    with pytest.raises(InvalidRequest, match="AuthPolicy"):
        auth_policy_as_dict("none")


def test_all_of_it_survives_the_file(tmp_path: Path) -> None:
    model = Model(
        flavors={"python_function": {"loader_module": "x"}},
        resources=resources_as_dict(every_resource()),
        auth_policy=auth_policy_as_dict(AuthPolicy(UserAuthPolicy(["sql"]))),
        env_vars=["OPENAI_API_KEY"],
        prompts=["prompts:/a/1"],
    )
    model.save(tmp_path / "MLmodel")
    assert Model.load(tmp_path / "MLmodel") == model


def test_the_module_has_mlflows_names() -> None:
    assert {name for name in vars(resources) if name.startswith("Databricks")} == {
        *("DatabricksResource", "DatabricksUCConnection", "DatabricksServingEndpoint"),
        *("DatabricksVectorSearchIndex", "DatabricksSQLWarehouse", "DatabricksFunction"),
        *("DatabricksGenieSpace", "DatabricksTable", "DatabricksApp", "DatabricksLakebase"),
        "DatabricksUCModelService",
    }
