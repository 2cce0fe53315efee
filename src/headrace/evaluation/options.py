"""What `evaluator_config` may say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from headrace.errors import InvalidRequest
from headrace.evaluation.classification import AVERAGES

MODEL_TYPES: Final = ("classifier", "regressor")
_EVALUATORS: Final = ("default", *MODEL_TYPES)
_SMALL_SLICE: Final = 30
# How MLflow explains models with the library shap, which is left out here.
_SHAP: Final = ("log_model_explainability", "log_explainer", "explainability_")


@dataclass(frozen=True)
class Options:
    """The type of model, and what `evaluator_config` says; `others` is for metrics of the user.

    `calibration_n_bins` and `min_slice_rows` are counts; slices with fewer rows count as small.
    """

    model_type: str | None = None
    label_list: Any = None
    pos_label: Any = None
    average: str = "weighted"
    sample_weights: Any = None
    metric_prefix: str = ""
    max_classes_for_multiclass_roc_pr: int = 10
    calibration_n_bins: int = 10
    col_mapping: Mapping[str, Any] = field(default_factory=dict)
    min_slice_rows: int = _SMALL_SLICE
    permutation_importance: bool = False
    figures: bool = True
    others: Mapping[str, Any] = field(default_factory=dict)

    def column(self, given: Any) -> Any:
        """What `col_mapping` calls a column; everything else as it is."""
        return self.col_mapping.get(given, given) if isinstance(given, str) else given

    def __post_init__(self) -> None:
        if self.average not in AVERAGES:
            _refuse("average", self.average, f"one of {', '.join(AVERAGES)}")
        for name in ("calibration_n_bins", "min_slice_rows"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                _refuse(name, value, "a whole number above 0")


def list_evaluators() -> list[str]:
    """What `evaluators` may name; "default" stands for the one of the model's type."""
    return list(_EVALUATORS)


def options_of(
    model_type: str | None, evaluators: Any, config: Mapping[str, Any] | None
) -> Options:
    """The options in `evaluator_config`, flat or by the names of evaluators as MLflow takes it.

    InvalidRequest for an unknown type of model or evaluator, and for values that make no sense.
    """
    if model_type is not None and model_type not in MODEL_TYPES:
        raise InvalidRequest(
            f"Invalid value {model_type!r} for 'model_type': expected 'classifier', 'regressor', "
            "or None with 'extra_metrics'. Language models are not evaluated here."
        )
    names = [evaluators] if isinstance(evaluators, str) else list(evaluators or ())
    for name in names:
        if name not in _EVALUATORS:
            _refuse_evaluator(name)
    if config is not None and not isinstance(config, Mapping):
        raise InvalidRequest(
            f"'evaluator_config' is of type {type(config).__name__}: expected a dictionary."
        )
    flat = dict(config or {})
    for name in _EVALUATORS:
        if isinstance(flat.get(name), Mapping):
            flat |= flat.pop(name)
    known = {entry.name for entry in fields(Options)} - {"model_type", "others"}
    others = {k: v for k, v in flat.items() if k not in known and not k.startswith(_SHAP)}
    given = {k: v for k, v in flat.items() if k in known and v is not None}
    if not isinstance(given.get("metric_prefix", ""), str):
        _refuse("metric_prefix", given["metric_prefix"], "a text")
    return Options(model_type, **given, others=others)


def _refuse(name: str, value: Any, expected: str) -> None:
    raise InvalidRequest(
        f"Invalid value {value!r} for '{name}' in 'evaluator_config': expected {expected}."
    )


def _refuse_evaluator(name: Any) -> None:
    raise InvalidRequest(
        f"Invalid value {name!r} in 'evaluators': expected 'default', 'classifier' or "
        "'regressor'. Leave it out, and 'model_type' decides."
    )
