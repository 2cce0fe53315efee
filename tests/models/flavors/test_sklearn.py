"""scikit-learn's models: saved by skops where that can be, loaded again, asked to predict."""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.stats
import yaml
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import Birch, KMeans
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import fbeta_score, make_scorer
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.utils import all_estimators

import headrace.sklearn
from headrace.errors import InvalidModel, InvalidRequest, NotTrusted
from headrace.models.flavors.skops_names import objects
from headrace.models.flavors.skops_reader import SkopsFile
from headrace.models.loading import load_model, load_pyfunc
from tests.models.flavors.sklearn_own import Doubled, Majority, squared
from tests.models.skops_files import edited, node_of

IRIS = load_iris(as_frame=True)
CANCER = load_breast_cancer(as_frame=True)
DIABETES = load_diabetes(as_frame=True)


pytestmark = [
    # Of scikit-learn's own, about these models and data.
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:X does not have valid feature names"),
]


def line() -> Any:
    """A small classifier that converges."""
    return LogisticRegression(max_iter=2000)


def mixed_table() -> pd.DataFrame:
    """Numbers, words and a category."""
    return pd.DataFrame(
        {
            "size": [1.0, 2.0, None, 4.0] * 10,
            "colour": ["red", "green", "blue", "red"] * 10,
            "kind": pd.Categorical(["a", "b", "a", "b"] * 10),
        }
    )


def columns() -> Any:
    """What a table of numbers and words goes through."""
    return ColumnTransformer(
        [
            ("n", make_pipeline(SimpleImputer(), StandardScaler()), ["size"]),
            ("w", OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include=str)),
            ("c", OneHotEncoder(drop="first"), ["kind"]),
        ]
    )


MODELS: dict[str, tuple[Any, Any]] = {
    "pipeline": (make_pipeline(StandardScaler(), line()), IRIS),
    "ufuncs": (make_pipeline(FunctionTransformer(np.log1p, np.expm1), line()), IRIS),
    "forest": (RandomForestClassifier(10, random_state=0), CANCER),
    "boosting": (GradientBoostingClassifier(n_estimators=5), CANCER),
    "histogram boosting": (HistGradientBoostingClassifier(max_iter=5), CANCER),
    "neighbours": (KNeighborsClassifier(metric="minkowski", p=3), IRIS),
    "ball tree": (KNeighborsClassifier(algorithm="ball_tree", metric="manhattan"), IRIS),
    "outliers": (LocalOutlierFactor(novelty=True), IRIS),
    "vectors": (make_pipeline(StandardScaler(), SVC()), IRIS),
    "grid": (GridSearchCV(line(), {"C": [0.1, 1]}, cv=StratifiedKFold(2), n_jobs=1), IRIS),
    "random search": (
        RandomizedSearchCV(
            line(), {"C": scipy.stats.loguniform(0.1, 1)}, n_iter=2, cv=2, random_state=0
        ),
        IRIS,
    ),
    "own score": (
        GridSearchCV(line(), {"C": [0.1]}, cv=2, scoring=make_scorer(fbeta_score, beta=2)),
        CANCER,
    ),
    "several scores": (
        GridSearchCV(line(), {"C": [0.1]}, cv=2, scoring=["f1", "accuracy"], refit="f1"),
        CANCER,
    ),
    "stacking": (
        StackingClassifier([("a", line()), ("b", KNeighborsClassifier())], cv=2),
        IRIS,
    ),
    "voting": (VotingClassifier([("a", line()), ("b", KNeighborsClassifier())]), IRIS),
    "calibrated": (CalibratedClassifierCV(KNeighborsClassifier(), cv=2), IRIS),
    "process": (GaussianProcessRegressor(RBF() + WhiteKernel(), random_state=0), DIABETES),
    "selection": (make_pipeline(SelectKBest(f_regression, k=3), Ridge()), DIABETES),
    "frozen": (make_pipeline(FrozenEstimator(StandardScaler().fit(IRIS.data)), line()), IRIS),
}


def unsigned(folder: Path) -> Path:
    """The model in `folder`, as if nobody had signed it."""
    (folder / "model.sig").unlink()
    return folder


@pytest.mark.parametrize("name", MODELS)
def test_models_that_load_without_trust(name: str, tmp_path: Path) -> None:
    model, data = MODELS[name]
    table = data.data.head(100) if name == "process" else data.data
    model.fit(table, data.target[: len(table)])
    headrace.sklearn.save_model(model, tmp_path / "m", input_example=table.head(3))
    unsigned(tmp_path / "m")
    wanted = model.predict(table)
    np.testing.assert_array_equal(load_model(tmp_path / "m").predict(table), wanted)
    np.testing.assert_allclose(load_pyfunc(tmp_path / "m").predict(table), wanted)


def test_columns_of_all_kinds(tmp_path: Path) -> None:
    table = mixed_table()
    model = columns().fit(table)
    headrace.sklearn.save_model(model, tmp_path / "m")
    found = load_model(unsigned(tmp_path / "m"))
    np.testing.assert_array_equal(found.transform(table), model.transform(table))
    steps = HistGradientBoostingClassifier(max_iter=3, categorical_features="from_dtype")
    target = [0, 1] * 20
    steps.fit(table.drop(columns="colour"), target)
    headrace.sklearn.save_model(steps, tmp_path / "h")
    found = load_model(unsigned(tmp_path / "h"))
    wanted = steps.predict_proba(table.drop(columns="colour"))
    np.testing.assert_array_equal(found.predict_proba(table.drop(columns="colour")), wanted)


def test_what_skops_wrote_before_0_15() -> None:
    """The loss of several classes was a plain object then."""
    model = HistGradientBoostingClassifier(max_iter=2).fit(IRIS.data, IRIS.target)

    def edit(schema: dict[str, Any], files: dict[str, bytes]) -> None:
        node = node_of(schema, "CyHalfMultinomialLoss")
        node.pop("__reduce__")
        node["__loader__"] = "ObjectNode"
        schema["protocol"] = 1

    found = SkopsFile(edited(model, edit)).load()
    np.testing.assert_array_equal(found.predict(IRIS.data), model.predict(IRIS.data))


def test_words(tmp_path: Path) -> None:
    texts = ["the red fox", "a green hill", "the blue sea", "a red hill"]
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), line()).fit(texts, [0, 1, 0, 1])
    headrace.sklearn.save_model(model, tmp_path / "m")
    found = load_model(unsigned(tmp_path / "m"))
    np.testing.assert_array_equal(found.predict_proba(texts), model.predict_proba(texts))


def test_every_estimator_is_on_the_list() -> None:
    """One that a new scikit-learn brings has to be reviewed first; Birch skops cannot hold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {(each.__module__, name) for name, each in all_estimators()}
    assert {name for _, name in found - objects()} == {"Birch"}


def test_what_skops_cannot_hold_is_pickled_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = FunctionTransformer(lambda data: data + 1).fit(IRIS.data)
    with caplog.at_level(logging.INFO, "headrace"):
        headrace.sklearn.save_model(model, tmp_path / "m")
    assert "skops cannot hold this FunctionTransformer" in caplog.text
    assert "'model.pkl' has no form that is safe to load" in caplog.text
    found = load_model(tmp_path / "m")
    pd.testing.assert_frame_equal(found.transform(IRIS.data), IRIS.data + 1)
    with pytest.raises(NotTrusted, match=r"model\.pkl.*a pickle.*trust=True"):
        load_model(unsigned(tmp_path / "m"))
    assert load_model(tmp_path / "m", trust=True).transform(IRIS.data).shape == (150, 4)
    headrace.sklearn.save_model(Birch(n_clusters=3).fit(IRIS.data), tmp_path / "b")
    assert facts(tmp_path / "b")["serialization_format"] == "cloudpickle"


@pytest.mark.parametrize(
    "model",
    [make_pipeline(Doubled(), Ridge()), Majority(), FunctionTransformer(squared)],
    ids=["transformer", "classifier", "function"],
)
def test_code_of_ones_own_needs_trust(
    model: BaseEstimator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model.fit(IRIS.data.to_numpy(), IRIS.target)
    headrace.sklearn.save_model(model, tmp_path / "m")
    assert "Loading this model will need trust" in caplog.text
    assert facts(tmp_path / "m")["serialization_format"] == "skops"
    assert any("sklearn_own" in name for name in facts(tmp_path / "m")["skops_trusted_types"])
    assert type(load_model(tmp_path / "m")) is type(model)  # one's own signature is trusted
    with pytest.raises(NotTrusted, match=r"sklearn_own\.\w+ in model\.skops.*trust=True"):
        load_model(unsigned(tmp_path / "m"))
    assert type(load_model(tmp_path / "m", trust=True)) is type(model)


def test_code_that_is_not_there_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    headrace.sklearn.save_model(Doubled().fit(IRIS.data), tmp_path / "m")
    monkeypatch.delattr("tests.models.flavors.sklearn_own.Doubled")
    with pytest.raises(InvalidModel, match=r"model\.skops.*Doubled"):
        load_model(tmp_path / "m")


def test_a_module_that_was_not_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own = tmp_path / "features_of_ann.py"
    own.write_text(
        "from sklearn.base import BaseEstimator, TransformerMixin\n"
        "class Same(TransformerMixin, BaseEstimator):\n"
        "    def fit(self, data, target=None):\n        return self\n"
        "    def transform(self, data):\n        return data\n"
    )
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        model = importlib.import_module("features_of_ann").Same()
        headrace.sklearn.save_model(model, tmp_path / "m")
        assert f"code_paths=['{own}']" in caplog.text
        caplog.clear()
        headrace.sklearn.save_model(model, tmp_path / "shipped", code_paths=[own])
        assert "need trust" in caplog.text
        assert "code_paths" not in caplog.text
    monkeypatch.delitem(sys.modules, "features_of_ann")
    with pytest.raises(InvalidRequest, match=r"code_paths=\['features_of_ann\.py'\]") as caught:
        load_model(tmp_path / "m")
    assert caught.value.__suppress_context__  # not forty lines of how skops came to it
    assert load_model(tmp_path / "shipped").transform([1]) == [1]


@pytest.mark.parametrize(
    ("model", "said"),
    [(Ridge, "the class Ridge; expected an object"), ("model.pkl", "a str"), (None, "a NoneType")],
)
def test_what_is_no_estimator_at_all(model: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=said):
        headrace.sklearn.save_model(model, tmp_path / "m")


@pytest.mark.parametrize("serialization_format", ["cloudpickle", "pickle"])
def test_pickles_on_request(serialization_format: str, tmp_path: Path) -> None:
    model = line().fit(IRIS.data, IRIS.target)
    headrace.sklearn.save_model(model, tmp_path / "m", serialization_format=serialization_format)
    assert facts(tmp_path / "m")["serialization_format"] == serialization_format
    assert facts(tmp_path / "m")["pickled_model"] == "model.pkl"
    np.testing.assert_array_equal(
        load_pyfunc(tmp_path / "m").predict(IRIS.data), model.predict(IRIS.data)
    )
    with pytest.raises(NotTrusted, match="a pickle"):
        load_model(unsigned(tmp_path / "m"))


def test_formats_that_cannot_be(tmp_path: Path) -> None:
    model = FunctionTransformer(lambda data: data)
    with pytest.raises(InvalidRequest, match="expected one of: skops, cloudpickle, pickle"):
        headrace.sklearn.save_model(model, tmp_path / "m", serialization_format="joblib")
    with pytest.raises(InvalidRequest, match="skops cannot hold this FunctionTransformer"):
        headrace.sklearn.save_model(model, tmp_path / "m", serialization_format="skops")
    with pytest.raises(InvalidRequest, match="cannot be pickled"):
        headrace.sklearn.save_model(model, tmp_path / "m", serialization_format="pickle")
    assert list(tmp_path.iterdir()) == []


def test_a_pickle_that_needs_a_missing_module(tmp_path: Path) -> None:
    headrace.sklearn.save_model(line(), tmp_path / "m", serialization_format="pickle")
    (unsigned(tmp_path / "m") / "model.pkl").write_bytes(b"\x80\x04cnot_installed\nModel\n.")
    with pytest.raises(InvalidRequest, match=r"'not_installed', which is not here.*install it"):
        load_model(tmp_path / "m", trust=True)
    (tmp_path / "m" / "model.pkl").write_bytes(b"\x80\x04cos\nnothing\n.")
    with pytest.raises(InvalidModel, match="cannot be unpickled"):
        load_model(tmp_path / "m", trust=True)


@pytest.mark.parametrize("method", ["predict_proba", "predict_log_proba", "predict"])
def test_methods_that_predict(method: str, tmp_path: Path) -> None:
    model = line().fit(IRIS.data, IRIS.target)
    headrace.sklearn.save_model(
        model, tmp_path / "m", pyfunc_predict_fn=method, input_example=IRIS.data.head(2)
    )
    found = load_pyfunc(tmp_path / "m")
    np.testing.assert_array_equal(found.predict(IRIS.data), getattr(model, method)(IRIS.data))


def test_a_score_as_prediction(tmp_path: Path) -> None:
    model = KMeans(3, random_state=0).fit(IRIS.data)
    headrace.sklearn.save_model(model, tmp_path / "m", pyfunc_predict_fn="score")
    assert load_pyfunc(tmp_path / "m").predict(IRIS.data) == model.score(IRIS.data)


def test_methods_that_do_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InvalidRequest, match="pyfunc_predict_fn is 'fit'"):
        headrace.sklearn.save_model(line(), tmp_path / "m", pyfunc_predict_fn="fit")
    headrace.sklearn.save_model(StandardScaler().fit(IRIS.data), tmp_path / "m")
    assert "has no method 'predict'" in caplog.text
    with pytest.raises(InvalidRequest, match="does not predict by itself"):
        load_pyfunc(tmp_path / "m")
    assert isinstance(load_model(tmp_path / "m"), StandardScaler)
    headrace.sklearn.save_model(line().fit(IRIS.data, IRIS.target), tmp_path / "p")
    content = yaml.safe_load((unsigned(tmp_path / "p") / "MLmodel").read_text())
    content["flavors"]["python_function"]["predict_fn"] = "fit"
    (tmp_path / "p" / "MLmodel").write_text(yaml.safe_dump(content))
    with pytest.raises(InvalidRequest, match="'fit'; expected one of"):
        load_pyfunc(tmp_path / "p")


def test_params_of_predictions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from headrace.models.signature import infer_signature

    data = DIABETES.data.head(50)
    model = GaussianProcessRegressor(random_state=0).fit(data, DIABETES.target[:50])
    signature = infer_signature(data, params={"return_std": False, "colour": "red"})
    headrace.sklearn.save_model(model, tmp_path / "m", signature=signature)
    found = load_pyfunc(tmp_path / "m")
    mean, deviation = found.predict(data, params={"return_std": True})
    wanted = model.predict(data, return_std=True)
    np.testing.assert_array_equal(mean, wanted[0])
    np.testing.assert_array_equal(deviation, wanted[1])
    assert "takes no params colour" in caplog.text


@pytest.mark.parametrize("signed", [True, False])
def test_all_kinds_of_tables(signed: bool, tmp_path: Path) -> None:
    model = line().fit(IRIS.data, IRIS.target)
    headrace.sklearn.save_model(
        model, tmp_path / "m", input_example=IRIS.data.head(2) if signed else None
    )
    found = load_pyfunc(tmp_path / "m")
    wanted = model.predict(IRIS.data)
    for given in (
        IRIS.data,
        IRIS.data.to_dict("list"),
        IRIS.data.to_dict("records"),
        pl.from_pandas(IRIS.data),
    ):
        np.testing.assert_array_equal(found.predict(given), wanted)


def facts(folder: Path) -> dict[str, Any]:
    """What the MLmodel file says of the estimator."""
    found: dict[str, Any] = yaml.safe_load((folder / "MLmodel").read_text())["flavors"]["sklearn"]
    return found
