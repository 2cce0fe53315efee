"""scikit-learn's models, saved here and in MLflow, loaded in both."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import (
    AdaBoostClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeRegressor

import headrace.sklearn
from headrace.errors import NotTrusted
from headrace.models.loading import load_pyfunc
from tests.models.flavors.sklearn_own import Doubled

mlflow = pytest.importorskip("mlflow.pyfunc", reason="the environment of all libraries").mlflow
pytest.importorskip("mlflow.sklearn")

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore:::mlflow"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
IRIS, CANCER, DIABETES = (
    load(as_frame=True) for load in (load_iris, load_breast_cancer, load_diabetes)
)


def line() -> Any:
    """A small classifier that converges."""
    return LogisticRegression(max_iter=2000)


CASES: dict[str, tuple[Any, Any]] = {
    "pipeline": (make_pipeline(StandardScaler(), line()), IRIS),
    "columns": (
        make_pipeline(
            ColumnTransformer(
                [
                    ("log", FunctionTransformer(np.log1p), ["sepal length (cm)"]),
                    ("codes", OneHotEncoder(handle_unknown="ignore"), ["petal width (cm)"]),
                ]
            ),
            line(),
        ),
        IRIS,
    ),
    "tree": (DecisionTreeRegressor(max_depth=4), DIABETES),
    "forest": (RandomForestClassifier(10), CANCER),
    "boosting": (GradientBoostingClassifier(n_estimators=5), IRIS),
    "ada": (AdaBoostClassifier(n_estimators=5), IRIS),
    "histogram": (HistGradientBoostingRegressor(max_iter=5), DIABETES),
    "neighbours": (KNeighborsClassifier(), CANCER),
    "search": (GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [2, 3]}, cv=2), IRIS),
    "stacking": (StackingClassifier([("a", line()), ("b", GaussianNB())], cv=2), IRIS),
    "vectors": (make_pipeline(StandardScaler(), SVC()), CANCER),
    "regression": (make_pipeline(StandardScaler(), SVR()), DIABETES),
    "network": (MLPRegressor(hidden_layer_sizes=(4,), max_iter=20, random_state=0), DIABETES),
    "own": (make_pipeline(Doubled(), Ridge()), DIABETES),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """A trained model, and the table it was trained on."""
    model, data = CASES[request.param]
    return model.fit(data.data, data.target), data.data


def test_saved_here_and_loaded_by_mlflow(case: Any, tmp_path: Path) -> None:
    model, table = case
    headrace.sklearn.save_model(model, tmp_path / "m", input_example=table.head(3))
    native = mlflow.sklearn.load_model(str(tmp_path / "m"))
    wanted = model.predict(table)
    np.testing.assert_allclose(native.predict(table), wanted)
    found = mlflow.pyfunc.load_model(str(tmp_path / "m"))
    assert found.metadata.signature is not None
    np.testing.assert_allclose(found.predict(table), wanted)
    np.testing.assert_allclose(found.predict(found.input_example), wanted[:3])


def test_saved_by_mlflow_and_loaded_here(case: Any, tmp_path: Path) -> None:
    model, table = case
    headrace.sklearn.save_model(model, tmp_path / "ours")
    trusted = facts(tmp_path / "ours")["skops_trusted_types"]
    mlflow.sklearn.save_model(
        model,
        str(tmp_path / "m"),
        input_example=table.head(3),
        pip_requirements=["scikit-learn"],
        skops_trusted_types=trusted,
    )
    assert facts(tmp_path / "m").keys() == facts(tmp_path / "ours").keys()
    assert facts(tmp_path / "m") == facts(tmp_path / "ours")
    if "Doubled" in repr(model):
        with pytest.raises(NotTrusted, match=r"Doubled in model\.skops"):
            headrace.sklearn.load_model(str(tmp_path / "m"))
    trust = "Doubled" in repr(model)
    native = headrace.sklearn.load_model(str(tmp_path / "m"), trust=trust)
    wanted = model.predict(table)
    np.testing.assert_allclose(native.predict(table), wanted)
    found = load_pyfunc(tmp_path / "m", trust=trust)
    for given in (table, table.to_dict("list"), table.to_dict("records")):
        np.testing.assert_allclose(found.predict(given), wanted)


@pytest.mark.parametrize("serialization_format", ["cloudpickle", "pickle"])
def test_pickles_of_both(serialization_format: str, tmp_path: Path) -> None:
    model = line().fit(IRIS.data.to_numpy(), IRIS.target)
    data = IRIS.data.to_numpy()
    how = {"serialization_format": serialization_format, "input_example": data[:2]}
    headrace.sklearn.save_model(model, tmp_path / "ours", **how)
    mlflow.sklearn.save_model(
        model, str(tmp_path / "theirs"), pip_requirements=["scikit-learn"], **how
    )
    assert facts(tmp_path / "ours") == facts(tmp_path / "theirs")
    theirs = mlflow.pyfunc.load_model(str(tmp_path / "ours"))
    np.testing.assert_allclose(theirs.predict(data), model.predict(data))
    with pytest.raises(NotTrusted, match=r"model\.pkl.*trust=True"):
        load_pyfunc(tmp_path / "theirs")
    ours = load_pyfunc(tmp_path / "theirs", trust=True)
    np.testing.assert_allclose(ours.predict(data), model.predict(data))


def test_a_signature_that_mlflow_made_will_do(tmp_path: Path) -> None:
    rows, target = load_diabetes(return_X_y=True, as_frame=True)
    signature = mlflow.models.infer_signature(rows, params={"alpha": 1})
    model = Ridge().fit(rows, target)
    headrace.sklearn.save_model(
        model, tmp_path / "m", signature=signature, input_example=rows.head(2)
    )
    found = load_pyfunc(tmp_path / "m")
    assert repr(found.signature) == repr(signature)
    np.testing.assert_array_equal(found.predict(rows), model.predict(rows))


def test_what_older_mlflow_wrote(tmp_path: Path) -> None:
    """Without a format, it is a pickle; without any entry but that of python_function, too."""
    model = line().fit(IRIS.data, IRIS.target)
    mlflow.sklearn.save_model(
        model, str(tmp_path / "m"), serialization_format="pickle", pip_requirements=["scikit-learn"]
    )
    content = yaml.safe_load((tmp_path / "m" / "MLmodel").read_text())
    for name in ("serialization_format", "skops_trusted_types", "code"):
        del content["flavors"]["sklearn"][name]
    (tmp_path / "m" / "MLmodel").write_text(yaml.safe_dump(content))
    (tmp_path / "m" / "model.pkl").write_bytes(pickle.dumps(model, protocol=2))
    with pytest.raises(NotTrusted, match=r"model\.pkl.*trust=True"):
        headrace.sklearn.load_model(str(tmp_path / "m"))
    for found in (
        headrace.sklearn.load_model(str(tmp_path / "m"), trust=True),
        load_pyfunc(tmp_path / "m", trust=True),
    ):
        np.testing.assert_allclose(found.predict(IRIS.data), model.predict(IRIS.data))


@pytest.mark.parametrize("method", ["predict_proba", "predict_log_proba"])
def test_other_methods_than_predict(method: str, tmp_path: Path) -> None:
    model = line().fit(IRIS.data, IRIS.target)
    wanted = getattr(model, method)(IRIS.data)
    headrace.sklearn.save_model(model, tmp_path / "ours", pyfunc_predict_fn=method)
    mlflow.sklearn.save_model(
        model, str(tmp_path / "theirs"), pyfunc_predict_fn=method, pip_requirements=["skops"]
    )
    theirs = mlflow.pyfunc.load_model(str(tmp_path / "ours"))
    np.testing.assert_allclose(theirs.predict(IRIS.data), wanted)
    np.testing.assert_allclose(load_pyfunc(tmp_path / "theirs").predict(IRIS.data), wanted)


def facts(folder: Path) -> dict[str, Any]:
    """What the MLmodel file says of the estimator."""
    found: dict[str, Any] = yaml.safe_load((folder / "MLmodel").read_text())["flavors"]["sklearn"]
    return found
