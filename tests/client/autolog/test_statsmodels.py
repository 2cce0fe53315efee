"""Autologging of statsmodels, with the real one where it is installed (make test-all)."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import headrace
from headrace.client.autolog.statsmodels import METRICS, autolog
from tests.client.autolog.conftest import artifacts, only_run, runs

pytest.importorskip("statsmodels", reason="no statsmodels: make frameworks-env")

import statsmodels.api as sm
import statsmodels.formula.api as smf

rng = np.random.default_rng(0)
X = sm.add_constant(rng.normal(size=(80, 2)))
Y = X @ [1.0, 2.0, 3.0] + rng.normal(size=80)


@pytest.fixture(autouse=True)
def switched_on(database: str, failures_raise: None) -> None:
    """Nearly every test begins so. Their models are tested in frameworks/test_models.py."""
    autolog(log_models=False)


def summary_of(run_id: str) -> str:
    return Path(headrace.Client().download_artifacts(run_id, "model_summary.txt")).read_text()


def test_a_fit_logs_parameters_metrics_and_its_summary() -> None:
    results = sm.OLS(Y, X).fit(cov_type="HC1")
    run = only_run()
    assert run.data.params["cov_type"] == "HC1"
    assert run.data.params["method"] == "pinv"
    assert run.data.metrics["rsquared"] == results.rsquared
    assert run.data.metrics.keys() == set(METRICS)
    assert run.data.tags["estimator_name"] == "OLS"
    assert run.data.tags["mlflow.autologging"] == "statsmodels"
    assert len(run.inputs.dataset_inputs) == 1
    assert "R-squared" in summary_of(run.info.run_id)


def test_models_of_formulas_log_the_formula() -> None:
    table = pd.DataFrame(X, columns=["one", "a", "b"]).assign(y=Y)
    smf.ols("y ~ a + b", table).fit()
    assert only_run().data.params["formula"] == "y ~ a + b"


def test_other_models_log_what_they_have() -> None:
    sm.Logit((Y > 0).astype(int), X).fit(disp=0)
    sm.GLM(np.exp(Y / 9), X, family=sm.families.Gamma(sm.families.links.Log())).fit()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sm.tsa.ARIMA(Y, order=(1, 0, 0)).fit()
    logit, glm, arima = runs()
    assert "rsquared" not in logit.data.metrics
    for run in (logit, glm, arima):
        assert {"aic", "llf"} <= run.data.metrics.keys()
        assert artifacts(run) == {"model_summary.txt"}
        assert run.info.status == "FINISHED"


def test_results_without_a_summary_are_logged_without() -> None:
    sm.OLS(Y, X).fit_regularized(alpha=0.1)
    run = only_run()
    assert run.data.params["alpha"] == "0.1"
    assert not artifacts(run)


def test_a_fit_that_statsmodels_makes_itself_is_not_logged() -> None:
    from statsmodels.stats.diagnostic import het_breuschpagan

    results = sm.OLS(Y, X).fit()
    het_breuschpagan(results.resid, X)
    only_run()


def test_a_fit_that_fails_fails_as_before() -> None:
    with pytest.raises(ValueError, match="method must be"):
        sm.OLS(Y, X).fit(method="nonsense")
    assert only_run().info.status == "FAILED"


def test_a_model_of_ones_own_and_taking_it_back() -> None:
    class Mine(sm.OLS):  # type: ignore[misc]  # has no types
        def fit(self, **options: Any) -> Any:
            return super().fit(**options)

    results = Mine(Y, X).fit()
    assert only_run().data.tags["estimator_name"] == "Mine"
    autolog(disable=True)
    Mine(Y, X).fit()
    only_run()
    assert "replacement.py" not in vars(Mine)["fit"].__code__.co_filename
    same = pickle.loads(pickle.dumps(sm.OLS(Y, X).fit()))  # noqa: S301 - pickled in this line
    assert same.rsquared == results.rsquared


def test_the_data_can_be_left_out() -> None:
    autolog(log_models=False, log_datasets=False)
    sm.OLS(Y, X).fit()
    assert not only_run().inputs.dataset_inputs
