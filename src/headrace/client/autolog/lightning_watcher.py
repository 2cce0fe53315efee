"""The callback that follows a Lightning trainer; there are two packages to derive it from."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from headrace.client.autolog.checkpoints import Checkpoints
from headrace.client.autolog.library import Library
from headrace.client.autolog.models import copied_rows
from headrace.client.autolog.recording import Recorder


@functools.cache
def watcher_class(package: str) -> Any:
    """The class of the callback for `lightning.pytorch` or for `pytorch_lightning`."""
    callbacks = importlib.import_module(f"{package}.callbacks")

    # A Checkpoint, for those are called last: after what the module logs at the end of an epoch.
    class Watcher(Following, callbacks.Checkpoint):  # type: ignore[misc, name-defined]  # only known when it runs
        def __reduce__(self) -> tuple[Any, ...]:
            """To a process that Lightning starts, where the recorder is made anew."""
            log = self.log_to
            where = None if log is None else (log.client.tracking_uri, log.run_id)
            return self.revive, (package, where, self.options)

    return Watcher


class Following:
    """Logs what a trainer's module logs.

    Each process of a training has one and asks for the same metrics at the same time, for to
    compute them may take all processes; `log_to` is None in those that do not log. `revive` makes
    the callback in a process that Lightning starts, of what `__reduce__` gives.
    """

    def __init__(
        self,
        log_to: Recorder | None,
        library: Library[Any],
        options: Any,
        revive: Callable[..., Any],
    ) -> None:
        super().__init__()
        self.log_to = log_to
        self.library = library
        self.options = options
        self.revive = revive
        self.input: Any = None
        """A few rows of what the module was called with first, where that was one tensor."""
        self._hook: Any = None
        self._of_steps: set[str] = set()
        self._of_epochs: set[str] = set()
        self._logged: dict[str, Any] = {}
        self._last_step = 0
        self._checkpoints = Checkpoints(options, ".pth")

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Log the optimizers, which are known by now, and when the training is to stop early."""
        if self.log_to is None or not trainer.is_global_zero:
            return
        with self.library.guard("the optimizer"):
            self.log_to.params(_optimizer_params(trainer.optimizers))
        with self.library.guard("early stopping"):
            for stopping in trainer.early_stopping_callbacks[:1]:
                self.log_to.params(_stopping_params(stopping))
        # What is compiled would be compiled anew, with a hook and without it.
        if self.options.log_models and not _is_compiled(pl_module):
            with self.library.guard("what the module takes"):
                self._hook = pl_module.register_forward_pre_hook(self._note_input)

    def stop_watching_inputs(self) -> None:
        """Take back what was put into the module, if it is there still."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def _note_input(self, module: Any, inputs: tuple[Any, ...]) -> None:
        with self.library.guard("what the module takes"):
            self.stop_watching_inputs()
            if len(inputs) == 1 and hasattr(inputs[0], "detach"):
                self.input = copied_rows(inputs[0])

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Log whether the training was stopped early."""
        if self.log_to is None or not trainer.is_global_zero:
            return
        with self.library.guard("early stopping"):
            for stopping in trainer.early_stopping_callbacks[:1]:
                self.log_to.metrics(_stopping_metrics(stopping))

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Log what has been logged for this step, if it is its turn."""
        step = trainer.global_step
        if step == self._last_step:
            return  # gradients are being accumulated
        self._last_step = step
        every = self.options.log_every_n_step
        if every is not None and (not self._of_steps or step % every == 0):
            with self.library.guard("the metrics of a step"):
                metrics = trainer.callback_metrics
                found = {name for name in metrics if f"{name}_step" not in metrics}
                self._of_steps |= found - self._of_epochs
                if step % every == 0:
                    self._log(trainer, metrics, self._of_steps, step - 1)
        with self.library.guard("a checkpoint"):
            if self._checkpoints.due_at_batch(step):
                self._offer(trainer, f"global_step_{step}")

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Note which metrics are of the validation, and so not of steps."""
        if not trainer.sanity_checking and self.options.log_every_n_step is not None:
            with self.library.guard("the metrics of the validation"):
                self._of_epochs |= set(trainer.callback_metrics) - self._of_steps

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Log what has been computed in this epoch, if it is its turn."""
        epoch = trainer.current_epoch
        with self.library.guard("the metrics of an epoch"):
            metrics = trainer.callback_metrics
            if self.options.log_every_n_step is not None:
                self._of_epochs |= set(metrics) - self._of_steps
            if (epoch + 1) % self.options.log_every_n_epoch == 0:
                self._log(trainer, metrics, set(metrics) - self._of_steps, epoch)
        with self.library.guard("a checkpoint"):
            if self._checkpoints.due_at_epoch:
                self._offer(trainer, f"epoch_{epoch}")

    def _log(self, trainer: Any, metrics: Mapping[str, Any], names: set[str], step: int) -> None:
        """Log those of `names` that have been computed since they were logged last."""
        if self.log_to is None or not trainer.is_global_zero:
            return
        new = {
            name: value
            for name, value in metrics.items()
            if name in names and value is not self._logged.get(name)
        }
        self._logged.update(new)
        self.log_to.metrics(new, step=step)

    def _offer(self, trainer: Any, when: str) -> None:
        # With several processes, all would have to save at one time what one finds worth it.
        if self.log_to is None or trainer.world_size > 1:
            return
        facts = {
            **trainer.callback_metrics,
            "epoch": trainer.current_epoch,
            "global_step": trainer.global_step,
        }
        weights_only = self.options.checkpoint_save_weights_only
        self._checkpoints.offer(
            self.log_to, when, facts, lambda path: trainer.save_checkpoint(path, weights_only)
        )


def _is_compiled(module: Any) -> bool:
    names = ("_compiler_ctx", "_compiled_call_impl")
    return any(getattr(module, name, None) is not None for name in names)


def _optimizer_params(optimizers: Any) -> dict[str, Any]:
    """Name and defaults of each optimizer; those after the first have a number in front."""
    params: dict[str, Any] = {}
    for number, optimizer in enumerate(optimizers):
        prefix = f"{number}." if number else ""
        inner = getattr(optimizer, "optimizer", optimizer)
        params[f"{prefix}optimizer_name"] = type(inner).__name__
        params.update({f"{prefix}{name}": value for name, value in inner.defaults.items()})
    return params


def _stopping_params(stopping: Any) -> dict[str, Any]:
    """Its parameters as the user gave them: Lightning turns the sign of `min_delta` for `min`."""
    names = ("monitor", "mode", "patience")
    own = {name: getattr(stopping, name) for name in names}
    return {**own, "min_delta": abs(stopping.min_delta)}


def _stopping_metrics(stopping: Any) -> dict[str, Any]:
    metrics = {"best_score": stopping.best_score, "wait_count": stopping.wait_count}
    if stopping.wait_count >= stopping.patience:
        metrics["stopped_epoch"] = stopping.stopped_epoch
    return metrics
