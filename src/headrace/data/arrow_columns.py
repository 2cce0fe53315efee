"""Columns of Apache Arrow in chunks: those of Hugging Face data sets, and pandas' on Arrow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from headrace.data.columns import (
    Blobs,
    Chunk,
    Column,
    Fixed,
    Kind,
    Lists,
    Objects,
    Records,
    Texts,
    slices,
)
from headrace.data.schema import ANY, Spec, scalar


def arrow_column(name: Any, written: str, chunked: Any) -> Column:
    """A column of a pyarrow ChunkedArray; `written` is its type as its library writes it."""
    return arrow_stream(name, written, chunked.type, lambda: chunked.chunks)


def arrow_stream(
    name: Any,
    written: str,
    arrow_type: Any,
    arrays: Callable[[], Iterable[Any]],
    labels: tuple[str, ...] = (),
) -> Column:
    """A column of pyarrow arrays that come one after the other; `labels` are what numbers mean."""
    import pyarrow as pa

    storage = _storage_type(arrow_type)
    unit = getattr(storage, "unit", "")
    if pa.types.is_date(storage):
        unit = "D" if storage == pa.date32() else "ms"

    def read() -> Iterator[Chunk]:
        for array in arrays():
            for rows in slices(len(array)):
                yield _chunk(array.slice(rows.start, rows.stop - rows.start))

    zoned = getattr(storage, "tz", None) is not None
    kind = Kind.CODE if labels else _kind(storage)
    return Column(name, written, kind, read, labels, unit=unit, zoned=zoned)


def arrow_spec(arrow_type: Any) -> Spec:
    """The type of a column of a schema."""
    from pyarrow import types

    plain = _storage_type(arrow_type)
    if types.is_dictionary(plain):
        return arrow_spec(plain.value_type)
    if _is_list(plain):
        return {"type": "array", "items": arrow_spec(plain.value_type)}
    if types.is_struct(plain):
        fields = {f.name: {**arrow_spec(f.type), "required": not f.nullable} for f in plain}
        return {"type": "object", "properties": dict(sorted(fields.items()))}
    for known, name in (
        (types.is_boolean, "boolean"),
        (_is_text, "string"),
        (_is_binary, "binary"),
        (types.is_timestamp, "datetime"),
        (types.is_date, "datetime"),
    ):
        if known(plain):
            return {"type": name}
    for known, letter in (
        (types.is_signed_integer, "i"),
        (types.is_unsigned_integer, "u"),
        (types.is_floating, "f"),
    ):
        if known(plain):
            return scalar(letter, plain.bit_width // 8)
    return ANY


def _storage_type(arrow_type: Any) -> Any:
    import pyarrow as pa

    while isinstance(arrow_type, pa.BaseExtensionType):
        arrow_type = arrow_type.storage_type
    return arrow_type


def _is_text(plain: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(plain) or types.is_large_string(plain))


def _is_binary(plain: Any) -> bool:
    from pyarrow import types

    return bool(types.is_binary(plain) or types.is_large_binary(plain))


def _is_list(plain: Any) -> bool:
    from pyarrow import types

    fixed = types.is_fixed_size_list(plain)
    return bool(types.is_list(plain) or types.is_large_list(plain) or fixed)


def _kind(plain: Any) -> Kind:
    from pyarrow import types

    if types.is_dictionary(plain):
        return _kind(plain.value_type)
    if _is_text(plain):
        return Kind.TEXT
    if types.is_boolean(plain):
        return Kind.BOOLEAN
    if types.is_integer(plain) or types.is_floating(plain):
        return Kind.NUMBER
    if types.is_timestamp(plain) or types.is_date(plain):
        return Kind.TIME
    if types.is_duration(plain) or types.is_time(plain):
        return Kind.DURATION
    if _is_binary(plain) or _is_list(plain) or types.is_struct(plain):
        return Kind.NESTED
    return Kind.OBJECT


def _chunk(array: Any) -> Chunk:
    import pyarrow as pa

    while isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    plain = array.type
    kind = _kind(plain)
    if kind is Kind.TEXT:
        return Texts(array.to_pylist())
    if kind is Kind.OBJECT:
        return Objects(array.to_pylist())
    missing = array.is_null().to_numpy(zero_copy_only=False)
    if _is_binary(plain):
        return _blobs(array, missing)
    if pa.types.is_struct(plain):
        names = [field.name for field in plain]
        parts = map(_chunk, array.flatten())
        return Records(dict(zip(names, parts, strict=True)), missing)
    if _is_list(plain):
        import pyarrow.compute as pc

        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        return Lists(lengths, (_chunk(array.flatten()),), missing)
    if kind in (Kind.TIME, Kind.DURATION):
        array = array.view(pa.int32() if plain.bit_width == 32 else pa.int64())
    filler = pa.scalar(0, pa.float64()).cast(array.type) if pa.types.is_floating(plain) else 0
    filled = array.fill_null(False if kind is Kind.BOOLEAN else filler)
    return Fixed(filled.to_numpy(zero_copy_only=False), missing)


def _blobs(array: Any, missing: Any) -> Blobs:
    """Byte strings as they lie in memory, not copied: images can be many and large."""
    import numpy as np
    import pyarrow as pa

    if array.null_count:
        array = array.fill_null(b"")
    _, offsets, data = array.buffers()
    wide = "i8" if pa.types.is_large_binary(array.type) else "i4"
    places = np.frombuffer(offsets, wide)[array.offset : array.offset + len(array) + 1]
    first, last = (int(places[0]), int(places[-1])) if len(places) else (0, 0)
    content = memoryview(data)[first:last] if data is not None else b""
    return Blobs(np.diff(places), content, missing)
