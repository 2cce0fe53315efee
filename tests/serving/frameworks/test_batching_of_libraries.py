"""Models of real libraries answer several calls at once as they answer each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from headrace.models.loading import load_pyfunc
from headrace.models.signature import infer_signature
from headrace.serving.worker.answers import Answered
from headrace.serving.worker.calls import Call
from headrace.serving.worker.encoding import is_same_answer
from headrace.serving.worker.scoring import Scorer

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]
DATA = load_iris()
ARRAY = DATA.data.astype(np.float32)
TABLE = pd.DataFrame(DATA.data, columns=["a", "b", "c", "d"])
SEVERAL = range(0, 150, 7)


def with_sklearn(folder: Path) -> None:
    import headrace.sklearn

    model = LogisticRegression(max_iter=300).fit(TABLE, DATA.target)
    headrace.sklearn.save_model(model, folder, signature=infer_signature(TABLE))


def with_forest(folder: Path) -> None:
    from sklearn.ensemble import RandomForestClassifier

    import headrace.sklearn

    model = RandomForestClassifier(20, random_state=0).fit(TABLE, DATA.target)
    headrace.sklearn.save_model(
        model, folder, signature=infer_signature(TABLE), pyfunc_predict_fn="predict_proba"
    )


def with_onnx(folder: Path) -> None:
    skl2onnx = pytest.importorskip("skl2onnx")
    pytest.importorskip("onnxruntime")
    import headrace.onnx

    model = LogisticRegression(max_iter=300).fit(ARRAY, DATA.target)
    made = skl2onnx.to_onnx(model, ARRAY[:1], options={"zipmap": False})
    headrace.onnx.save_model(made, folder, signature=infer_signature(ARRAY))


def with_torch(folder: Path) -> None:
    torch = pytest.importorskip("torch")
    import headrace.pytorch

    torch.manual_seed(0)
    layers = torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
    headrace.pytorch.save_model(torch.nn.Sequential(*layers), folder, input_example=ARRAY[:5])


def with_xgboost(folder: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    import headrace.xgboost

    model = xgboost.XGBClassifier(n_estimators=5).fit(TABLE, DATA.target)
    headrace.xgboost.save_model(model, folder, signature=infer_signature(TABLE))


def with_lightgbm(folder: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    import headrace.lightgbm

    model = lightgbm.LGBMRegressor(n_estimators=5, verbose=-1).fit(TABLE, DATA.target)
    headrace.lightgbm.save_model(model, folder, signature=infer_signature(TABLE))


def with_catboost(folder: Path) -> None:
    catboost = pytest.importorskip("catboost")
    import headrace.catboost

    model = catboost.CatBoostRegressor(iterations=5, verbose=False, allow_writing_files=False)
    headrace.catboost.save_model(
        model.fit(TABLE, DATA.target), folder, signature=infer_signature(TABLE)
    )


def with_statsmodels(folder: Path) -> None:
    api = pytest.importorskip("statsmodels.api")
    import headrace.statsmodels

    model = api.OLS(DATA.target, TABLE).fit()
    headrace.statsmodels.save_model(model, folder, signature=infer_signature(TABLE))


@pytest.mark.parametrize(
    "save",
    [
        with_sklearn,
        with_forest,
        with_onnx,
        with_torch,
        with_xgboost,
        with_lightgbm,
        with_catboost,
        with_statsmodels,
    ],
)
def test_together_is_as_alone(tmp_path: Path, save: Callable[[Path], None]) -> None:
    save(tmp_path / "m")
    model = load_pyfunc(tmp_path / "m", trust=True)
    assert model.signature is not None
    assert model.signature.inputs is not None
    is_table = not model.signature.inputs.is_tensor_spec()
    calls = []
    for row in SEVERAL:
        split = {"columns": [*TABLE], "data": [TABLE.iloc[row].tolist()]}
        body: dict[str, Any] = {"inputs": [ARRAY[row].tolist()]}
        body = {"dataframe_split": split} if is_table else body
        calls.append(Call("invocations", json.dumps(body).encode()))
    scorer = Scorer(model)
    alone = [next(scorer.answer([call])) for call in calls]
    for _ in range(6):
        together = list(scorer.answer(calls))
        for one, other in zip(alone, together, strict=True):
            assert isinstance(one, Answered), one
            assert isinstance(other, Answered)
            assert is_same_answer(one.body, other.body)
    assert scorer.takes_several
