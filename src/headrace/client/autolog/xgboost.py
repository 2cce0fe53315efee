"""Autologging of XGBoost: `xgboost.train` and the estimators of its scikit-learn API."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from headrace.client.autolog.arguments import params_of
from headrace.client.autolog.boosting import log_early_stopping, log_importance
from headrace.client.autolog.boosting_models import LoggingEstimator, NotingRows, log_booster
from headrace.client.autolog.datasets import MAX_BYTES, dataset_of
from headrace.client.autolog.library import Library, Options
from headrace.client.autolog.patching import Call, patch

_NO_PARAMS: Final = (
    "params", "dtrain", "evals", "obj", "feval", "evals_result", "xgb_model", "callbacks"
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class XGBoostOptions(Options):
    """The common switches, the kinds of importance to log, as `Booster.get_score` has them, and
    the format of models.
    """

    importance_types: Sequence[str] = ("weight",)
    model_format: str = "ubj"


def autolog(  # noqa: PLR0913, PLR0917 - MLflow's signature
    importance_types: Sequence[str] | None = None,
    log_input_examples: bool = False,
    log_model_signatures: bool = True,
    log_models: bool = True,
    log_datasets: bool = True,
    disable: bool = False,
    exclusive: bool = False,
    disable_for_unsupported_versions: bool = False,
    silent: bool = False,
    registered_model_name: str | None = None,
    model_format: str = "ubj",
    extra_tags: dict[str, str] | None = None,
) -> None:
    """Have `xgboost.train`, and `fit` of its estimators, log themselves.

    Logged are the parameters, the metrics of `evals` (`eval_set`) after each round as
    `{set}-{metric}`, the best and the last round of early stopping, and the importance of features
    for each of `importance_types` (`weight` by default) as JSON and as a plot, and the model, in
    `model_format` ("ubj" or "json"). The other switches are those of `headrace.autolog`.
    """
    given = dict(locals())
    given["importance_types"] = tuple(importance_types or ("weight",))
    LIBRARY.switch(XGBoostOptions(**given))


def _hook(xgboost: ModuleType) -> None:
    # The estimators call the name in their own module.
    for module in (xgboost, xgboost.training, xgboost.sklearn):
        patch(LIBRARY, module, "train", _train, when=_logs)
    for matrix in (xgboost.DMatrix, xgboost.QuantileDMatrix):
        LIBRARY.replace(matrix, "__init__", NotingRows(LIBRARY))
    for name in ("XGBModel", "XGBClassifier", "XGBRanker"):
        estimator = getattr(xgboost, name, None)  # they are there where scikit-learn is
        if estimator is not None:
            LIBRARY.replace(estimator, "fit", LoggingEstimator(LIBRARY, ("model_format",)))


def _logs(_call: Call) -> bool:
    """Of processes that train one booster together, the first."""
    from xgboost import collective

    return bool(collective.get_rank() == 0)


def _train(call: Call) -> Generator[None, Any, None]:
    call.log.params(params_of(call, _NO_PARAMS, call.argument("params")))
    if LIBRARY.options.log_datasets:
        with LIBRARY.guard("the data"):
            _log_data(call)
    history: list[dict[str, float]] = []
    # First, because the first callback that stops the training keeps the others from the round.
    call.set_argument("callbacks", [_watcher(call, history), *(call.argument("callbacks") or ())])
    booster = yield
    with LIBRARY.guard("early stopping"):
        best = getattr(booster, "best_iteration", None) if history else None
        if best is not None:
            log_early_stopping(call.log, history, best, first_round=0)
    form = LIBRARY.options.model_format
    log_booster(call.log, LIBRARY, booster, call.argument("dtrain"), model_format=form)
    for kind in LIBRARY.options.importance_types:
        with LIBRARY.guard(f"the importance of features by {kind}"):
            log_importance(call.log, booster.get_score(importance_type=kind), kind)


def _watcher(call: Call, history: list[dict[str, float]]) -> Any:
    """A callback that logs the metrics of each round, and keeps them in `history`."""
    from xgboost.callback import TrainingCallback

    class Watcher(TrainingCallback):  # type: ignore[misc]  # XGBoost has no types for mypy
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            with LIBRARY.guard("the metrics of a round"):
                metrics = _latest(evals_log)
                if metrics:
                    call.log.metrics(metrics, step=len(history))
                    history.append(metrics)
            return False

    return Watcher()


def _latest(evals_log: Mapping[str, Mapping[str, Sequence[Any]]]) -> dict[str, float]:
    found = {
        f"{data}-{name}": values[-1]
        for data, metrics in evals_log.items()
        for name, values in metrics.items()
    }
    # Of cross-validation, a pair: the mean and its deviation.
    return {key: value[0] if isinstance(value, tuple) else value for key, value in found.items()}


def _log_data(call: Call) -> None:
    _log_matrix(call, call.argument("dtrain"), "dataset", "train")
    for matrix, name in call.argument("evals") or ():
        _log_matrix(call, matrix, name, "eval")


def _log_matrix(call: Call, matrix: Any, name: str, context: str) -> None:
    """Note what a DMatrix holds, if dense it is small enough; missing values are NaN there."""
    if matrix.num_row() * matrix.num_col() * 4 > MAX_BYTES:
        return
    labels = matrix.get_label()
    dataset = dataset_of(_dense(matrix), labels if labels.size else None, name)
    if dataset is not None:
        call.log.dataset(dataset, context)


def _dense(matrix: Any) -> Any:
    import numpy as np

    stored = matrix.get_data().tocoo()
    dense = np.full(stored.shape, np.nan, dtype=np.float32)
    dense[stored.row, stored.col] = stored.data
    return dense


LIBRARY: Final = Library("xgboost", {"xgboost": _hook}, XGBoostOptions(), versions=("2.0", "4"))
