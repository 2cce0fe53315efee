"""What an evaluation came to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from headrace.errors import InvalidRequest
from headrace.evaluation.artifact import EvaluationArtifact
from headrace.evaluation.thresholds import Check, raise_if_failed

if TYPE_CHECKING:
    import pandas as pd

_METRICS: Final = "metrics.json"
_ARTIFACTS: Final = "artifacts_metadata.json"
_OURS: Final = "evaluation.json"


class EvaluationResult:
    """The metrics, files, tables and verdict of one evaluation.

    `slice_metrics` are by `slices/<slice>/<metric>`; `missing` says of each metric that could not
    be computed why.
    """

    def __init__(
        self,
        metrics: Mapping[str, float],
        artifacts: Mapping[str, EvaluationArtifact],
        run_id: str | None = None,
        *,
        slice_metrics: Mapping[str, float] | None = None,
        missing: Mapping[str, str] | None = None,
        verdict: list[Check] | None = None,
    ) -> None:
        self.metrics = dict(metrics)
        self.artifacts = dict(artifacts)
        self.run_id = run_id
        self.slice_metrics = dict(slice_metrics or {})
        self.missing = dict(missing or {})
        self.verdict = list(verdict or ())

    @property
    def passed(self) -> bool:
        """Whether every threshold was met; also when there was none."""
        return all(check.passed for check in self.verdict)

    def raise_if_failed(self) -> Self:
        """The result itself; ModelValidationFailed if a threshold was not met."""
        raise_if_failed(self.verdict)
        return self

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The artifacts that are tables, as DataFrames. InvalidRequest without pandas."""
        return {name: file.frame() for name, file in self.artifacts.items() if file.is_table}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all of it to a folder, which is made; MLflow's EvaluationResult.load reads it."""
        folder = Path(path)
        (folder / "artifacts").mkdir(parents=True, exist_ok=True)
        facts = {
            name: {"uri": file.uri, "class_name": file.class_name}
            for name, file in self.artifacts.items()
        }
        for file in self.artifacts.values():
            (folder / "artifacts" / file.file_name).write_bytes(file.data)
        ours = {
            "run_id": self.run_id,
            "slice_metrics": self.slice_metrics,
            "missing": self.missing,
            "verdict": [vars(check) for check in self.verdict],
        }
        for file_name, content in ((_METRICS, self.metrics), (_ARTIFACTS, facts), (_OURS, ours)):
            (folder / file_name).write_text(json.dumps(content, indent=2), encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> EvaluationResult:
        """What `save` wrote, ours or MLflow's. InvalidRequest when there is none.

        Files are read by their suffix alone: no class that the folder names is imported.
        """
        folder = Path(path)
        metrics, facts = _read(folder / _METRICS), _read(folder / _ARTIFACTS)
        ours = _read(folder / _OURS) if (folder / _OURS).exists() else {}
        try:
            artifacts = {
                str(name): EvaluationArtifact.read(str(fact["uri"]), folder / "artifacts")
                for name, fact in facts.items()
            }
            return cls(
                metrics,
                artifacts,
                ours.get("run_id"),
                slice_metrics=ours.get("slice_metrics"),
                missing=ours.get("missing"),
                verdict=[Check(**check) for check in ours.get("verdict", ())],
            )
        except (KeyError, TypeError, AttributeError, OSError) as error:
            raise InvalidRequest(f"'{folder}' holds no whole evaluation: {error!r}.") from None

    def __repr__(self) -> str:
        width = max(map(len, [*self.metrics, *self.missing]), default=0)
        lines = [f"EvaluationResult of run {self.run_id}" if self.run_id else "EvaluationResult"]
        lines += [f"  {name:<{width}}  {_shown(value)}" for name, value in self.metrics.items()]
        lines += [f"  {name:<{width}}  not computed: {why}" for name, why in self.missing.items()]
        if self.artifacts:
            lines.append(
                f"  files: {', '.join(file.file_name for file in self.artifacts.values())}"
            )
        if self.verdict:
            met = sum(check.passed for check in self.verdict)
            word = "PASSED" if self.passed else "FAILED"
            lines.append(f"  verdict: {word}, {met} of {len(self.verdict)} thresholds met")
            lines += [f"    {'ok' if c.passed else 'NO':<2}  {c}" for c in self.verdict]
        return "\n".join(lines)


def _shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidRequest(
            f"'{path.parent}' holds no evaluation: there is no {path.name}. Expected a folder "
            "that EvaluationResult.save wrote."
        ) from None
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"'{path}' cannot be read: {error}.") from None
