"""What MLflow's users import from `mlflow.models.evaluation`; see `headrace.evaluate`."""

from __future__ import annotations

from headrace.models import also_here

__getattr__ = also_here(
    *("EvaluationArtifact", "EvaluationMetric", "EvaluationResult", "MetricThreshold"),
    *("evaluate", "list_evaluators", "make_metric"),
)
