"""The course of one evaluation: measure, make files, log, judge."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from headrace.client import fluent
from headrace.evaluation import extra_metrics as own_metrics
from headrace.evaluation.classification import NO_PROBABILITIES
from headrace.evaluation.custom_artifacts import make_artifacts
from headrace.evaluation.importance import importance_of, permutation_importance
from headrace.evaluation.measured import Measured
from headrace.evaluation.result import EvaluationResult
from headrace.evaluation.slices import Slice, SliceMetrics, measure_slices
from headrace.evaluation.thresholds import for_each_slice, judge

if TYPE_CHECKING:
    from headrace.evaluation.assessment import Assessment
    from headrace.evaluation.options import Options
    from headrace.evaluation.report import Report
    from headrace.evaluation.rows import Rows
    from headrace.evaluation.subject import Subject
    from headrace.evaluation.tables import Table

_log: Final = logging.getLogger("headrace")
VERDICT_TAG: Final = "headrace.evaluation.verdict"
"""The tag of a run that says whether its evaluation "passed" or "failed"."""
CONTEXT: Final = "eval"
"""What the data set of an evaluation is noted as."""


class Evaluation:
    """One evaluation on its way: what was measured so far, and where it goes."""

    def __init__(
        self,
        rows: Rows,
        options: Options,
        report: Report,
        assessment: Assessment | None,
        subject: Subject | None,
    ) -> None:
        self.rows = rows
        self.options = options
        self.report = report
        self.assessment = assessment
        self.subject = subject
        self.measured = Measured()
        self.sliced = SliceMetrics({}, {}, set(), {})
        self.given = own_metrics.Given(rows, None, options, {})

    def measure(
        self, metrics: list[own_metrics.EvaluationMetric], said: Any, parts: list[Slice]
    ) -> None:
        """The usual metrics, the estimator's own score, the user's; then those of each slice."""
        if self.assessment is not None:
            self.measured.add(self.assessment.measure())
            said = self.assessment.predictions
            self._score()
        self.given.predictions = said
        self.given.metrics = dict(self.measured.values)
        self.measured.add(own_metrics.measure(metrics, self.given))
        if parts and self.assessment is not None:
            self.sliced = measure_slices(
                parts, self.assessment, self.measured.values, self.options.min_slice_rows
            )

    def _score(self) -> None:
        if self.subject is None:
            return
        try:
            weights = None if self.assessment is None else self.assessment.weights
            score = self.subject.score(self.rows, weights, self.measured.values)
        except Exception as error:  # noqa: BLE001 - a score that fails must not lose the metrics
            self.measured.lacks(f"it raised {type(error).__name__}: {error}", "score")
            return
        if score is not None:
            self.measured.values["score"] = score

    def make_files(self, makers: list[Callable[..., Any]]) -> None:
        """Tables and pictures, then what the user's functions make."""
        report = self.report
        if self.assessment is not None:
            for name, table in self.assessment.tables():
                report.table(name, table)
            for name, draw in self.assessment.figures():
                report.figure(name, draw)
        if self.sliced.table:
            report.table("slices", self.sliced.table)
            self._draw_slices()
        for name, table in self._importances():
            report.table(name, table)
            report.figure(f"{name}_plot", partial(_draw_importance, name, table))
        table_of_scores = own_metrics.scores_of(self.given)
        if table_of_scores is not None:
            report.file("eval_results_table", ".json", table_of_scores)
        for name, why in make_artifacts(makers, self.given, report).items():
            self.measured.lacks(why, name)

    def _draw_slices(self) -> None:
        assessment = self.assessment
        assert assessment is not None
        whole = self.measured.values[assessment.headline]

        def draw() -> Any:
            from headrace.evaluation.bar_figures import slices

            return slices(self.sliced.table, assessment.headline, whole)

        self.report.figure("slices_plot", draw)

    def _importances(self) -> list[tuple[str, Any]]:
        if self.subject is None:
            return []
        found = []
        table = importance_of(self.subject.native, self.rows)
        if table is not None:
            found.append(("feature_importance", table))
        if self.options.permutation_importance and self.assessment is not None:
            permuted = permutation_importance(self.subject, self.rows, self.assessment)
            found.append(("permutation_importance", permuted))
        return found

    def conclude(self, wanted: Mapping[str, Any], model_id: str | None) -> EvaluationResult:
        """Log the metrics and the verdict, and give the result."""
        prefix, report = self.options.metric_prefix, self.report
        metrics = {prefix + name: value for name, value in self.measured.values.items()}
        sliced = {prefix + name: value for name, value in self.sliced.values.items()}
        missing = {prefix + name: why for name, why in self.measured.missing.items()}
        _say_missing(missing)
        report.dataset(self.rows.dataset, prefix or CONTEXT, model_id)
        report.metrics({**metrics, **sliced}, model_id, self.rows.dataset)
        small = {prefix + name for name in self.sliced.small}
        verdict = judge(
            for_each_slice(wanted, sliced, small),
            {**sliced, **metrics},
            {**{prefix + k: v for k, v in self.sliced.missing.items()}, **missing},
        )
        result = EvaluationResult(
            metrics,
            report.artifacts,
            report.run_id,
            slice_metrics=sliced,
            missing=missing,
            verdict=verdict,
        )
        if verdict:
            lines = json.dumps([vars(check) for check in verdict], indent=2).encode()
            report.file("verdict", ".json", lines)
            fluent.set_tag(VERDICT_TAG, "passed" if result.passed else "failed")
            result.artifacts = dict(report.artifacts)
        return result


def _draw_importance(name: str, table: Table) -> Any:
    from headrace.evaluation.bar_figures import importance

    return importance(table, name)


def _say_missing(missing: Mapping[str, str]) -> None:
    """One warning for each reason, but for the one that is no surprise."""
    by_reason: dict[str, list[str]] = {}
    for name, why in missing.items():
        by_reason.setdefault(why, []).append(name)
    by_reason.pop(NO_PROBABILITIES, None)
    for why, names in by_reason.items():
        _log.warning("The evaluation has no %s: %s.", ", ".join(names), why)
