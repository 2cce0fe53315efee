"""Making a program of a PyTorch model: `torch.export`, with sizes that may vary."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import TYPE_CHECKING, Any, TextIO

from headrace.models.flavors.pytorch_inputs import call_arguments

if TYPE_CHECKING:
    from headrace.models.signature import ModelSignature


def exported(model: Any, example: Any, signature: ModelSignature | None) -> Any:
    """The program that `model` is in evaluation mode, for inputs such as `example`.

    The sizes that the signature leaves open may vary, without one the first size of each input.
    An example of one row is doubled for that, as a size of one would be taken for a constant.
    Raises what `torch.export.export` raises.
    """
    import torch
    from torch.export import Dim

    device = next((each.device for each in (*model.parameters(), *model.buffers())), None)
    args, kwargs = call_arguments(model, example, device)
    open_sizes = _open_sizes(signature)
    doubled = torch.utils._pytree.tree_map(_two_rows, (args, kwargs))

    def sizes(tensor: Any, name: str | None, position: int) -> dict[int, Any]:
        known = open_sizes.get(name or position, open_sizes.get(position))
        varying = known if known is not None else {0}
        return {at: Dim.AUTO for at in varying if at < tensor.dim()}

    with _evaluating(model), _quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _export(model, doubled, sizes)


def _export(model: Any, arguments: Any, sizes: Any) -> Any:
    import torch

    args, kwargs = arguments
    if len(args) == 1 and isinstance(args[0], dict):
        entries = list(args[0].items())
        shapes: Any = ({name: sizes(item, name, at) for at, (name, item) in enumerate(entries)},)
    elif kwargs:
        shapes = {name: sizes(item, name, at) for at, (name, item) in enumerate(kwargs.items())}
    else:
        shapes = tuple(sizes(item, None, at) for at, item in enumerate(args))
    return torch.export.export(model, args, kwargs or None, dynamic_shapes=shapes)


def _open_sizes(signature: ModelSignature | None) -> dict[Any, set[int]]:
    """Which sizes of which input may vary, by its name and its position, as far as it is known."""
    if signature is None or signature.inputs is None or not signature.inputs.is_tensor_spec():
        return {}
    found: dict[Any, set[int]] = {}
    for position, spec in enumerate(signature.inputs.inputs):
        shape = getattr(spec, "shape", ())
        varying = {at for at, size in enumerate(shape) if size == -1}
        found[position] = varying
        if spec.name is not None:
            found[spec.name] = varying
    return found


def _two_rows(tensor: Any) -> Any:
    return (
        tensor.repeat(2, *[1] * (tensor.dim() - 1))
        if tensor.dim() and tensor.shape[0] == 1
        else tensor
    )


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """The model in evaluation mode, and afterwards each of its modules as it was."""
    before = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, was in before.items():
            module.training = was


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the graphs and tracebacks that PyTorch prints of a model that cannot be exported.

    The error says the reason, and the model is pickled instead. Other threads are heard.
    """
    here = threading.get_ident()
    loggers = logging.Logger.manager.loggerDict
    known = [loggers[name] for name in list(loggers) if name.partition(".")[0] == "torch"]
    handlers = {each for one in known if isinstance(one, logging.Logger) for each in one.handlers}

    def is_of_others(record: logging.LogRecord) -> bool:
        return record.thread != here

    for handler in handlers:
        handler.addFilter(is_of_others)
    try:
        with redirect_stderr(_OfOthers(sys.stderr, here)):
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(is_of_others)


class _OfOthers:
    """A stream that leaves out what one thread writes."""

    def __init__(self, stream: TextIO, thread: int) -> None:
        self._stream = stream
        self._thread = thread

    def write(self, text: str) -> int:
        if threading.get_ident() == self._thread:
            return len(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
