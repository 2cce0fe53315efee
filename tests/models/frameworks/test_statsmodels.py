"""Results of statsmodels, saved here and in MLflow, loaded in both: pickles, all of them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.datasets import load_diabetes

import headrace.statsmodels
from headrace.errors import InvalidModel, InvalidRequest, NotTrusted
from headrace.models.loading import load_model, load_pyfunc

mlflow = pytest.importorskip("mlflow.pyfunc", reason="the environment of all libraries").mlflow
sm = pytest.importorskip("statsmodels.api")
formulas = pytest.importorskip("statsmodels.formula.api")
pytest.importorskip("mlflow.statsmodels")

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore:::mlflow"),
    pytest.mark.filterwarnings("ignore:::statsmodels"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
DATA, TARGET = load_diabetes(return_X_y=True, as_frame=True)
TABLE = DATA[["bmi", "bp", "s5"]]


def formula() -> Any:
    """A regression by a formula."""
    return formulas.ols("y ~ bmi + bp", TABLE.assign(y=TARGET)).fit()


CASES: dict[str, Any] = {
    "ols": lambda: sm.OLS(TARGET, TABLE).fit(),
    "glm": lambda: sm.GLM(TARGET, TABLE, family=sm.families.Poisson()).fit(),
    "logit": lambda: sm.Logit((TARGET > 150).astype(int), TABLE).fit(disp=False),
    "formula": formula,
}


@pytest.mark.parametrize("name", CASES)
def test_both_ways(name: str, tmp_path: Path) -> None:
    results = CASES[name]()
    wanted = results.predict(TABLE)
    headrace.statsmodels.save_model(results, tmp_path / "ours", input_example=TABLE.head(2))
    found = mlflow.pyfunc.load_model(str(tmp_path / "ours"))
    np.testing.assert_allclose(found.predict(TABLE), wanted)
    native = mlflow.statsmodels.load_model(str(tmp_path / "ours"))
    np.testing.assert_allclose(native.params, results.params)
    mlflow.statsmodels.save_model(
        results, str(tmp_path / "theirs"), pip_requirements=["statsmodels"]
    )
    with pytest.raises(NotTrusted, match=r"model\.statsmodels.*trust=True"):
        load_pyfunc(tmp_path / "theirs")
    for folder in ("ours", "theirs"):
        loaded = load_pyfunc(tmp_path / folder, trust=True)
        np.testing.assert_allclose(loaded.predict(TABLE), wanted)
        np.testing.assert_allclose(loaded.predict(TABLE.to_dict("list")), wanted)
    again = headrace.statsmodels.load_model(str(tmp_path / "ours"))
    np.testing.assert_allclose(again.params, results.params)
    said = [
        yaml.safe_load((tmp_path / each / "MLmodel").read_text())["flavors"]["statsmodels"]
        for each in ("ours", "theirs")
    ]
    assert said[0] == said[1]


def test_it_says_that_it_is_a_pickle(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "headrace"):
        headrace.statsmodels.save_model(CASES["ols"](), tmp_path / "m")
    assert "'model.statsmodels' has no form that is safe to load" in caplog.text


def test_without_the_data(tmp_path: Path) -> None:
    results = CASES["ols"]()
    wanted = results.predict(TABLE)
    headrace.statsmodels.save_model(CASES["ols"](), tmp_path / "with")
    headrace.statsmodels.save_model(results, tmp_path / "without", remove_data=True)
    sizes = [(tmp_path / each / "model.statsmodels").stat().st_size for each in ("without", "with")]
    assert sizes[0] < sizes[1] / 2
    np.testing.assert_allclose(load_pyfunc(tmp_path / "without").predict(TABLE), wanted)


def test_time_series(tmp_path: Path) -> None:
    from statsmodels.tsa.arima.model import ARIMA

    results = ARIMA(np.cumsum(np.sin(np.arange(40.0))), order=(1, 0, 0)).fit()
    headrace.statsmodels.save_model(results, tmp_path / "m")
    row = pd.DataFrame({"start": [40], "end": [44]})
    wanted = results.predict(start=40, end=44)
    found = load_pyfunc(tmp_path / "m")
    np.testing.assert_allclose(found.predict(row), wanted)
    theirs = mlflow.pyfunc.load_model(str(tmp_path / "m"))
    np.testing.assert_allclose(theirs.predict(row), wanted)
    with pytest.raises(InvalidRequest, match="one row with the columns start and end"):
        found.predict(pd.DataFrame({"start": [1, 2]}))


def test_what_is_no_result_and_what_is_no_pickle(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="give what 'fit' returned"):
        headrace.statsmodels.save_model(sm.OLS(TARGET, TABLE), tmp_path / "m")
    headrace.statsmodels.save_model(CASES["ols"](), tmp_path / "m")
    (tmp_path / "m" / "model.sig").unlink()
    (tmp_path / "m" / "model.statsmodels").write_bytes(b"no pickle")
    with pytest.raises(InvalidModel, match=r"model\.statsmodels.*cannot be unpickled"):
        load_model(tmp_path / "m", trust=True)
