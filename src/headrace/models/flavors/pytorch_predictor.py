"""Predictions of PyTorch models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.errors import InvalidRequest
from headrace.models.data_kinds import is_pandas_frame
from headrace.models.flavor import Predictor
from headrace.models.flavors.pytorch_inputs import call_arguments


class PyTorchPredictor(Predictor):
    """Calls a module in evaluation mode, without gradients, on one device."""

    def __init__(self, model: Any, device: str | None) -> None:
        import torch

        if isinstance(model, torch.export.ExportedProgram):
            model = model.module()
        try:
            self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
            self._model = _on(model, self._device)
        except (RuntimeError, AssertionError) as error:
            raise InvalidRequest(f"The model cannot be on the device '{device}': {error}") from None

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """See Predictor. Arrays, in the structure of what the model gives; a table for a table."""
        import torch

        args, kwargs = call_arguments(self._model, data, self._device)
        training = {module: module.training for module in self._model.modules()}
        _set_training(dict.fromkeys(training, False))
        try:
            with torch.no_grad():
                found = self._model(*args, **kwargs, **(params or {}))
        # The model's own code: what it raises for what it was given is for the user to read.
        except (RuntimeError, TypeError, ValueError, AssertionError) as error:
            raise InvalidRequest(
                f"The model does not take this input: {type(error).__name__}: {error}"
            ) from error
        finally:
            _set_training(training)
        result = _as_arrays(found)
        if is_pandas_frame(data) and getattr(result, "ndim", 0) in (1, 2):
            import pandas as pd

            return pd.DataFrame(result, index=data.index if len(result) == len(data) else None)
        return result


def _set_training(modes: Mapping[Any, bool]) -> None:
    for module, training in modes.items():
        if module.training != training:
            module.training = training


def _on(model: Any, device: Any) -> Any:
    """The model on a device. A program is rewritten for it: it names devices."""
    tensors = (*model.parameters(), *model.buffers())
    if all(each.device.type == device.type for each in tensors):
        return model
    program = getattr(model, "exported_program", None)
    if program is None:
        return model.to(device)
    from torch.export.passes import move_to_device_pass

    return move_to_device_pass(program, device).module()


def _as_arrays(found: Any) -> Any:
    """Tensors as NumPy arrays, in dictionaries and lists as they were."""
    import torch

    if isinstance(found, torch.Tensor):
        held = found.detach().cpu()
        return (held.float() if held.dtype == torch.bfloat16 else held).numpy()
    if isinstance(found, Mapping):
        return {str(name): _as_arrays(item) for name, item in found.items()}
    if isinstance(found, list | tuple):
        return [_as_arrays(item) for item in found]
    return found
