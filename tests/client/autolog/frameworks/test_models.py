"""The models that autologging logs, of the real libraries: one a fit, whole, linked, loadable."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

import headrace
from headrace import keras as keras_door
from headrace import lightgbm as lightgbm_door
from headrace import pytorch as pytorch_door
from headrace import statsmodels as statsmodels_door
from headrace import xgboost as xgboost_door
from headrace.client.autolog import models
from headrace.client.entities import LoggedModel
from headrace.client.model_loading import load_pyfunc
from tests.client.autolog.frameworks import trainings
from tests.client.autolog.frameworks.logged import Logged

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore"),  # those of the libraries among themselves
]
X, Y = load_iris(return_X_y=True, as_frame=True)


@pytest.fixture
def only_model(only_run: Callable[[], Logged]) -> Callable[[], LoggedModel]:
    """The only model of the only run, which is whole, and named and linked as in MLflow."""

    def find() -> LoggedModel:
        run_id = only_run().run_id
        (found,) = headrace.search_logged_models(output_format="list")
        assert (found.name, found.status, found.source_run_id) == ("model", "READY", run_id)
        outputs = headrace.get_run(run_id).outputs.model_outputs
        assert [output.model_id for output in outputs] == [found.model_id]
        return found

    return find


def metrics_of(model: LoggedModel) -> dict[str, float]:
    """The metrics that are linked to a model; each once."""
    found = {metric.key: metric.value for metric in model.metrics or ()}
    assert len(found) == len(model.metrics or ())
    return found


def schemas_of(model: LoggedModel) -> tuple[Any, Any]:
    """What its signature says that a model takes, and gives."""
    signature = load_pyfunc(model.model_uri, trust=True).signature
    assert signature is not None
    return signature.inputs, signature.outputs


@pytest.mark.parametrize("kind", ["train", "estimator"])
def test_xgboost(
    kind: str, only_run: Callable[[], Logged], only_model: Callable[[], LoggedModel]
) -> None:
    import xgboost as xgb

    xgboost_door.autolog(model_format="json", log_input_examples=True)
    fitted = trainings.xgboost(kind)
    found = only_model()
    run = headrace.get_run(only_run().run_id)
    assert metrics_of(found) == run.data.metrics
    assert "best_iteration" in metrics_of(found)
    native = headrace.xgboost.load_model(found.model_uri)
    assert type(native) is type(fitted)
    table = xgb.DMatrix(X) if kind == "train" else X
    assert np.array_equal(native.predict(table), fitted.predict(table))
    loaded = load_pyfunc(found.model_uri)
    assert np.array_equal(loaded.predict(X), fitted.predict(table))
    assert loaded.metadata.flavors["xgboost"]["model_format"] == "json"
    assert loaded.input_example.to_numpy().tolist() == X[::2][:5].to_numpy().tolist()
    inputs, outputs = schemas_of(found)
    assert inputs.input_names() == list(X.columns)
    assert outputs is not None
    assert found.params["num_boost_round"] == "9"


@pytest.mark.parametrize("kind", ["train", "estimator"])
def test_lightgbm(
    kind: str, only_run: Callable[[], Logged], only_model: Callable[[], LoggedModel]
) -> None:
    lightgbm_door.autolog()
    fitted = trainings.lightgbm(kind)
    found = only_model()
    run = headrace.get_run(only_run().run_id)
    assert metrics_of(found) == run.data.metrics
    native = headrace.lightgbm.load_model(found.model_uri)
    assert np.array_equal(native.predict(X), fitted.predict(X))
    loaded = load_pyfunc(found.model_uri)
    assert np.array_equal(loaded.predict(X), fitted.predict(X))
    assert loaded.input_example is None
    inputs, outputs = schemas_of(found)
    assert inputs.input_names() == list(X.columns)
    assert outputs is not None


@pytest.mark.parametrize("examples", [False, True])
def test_keras(
    examples: bool, only_run: Callable[[], Logged], only_model: Callable[[], LoggedModel]
) -> None:
    keras_door.autolog(log_input_examples=examples)
    fitted, features = trainings.keras(stops=True)
    found = only_model()
    run = headrace.get_run(only_run().run_id)
    assert metrics_of(found) == run.data.metrics
    assert "restored_epoch" in metrics_of(found)
    expected = fitted.predict(features, verbose=0)
    native = headrace.keras.load_model(found.model_uri)
    assert np.array_equal(native.predict(features, verbose=0), expected)
    loaded = load_pyfunc(found.model_uri)
    assert np.allclose(loaded.predict(features.astype("float32")), expected)
    assert (loaded.input_example is not None) == examples
    inputs, outputs = schemas_of(found)
    assert [(each.type, each.shape) for each in inputs] == [(np.dtype("float32"), (-1, 4))]
    assert [(each.type, each.shape) for each in outputs] == [(np.dtype("float32"), (-1, 3))]


@pytest.mark.parametrize(
    "option", [{"save_exported_model": True}, {"save_model_kwargs": {"nonsense": 1}}]
)
def test_options_of_keras_reach_its_model(
    option: dict[str, Any],
    only_run: Callable[[], Logged],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("HEADRACE_AUTOLOGGING_TESTING", "false")
    keras_door.autolog(**option)
    with caplog.at_level(logging.WARNING, "headrace"):
        trainings.keras()
    assert "save_exported_model=True writes" in caplog.text or "nonsense" in caplog.text
    assert only_run().status == "FINISHED"


@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
def test_lightning_logs_a_program_where_the_module_is_called(
    package: str, only_run: Callable[[], Logged], only_model: Callable[[], LoggedModel]
) -> None:
    import torch

    pytorch_door.autolog(checkpoint=False)
    module, features = trainings.lightning(package)
    assert not module._forward_pre_hooks
    found = only_model()
    run = headrace.get_run(only_run().run_id)
    assert metrics_of(found) == run.data.metrics
    with torch.no_grad():
        expected = module(features).numpy()
        native = headrace.pytorch.load_model(found.model_uri)
        assert np.allclose(native(features).numpy(), expected)
    loaded = load_pyfunc(found.model_uri)  # untrusted: nothing in it can run
    assert np.allclose(loaded.predict(features.numpy()), expected)
    inputs, outputs = schemas_of(found)
    assert [(each.type, each.shape) for each in inputs] == [(np.dtype("float32"), (-1, 4))]
    assert [(each.type, each.shape) for each in outputs] == [(np.dtype("float32"), (-1, 1))]


def test_lightning_logs_a_pickle_where_the_module_is_never_called(
    only_model: Callable[[], LoggedModel],
) -> None:
    import torch

    pytorch_door.autolog(checkpoint=False)
    module, _ = trainings.lightning("lightning.pytorch", calls_itself=False)
    native = headrace.pytorch.load_model(only_model().model_uri, trust=True)
    assert torch.equal(native.layer.weight, module.layer.weight)
    assert native.trainer_is_gone()


def test_a_test_after_the_training_is_about_the_model(
    only_model: Callable[[], LoggedModel],
) -> None:
    pytorch_door.autolog(checkpoint=False)
    trainings.lightning("lightning.pytorch", tests=True)
    assert "test_loss" in metrics_of(only_model())


@pytest.mark.parametrize("kind", ["array", "table", "formula"])
def test_statsmodels(
    kind: str, only_run: Callable[[], Logged], only_model: Callable[[], LoggedModel]
) -> None:
    statsmodels_door.autolog()
    results, given = trainings.statsmodels(kind)
    found = only_model()
    run = headrace.get_run(only_run().run_id)
    assert metrics_of(found) == run.data.metrics
    expected = np.asarray(results.predict(given))
    native = headrace.statsmodels.load_model(found.model_uri, trust=True)
    assert np.array_equal(np.asarray(native.predict(given)), expected)
    loaded = load_pyfunc(found.model_uri, trust=True)
    assert np.allclose(np.asarray(loaded.predict(given)), expected)
    inputs, outputs = schemas_of(found)
    assert outputs is not None
    if kind != "array":
        assert inputs.input_names() == list(given.columns)


def test_a_time_series_of_statsmodels_has_a_model_without_a_signature(
    only_model: Callable[[], LoggedModel],
) -> None:
    statsmodels_door.autolog()
    results, _ = trainings.statsmodels("series")
    loaded = load_pyfunc(only_model().model_uri, trust=True)
    assert loaded.signature is None
    steps = pd.DataFrame({"start": [5], "end": [8]})
    assert np.allclose(loaded.predict(steps), results.predict(start=5, end=8))


def test_transformers_only_where_its_own_switch_asks(
    tmp_path: Any, only_run: Callable[[], Logged], only_model: Callable[[], LoggedModel]
) -> None:
    headrace.autolog()
    trainings.transformers(tmp_path).train()
    assert headrace.search_logged_models(output_format="list") == []
    headrace.delete_run(only_run().run_id)
    headrace.transformers.autolog(log_models=True, log_model_signatures=True)
    trainer = trainings.transformers(tmp_path)
    trainer.train()
    found = only_model()
    assert metrics_of(found) == headrace.get_run(only_run().run_id).data.metrics
    pipeline = headrace.transformers.load_model(found.model_uri)
    assert type(pipeline.model) is type(trainer.model)
    weights = trainer.model.classifier.weight
    assert np.array_equal(
        pipeline.model.classifier.weight.detach().numpy(), weights.detach().cpu().numpy()
    )
    loaded = load_pyfunc(found.model_uri)
    assert loaded.signature is not None
    assert len(loaded.predict(["a b", "c"])) == 2
    trainer.evaluate()
    assert "eval_loss" in metrics_of(only_model())


TRAININGS: dict[str, Callable[[], Any]] = {
    "xgboost": lambda: trainings.xgboost("train"),
    "lightgbm": lambda: trainings.lightgbm("estimator"),
    "keras": trainings.keras,
    "pytorch": lambda: trainings.lightning("lightning.pytorch"),
    "statsmodels": lambda: trainings.statsmodels("table"),
}


@pytest.mark.parametrize("library", TRAININGS)
def test_no_model_and_no_signature_where_they_are_not_wanted(
    library: str, runs: Callable[[], list[Logged]]
) -> None:
    autolog = getattr(headrace, library).autolog
    autolog(log_models=False)
    TRAININGS[library]()
    assert headrace.search_logged_models(output_format="list") == []
    if library != "statsmodels":
        autolog(log_model_signatures=False, registered_model_name="kept")
        TRAININGS[library]()
        (found,) = headrace.search_logged_models(output_format="list")
        loaded = load_pyfunc("models:/kept/1", trust=True)
        assert loaded.signature is None
        assert loaded.metadata.model_id == found.model_id
    assert all(run.status == "FINISHED" for run in runs())


@pytest.mark.parametrize("library", TRAININGS)
def test_a_model_that_cannot_be_saved_is_a_warning(
    library: str,
    only_run: Callable[[], Logged],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("HEADRACE_AUTOLOGGING_TESTING", "false")
    monkeypatch.setenv("HEADRACE_SIGNING_KEY", "/nowhere/at all")
    getattr(headrace, library).autolog()
    with caplog.at_level(logging.WARNING, "headrace"):
        TRAININGS[library]()
    assert f"Autologging of {library} did not log the model" in caplog.text
    assert only_run().status == "FINISHED"
    found = headrace.search_logged_models(output_format="list")
    assert [model for model in found if model.status == "READY"] == []


def test_what_is_said_of_a_model_is_said_once(
    runs: Callable[[], list[Logged]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(models, "_said", set())
    statsmodels_door.autolog()
    with caplog.at_level(logging.INFO, "headrace"):
        trainings.statsmodels("table")
        trainings.statsmodels("table")
    assert len(headrace.search_logged_models(output_format="list")) == len(runs()) == 2
    assert caplog.text.count("no form that is safe to load") == 1
