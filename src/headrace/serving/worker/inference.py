"""Requests and answers of the Open Inference Protocol (version 2).

A request's parameters that the signature names are the model's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest
from headrace.models.data_kinds import is_array, is_pandas_frame, is_pandas_series
from headrace.models.json_values import are_objects, object_array, request_of
from headrace.models.schema import Schema
from headrace.serving.worker.answers import Answered
from headrace.serving.worker.calls import BINARY, Call
from headrace.serving.worker.tensors import Tensor, decode_tensor, encode_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.models.signature import ModelSignature

HEADER: Final = "Inference-Header-Content-Length"
"""The header that says how many bytes of a body are JSON, before binary data."""
_Json = dict[str, Any]


@dataclass(frozen=True)
class Inference:
    """One request: its tensors, and how it wants to be answered."""

    tensors: list[Tensor]
    parameters: _Json
    id: str | None
    wanted: dict[str, bool] | None
    """The outputs that are asked for, and which of them in binary; None for all."""
    is_binary: bool
    """Whether outputs are binary that do not say."""
    model: str
    version: str

    def answer(self, predictions: Any, signature: ModelSignature | None) -> Answered:
        """The predictions as tensors. Raises InvalidRequest for outputs that are not there."""
        found = _outputs_of(predictions, None if signature is None else signature.outputs)
        wanted = self.wanted
        if wanted is None:
            wanted = dict.fromkeys(found, self.is_binary)
        if strangers := [name for name in wanted if name not in found]:
            raise InvalidRequest(
                f"The model has no output {strangers[0]!r:.100}; it has: {', '.join(found)}."
            )
        heads, parts = [], []
        for name, is_binary in wanted.items():
            head, data = encode_tensor(name, found[name], is_binary=is_binary)
            heads.append(head)
            parts.append(data)
        head = {"model_name": self.model, "model_version": self.version}
        if self.id is not None:
            head["id"] = self.id
        text = json.dumps({**head, "outputs": heads}).encode()
        if not any(wanted.values()):
            return Answered(text)
        return Answered(b"".join((text, *parts)), BINARY, {HEADER.lower(): str(len(text))})


def read_inference(call: Call) -> Inference:
    """The request in a call of the kind `infer`. Its options are `model`, `version` and `header`,
    the bytes of JSON (None: all). Raises InvalidRequest.
    """
    size = call.options.get("header")
    if size is not None and not 0 <= size <= len(call.body):
        raise InvalidRequest(
            f"The header '{HEADER}' says {size}; the body has {len(call.body)} bytes."
        )
    request = _object(call.body if size is None else call.body[:size])
    inputs = request.get("inputs")
    if not are_objects(inputs) or not inputs:
        raise InvalidRequest("The request needs 'inputs', a list of tensors: at least one.")
    outputs = request.get("outputs")
    if outputs is not None and not are_objects(outputs):
        raise InvalidRequest("The request's 'outputs' must be a list of objects.")
    given = request.get("id")
    if given is not None and not isinstance(given, str):
        raise InvalidRequest(f"The request's 'id' must be a text, not {given!r:.100}.")
    parameters = _parameters(request)
    is_binary = parameters.get("binary_data_output") is True
    return Inference(
        _tensors(inputs, b"" if size is None else call.body[size:]),
        parameters,
        given,
        {_name(each): _parameters(each).get("binary_data", is_binary) is True for each in outputs}
        if outputs
        else None,
        is_binary,
        call.options.get("model", ""),
        call.options.get("version", ""),
    )


def params_of(asked: Inference, signature: ModelSignature | None) -> _Json | None:
    """Those of the request's parameters that are the model's."""
    known = {spec.name for spec in (signature.params if signature else None) or ()}
    return {name: value for name, value in asked.parameters.items() if name in known} or None


def _outputs_of(predictions: Any, schema: Schema | None) -> dict[str, NDArray[Any]]:
    """Predictions as arrays by name: those of the columns of a table or of a dictionary of arrays,
    else of the signature's only output, else "output-0".
    """
    import numpy as np

    if is_pandas_frame(predictions):
        columns = [predictions.iloc[:, place] for place in range(len(predictions.columns))]
        return {
            str(name): _column(column).reshape(-1, 1)
            for name, column in zip(predictions.columns, columns, strict=True)
        }
    if isinstance(predictions, Mapping) and all(map(is_array, predictions.values())):
        return {str(name): values for name, values in predictions.items()}
    names = [] if schema is None or not schema.has_input_names() else schema.input_names()
    name = str(names[0]) if len(names) == 1 else "output-0"
    if is_pandas_series(predictions):
        return {name: _column(predictions)}
    if is_array(predictions):
        return {name: predictions}
    if not isinstance(predictions, list):
        predictions = [predictions]
    if set(map(type, predictions)) <= {float, int} or set(map(type, predictions)) == {bool}:
        return {name: np.array(predictions)}
    return {name: object_array(predictions)}


def _column(series: Any) -> NDArray[Any]:
    import numpy as np

    if isinstance(series.dtype, np.dtype):
        values: NDArray[Any] = series.to_numpy()
        return values
    return object_array(series.tolist())


def _tensors(inputs: list[_Json], binary: bytes) -> list[Tensor]:
    found, start = [], 0
    for told in inputs:
        size = _parameters(told).get("binary_data_size")
        if size is None:
            found.append(decode_tensor(told, None))
            continue
        if type(size) is not int or not 0 <= size <= len(binary) - start:
            raise InvalidRequest(
                f"The input '{_name(told)[:100]}' has the 'binary_data_size' {size!r:.100}; "
                f"{len(binary) - start} bytes of binary data are left for it."
            )
        found.append(decode_tensor(told, binary[start : start + size]))
        start += size
    if start != len(binary):
        raise InvalidRequest(
            f"The body has {len(binary) - start} bytes of binary data that belong to no input."
        )
    return found


def _object(text: bytes) -> _Json:
    found = request_of(text)
    if not isinstance(found, dict):
        raise InvalidRequest("The request must be a JSON object with 'inputs'.")
    return found


def _parameters(told: _Json) -> _Json:
    found = told.get("parameters")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidRequest(f"'parameters' must be an object, not {found!r:.100}.")
    return found


def _name(told: _Json) -> str:
    found = told.get("name")
    if not isinstance(found, str):
        raise InvalidRequest(f"A tensor needs a 'name', a text; one has {found!r:.100}.")
    return found
