"""An evaluation's metrics and files, logged to the run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from headrace.client import fluent
from headrace.client.active import active_run, start_run
from headrace.evaluation.artifact import EvaluationArtifact
from headrace.evaluation.tables import csv_of
from headrace.protocol.datasets import ModelInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.evaluation.tables import Table

_log: Final = logging.getLogger("headrace")
_said: Final[set[str]] = set()


@contextmanager
def run_of_evaluation() -> Iterator[str]:
    """The active run, or a new one that ends with the block."""
    active = active_run()
    if active is not None:
        yield active.info.run_id
        return
    with start_run() as run:
        yield run.info.run_id


@dataclass
class Report:
    """Logs to one run, and keeps what it logged. Names of files begin with `prefix`.

    Without `draws` there are no pictures.
    """

    run_id: str
    prefix: str = ""
    draws: bool = True
    artifacts: dict[str, EvaluationArtifact] = field(default_factory=dict)
    _root: str | None = None

    def file(self, name: str, suffix: str, data: bytes) -> None:
        """Store a file of the run."""
        import io

        file_name = f"{self.prefix}{name}{suffix}"
        fluent.log_stream(io.BytesIO(data), file_name, run_id=self.run_id)
        self.artifacts[name] = EvaluationArtifact(self._uri(file_name), data)

    def table(self, name: str, table: Table) -> None:
        """Store a table as CSV."""
        self.file(name, ".csv", csv_of(table))

    def figure(self, name: str, draw: Callable[[], Any]) -> None:
        """Draw, and store as PNG; without Matplotlib say once that there will be no pictures."""
        if not self.draws:
            return
        if find_spec("matplotlib") is None:
            _say_once(
                "Evaluations have no pictures, because Matplotlib is not installed (pip install "
                "matplotlib). What they show is kept as tables."
            )
            return
        try:
            self.file(name, ".png", png_of(draw()))
        except Exception as error:  # noqa: BLE001 - a picture that fails must not lose the metrics
            _log.warning("The picture '%s' could not be drawn: %r", name, error)

    def metrics(self, metrics: Mapping[str, float], model_id: str | None, dataset: Any) -> None:
        """Log the metrics, as those of the model on the data set."""
        fluent.log_metrics(metrics, run_id=self.run_id, model_id=model_id, dataset=dataset)

    def dataset(self, dataset: Any, context: str, model_id: str | None) -> None:
        """Note the data set, and the model, as inputs of the run."""
        model = None if model_id is None else ModelInput(model_id)
        fluent.log_input(dataset, context=context, model=model)

    def _uri(self, file_name: str) -> str:
        if self._root is None:
            self._root = fluent.get_artifact_uri().rstrip("/")
        return f"{self._root}/{file_name}"


def png_of(figure: Any) -> bytes:
    """A figure of Matplotlib as PNG."""
    import io

    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _say_once(text: str) -> None:
    if text not in _said:
        _said.add(text)
        _log.warning(text)
