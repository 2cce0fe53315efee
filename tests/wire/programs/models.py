"""Models: logged, registered, loaded, searched, as a user of MLflow does it."""

from __future__ import annotations

import warnings
from threading import Lock
from typing import Any

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from sklearn.linear_model import LogisticRegression, Ridge

from tests.wire.programs.steps import main, step

client: Any = None
state: dict[str, Any] = {}
X = np.arange(20.0).reshape(10, 2)
Y = np.array([0, 1] * 5)


def prepare(url: str) -> None:
    global client  # noqa: PLW0603 - a program's main object
    warnings.simplefilter("ignore")
    mlflow.set_tracking_uri(url)
    client = mlflow.MlflowClient(url)
    mlflow.set_experiment("models")


def error_of(call: Any) -> MlflowException:
    try:
        call()
    except MlflowException as error:
        return error
    raise AssertionError("no error")


@step
def model_is_logged_and_registered() -> None:
    model = LogisticRegression().fit(X, Y)
    with mlflow.start_run() as run:
        mlflow.log_params({"c": 1.0})
        mlflow.log_metric("score", 0.5, step=0)
        info = mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name="Digits",
            input_example=X[:2],
            pip_requirements=["scikit-learn"],
        )
    assert int(info.registered_model_version) == 1
    logged = mlflow.get_logged_model(info.model_id)
    assert logged.status == "READY"
    assert logged.source_run_id == run.info.run_id
    assert logged.params == {"c": "1.0"}
    assert [(m.key, m.value) for m in logged.metrics] == [("score", 0.5)]
    assert "Digits" in logged.tags["mlflow.modelVersions"]
    found = mlflow.get_run(run.info.run_id)
    assert [item.model_id for item in found.outputs.model_outputs] == [info.model_id]
    version = client.get_model_version("Digits", "1")
    assert version.source == f"models:/{info.model_id}"
    assert version.run_id == run.info.run_id
    assert version.status == "READY"
    state.update(run=run.info.run_id, model=info.model_id, expected=model.predict(X))


@step
def model_is_loaded_by_every_kind_of_address() -> None:
    client.set_registered_model_alias("Digits", "champion", "1")
    client.transition_model_version_stage("Digits", "1", "Staging")
    for address in (
        f"runs:/{state['run']}/model",
        "models:/Digits/1",
        "models:/Digits@champion",
        "models:/Digits/latest",
        "models:/Digits/Staging",
        f"models:/{state['model']}",
    ):
        loaded = mlflow.pyfunc.load_model(address)
        assert (loaded.predict(X) == state["expected"]).all(), address
    native = mlflow.sklearn.load_model("models:/Digits/1")
    assert (native.predict(X) == state["expected"]).all()
    assert mlflow.models.get_model_info("models:/Digits/1").model_id == state["model"]


@step
def model_outside_a_run_and_one_that_fails() -> None:
    info = mlflow.sklearn.log_model(
        Ridge().fit(X, Y), name="alone", params={"a": 1}, pip_requirements=["scikit-learn"]
    )
    assert mlflow.get_logged_model(info.model_id).source_run_id in (None, "")
    assert mlflow.pyfunc.load_model(info.model_uri).predict(X).shape == (10,)
    try:
        mlflow.sklearn.log_model(Lock(), name="broken", pip_requirements=["scikit-learn"])
    except Exception as error:  # noqa: BLE001 - whatever MLflow raises for it
        assert "lock" in str(error).lower()  # noqa: PT017 - not pytest
    (failed,) = mlflow.search_logged_models(filter_string="name = 'broken'", output_format="list")
    assert failed.status in ("FAILED", "UPLOAD_FAILED"), failed.status


@step
def logged_model_life_cycle() -> None:
    model = mlflow.initialize_logged_model("cycle", params={"a": "1"}, tags={"t": "1"})
    assert model.status == "PENDING"
    mlflow.log_model_params({"b": "2"}, model.model_id)
    mlflow.set_logged_model_tags(model.model_id, {"u": "2", "t": "3"})
    mlflow.delete_logged_model_tag(model.model_id, "u")
    error = error_of(lambda: mlflow.delete_logged_model_tag(model.model_id, "u"))
    assert error.error_code == "RESOURCE_DOES_NOT_EXIST"
    found = mlflow.finalize_logged_model(model.model_id, "READY")
    assert found.status == "READY"
    assert found.params == {"a": "1", "b": "2"}
    tags = {name: value for name, value in found.tags.items() if "mlflow." not in name}
    assert tags == {"t": "3"}, tags
    with mlflow.start_run():
        mlflow.log_metric("acc", 0.25, step=3, model_id=model.model_id)
    metrics = mlflow.get_logged_model(model.model_id).metrics
    assert [(m.key, m.value, m.step) for m in metrics] == [("acc", 0.25, 3)]
    client.delete_logged_model(model.model_id)
    error = error_of(lambda: mlflow.get_logged_model(model.model_id))
    assert error.error_code == "RESOURCE_DOES_NOT_EXIST"


@step
def search_logged_models() -> None:
    mlflow.set_experiment("models to search")
    for number in range(4):
        model = mlflow.initialize_logged_model(
            f"m{number}",
            params={"p": str(number)},
            tags={"t": "ab"[number % 2]},
            model_type="agent",
        )
        with mlflow.start_run():
            mlflow.log_metric("acc", number / 4, model_id=model.model_id)
        if number < 3:
            mlflow.finalize_logged_model(model.model_id, "READY")

    def found(text: str, **options: Any) -> str:
        options.setdefault("order_by", [{"field_name": "name"}])
        models = mlflow.search_logged_models(filter_string=text, output_format="list", **options)
        return "".join(model.name[-1] for model in models)

    assert found("") == "0123"
    assert found("name = 'm2'") == "2"
    assert found("name LIKE 'm%' AND attributes.model_type = 'agent'") == "0123"
    assert found("metrics.acc >= 0.5") == "23"
    assert found("params.p != '1'") == "023"
    assert found("tags.t = 'a'") == "02"
    assert found("name IN ('m0', 'm3')") == "03"
    assert found("name NOT IN ('m0', 'm3')") == "12"
    assert found("", order_by=[{"field_name": "metrics.acc", "ascending": False}]) == "3210"
    order = [{"field_name": "creation_time", "ascending": True}]
    assert sorted(found("creation_timestamp > 5", order_by=order)) == list("0123")
    assert found("", max_results=2) == "01"
    assert error_of(lambda: found("size > 1")).error_code == "INVALID_PARAMETER_VALUE"
    frame = mlflow.search_logged_models()
    assert len(frame) == 4
    mlflow.set_experiment("models")


@step
def registry_life_cycle() -> None:
    made = client.create_registered_model("Cycle", tags={"a": "1"}, description="words")
    assert made.latest_versions == []
    error = error_of(lambda: client.create_registered_model("Cycle"))
    assert error.error_code == "RESOURCE_ALREADY_EXISTS"
    for number in (1, 2, 3):
        version = client.create_model_version(
            "Cycle", f"models:/{state['model']}", model_id=state["model"], tags={"v": "x"}
        )
        assert int(version.version) == number
    client.update_model_version("Cycle", "1", description="the first")
    assert client.get_model_version("Cycle", "1").description == "the first"
    client.set_model_version_tag("Cycle", "1", "k", "v")
    assert client.get_model_version("Cycle", "1").tags == {"v": "x", "k": "v"}
    client.delete_model_version_tag("Cycle", "1", "k")
    client.set_registered_model_tag("Cycle", "b", "2")
    client.delete_registered_model_tag("Cycle", "a")
    client.update_registered_model("Cycle", "other words")
    client.set_registered_model_alias("Cycle", "best", "2")
    client.set_registered_model_alias("Cycle", "best", "1")
    client.set_registered_model_alias("Cycle", "second", "2")
    found = client.get_registered_model("Cycle")
    assert found.tags == {"b": "2"}
    assert found.description == "other words"
    assert found.aliases == {"best": "1", "second": "2"}
    assert client.get_model_version_by_alias("Cycle", "best").version in (1, "1")
    assert client.get_model_version("Cycle", "2").aliases == ["second"]
    client.delete_registered_model_alias("Cycle", "second")
    error = error_of(lambda: client.get_model_version_by_alias("Cycle", "second"))
    assert error.error_code == "INVALID_PARAMETER_VALUE"


@step
def registry_stages_rename_copy_delete() -> None:
    client.transition_model_version_stage("Cycle", "1", "Production")
    client.transition_model_version_stage(
        "Cycle", "2", "production", archive_existing_versions=True
    )
    assert client.get_model_version("Cycle", "1").current_stage == "Archived"
    latest = client.get_latest_versions("Cycle")
    assert {(v.current_stage, int(v.version)) for v in latest} == {
        ("Archived", 1),
        ("Production", 2),
        ("None", 3),
    }
    assert len(client.get_latest_versions("Cycle", ["Production"])) == 1
    client.rename_registered_model("Cycle", "Round")
    assert int(client.get_model_version("Round", "3").version) == 3
    assert error_of(lambda: client.get_registered_model("Cycle")).error_code == (
        "RESOURCE_DOES_NOT_EXIST"
    )
    copied = client.copy_model_version("models:/Round/2", "Copied")
    assert copied.source == "models:/Round/2"
    loaded = mlflow.pyfunc.load_model("models:/Copied/1")
    assert (loaded.predict(X) == state["expected"]).all()
    client.delete_model_version("Round", "3")
    error = error_of(lambda: client.get_model_version("Round", "3"))
    assert error.error_code == "RESOURCE_DOES_NOT_EXIST"
    again = client.create_model_version(
        "Round", f"models:/{state['model']}", model_id=state["model"]
    )
    assert int(again.version) == 4
    client.delete_registered_model("Round")
    assert error_of(lambda: client.get_registered_model("Round")).error_code == (
        "RESOURCE_DOES_NOT_EXIST"
    )


@step
def search_the_registry() -> None:
    for number in range(4):
        client.create_registered_model(f"Find {number}", tags={"t": "ab"[number % 2]})
        client.create_model_version(
            f"Find {number}",
            f"models:/{state['model']}",
            model_id=state["model"],
            run_id=state["run"],
            tags={"n": str(number)},
        )

    def models(text: str, **options: Any) -> str:
        return "".join(m.name[-1] for m in client.search_registered_models(text, **options))

    def versions(text: str, **options: Any) -> str:
        return "".join(v.name[-1] for v in client.search_model_versions(text, **options))

    assert models("name LIKE 'Find %'") == "0123"
    assert models("name ILIKE 'find %' and tags.t = 'a'") == "02"
    assert models("name IN ('Find 0', 'Find 1')", order_by=["name DESC"]) == "10"
    assert models("name LIKE 'Find %'", order_by=["last_updated_timestamp DESC", "name"]) == "3210"
    page = client.search_registered_models("name LIKE 'Find %'", max_results=3)
    rest = client.search_registered_models(
        "name LIKE 'Find %'", max_results=3, page_token=page.token
    )
    assert (len(page), len(rest)) == (3, 1)
    assert versions("name = 'Find 1'") == "1"
    assert versions("name LIKE 'Find %'", order_by=["name ASC"]) == "0123"
    assert versions("tags.n = '2'") == "2"
    assert versions("name LIKE 'Find %' and version_number >= 2") == ""
    assert sorted(versions(f"run_id = '{state['run']}' and name LIKE 'Find %'")) == list("0123")
    assert versions("source_path LIKE 'models:/%' and name = 'Find 3'") == "3"
    assert error_of(lambda: models("stage = 'a'")).error_code == "INVALID_PARAMETER_VALUE"
    assert error_of(lambda: versions("stage = 'a'")).error_code == "INVALID_PARAMETER_VALUE"


@step
def autolog_of_sklearn() -> None:
    mlflow.set_experiment("autolog")
    mlflow.sklearn.autolog()
    LogisticRegression(max_iter=50).fit(X, Y)
    mlflow.sklearn.autolog(disable=True)
    (run,) = client.search_runs([client.get_experiment_by_name("autolog").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["max_iter"] == "50"
    assert "training_score" in run.data.metrics
    assert [d.dataset.name for d in run.inputs.dataset_inputs] == ["dataset"]
    (output,) = run.outputs.model_outputs
    loaded = mlflow.pyfunc.load_model(f"models:/{output.model_id}")
    assert loaded.predict(X).shape == (10,)
    assert "estimator.html" in [item.path for item in client.list_artifacts(run.info.run_id)]


if __name__ == "__main__":
    main(prepare)
