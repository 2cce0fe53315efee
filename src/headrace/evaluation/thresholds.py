"""What metrics must reach, and the verdict on whether they did."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from headrace.errors import InvalidRequest, ModelValidationFailed

_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION: Final = re.compile(r"\s*(>=|<=|>|<)\s*([-+]?[\d.][\d._eE+-]*)\s*")
_BETTER_THAN_ZERO: Final = 1e-10


class MetricThreshold:
    """What a metric must reach: a value, or a change against a baseline, or several at once.

    `threshold` is a bound that may be met exactly: from below where greater is better, else from
    above. `min_absolute_change` is how much better than the baseline's value it must be;
    `min_relative_change` the same as a part, between 0 and 1, of the baseline's magnitude (any
    improvement, where the baseline is 0). InvalidRequest for anything else.
    """

    def __init__(
        self,
        threshold: float | None = None,
        min_absolute_change: float | None = None,
        min_relative_change: float | None = None,
        greater_is_better: bool | None = None,
    ) -> None:
        given = {
            "threshold": threshold,
            "min_absolute_change": min_absolute_change,
            "min_relative_change": min_relative_change,
        }
        for name, value in given.items():
            if value is not None and (isinstance(value, bool) or not _is_number(value)):
                raise InvalidRequest(f"Invalid value {value!r} for '{name}': expected a number.")
        if min_absolute_change is not None and min_absolute_change <= 0:
            raise InvalidRequest(
                f"Invalid value {min_absolute_change} for 'min_absolute_change': expected a "
                "number above 0."
            )
        if min_relative_change is not None and not 0 <= min_relative_change <= 1:
            raise InvalidRequest(
                f"Invalid value {min_relative_change} for 'min_relative_change': expected a "
                "number between 0 and 1."
            )
        if not isinstance(greater_is_better, bool):
            raise InvalidRequest(
                f"Invalid value {greater_is_better!r} for 'greater_is_better': expected True or "
                "False."
            )
        if all(value is None for value in given.values()):
            raise InvalidRequest(
                "A MetricThreshold needs at least one of 'threshold', 'min_absolute_change' and "
                "'min_relative_change'."
            )
        self.threshold = threshold
        self.min_absolute_change = min_absolute_change
        self.min_relative_change = min_relative_change
        self.greater_is_better = greater_is_better

    @property
    def compares(self) -> bool:
        """Whether it needs a baseline."""
        return self.min_absolute_change is not None or self.min_relative_change is not None

    def conditions(self, baseline: float | None) -> list[Condition]:
        """What it asks for, as bounds, with the baseline's value put in."""
        sign, more = (">=", 1.0) if self.greater_is_better else ("<=", -1.0)
        found = [] if self.threshold is None else [Condition(sign, float(self.threshold))]
        if baseline is None:
            return found
        changes = []
        if self.min_absolute_change is not None:
            changes.append(self.min_absolute_change)
        if self.min_relative_change is not None:
            part = self.min_relative_change * abs(baseline)
            changes.append(part if baseline != 0 else _BETTER_THAN_ZERO)
        for change in changes:
            why = f"the baseline's {baseline:g}, and {change:g} better"
            found.append(Condition(sign, baseline + more * change, why))
        return found

    def __repr__(self) -> str:
        parts = [
            f"{name}={getattr(self, name)!r}"
            for name in ("threshold", "min_absolute_change", "min_relative_change")
            if getattr(self, name) is not None
        ]
        return f"MetricThreshold({', '.join(parts)}, greater_is_better={self.greater_is_better})"


@dataclass(frozen=True)
class Condition:
    """A bound: `sign` is one of >=, <=, >, <; `why` says what the bound comes from."""

    sign: str
    bound: float
    why: str = ""

    def holds(self, value: float) -> bool:
        """Whether the value is within the bound; NaN is within none."""
        return _OPERATORS[self.sign](value, self.bound)

    def __str__(self) -> str:
        return f"{self.sign} {self.bound:g}" + (f" ({self.why})" if self.why else "")


@dataclass(frozen=True)
class Check:
    """One threshold, judged: the metric, its value (None if there is none), what was asked for.

    `remark` says why it failed where the numbers do not, or what was left out.
    """

    metric: str
    value: float | None
    condition: str
    passed: bool
    remark: str = ""

    def __str__(self) -> str:
        shown = "no value" if self.value is None else f"{self.value:.6g}"
        text = f"{self.metric} = {shown}, expected {self.condition}"
        return f"{text}: {self.remark}" if self.remark else text


def checked_thresholds(thresholds: Any, field: str = "thresholds") -> dict[str, Any]:
    """Thresholds as MetricThreshold or Condition. InvalidRequest for what is neither."""
    if thresholds is None:
        return {}
    if not isinstance(thresholds, Mapping):
        raise InvalidRequest(
            f"'{field}' is of type {type(thresholds).__name__}: expected a dictionary of metrics "
            "and what they must reach."
        )
    return {str(name): _checked(name, given, field) for name, given in thresholds.items()}


def absolute_thresholds(thresholds: Any) -> dict[str, Any]:
    """Thresholds that need no baseline. InvalidRequest for one that does."""
    checked = checked_thresholds(thresholds)
    for name, wanted in checked.items():
        if isinstance(wanted, MetricThreshold) and wanted.compares:
            raise InvalidRequest(
                f"The threshold for {name!r} asks for a change, which needs a second result: call "
                "validate_evaluation_results with both results."
            )
    return checked


def for_each_slice(
    thresholds: Mapping[str, Any], sliced: Mapping[str, float], small: set[str]
) -> dict[str, Any]:
    """Thresholds for `slices/*/<metric>` as one for each slice that is not `small`."""
    found: dict[str, Any] = {}
    for name, wanted in thresholds.items():
        before, star, after = name.partition("/*/")
        matching = [
            key
            for key in sliced
            if star and key.startswith(before + "/") and key.rpartition("/")[2] == after
        ]
        large = [key for key in matching if key.rpartition("/")[0] not in small]
        found |= dict.fromkeys(large, wanted) if large else {name: wanted}
    return found


def judge(
    thresholds: Mapping[str, Any],
    metrics: Mapping[str, float],
    missing: Mapping[str, str],
    baseline: Mapping[str, float] | None = None,
) -> list[Check]:
    """Each threshold, judged on the metrics. `missing` says why a metric has no value."""
    checks: list[Check] = []
    for name, wanted in thresholds.items():
        value = metrics.get(name)
        reference = None if baseline is None else baseline.get(name)
        compares = isinstance(wanted, MetricThreshold) and wanted.compares
        if isinstance(wanted, Condition):
            conditions = [wanted]
        else:
            conditions = wanted.conditions(reference)
        if value is None:
            shown = " and ".join(map(str, conditions)) or repr(wanted)
            reason = missing.get(name) or _unknown(metrics)
            checks.append(Check(name, None, shown, passed=False, remark=reason))
            continue
        if compares and reference is None:
            remark = "the baseline has no such metric"
            checks.append(Check(name, value, repr(wanted), passed=False, remark=remark))
        for condition in conditions:
            checks.append(Check(name, value, str(condition), condition.holds(value)))
    return checks


def raise_if_failed(checks: list[Check]) -> None:
    """Raise ModelValidationFailed, with a line for each check that did not pass."""
    failed = [check for check in checks if not check.passed]
    if failed:
        lines = "\n".join(f"  {check}" for check in failed)
        raise ModelValidationFailed(
            f"{len(failed)} of {len(checks)} thresholds were not met:\n{lines}"
        )


def validate_evaluation_results(
    validation_thresholds: Mapping[str, MetricThreshold | str],
    candidate_result: Any,
    baseline_result: Any = None,
) -> None:
    """Raise ModelValidationFailed unless the candidate's metrics meet every threshold.

    The two results are what `evaluate` gave; changes are judged against `baseline_result`, which
    they need. A metric that either lacks is not met.
    """
    wanted = checked_thresholds(validation_thresholds, "validation_thresholds")
    missing = getattr(candidate_result, "missing", {})
    baseline = {} if baseline_result is None else baseline_result.metrics
    values = {**getattr(candidate_result, "slice_metrics", {}), **candidate_result.metrics}
    raise_if_failed(judge(wanted, values, missing, baseline))


def _checked(name: Any, given: Any, field: str) -> Any:
    if isinstance(given, MetricThreshold | Condition):
        return given
    if isinstance(given, str) and (match := _CONDITION.fullmatch(given)):
        try:
            return Condition(match[1], float(match[2]))
        except ValueError:
            pass
    # Somebody's MetricThreshold of MLflow's own says the same under the same names.
    if hasattr(given, "greater_is_better") and hasattr(given, "min_relative_change"):
        return MetricThreshold(
            given.threshold,
            given.min_absolute_change,
            given.min_relative_change,
            given.greater_is_better,
        )
    raise InvalidRequest(
        f"Invalid value {given!r} for {name!r} in '{field}': expected a MetricThreshold, or a "
        "text such as '>= 0.9'."
    )


def _unknown(metrics: Mapping[str, float]) -> str:
    known = [name for name in metrics if "/" not in name]
    return f"there is no such metric; there are {', '.join(known[:30])}"


def _is_number(value: Any) -> bool:
    try:
        return not math.isnan(float(value)) and not isinstance(value, str)
    except (TypeError, ValueError):
        return False
