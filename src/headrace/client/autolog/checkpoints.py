"""Checkpoints of a training as artifacts of its run: all of them, or the best so far."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from headrace.client.autolog.library import Options
from headrace.client.autolog.recording import Recorder, number_for
from headrace.errors import InvalidRequest

FOLDER: Final = "checkpoints"
LATEST_TAG: Final = "mlflow.latest_checkpoint_artifact"
"""On a run: the path of the artifact that was saved last."""


@dataclass(frozen=True, kw_only=True)
class CheckpointOptions(Options):
    """When a checkpoint is saved, under MLflow's names.

    At the end of each epoch or, with a number in `checkpoint_save_freq`, each time so many batches
    have been trained on; with `checkpoint_save_best_only`, if `checkpoint_monitor` is better than
    before, in the sense of `checkpoint_mode` (`min` or `max`).
    """

    checkpoint: bool = True
    checkpoint_monitor: str = "val_loss"
    checkpoint_mode: str = "min"
    checkpoint_save_best_only: bool = True
    checkpoint_save_weights_only: bool = False
    checkpoint_save_freq: str | int = "epoch"

    def __post_init__(self) -> None:
        if self.checkpoint_mode not in ("min", "max"):
            raise InvalidRequest(
                f"'checkpoint_mode' is {self.checkpoint_mode!r}; expected 'min' or 'max'."
            )
        often = self.checkpoint_save_freq
        if often != "epoch" and not (isinstance(often, int) and often > 0):
            raise InvalidRequest(
                f"'checkpoint_save_freq' is {often!r}; expected 'epoch' or a number of batches."
            )


class Checkpoints:
    """The checkpoints of one training. `suffix` is that of the files, such as `.pth`."""

    def __init__(self, options: CheckpointOptions, suffix: str) -> None:
        self._options = options
        self._suffix = f".weights{suffix}" if options.checkpoint_save_weights_only else suffix
        self._best: float | None = None

    def due_at_batch(self, number: int) -> bool:
        """Whether to `offer` a checkpoint after so many batches (counted from 1)."""
        every = self._options.checkpoint_save_freq
        return self._options.checkpoint and isinstance(every, int) and number % every == 0

    @property
    def due_at_epoch(self) -> bool:
        """Whether to `offer` a checkpoint after each epoch."""
        return self._options.checkpoint and self._options.checkpoint_save_freq == "epoch"

    def offer(
        self,
        log: Recorder,
        when: str,
        facts: Mapping[str, Any],
        save: Callable[[str], None],
    ) -> None:
        """Have `save` write a checkpoint to a path, and log it, if it is wanted.

        `when` names it among all (`epoch_3`); `facts` are the metrics by now, and kept beside it.
        A metric to monitor that is not there is no reason to save.
        """
        folder, name = f"{FOLDER}/{when}", "checkpoint"
        if self._options.checkpoint_save_best_only:
            folder, name = FOLDER, "latest_checkpoint"
            if not self._is_better(facts.get(self._options.checkpoint_monitor)):
                return
        with tempfile.TemporaryDirectory(prefix="headrace-checkpoint-") as own:
            path = Path(own) / f"{name}{self._suffix}"
            save(str(path))
            log.file(path, folder)
        plain = {
            key: value if isinstance(value, int) else number_for(value)
            for key, value in facts.items()
        }
        log.dictionary(plain, f"{folder}/{name}_metrics.json")
        log.tags({LATEST_TAG: f"{folder}/{path.name}"})

    def _is_better(self, value: Any) -> bool:
        """Whether `value` is the best so far; then it is what the next ones are compared with."""
        found = None if value is None else number_for(value)
        if found is None or found != found:  # noqa: PLR0124 - NaN is no reason either
            return False
        if self._best is not None:
            better = (
                found < self._best if self._options.checkpoint_mode == "min" else found > self._best
            )
            if not better:
                return False
        self._best = found
        return True
