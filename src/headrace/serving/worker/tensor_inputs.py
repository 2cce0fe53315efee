"""The tensors of a request as what a model takes: a table, an array, arrays by name, or a list.

A model of columns gets a table: each tensor is the column of its name, of shape [n] or [n, 1], or
one tensor of two axes is all of them. A model of tensors gets them by name. A model without a
signature gets an array of one tensor and a table of several, or where `content_type` is "pd".
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from headrace.errors import InvalidRequest
from headrace.models.json_values import object_array
from headrace.models.payload import decode_frame
from headrace.models.polars_tables import pandas_library
from headrace.models.schema import DataType, Schema, TensorSpec
from headrace.serving.worker.inference import Inference
from headrace.serving.worker.tensors import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.models.signature import ModelSignature


def data_of(asked: Inference, signature: ModelSignature | None, *, from_hints: bool) -> Any:
    """What the model is to predict for, before its signature is enforced."""
    tensors = asked.tensors
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise InvalidRequest("The request's 'inputs' have two tensors of the same name.")
    schema = None if signature is None else signature.inputs
    if from_hints:
        return _only(tensors, "a model whose signature is from type hints").tolist()
    if schema is None:
        as_table = len(tensors) > 1 or "pd" in (
            asked.parameters.get("content_type"),
            tensors[0].content_type,
        )
        return _table(tensors, None) if as_table else _items(tensors[0])
    if schema.is_tensor_spec():
        return _for_tensors(tensors, schema)
    return decode_frame(_table(tensors, schema), schema)


def _table(tensors: list[Tensor], schema: Schema | None) -> Any:
    pandas = pandas_library()
    names = None if schema is None or not schema.has_input_names() else schema.input_names()
    kinds = {} if schema is None or names is None else schema.input_types_dict()
    first = tensors[0].values
    if len(tensors) == 1 and first.ndim == 2 and tensors[0].name not in kinds:
        items = _items(tensors[0])
        if names is not None and len(names) == items.shape[1]:
            return pandas.DataFrame(items, columns=names).infer_objects()
        if names is None:
            return pandas.DataFrame(items).infer_objects()
    lengths = {tensor.values.shape[:1] for tensor in tensors}
    if len(lengths) != 1 or lengths == {()}:
        raise InvalidRequest(
            "The tensors of a table need a first axis of the same length: one entry for each row."
        )
    return pandas.DataFrame({t.name: _series(t, kinds.get(t.name)) for t in tensors})


def _series(tensor: Tensor, kind: Any) -> Any:
    """The values of a column, one for each row."""
    items = _items(tensor, as_bytes=kind is DataType.binary)
    if items.ndim > 1 and items.shape[1:] == (1,):
        items = items.reshape(-1)
    if items.ndim > 1 or items.dtype.kind == "O":
        import pandas as pd

        is_plain = items.ndim == 1 and kind is not DataType.binary
        return pd.Series(items.tolist(), dtype=None if is_plain else object)
    return items


def _items(tensor: Tensor, *, as_bytes: bool = False) -> NDArray[Any]:
    """The values of a tensor; BYTES as texts, unless they are to be bytes or are none."""
    values = tensor.values
    if values.dtype.kind != "O":
        return values
    decode = _decode_base64 if tensor.content_type == "base64" else _as_bytes
    items: list[Any] = [decode(tensor.name, item) for item in values.ravel().tolist()]
    if not as_bytes and tensor.content_type != "base64":
        items = [_as_text(tensor.name, item) for item in items]
    return object_array(items).reshape(values.shape)


def _as_bytes(_name: str, item: str | bytes) -> bytes:
    return item.encode("utf-8", "surrogatepass") if isinstance(item, str) else item


def _as_text(name: str, item: bytes) -> str:
    try:
        return item.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(
            f"The input '{name[:100]}' has BYTES that are no UTF-8 text."
        ) from None


def _decode_base64(name: str, item: str | bytes) -> bytes:
    try:
        return base64.b64decode(item, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(f"The input '{name[:100]}' has BYTES that are no base64.") from None


def _for_tensors(tensors: list[Tensor], schema: Schema) -> Any:
    specs = [spec for spec in schema if isinstance(spec, TensorSpec)]
    if not schema.has_input_names():
        _only(tensors, "the model's one tensor")
        return _typed(tensors[0], specs[0])
    by_name = {spec.name: spec for spec in specs}
    return {
        tensor.name: _typed(tensor, by_name[tensor.name])
        for tensor in tensors
        if tensor.name in by_name
    }


def _typed(tensor: Tensor, spec: TensorSpec) -> NDArray[Any]:
    """The array; texts and bytes as NumPy's own, where the signature has those."""
    kind = spec.type.kind
    if tensor.values.dtype.kind != "O":
        return tensor.values
    items = _items(tensor, as_bytes=kind == "S")
    return items.astype(kind) if kind in "US" else items


def _only(tensors: list[Tensor], whose: str) -> NDArray[Any]:
    if len(tensors) != 1:
        raise InvalidRequest(
            f"The request has {len(tensors)} tensors in its 'inputs'; {whose} takes one."
        )
    return _items(tensors[0])
