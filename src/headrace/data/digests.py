"""Digests of content: the first 32 hexadecimal digits of a SHA-256 over all of it.

A table's digest covers the number of rows, and for each column in order its name, its type as the
library writes it, and every value: nothing is sampled. It is the same in every process and on
every platform, and does not depend on how the data lies in memory. A file's digest is the
beginning of what `sha256sum` prints for it.
"""

from __future__ import annotations

import hashlib
import logging
import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from headrace.data.columns import Blobs, Chunk, Column, Fixed, Lists, Objects, Records, Texts
from headrace.data.object_bytes import encode_all, is_told_by_repr
from headrace.data.plain_bytes import is_plain, plain_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIGEST_LENGTH: Final = 32
_BLOCK_BYTES: Final = 1 << 20

_logger = logging.getLogger("headrace")


def shortened(digest: Any) -> str:
    """The digest in the length that we write: 128 bits, in 32 hexadecimal digits."""
    return str(digest.hexdigest())[:DIGEST_LENGTH]


def table_digest(rows: int, columns: Sequence[Column], index: Sequence[Column] = ()) -> str:
    """The digest of a table; `index` are columns that name the rows."""
    whole = hashlib.sha256(
        b"headrace table 1\0" + struct.pack("<3q", rows, len(columns), len(index))
    )
    for column in (*columns, *index):
        whole.update(_column_digest(column))
    return shortened(whole)


def arrays_digest(parts: Sequence[tuple[str, NDArray[Any]]]) -> str:
    """The digest of named arrays: names, types, shapes and every value."""
    whole = hashlib.sha256(b"headrace arrays 1\0")
    for name, values in parts:
        head = [name, values.dtype.newbyteorder("<").str, list(values.shape)]
        whole.update(encode_all([head]))
        for chunk in array_chunks(values):
            digest = _ChunkDigest()
            digest.add(chunk)
            whole.update(digest.result())
    return shortened(whole)


def array_chunks(values: NDArray[Any]) -> Iterable[Chunk]:
    """An array of any shape, in C order, in chunks of about a mebibyte."""
    import numpy as np

    if values.ndim == 0:
        values = values.reshape(1)
    row = max(1, values[:1].nbytes)
    step = max(1, _BLOCK_BYTES // row)
    hidden = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    plain = np.ma.getdata(values)
    for start in range(0, len(plain), step):
        piece = plain[start : start + step]
        if is_plain(piece.dtype):
            yield Fixed(piece, None if hidden is None else hidden[start : start + step])
        elif hidden is None:
            yield Objects([piece])
        else:
            yield Objects(values[start : start + step].tolist())


def _column_digest(column: Column) -> bytes:
    head = [_name(column.name), column.dtype, column.unit, list(column.categories)]
    values = _ChunkDigest()
    unknown: set[str] = set()
    for chunk in column.chunks():
        values.add(chunk)
        if isinstance(chunk, Objects):
            unknown |= {type(v).__qualname__ for v in _one_of_each_type(chunk.values)}
    if unknown:
        _logger.warning(
            "Column %r holds values of type %s, of which the digest sees only what repr() shows; "
            "give 'digest' if that is not enough.",
            column.name,
            ", ".join(sorted(unknown)),
        )
    return hashlib.sha256(encode_all([head]) + values.result()).digest()


def _name(name: Any) -> Any:
    """A column's name, so that 0 and "0" differ."""
    return name if isinstance(name, str) else [type(name).__name__, str(name)]


def _one_of_each_type(values: list[Any]) -> list[Any]:
    return [v for v in {type(v): v for v in values}.values() if is_told_by_repr(v)]


class _ChunkDigest:
    """The digest of values that come in chunks, wherever one chunk ends and the next begins."""

    def __init__(self) -> None:
        self._streams: dict[str, Any] = {}
        self._children: dict[str, _ChunkDigest] = {}

    def add(self, chunk: Chunk) -> None:
        match chunk:
            case Fixed(values, missing):
                self._mask(missing, values.shape)
                self._stream("values", plain_bytes(values, missing))
            case Texts(texts):
                self._texts(texts)
            case Blobs(lengths, data, missing):
                self._mask(missing, lengths.shape)
                self._stream("lengths", plain_bytes(lengths.astype("i8")))
                self._stream("values", data)
            case Lists(lengths, items, missing):
                self._mask(missing, lengths.shape)
                self._stream("lengths", plain_bytes(lengths.astype("i8")))
                for item in items:
                    self._child("items").add(item)
            case Records(fields, missing):
                self._mask(missing, missing.shape)
                for name, field in fields.items():
                    self._child(f"field {name}").add(field)
            case Objects(values):
                self._objects(values)

    def result(self) -> bytes:
        whole = hashlib.sha256()
        for name, stream in sorted(self._streams.items()):
            whole.update(encode_all([name]) + stream.digest())
        for name, child in sorted(self._children.items()):
            whole.update(encode_all([name]) + child.result())
        return whole.digest()

    def _stream(self, name: str, data: Any) -> None:
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = hashlib.sha256()
        stream.update(data)

    def _child(self, name: str) -> _ChunkDigest:
        return self._children.setdefault(name, _ChunkDigest())

    def _mask(self, missing: NDArray[np.bool_] | None, shape: tuple[int, ...]) -> None:
        import numpy as np

        mask = np.zeros(shape, np.bool_) if missing is None else missing
        self._stream("missing", plain_bytes(mask))

    def _texts(self, texts: list[str | None]) -> None:
        import numpy as np

        lengths = np.fromiter((-1 if t is None else len(t) for t in texts), "i8", len(texts))
        self._stream("lengths", plain_bytes(lengths))
        joined = "".join(t for t in texts if t is not None)
        self._stream("values", joined.encode("utf-8", "surrogatepass"))

    def _objects(self, values: list[Any]) -> None:
        """Columns of strings are the common case, and joining them is quick."""
        if set(map(type, values)) <= {str, type(None)}:
            self._child("texts").add(Texts(values))
        else:
            self._child("objects")._stream("values", encode_all(values))
