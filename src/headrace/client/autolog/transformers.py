"""Autologging of transformers: `Trainer.train`, and of what is derived from it."""

from __future__ import annotations

import weakref
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from headrace.client.autolog.library import Library, Options
from headrace.client.autolog.models import log_model
from headrace.client.autolog.patching import Call, patch
from headrace.client.autolog.recording import Recorder

_runs: Final[weakref.WeakKeyDictionary[Any, tuple[Recorder, str | None]]] = (
    weakref.WeakKeyDictionary()
)
"""Where each trainer trained, and the model that it logged, for evaluations that come after."""
_COMPONENTS: Final = {
    "PreTrainedTokenizerBase": "tokenizer",
    "BaseImageProcessor": "image_processor",
    "FeatureExtractionMixin": "feature_extractor",
}
"""What makes a model's inputs: its class, and its name in a pipeline."""


@dataclass(frozen=True, kw_only=True)
class TransformersOptions(Options):
    """The common switches."""


def autolog(  # noqa: PLR0913, PLR0917 - MLflow's signature
    log_input_examples: bool = False,
    log_model_signatures: bool = False,
    log_models: bool = False,
    log_datasets: bool = False,
    disable: bool = False,
    exclusive: bool = False,
    disable_for_unsupported_versions: bool = False,
    silent: bool = False,
    extra_tags: dict[str, str] | None = None,
) -> None:
    """Have `Trainer.train` of transformers log itself, and `Trainer.evaluate` after it.

    Logged are the training arguments and the model's configuration as parameters, what the trainer
    logs (`loss`, `learning_rate`, `eval_loss`) at its global step, its totals, and the best metric
    where it keeps one. With `log_datasets`, the data sets that come from `datasets`. With
    `log_models`, the model and its tokenizer; `headrace.autolog` does not ask for it, for such
    models may be large. A callback for MLflow that the trainer has (`report_to="mlflow"`, or
    `"all"`) rests meanwhile, so that nothing is logged twice. Of several processes, the first logs.
    The other switches are those of `headrace.autolog`.
    """
    LIBRARY.switch(TransformersOptions(**locals()))


def _hook(module: ModuleType) -> None:
    patch(LIBRARY, module.Trainer, "train", _train, when=_logs)
    patch(LIBRARY, module.Trainer, "evaluate", _evaluate, run=False, when=_has_trained)


def _logs(call: Call) -> bool:
    return bool(call.instance.is_world_process_zero())


def _train(call: Call) -> Generator[None, Any, None]:
    trainer = call.instance
    call.log.params(_params(trainer))
    if LIBRARY.options.log_datasets:
        with LIBRARY.guard("the data"):
            _log_data(call.log, trainer)
    with _followed(trainer, call.log):
        yield
    _runs[trainer] = call.log, None
    state = trainer.state
    if state.best_metric is not None:
        step = getattr(state, "best_global_step", None) or state.global_step
        call.log.metrics({"best_metric": state.best_metric}, step=step)
    if LIBRARY.chosen:  # by the user, not by `headrace.autolog` for all libraries
        _runs[trainer] = call.log, _log_model(call.log, trainer)


def _has_trained(call: Call) -> bool:
    return call.instance in _runs


def _evaluate(call: Call) -> Generator[None, Any, None]:
    log, model_id = _runs[call.instance]
    step = call.instance.state.global_step
    metrics = yield
    log.metrics(metrics or {}, step=step, model_id=model_id)


@contextmanager
def _followed(trainer: Any, log: Recorder) -> Iterator[None]:
    """Have a callback of ours in the trainer, in the place of MLflow's."""
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):  # type: ignore[misc]  # transformers has no types for mypy
        def on_log(
            self,
            args: Any,
            state: Any,
            control: Any,
            logs: Mapping[str, Any] | None = None,
            **_: Any,
        ) -> None:
            with LIBRARY.guard("the metrics of a step"):
                log.metrics(logs or {}, step=state.global_step)

    callbacks = trainer.callback_handler.callbacks
    resting = [callback for callback in callbacks if type(callback).__name__ == "MLflowCallback"]
    watcher = Watcher()
    for callback in resting:
        callbacks.remove(callback)
    # First, for transformers' own callback that prints takes from what it prints.
    callbacks.insert(0, watcher)
    try:
        yield
    finally:
        callbacks.remove(watcher)
        callbacks.extend(resting)


def _log_model(log: Recorder, trainer: Any) -> str | None:
    """Log the model with what makes its inputs, unless each process has only a part of it."""
    if any(getattr(trainer, f"is_{name}_enabled", False) for name in ("deepspeed", "fsdp")):
        return None
    components, others = {"model": trainer.model}, {}
    processor = _processor_of(trainer)
    kinds = {each.__name__ for each in type(processor).__mro__}
    name = next((name for base, name in _COMPONENTS.items() if base in kinds), None)
    if name is not None:
        components[name] = processor
    elif processor is not None:
        others["processor"] = processor
    return log_model(log, LIBRARY, components, "transformers", **others)


def _processor_of(trainer: Any) -> Any:
    """The tokenizer, or what else makes the model's inputs; None for a trainer without."""
    # Before 4.46 it was the tokenizer, which is a warning since then.
    name = "processing_class" if hasattr(trainer, "processing_class") else "tokenizer"
    return getattr(trainer, name, None)


def _params(trainer: Any) -> dict[str, Any]:
    """The model's configuration, and the arguments, which hide tokens themselves."""
    config: Any = getattr(trainer.model, "config", None)
    own = config.to_dict() if hasattr(config, "to_dict") else {}
    return {**own, **trainer.args.to_dict()}


def _log_data(log: Recorder, trainer: Any) -> None:
    from datasets import Dataset

    from headrace import data

    for dataset, context in ((trainer.train_dataset, "train"), (trainer.eval_dataset, "eval")):
        if isinstance(dataset, Dataset):
            log.dataset(data.from_huggingface(dataset), context)


LIBRARY: Final = Library(
    "transformers",
    {"transformers.trainer": _hook},
    TransformersOptions(),
    versions=("4.40", "6"),
)
