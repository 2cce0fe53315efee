"""What a PyTorch model is called with: data of any kind as tensors, by position or by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from headrace.errors import InvalidRequest
from headrace.models.data_kinds import as_array, is_pandas_frame, is_polars_frame


def call_arguments(
    model: Any, data: Any, device: Any = None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What `model` is called with for `data`: positional arguments, and those by name.

    A table is one tensor (rows, columns); a dictionary gives the arguments of these names where
    `forward` has them, and is itself the argument otherwise; a list or tuple of arrays gives one
    argument each; other lists are one tensor. Decimal numbers have the precision of the model's
    own. Raises InvalidRequest for what is no numbers.
    """
    wanted = _precision(model)
    if isinstance(data, Mapping):
        tensors = {str(name): _tensor(item, wanted, device) for name, item in data.items()}
        return ((), tensors) if _takes(model, tensors) else ((tensors,), {})
    if isinstance(data, list | tuple) and data and all(as_array(item) is not None for item in data):
        return tuple(_tensor(item, wanted, device) for item in data), {}
    return (_tensor(data, wanted, device),), {}


def _tensor(data: Any, precision: Any, device: Any) -> Any:
    import numpy as np
    import torch

    if isinstance(data, torch.Tensor):
        found = data.detach()
    else:
        array = data.to_numpy() if is_pandas_frame(data) or is_polars_frame(data) else data
        try:
            array = np.asarray(array)
            if array.dtype == object:
                array = array.astype(np.float64)
            is_table = is_pandas_frame(data) or is_polars_frame(data)
            # A table has no type of its own; models take tables as decimal numbers, as in MLflow.
            found = torch.from_numpy(np.array(array, dtype=np.float64 if is_table else None))
        except (TypeError, ValueError) as error:
            raise InvalidRequest(
                f"A PyTorch model takes numbers; this {type(data).__name__} cannot be made a "
                f"tensor: {error}"
            ) from None
    if precision is not None and found.is_floating_point():
        found = found.to(precision)
    return found if device is None else found.to(device)


def _precision(model: Any) -> Any:
    """The type of the model's decimal numbers; float32 for a model without any."""
    import torch

    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.float32


def _takes(model: Any, named: Mapping[str, Any]) -> bool:
    """Whether `forward` has arguments of all these names, and no others that must be given."""
    import torch

    if isinstance(model, torch.jit.ScriptModule):
        names = [each.name for each in model.forward.schema.arguments]
        return set(named) <= set(names)
    try:
        inspect.signature(model.forward).bind(**named)
    except TypeError:
        return False
    kinds = inspect.signature(model.forward).parameters.values()
    return not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in kinds) or all(
        name in inspect.signature(model.forward).parameters for name in named
    )
