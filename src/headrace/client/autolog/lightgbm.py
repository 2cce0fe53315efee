"""Autologging of LightGBM: `lightgbm.train` and the estimators of its scikit-learn API."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from headrace.client.autolog.arguments import params_of
from headrace.client.autolog.boosting import log_early_stopping, log_importance
from headrace.client.autolog.boosting_models import LoggingEstimator, NotingRows, log_booster
from headrace.client.autolog.datasets import dataset_of
from headrace.client.autolog.library import Library, Options
from headrace.client.autolog.patching import Call, patch

_NO_PARAMS: Final = (
    "params", "train_set", "valid_sets", "valid_names", "feval", "init_model", "feature_name",
    "categorical_feature", "callbacks",
)  # fmt: skip
_IMPORTANCE_TYPES: Final = ("split", "gain")
_BEFORE_EARLY_STOPPING: Final = 20
"""The order of our callback: LightGBM's own early stopping has 30, and raises to stop."""


@dataclass(frozen=True, kw_only=True)
class LightGBMOptions(Options):
    """The common switches."""


def autolog(  # noqa: PLR0913, PLR0917 - MLflow's signature
    log_input_examples: bool = False,
    log_model_signatures: bool = True,
    log_models: bool = True,
    log_datasets: bool = True,
    disable: bool = False,
    exclusive: bool = False,
    disable_for_unsupported_versions: bool = False,
    silent: bool = False,
    registered_model_name: str | None = None,
    extra_tags: dict[str, str] | None = None,
) -> None:
    """Have `lightgbm.train`, and `fit` of its estimators, log themselves.

    Logged are the parameters, the metrics of `valid_sets` (`eval_set`) after each round as
    `{set}-{metric}`, the best and the last round of early stopping (counted from 1, as LightGBM
    does), the importance of features by `split` and `gain` as JSON and as a plot, and the model.
    The switches are those of `headrace.autolog`.
    """
    LIBRARY.switch(LightGBMOptions(**locals()))


def _hook(lightgbm: ModuleType) -> None:
    # The estimators call the name in their own module.
    for module in (lightgbm, lightgbm.engine, lightgbm.sklearn):
        patch(LIBRARY, module, "train", _train)
    LIBRARY.replace(lightgbm.Dataset, "__init__", NotingRows(LIBRARY))
    # The estimators' own `fit` call this one.
    LIBRARY.replace(lightgbm.LGBMModel, "fit", LoggingEstimator(LIBRARY))


def _train(call: Call) -> Generator[None, Any, None]:
    call.log.params(params_of(call, _NO_PARAMS, call.argument("params")))
    if LIBRARY.options.log_datasets:
        with LIBRARY.guard("the data"):
            _log_data(call)
    watcher = _Watcher(call)
    call.set_argument("callbacks", [*(call.argument("callbacks") or ()), watcher])
    booster = yield
    with LIBRARY.guard("early stopping"):
        if watcher.history and booster.best_iteration > 0:
            log_early_stopping(call.log, watcher.history, booster.best_iteration, first_round=1)
    log_booster(call.log, LIBRARY, booster, call.argument("train_set"))
    names = booster.feature_name()
    for kind in _IMPORTANCE_TYPES:
        with LIBRARY.guard(f"the importance of features by {kind}"):
            worth = booster.feature_importance(importance_type=kind).tolist()
            log_importance(call.log, dict(zip(names, worth, strict=True)), kind)


class _Watcher:
    """A callback that logs the metrics of each round, and keeps them in `history`."""

    before_iteration = False

    def __init__(self, call: Call) -> None:
        self.order = _BEFORE_EARLY_STOPPING
        self.history: list[dict[str, float]] = []
        self._call = call

    def __call__(self, env: Any) -> None:
        with LIBRARY.guard("the metrics of a round"):
            # (set, metric, value, whether higher is better), of cross-validation with more.
            metrics = {f"{entry[0]}-{entry[1]}": entry[2] for entry in env.evaluation_result_list}
            if metrics:
                self._call.log.metrics(metrics, step=len(self.history))
                self.history.append(metrics)


def _log_data(call: Call) -> None:
    train = call.argument("train_set")
    _log_dataset(call, train, "dataset", "train")
    given: Any = call.argument("valid_sets") or ()
    validation: Sequence[Any] = given if isinstance(given, list | tuple) else [given]
    names: Any = call.argument("valid_names") or ()
    names = [names] if isinstance(names, str) else names
    for at, dataset in enumerate(validation):
        name = names[at] if at < len(names) else "dataset"
        _log_dataset(call, dataset, name, "eval")


def _log_dataset(call: Call, dataset: Any, name: str, context: str) -> None:
    """Note what a LightGBM Dataset was made of; once it is constructed it may have let go of it."""
    found = dataset_of(dataset.data, dataset.label, name)
    if found is not None:
        call.log.dataset(found, context)


LIBRARY: Final = Library("lightgbm", {"lightgbm": _hook}, LightGBMOptions(), versions=("4.0", "5"))
