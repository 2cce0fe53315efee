"""Registered models, their versions, and logged models."""

from __future__ import annotations

import pytest

import headrace
from headrace.errors import AlreadyExists, InvalidRequest, NotFound


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


def run_with_model() -> str:
    with headrace.start_run() as run:
        headrace.log_text("flavors: {}", "model/MLmodel")
    return run.info.run_id


def test_a_model_of_a_run_is_registered_again_and_again(uri: str, name: str) -> None:
    run_id = run_with_model()
    first = headrace.register_model(f"runs:/{run_id}/model", name, tags={"a": 1})
    second = headrace.register_model(f"runs:/{run_id}/model", name)
    assert (first.version, second.version) == ("1", "2")
    assert (first.run_id, first.status, first.tags) == (run_id, "READY", {"a": "1"})
    assert first.source == headrace.get_run(run_id).info.artifact_uri + "/model"
    where = headrace.artifacts.download_artifacts(f"models:/{name}/2")
    with open(f"{where}/MLmodel") as file:
        assert file.read() == "flavors: {}"


def test_a_logged_model_is_registered(uri: str, name: str) -> None:
    with headrace.start_run() as run:
        model = headrace.initialize_logged_model("net", tags={"t": "1"}, params={"p": "2"})
        headrace.finalize_logged_model(model.model_id, "READY")
    by_id = headrace.register_model(model.model_uri, name)
    assert (by_id.model_id, by_id.run_id) == (model.model_id, run.info.run_id)
    by_run = headrace.register_model(f"runs:/{run.info.run_id}/net", name)
    assert (by_run.source, by_run.model_id) == (model.model_uri, model.model_id)
    by_version = headrace.register_model(f"models:/{name}/1", f"{name}-copy")
    assert by_version.model_id == model.model_id
    with pytest.raises(NotFound, match="no model at 'none'"):
        headrace.register_model(f"runs:/{run.info.run_id}/none", name)


def test_the_life_of_a_registered_model(uri: str, name: str) -> None:
    client = headrace.Client()
    made = client.create_registered_model(name, tags={"a": 1}, description="first")
    assert (made.tags, made.description, made.latest_versions) == ({"a": "1"}, "first", [])
    with pytest.raises(AlreadyExists):
        client.create_registered_model(name)
    for _ in range(3):
        client.create_model_version(name, "s3://somewhere/else")
    client.set_registered_model_alias(name, "best", 2)
    client.set_registered_model_tag(name, "b", 2)
    client.delete_registered_model_tag(name, "a")
    client.update_registered_model(name, "second")
    model = client.get_registered_model(name)
    assert (model.aliases, model.tags, model.description) == ({"best": "2"}, {"b": "2"}, "second")
    assert client.get_model_version_by_alias(name, "best").version == "2"
    client.delete_registered_model_alias(name, "best")
    with pytest.raises(InvalidRequest):
        client.get_model_version_by_alias(name, "best")
    renamed = client.rename_registered_model(name, f"{name}-2")
    assert renamed.name == f"{name}-2"
    client.delete_registered_model(f"{name}-2")
    with pytest.raises(NotFound):
        client.get_registered_model(f"{name}-2")


def test_the_life_of_a_version(uri: str, name: str) -> None:
    client = headrace.Client()
    client.create_registered_model(name)
    for number in range(1, 4):
        client.create_model_version(name, f"s3://files/{number}", tags={"n": number})
    client.update_model_version(name, 1, "described")
    headrace.set_model_version_tag(name, "1", "k", "v")
    client.transition_model_version_stage(name, 2, "production")
    client.transition_model_version_stage(name, 3, "Production", archive_existing_versions=True)
    assert client.get_model_version(name, 1).description == "described"
    assert client.get_model_version(name, "1").tags == {"n": "1", "k": "v"}
    assert client.get_model_version(name, "2").current_stage == "Archived"
    assert [v.version for v in client.get_latest_versions(name, ["Production"])] == ["3"]
    client.set_model_version_tag(name, key="live", value="yes", stage="Production")
    assert client.get_model_version(name, 3).tags["live"] == "yes"
    client.delete_model_version_tag(name, 3, "live")
    assert "live" not in client.get_model_version(name, 3).tags
    assert client.get_model_version_download_uri(name, "2") == "s3://files/2"
    assert "Staging" in client.get_model_version_stages(name, "2")
    found = headrace.search_model_versions(
        filter_string=f"name = '{name}'", order_by=["version_number ASC"]
    )
    assert [version.version for version in found] == ["1", "2", "3"]
    client.delete_model_version(name, 2)
    with pytest.raises(NotFound):
        client.get_model_version(name, 2)
    with pytest.raises(NotFound, match="Staging"):
        client.set_model_version_tag(name, key="k", value="v", stage="Staging")


def test_copying_a_version(uri: str, name: str) -> None:
    client = headrace.Client()
    client.create_registered_model(name)
    client.create_model_version(name, "s3://files/1", tags={"a": "b"}, description="d")
    client.set_registered_model_alias(name, "best", "1")
    copy = client.copy_model_version(f"models:/{name}@best", f"{name}-copy")
    assert (copy.name, copy.version, copy.tags) == (f"{name}-copy", "1", {"a": "b"})
    assert client.copy_model_version(f"models:/{name}/1", f"{name}-copy").version == "2"
    with pytest.raises(InvalidRequest, match="logged model"):
        client.copy_model_version(f"models:/m-{'0' * 32}", "x")


def test_searching_registered_models(uri: str, name: str) -> None:
    client = headrace.Client()
    for number in range(3):
        client.create_registered_model(f"{name}-{number}")
    found = headrace.search_registered_models(filter_string=f"name LIKE '{name}%'")
    assert [model.name for model in found] == [f"{name}-{number}" for number in range(3)]
    page = client.search_registered_models(f"name LIKE '{name}%'", max_results=2)
    assert page.token
    rest = client.search_registered_models(f"name LIKE '{name}%'", page_token=page.token)
    assert [model.name for model in rest] == [f"{name}-2"]


def test_the_life_of_a_logged_model(uri: str) -> None:
    params = {f"p{n}": str(n) for n in range(150)}
    with headrace.start_run() as run:
        model = headrace.initialize_logged_model("net", params=params, model_type="cnn")
    assert (model.status, model.source_run_id) == ("PENDING", run.info.run_id)
    assert (len(model.params), model.model_type) == (150, "cnn")
    assert headrace.finalize_logged_model(model.model_id, "FAILED").status == "FAILED"
    assert headrace.finalize_logged_model(model.model_id, "READY").status == "READY"
    headrace.set_logged_model_tags(model.model_id, {"a": 1, "b": 2})
    headrace.delete_logged_model_tag(model.model_id, "a")
    headrace.log_model_params({"q": "1"}, model.model_id)
    found = headrace.get_logged_model(model.model_id)
    assert found.tags.items() >= {"b": "2", "mlflow.source.type": "LOCAL"}.items()
    assert "a" not in found.tags
    assert (found.params["q"], found.model_uri) == ("1", f"models:/{model.model_id}")
    other = headrace.create_external_model("elsewhere")
    assert other.status == "READY"
    listed = headrace.search_logged_models(filter_string="name = 'net'", output_format="list")
    assert [entry.model_id for entry in listed] == [model.model_id]
    ordered = headrace.search_logged_models(
        order_by=[{"field_name": "name", "ascending": True}], max_results=1, output_format="list"
    )
    assert [entry.name for entry in ordered] == ["elsewhere"]
    frame = headrace.search_logged_models()
    assert set(frame["name"]) == {"net", "elsewhere"}
    headrace.Client().delete_logged_model(model.model_id)
    with pytest.raises(NotFound):
        headrace.get_logged_model(model.model_id)
