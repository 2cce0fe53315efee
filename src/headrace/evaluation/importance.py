"""What a model's features count for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from headrace.evaluation.assessment import Assessment
    from headrace.evaluation.rows import Rows
    from headrace.evaluation.subject import Subject
    from headrace.evaluation.tables import Table

MAX_PERMUTED_ROWS: Final = 10_000
SHUFFLES: Final = 5


def importance_of(native: Any, rows: Rows) -> Table | None:
    """What the estimator itself says, greatest first; None where it says nothing.

    `feature_importances_` as they are; of `coef_` the mean magnitude over classes, with the sign
    where there is one row of them. A pipeline's are those of its last step; a search's those of
    its best estimator.
    """
    import numpy as np

    native = getattr(native, "best_estimator_", native)
    names: Any = rows.feature_names
    steps = getattr(native, "steps", None)
    if isinstance(steps, list) and steps:
        names = _names_out(native, len(steps))
        native = steps[-1][1]
    kind, values = "importance", getattr(native, "feature_importances_", None)
    if values is None:
        kind, values = "coefficient", getattr(native, "coef_", None)
    if values is None or hasattr(values, "toarray"):
        return None
    found = np.asarray(values)
    if found.ndim == 2:
        found = found[0] if len(found) == 1 else np.abs(found).mean(axis=0)
    if found.ndim != 1 or found.dtype.kind not in "fiu":
        return None
    if names is None or len(names) != len(found):
        names = [f"feature_{number + 1}" for number in range(len(found))]
    return _sorted(list(names), found.tolist(), kind)


def permutation_importance(subject: Subject, rows: Rows, assessment: Assessment) -> Table:
    """How much worse the headline metric gets when a feature's values are shuffled.

    Means over five shuffles, on at most 10,000 rows drawn at random; the model predicts for each.
    Breiman, "Random forests", Machine Learning 45, 2001.
    """
    import numpy as np

    draw = np.random.default_rng(0)
    chosen = np.arange(len(rows))
    if len(rows) > MAX_PERMUTED_ROWS:
        chosen = np.sort(draw.choice(len(rows), MAX_PERMUTED_ROWS, replace=False))
    sample = rows.part(chosen)
    whole = assessment.headline_of(subject.predictions(sample), chosen)
    losses: list[float] = []
    for feature in range(len(rows.feature_names)):
        drops = []
        for _ in range(SHUFFLES):
            shuffled = sample.shuffled(feature, draw.permutation(len(chosen)))
            drops.append(whole - assessment.headline_of(subject.predictions(shuffled), chosen))
        losses.append(float(np.mean(drops)) * (1 if assessment.greater_is_better else -1))
    return _sorted(rows.feature_names, losses, f"loss of {assessment.headline}")


def _names_out(pipeline: Any, steps: int) -> list[str] | None:
    if steps == 1:
        return None
    try:
        return [str(name) for name in pipeline[:-1].get_feature_names_out()]
    except Exception:  # noqa: BLE001 - a step of anybody's that has no names for what it makes
        return None


def _sorted(names: list[Any], values: list[float], kind: str) -> Table:
    order = sorted(range(len(values)), key=lambda at: -abs(values[at]))
    return {
        "feature": [str(names[at]) for at in order],
        kind: [values[at] for at in order],
    }
