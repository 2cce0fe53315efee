"""Autologging of PyTorch Lightning, as `lightning` and as `pytorch_lightning`: `Trainer.fit`."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Generator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from headrace.client.autolog.checkpoints import CheckpointOptions
from headrace.client.autolog.library import Library
from headrace.client.autolog.lightning_watcher import watcher_class
from headrace.client.autolog.models import copied_rows, log_model
from headrace.client.autolog.patching import Call, patch
from headrace.client.autolog.recording import Recorder
from headrace.client.client import Client
from headrace.errors import InvalidRequest

_MODE: Final = "Mode"
"""A tag, as MLflow sets it: whether the run was last seen training or testing."""
_PARTS: Final = ("DeepSpeedStrategy", "FSDPStrategy", "ModelParallelStrategy")
"""Strategies by which each process has only a part of the module."""
_runs: Final[weakref.WeakKeyDictionary[Any, tuple[Recorder, str | None]]] = (
    weakref.WeakKeyDictionary()
)
"""Where each trainer was fitted, and the model that was logged, for tests that come after."""


@dataclass(frozen=True, kw_only=True)
class LightningOptions(CheckpointOptions):
    """The common switches, how often metrics are logged, and when checkpoints are."""

    log_every_n_epoch: int = 1
    log_every_n_step: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("log_every_n_epoch", "log_every_n_step"):
            every: Any = getattr(self, name)
            if every is None and name == "log_every_n_step":
                continue
            if not (isinstance(every, int) and every > 0):
                raise InvalidRequest(f"{name!r} is {every!r}; expected a number above 0.")


def autolog(  # noqa: PLR0913, PLR0917 - MLflow's signature
    log_every_n_epoch: int = 1,
    log_every_n_step: int | None = None,
    log_models: bool = True,
    log_datasets: bool = True,
    disable: bool = False,
    exclusive: bool = False,
    disable_for_unsupported_versions: bool = False,
    silent: bool = False,
    registered_model_name: str | None = None,
    extra_tags: dict[str, str] | None = None,
    checkpoint: bool = True,
    checkpoint_monitor: str = "val_loss",
    checkpoint_mode: str = "min",
    checkpoint_save_best_only: bool = True,
    checkpoint_save_weights_only: bool = False,
    checkpoint_save_freq: str | int = "epoch",
    log_model_signatures: bool = True,
) -> None:
    """Have `Trainer.fit` of Lightning log itself, and `Trainer.test` after it.

    Logged are the optimizer's parameters and the number of epochs, what the module logs with
    `self.log`, after each `log_every_n_epoch` epochs, a summary of the module, and the parameters
    and outcome of early stopping. With `log_every_n_step`, what is logged for each step is logged
    at every so many steps instead of the end of the epoch. With `checkpoint`, a checkpoint is an
    artifact when `checkpoint_monitor` is better than before, in the sense of `checkpoint_mode`
    (`min` or `max`), or each time, without `checkpoint_save_best_only`: at the end of each epoch,
    or after `checkpoint_save_freq` steps; only where one process trains. The module is logged as a
    model, where a process has all of it: as an exported program where it is called in a training
    step with one tensor, or has an `example_input_array`, and can be exported; else as a pickle.
    Of several processes, the one of rank 0 logs. The other switches are those of
    `headrace.autolog`.
    """
    LIBRARY.switch(LightningOptions(**locals()))


def _hook(module: ModuleType) -> None:
    patch(LIBRARY, module.Trainer, "fit", _fit, when=_logs)
    patch(LIBRARY, module.Trainer, "test", _test, run=False, when=_was_fitted)


def _logs(call: Call) -> bool:
    """Whether this process is the one that logs.

    The others take part in computing the metrics, for that may need all of them at one time.
    """
    trainer = call.instance
    if trainer.is_global_zero:
        return True
    watcher = _watcher(trainer, None)
    if not any(type(callback) is type(watcher) for callback in trainer.callbacks):
        trainer.callbacks.append(watcher)
    return False


def _fit(call: Call) -> Generator[None, Any, None]:
    trainer = call.instance
    call.log.params({"epochs": trainer.max_epochs})
    call.log.tags({_MODE: "training"})
    watcher = _watcher(trainer, call.log)
    trainer.callbacks.append(watcher)
    try:
        yield
    finally:
        # Lightning may have put a new list there.
        trainer.callbacks = [callback for callback in trainer.callbacks if callback is not watcher]
        watcher.stop_watching_inputs()
    _runs[trainer] = call.log, None
    with LIBRARY.guard("the summary of the module"):
        call.log.text(_summary(trainer), "model_summary.txt")
    _runs[trainer] = call.log, _log_module(call.log, trainer, watcher.input)


def _log_module(log: Recorder, trainer: Any, rows: Any) -> str | None:
    if any(kind.__name__ in _PARTS for kind in type(trainer.strategy).__mro__):
        return None
    module = trainer.lightning_module
    example = getattr(module, "example_input_array", None) if rows is None else rows
    if not hasattr(example, "shape"):
        example = None
    return log_model(log, LIBRARY, module, "pytorch", data=copied_rows(example))


def _was_fitted(call: Call) -> bool:
    return call.instance.is_global_zero and call.instance in _runs


def _test(call: Call) -> Generator[None, Any, None]:
    log, model_id = _runs[call.instance]
    last_epoch = max(call.instance.current_epoch - 1, 0)
    results = yield
    for metrics in results or ():
        log.metrics(metrics, step=last_epoch, model_id=model_id)
    log.tags({_MODE: "testing"})


def _watcher(trainer: Any, log: Recorder | None) -> Any:
    # The trainer's class may be one that the user derived from Lightning's.
    package = next(
        name
        for name in ("lightning.pytorch", "pytorch_lightning")
        if name in sys.modules and isinstance(trainer, sys.modules[name].Trainer)
    )
    return watcher_class(package)(log, LIBRARY, LIBRARY.options, _revived)


def _revived(package: str, where: tuple[str, str] | None, options: LightningOptions) -> Any:
    """The callback in another process, logging to the same run."""
    log = None if where is None else Recorder(Client(where[0]), where[1], LIBRARY)
    return watcher_class(package)(log, LIBRARY, options, _revived)


def _summary(trainer: Any) -> str:
    module = trainer.lightning_module
    found = next(
        sys.modules[name]
        for name in ("lightning.pytorch.utilities", "pytorch_lightning.utilities")
        if name in sys.modules
    )
    return str(found.model_summary.ModelSummary(module, max_depth=-1))


LIBRARY: Final = Library(
    "pytorch",
    {"pytorch_lightning": _hook, "lightning.pytorch": _hook},
    LightningOptions(),
    versions=("2.0", "3"),
)
