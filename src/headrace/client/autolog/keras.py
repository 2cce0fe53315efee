"""Autologging of Keras 3, whatever its backend: `Model.fit`."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from headrace.client.autolog.arguments import params_of
from headrace.client.autolog.checkpoints import CheckpointOptions, Checkpoints
from headrace.client.autolog.datasets import dataset_of
from headrace.client.autolog.keras_models import as_taken, signature_of
from headrace.client.autolog.library import Library
from headrace.client.autolog.models import first_rows, log_model
from headrace.client.autolog.patching import Call, patch
from headrace.client.autolog.recording import number_for
from headrace.errors import InvalidRequest

_NO_PARAMS: Final = ("x", "y", "callbacks", "validation_data", "verbose")
_USUAL_BATCH: Final = 32
"""Samples in a batch of arrays, unless `fit` is told another number."""
_EARLY_STOPPING: Final = ("monitor", "min_delta", "patience", "baseline", "restore_best_weights")


@dataclass(frozen=True, kw_only=True)
class KerasOptions(CheckpointOptions):
    """The common switches, how often metrics are logged, when checkpoints are, and how models."""

    checkpoint: bool = False
    save_exported_model: bool = False
    save_model_kwargs: Mapping[str, Any] | None = None
    log_every_epoch: bool = True
    log_every_n_steps: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        every: Any = self.log_every_n_steps
        if every is not None and not (isinstance(every, int) and every > 0):
            raise InvalidRequest(
                f"'log_every_n_steps' is {every!r}; expected a number of batches, or None."
            )


def autolog(  # noqa: PLR0913, PLR0917 - MLflow's signature
    log_every_epoch: bool = True,
    log_every_n_steps: int | None = None,
    log_models: bool = True,
    log_model_signatures: bool = True,
    save_exported_model: bool = False,
    log_datasets: bool = True,
    log_input_examples: bool = False,
    disable: bool = False,
    exclusive: bool = False,
    disable_for_unsupported_versions: bool = False,
    silent: bool = False,
    registered_model_name: str | None = None,
    save_model_kwargs: dict[str, Any] | None = None,
    extra_tags: dict[str, str] | None = None,
) -> None:
    """Have `fit` of Keras models log itself.

    Logged are the parameters of `fit` and of the optimizer, a summary of the model, and the
    metrics after each epoch (`loss`, `val_loss`) or, for `log_every_epoch=False`, each time
    `log_every_n_steps` batches have been trained on, counted through all epochs. Metrics of the
    validation are there as `validation_loss`, too. For an `EarlyStopping` among the callbacks,
    its parameters, `stopped_epoch` and `restored_epoch`. The model as a `.keras` file, written
    with `save_model_kwargs`; the form of `save_exported_model` is not written. The other switches
    are those of `headrace.autolog`.
    """
    LIBRARY.switch(KerasOptions(**locals()))


def tensorflow_autolog(  # noqa: PLR0913, PLR0917 - MLflow's signature
    log_models: bool = True,
    log_datasets: bool = True,
    disable: bool = False,
    exclusive: bool = False,
    disable_for_unsupported_versions: bool = False,
    silent: bool = False,
    registered_model_name: str | None = None,
    log_input_examples: bool = False,
    log_model_signatures: bool = True,
    saved_model_kwargs: dict[str, Any] | None = None,
    keras_model_kwargs: dict[str, Any] | None = None,
    extra_tags: dict[str, str] | None = None,
    log_every_epoch: bool = True,
    log_every_n_steps: int | None = None,
    checkpoint: bool = True,
    checkpoint_monitor: str = "val_loss",
    checkpoint_mode: str = "min",
    checkpoint_save_best_only: bool = True,
    checkpoint_save_weights_only: bool = False,
    checkpoint_save_freq: str | int = "epoch",
) -> None:
    """As `headrace.keras.autolog`, and with checkpoints as artifacts.

    With `checkpoint`, the model is saved when `checkpoint_monitor` is better than before, in the
    sense of `checkpoint_mode` (`min` or `max`), or each time, without `checkpoint_save_best_only`:
    at the end of each epoch, or after `checkpoint_save_freq` batches.
    """
    given = dict(locals())
    del given["saved_model_kwargs"]  # for models of TensorFlow itself
    given["save_model_kwargs"] = given.pop("keras_model_kwargs")
    LIBRARY.switch(KerasOptions(**given))


def _hook(keras: ModuleType) -> None:
    patch(LIBRARY, keras.Model, "fit", _fit)


def _fit(call: Call) -> Generator[None, Any, None]:
    watcher = _Watcher(call)
    call.log.params({**params_of(call, _NO_PARAMS), "batch_size": _batch_size(call)})
    with LIBRARY.guard("the optimizer"):
        call.log.params(_optimizer_params(call.instance))
    if LIBRARY.options.log_datasets:
        with LIBRARY.guard("the data"):
            _log_data(call)
    watcher.log_summary()
    stopping = _early_stopping(call)
    if stopping is not None:
        call.log.params({name: getattr(stopping, name, None) for name in _EARLY_STOPPING})
    # A list of our own: the one that was given stays as it is.
    call.set_argument("callbacks", [*_flat(call.argument("callbacks")), watcher.callback()])
    history = yield
    watcher.log_summary()
    if stopping is not None:
        with LIBRARY.guard("early stopping"):
            _log_stopping(call, stopping, history)
    _log_model(call)


class _Watcher:
    """Logs what becomes known while a model is fitted."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._options = LIBRARY.options
        self._batches = 0
        self._epoch = int(call.argument("initial_epoch") or 0)
        self._has_summary = False
        self._checkpoints = Checkpoints(self._options, self._suffix())

    def callback(self) -> Any:
        """The callback for Keras, with as few hooks as the options need: each costs time."""
        from keras.callbacks import LambdaCallback

        hooks: dict[str, Any] = {
            "on_epoch_begin": self._epoch_begins,
            "on_epoch_end": self._epoch_ends,
            "on_test_end": self._validation_ends,
        }
        if not self._options.log_every_epoch or self._options.checkpoint_save_freq != "epoch":
            hooks["on_train_batch_end"] = self._batch_ends
        return LambdaCallback(**hooks)

    def log_summary(self) -> None:
        """Log the summary, once, if the model knows its shapes by now."""
        model = self._call.instance
        if self._has_summary or not getattr(model, "built", False):
            return
        with LIBRARY.guard("the summary of the model"):
            lines: list[str] = []
            model.summary(print_fn=lambda line, **_: lines.append(line))
            self._call.log.text("\n".join(lines), "model_summary.txt")
            self._has_summary = True

    def _epoch_begins(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def _epoch_ends(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        with LIBRARY.guard("the metrics of an epoch"):
            if self._options.log_every_epoch:
                self._call.log.metrics(logs or {}, step=epoch)
        with LIBRARY.guard("a checkpoint"):
            if self._checkpoints.due_at_epoch:
                self._offer(f"epoch_{epoch}", logs)

    def _batch_ends(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._batches += 1
        with LIBRARY.guard("the metrics of a batch"):
            every = None if self._options.log_every_epoch else self._options.log_every_n_steps
            if every is not None and self._batches % every == 0:
                self._call.log.metrics(logs or {}, step=self._batches)
        with LIBRARY.guard("a checkpoint"):
            if self._checkpoints.due_at_batch(self._batches):
                self._offer(f"global_step_{self._batches}", logs)

    def _validation_ends(self, logs: Mapping[str, Any] | None = None) -> None:
        with LIBRARY.guard("the metrics of the validation"):
            step = self._epoch if self._options.log_every_epoch else self._batches
            named = {f"validation_{name}": value for name, value in (logs or {}).items()}
            self._call.log.metrics(named, step=step)

    def _offer(self, when: str, logs: Mapping[str, Any] | None) -> None:
        model = self._call.instance
        weights_only = self._options.checkpoint_save_weights_only
        facts = {**(logs or {}), "epoch": self._epoch}
        save = model.save_weights if weights_only else model.save
        self._checkpoints.offer(self._call.log, when, facts, save)

    def _suffix(self) -> str:
        return ".h5" if self._options.checkpoint_save_weights_only else ".keras"


def _flat(callbacks: Any) -> list[Any]:
    """The callbacks in what `fit` was given: one, a CallbackList, or lists in lists."""
    if callbacks is None:
        return []
    if isinstance(callbacks, list | tuple):
        return [callback for part in callbacks for callback in _flat(part)]
    return list(getattr(callbacks, "callbacks", [callbacks]))


def _early_stopping(call: Call) -> Any:
    from keras.callbacks import EarlyStopping

    found = [each for each in _flat(call.argument("callbacks")) if isinstance(each, EarlyStopping)]
    return found[0] if found else None


def _log_stopping(call: Call, stopping: Any, history: Any) -> None:
    """Log when it stopped and, if it went back to the best epoch, that epoch's metrics again.

    They become the run's latest ones, at the step after the last epoch.
    """
    if not call.instance.stop_training:
        return
    call.log.metrics({"stopped_epoch": stopping.stopped_epoch})
    if not stopping.restore_best_weights:
        return
    call.log.metrics({"restored_epoch": stopping.best_epoch})
    if stopping.best_epoch in history.epoch:
        at = history.epoch.index(stopping.best_epoch)
        best = {name: values[at] for name, values in history.history.items() if at < len(values)}
        call.log.metrics(best, step=history.epoch[-1] + 1)


def _log_model(call: Call) -> None:
    """Log the model, with the signature that it has by itself, else with that of its data."""
    model, options = call.instance, LIBRARY.options
    signature, rows = None, first_rows(call.argument("x"))
    with LIBRARY.guard("the signature of the model"):
        signature = signature_of(model)
        rows = rows if signature is None else as_taken(model, rows)
    log_model(
        call.log,
        LIBRARY,
        model,
        "keras",
        data=rows,
        signature=signature,
        save_exported_model=options.save_exported_model,
        save_model_kwargs=dict(options.save_model_kwargs or {}),
    )


def _optimizer_params(model: Any) -> dict[str, Any]:
    optimizer = getattr(model, "optimizer", None)
    config = {} if optimizer is None else optimizer.get_config()
    return {f"optimizer_{name}": _plain(value) for name, value in config.items()}


def _plain(value: Any) -> Any:
    return number_for(value) if hasattr(value, "dtype") else value


def _batch_size(call: Call) -> int | None:
    given: int | None = call.argument("batch_size")
    if given is not None:
        return given
    data = call.argument("x")
    if hasattr(data, "shape"):
        return _USUAL_BATCH
    own = getattr(data, "batch_size", None)  # a DataLoader has one
    return own if isinstance(own, int) else None


def _log_data(call: Call) -> None:
    _log_arrays(call, call.argument("x"), call.argument("y"), "train")
    validation = call.argument("validation_data")
    if isinstance(validation, list | tuple) and len(validation) >= 2:
        _log_arrays(call, validation[0], validation[1], "eval")


def _log_arrays(call: Call, features: Any, targets: Any, context: str) -> None:
    """Note an array or table. Several inputs, and data that comes in batches, are not looked at."""
    if isinstance(features, list | tuple):
        return
    dataset = dataset_of(features, targets)
    if dataset is not None:
        call.log.dataset(dataset, context)


LIBRARY: Final = Library("keras", {"keras": _hook}, KerasOptions(), versions=("3.0", "4"))
