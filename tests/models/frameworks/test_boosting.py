"""Models of XGBoost, LightGBM and CatBoost, saved here and in MLflow, loaded in both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import yaml
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import Ridge

import headrace.catboost
import headrace.lightgbm
import headrace.xgboost
from headrace.errors import InvalidModel, InvalidRequest, NotTrusted
from headrace.models.loading import load_model, load_pyfunc

mlflow = pytest.importorskip("mlflow.pyfunc", reason="the environment of all libraries").mlflow
xgboost = pytest.importorskip("xgboost")
lightgbm = pytest.importorskip("lightgbm")
catboost = pytest.importorskip("catboost")

for library in ("catboost", "lightgbm", "xgboost"):
    pytest.importorskip(f"mlflow.{library}")

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore:::mlflow"),
    pytest.mark.filterwarnings("ignore:::xgboost"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
DOORS: dict[str, tuple[Any, Any]] = {
    "xgboost": (headrace.xgboost, mlflow.xgboost),
    "lightgbm": (headrace.lightgbm, mlflow.lightgbm),
    "catboost": (headrace.catboost, mlflow.catboost),
}
IRIS = load_iris(as_frame=True)
CANCER = load_breast_cancer(as_frame=True)
DIABETES = load_diabetes(as_frame=True)
SMALL = {"n_estimators": 5, "max_depth": 3}


def test_the_door_of_another_library_names_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"Ridge is a model of sklearn: headrace\.sklearn"):
        headrace.xgboost.save_model(Ridge(), tmp_path / "m")


def xgboost_booster() -> Any:
    """Classes of irises, by probabilities."""
    data = xgboost.DMatrix(IRIS.data, IRIS.target)
    return xgboost.train({"objective": "multi:softprob", "num_class": 3}, data, 4)


def lightgbm_booster() -> Any:
    """Progress of diabetes."""
    data = lightgbm.Dataset(DIABETES.data, DIABETES.target)
    return lightgbm.train({"objective": "regression", "verbose": -1}, data, 4)


def cat(kind: str, **options: Any) -> Any:
    """A small estimator of CatBoost that writes nothing beside the test."""
    how = {"iterations": 5, "depth": 3, "verbose": False, "allow_writing_files": False, **options}
    return catboost.CatBoost(how) if kind == "CatBoost" else getattr(catboost, kind)(**how)


CASES: dict[str, tuple[str, Any, Any]] = {
    "xgboost booster": ("xgboost", xgboost_booster, IRIS),
    "xgboost classifier": ("xgboost", lambda: xgboost.XGBClassifier(**SMALL), IRIS),
    "xgboost two classes": ("xgboost", lambda: xgboost.XGBClassifier(**SMALL), CANCER),
    "xgboost regressor": ("xgboost", lambda: xgboost.XGBRegressor(**SMALL), DIABETES),
    "xgboost forest": ("xgboost", lambda: xgboost.XGBRFRegressor(**SMALL), DIABETES),
    "lightgbm booster": ("lightgbm", lightgbm_booster, DIABETES),
    "lightgbm classifier": (
        "lightgbm",
        lambda: lightgbm.LGBMClassifier(verbose=-1, **SMALL),
        IRIS,
    ),
    "lightgbm regressor": (
        "lightgbm",
        lambda: lightgbm.LGBMRegressor(verbose=-1, **SMALL),
        DIABETES,
    ),
    "catboost classifier": ("catboost", lambda: cat("CatBoostClassifier"), IRIS),
    "catboost regressor": ("catboost", lambda: cat("CatBoostRegressor"), DIABETES),
    "catboost": ("catboost", lambda: cat("CatBoost", loss_function="RMSE"), DIABETES),
}


@pytest.fixture(params=CASES, ids=lambda name: name.replace(" ", "-"))
def case(request: pytest.FixtureRequest) -> tuple[str, Any, Any]:
    """A flavor's name, a trained model, and the table it was trained on."""
    flavor, make, data = CASES[request.param]
    model = make()
    if "booster" not in request.param:
        model.fit(data.data, data.target)
    return flavor, model, data.data


def predicted(model: Any, table: Any) -> Any:
    """What the library itself predicts."""
    if isinstance(model, xgboost.Booster):
        return model.predict(xgboost.DMatrix(table))
    return model.predict(table)


def test_saved_here_and_loaded_by_mlflow(case: Any, tmp_path: Path) -> None:
    flavor, model, table = case
    ours, theirs = DOORS[flavor]
    ours.save_model(model, tmp_path / "m", input_example=table.head(3))
    wanted = predicted(model, table)
    native = theirs.load_model(str(tmp_path / "m"))
    assert type(native) is type(model)
    np.testing.assert_array_equal(predicted(native, table), wanted)
    found = mlflow.pyfunc.load_model(str(tmp_path / "m"))
    assert found.metadata.signature is not None
    np.testing.assert_array_equal(found.predict(table), wanted)


def test_saved_by_mlflow_and_loaded_here(case: Any, tmp_path: Path) -> None:
    flavor, model, table = case
    ours, theirs = DOORS[flavor]
    requirements = {"pip_requirements": [flavor]}
    theirs.save_model(model, str(tmp_path / "m"), input_example=table.head(3), **requirements)
    wanted = predicted(model, table)
    native = ours.load_model(str(tmp_path / "m"))
    assert type(native) is type(model)
    np.testing.assert_array_equal(predicted(native, table), wanted)
    np.testing.assert_array_equal(load_pyfunc(tmp_path / "m").predict(table), wanted)


def test_the_facts_are_those_of_mlflow(case: Any, tmp_path: Path) -> None:
    flavor, model, _ = case
    ours, theirs = DOORS[flavor]
    ours.save_model(model, tmp_path / "ours")
    theirs.save_model(model, str(tmp_path / "theirs"), pip_requirements=[flavor])
    found, wanted = (
        yaml.safe_load((tmp_path / each / "MLmodel").read_text())["flavors"]
        for each in ("ours", "theirs")
    )
    # Of LightGBM's boosters MLflow says a format of estimators too, which nothing goes by.
    left_out = (
        {"skops_trusted_types", "serialization_format"} if "lgb_version" in str(found) else {}
    )
    for name in (flavor, "python_function"):
        assert found[name].keys() == wanted[name].keys()
        assert {k: v for k, v in found[name].items() if k not in left_out} == {
            k: v for k, v in wanted[name].items() if k not in left_out
        }


def test_all_kinds_of_tables_give_the_same(case: Any, tmp_path: Path) -> None:
    flavor, model, table = case
    DOORS[flavor][0].save_model(model, tmp_path / "m", input_example=table.head(3))
    found = load_pyfunc(tmp_path / "m")
    wanted = predicted(model, table)
    rows = table.to_dict("records")
    for given in (table, table.to_dict("list"), rows, pl.from_pandas(table)):
        np.testing.assert_array_equal(found.predict(given), wanted)
    unsigned = tmp_path / "without"
    DOORS[flavor][0].save_model(model, unsigned, signature=False)
    loose = load_pyfunc(unsigned)
    for given in (table, table.to_dict("list"), rows, pl.from_pandas(table)):
        np.testing.assert_array_equal(loose.predict(given), wanted)


def test_arrays_are_taken_where_the_model_was_trained_on_arrays(tmp_path: Path) -> None:
    data = IRIS.data.to_numpy()
    models = {
        "xgboost": xgboost.XGBClassifier(**SMALL),
        "lightgbm": lightgbm.LGBMClassifier(verbose=-1, **SMALL),
        "catboost": cat("CatBoostClassifier"),
    }
    for flavor, model in models.items():
        model.fit(data, IRIS.target)
        DOORS[flavor][0].save_model(model, tmp_path / flavor, input_example=data[:3])
        wanted = predicted(model, data)
        np.testing.assert_array_equal(load_pyfunc(tmp_path / flavor).predict(data), wanted)
        theirs = mlflow.pyfunc.load_model(str(tmp_path / flavor))
        np.testing.assert_array_equal(theirs.predict(data), wanted)


@pytest.mark.parametrize("model_format", ["ubj", "json", "xgb"])
def test_the_formats_of_xgboost(model_format: str, tmp_path: Path) -> None:
    model = xgboost.XGBClassifier(**SMALL).fit(IRIS.data, IRIS.target)
    headrace.xgboost.save_model(model, tmp_path / "m", model_format=model_format)
    assert (tmp_path / "m" / f"model.{model_format}").is_file()
    found = mlflow.xgboost.load_model(str(tmp_path / "m"))
    np.testing.assert_array_equal(found.predict(IRIS.data), model.predict(IRIS.data))
    ours = headrace.xgboost.load_model(str(tmp_path / "m"))
    np.testing.assert_array_equal(ours.predict_proba(IRIS.data), model.predict_proba(IRIS.data))


def test_a_format_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="ubj, json, xgb"):
        headrace.xgboost.save_model(xgboost_booster(), tmp_path / "m", model_format="bin")
    with pytest.raises(InvalidRequest, match="cbm, json"):
        headrace.catboost.save_model(cat("CatBoost"), tmp_path / "m", format="cpp")
    assert not (tmp_path / "m").exists()


def test_a_booster_that_was_trained_on_categories_takes_them(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"kind": pd.Categorical(["a", "b", "a", "c"] * 10), "size": np.arange(40.0)}
    )
    data = xgboost.DMatrix(table, np.arange(40) % 2, enable_categorical=True)
    booster = xgboost.train({"tree_method": "hist"}, data, 3)
    headrace.xgboost.save_model(booster, tmp_path / "model")
    found = load_pyfunc(tmp_path / "model").predict(table)
    assert np.array_equal(found, booster.predict(data))


def test_catboost_as_json(tmp_path: Path) -> None:
    model = cat("CatBoostRegressor").fit(DIABETES.data, DIABETES.target)
    headrace.catboost.save_model(model, tmp_path / "m", format="json")
    wanted = model.predict(DIABETES.data)
    theirs = mlflow.catboost.load_model(str(tmp_path / "m"))
    np.testing.assert_allclose(theirs.predict(DIABETES.data), wanted)
    ours = headrace.catboost.load_model(str(tmp_path / "m"))
    np.testing.assert_allclose(ours.predict(DIABETES.data), wanted)


def test_params_go_to_the_library(tmp_path: Path) -> None:
    from headrace.models.signature import infer_signature

    booster = xgboost_booster()
    wanted = booster.predict(xgboost.DMatrix(IRIS.data), output_margin=True)
    signature = infer_signature(IRIS.data, wanted, {"output_margin": True})
    headrace.xgboost.save_model(booster, tmp_path / "m", signature=signature)
    found = load_pyfunc(tmp_path / "m")
    np.testing.assert_array_equal(found.predict(IRIS.data), wanted)


@pytest.mark.parametrize("serialization_format", ["cloudpickle", "pickle"])
def test_estimators_of_lightgbm_as_pickles(
    serialization_format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = lightgbm.LGBMRegressor(verbose=-1, **SMALL).fit(DIABETES.data, DIABETES.target)
    headrace.lightgbm.save_model(model, tmp_path / "m", serialization_format=serialization_format)
    theirs = mlflow.lightgbm.load_model(str(tmp_path / "m"))
    np.testing.assert_array_equal(theirs.predict(DIABETES.data), model.predict(DIABETES.data))
    ours = headrace.lightgbm.load_model(str(tmp_path / "m"))
    np.testing.assert_array_equal(ours.predict(DIABETES.data), model.predict(DIABETES.data))
    monkeypatch.setenv("HEADRACE_KEYS", str(tmp_path / "somebody-else"))
    with pytest.raises(NotTrusted, match=r"model\.pkl.*trust=True"):
        headrace.lightgbm.load_model(str(tmp_path / "m"))
    headrace.lightgbm.load_model(str(tmp_path / "m"), trust=True)


def test_what_older_mlflow_wrote(tmp_path: Path) -> None:
    booster = xgboost_booster()
    mlflow.xgboost.save_model(
        booster, str(tmp_path / "x"), model_format="xgb", pip_requirements=["xgboost"]
    )
    without(tmp_path / "x", "xgboost", "model_class", "model_format")
    found = headrace.xgboost.load_model(str(tmp_path / "x"))
    np.testing.assert_array_equal(predicted(found, IRIS.data), predicted(booster, IRIS.data))
    model = lightgbm.LGBMClassifier(verbose=-1, **SMALL).fit(IRIS.data, IRIS.target)
    mlflow.lightgbm.save_model(
        model,
        str(tmp_path / "l"),
        serialization_format="cloudpickle",
        pip_requirements=["lightgbm"],
    )
    without(tmp_path / "l", "lightgbm", "serialization_format", "skops_trusted_types")
    with pytest.raises(NotTrusted):
        headrace.lightgbm.load_model(str(tmp_path / "l"))
    found = headrace.lightgbm.load_model(str(tmp_path / "l"), trust=True)
    np.testing.assert_array_equal(found.predict(IRIS.data), model.predict(IRIS.data))


def test_a_class_of_somebodys_own_needs_trust(tmp_path: Path) -> None:
    headrace.xgboost.save_model(xgboost_booster(), tmp_path / "m")
    (tmp_path / "m" / "model.sig").unlink()
    changed(tmp_path / "m", "xgboost", model_class="os.system")
    with pytest.raises(NotTrusted, match=r"model_class: os\.system.*trust=True"):
        load_model(tmp_path / "m")
    with pytest.raises(NotTrusted, match=r"model_class: os\.system.*trust=True"):
        load_pyfunc(tmp_path / "m")


@pytest.mark.parametrize("flavor", DOORS)
def test_garbage_is_an_error_that_names_the_file(flavor: str, tmp_path: Path) -> None:
    models: dict[str, Callable[[], Any]] = {
        "xgboost": xgboost_booster,
        "lightgbm": lightgbm_booster,
        "catboost": lambda: cat("CatBoostRegressor").fit(DIABETES.data, DIABETES.target),
    }
    DOORS[flavor][0].save_model(models[flavor](), tmp_path / "m")
    (tmp_path / "m" / "model.sig").unlink()
    data = yaml.safe_load((tmp_path / "m" / "MLmodel").read_text())["flavors"][flavor]["data"]
    for garbage in (b"", b"\x80\x04cos\nsystem\n.", b"{" * 1000, b"tree\n" * 9):
        (tmp_path / "m" / data).write_bytes(garbage)
        with pytest.raises(InvalidModel, match=data):
            load_model(tmp_path / "m")


def test_estimators_in_pipelines_load_without_trust(tmp_path: Path) -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    import headrace.sklearn

    for index, last in enumerate(
        (xgboost.XGBClassifier(**SMALL), lightgbm.LGBMClassifier(verbose=-1, **SMALL))
    ):
        model = make_pipeline(StandardScaler(), last).fit(IRIS.data, IRIS.target)
        folder = tmp_path / str(index)
        headrace.sklearn.save_model(model, folder)
        (folder / "model.sig").unlink()
        found = headrace.sklearn.load_model(str(folder))
        wanted = model.predict_proba(IRIS.data)
        np.testing.assert_array_equal(found.predict_proba(IRIS.data), wanted)
        theirs = mlflow.sklearn.load_model(str(folder))
        np.testing.assert_array_equal(theirs.predict_proba(IRIS.data), wanted)


def without(folder: Path, flavor: str, *names: str) -> None:
    """Take facts out of the MLmodel file of a folder that is not signed."""
    content = yaml.safe_load((folder / "MLmodel").read_text())
    for name in names:
        del content["flavors"][flavor][name]
    (folder / "MLmodel").write_text(yaml.safe_dump(content))


def changed(folder: Path, flavor: str, **facts: Any) -> None:
    """Change facts in the MLmodel file of a folder that is not signed."""
    content = yaml.safe_load((folder / "MLmodel").read_text())
    content["flavors"][flavor] |= facts
    (folder / "MLmodel").write_text(yaml.safe_dump(content))


def test_a_table_with_the_wrong_columns(tmp_path: Path) -> None:
    headrace.xgboost.save_model(xgboost_booster(), tmp_path / "m", input_example=IRIS.data.head(2))
    with pytest.raises(InvalidRequest, match="petal width"):
        load_pyfunc(tmp_path / "m").predict(pd.DataFrame({"sepal length (cm)": [1.0]}))
