"""Arrays, sparse matrices and random states, out of the bytes and numbers of a skops file.

NumPy's own reading is used for what it checks; what it takes on trust (that the indices of a
sparse matrix lie within it, that the position in a random state lies within the state) is checked
here, because compiled code later goes by it. Every function raises ValueError for what is not so.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

MAX_SPARSE_BYTES: Final = 1 << 30
"""What the arrays of one sparse matrix may have, unpacked."""
_MAGIC: Final = b"\x93NUMPY"
_HEADERS: Final = {1: (8, 2), 2: (8, 4)}
"""By major version of the format: where the length of the header stands, and how wide it is."""
_BIT_GENERATORS: Final = frozenset({"MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"})


def array_from(data: memoryview) -> Any:
    """The array that the bytes of an `.npy` file hold; it can be written to."""
    import numpy as np

    if bytes(data[:6]) != _MAGIC or len(data) < 10:
        raise ValueError("an array is in no .npy format")
    if data[6] not in _HEADERS:
        return np.load(io.BytesIO(data), allow_pickle=False)
    at, width = _HEADERS[data[6]]
    start = at + width + int.from_bytes(data[at : at + width], "little")
    shape, is_fortran, dtype = _header(bytes(data[:start]))
    if dtype.hasobject:
        raise ValueError("an array holds Python objects, which only a pickle can")
    count = math.prod(shape)
    if count * dtype.itemsize != len(data) - start:
        raise ValueError(f"an array of the shape {shape} has {len(data) - start} bytes of content")
    if count == 0 or dtype.itemsize == 0:
        if count > 1 << 20:
            raise ValueError(f"an array of the shape {shape} has no content")
        return np.zeros(shape, dtype)
    flat = np.frombuffer(data, dtype, count, start)
    return flat.reshape(shape, order="F" if is_fortran else "C").copy(order="K")


@lru_cache(maxsize=256)
def _header(data: bytes) -> tuple[tuple[int, ...], bool, Any]:
    from numpy.lib import format as npy

    file = io.BytesIO(data)
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version[0] == 1 else npy.read_array_header_2_0
    shape, is_fortran, dtype = read(file)
    if any(length < 0 for length in shape):
        raise ValueError(f"an array has the shape {shape}")
    return shape, is_fortran, dtype


def sparse_from(data: memoryview) -> Any:
    """The sparse matrix or array that the bytes of an `.npz` file hold, with indices within it."""
    import scipy.sparse

    file = io.BytesIO(data)
    with zipfile.ZipFile(file) as archive:
        size = sum(each.file_size for each in archive.infolist())
    if size > MAX_SPARSE_BYTES:
        raise ValueError(f"a sparse matrix has {size} bytes; at most {MAX_SPARSE_BYTES} are read")
    file.seek(0)
    found = scipy.sparse.load_npz(file)
    if found.format in ("csr", "csc", "bsr"):
        found.check_format(full_check=True)
    return found


def object_array(items: list[Any], shape: tuple[int, ...]) -> Any:
    """An array of objects; `items` are lists as deep as `shape` is long."""
    import numpy as np

    flat: list[Any] = items
    for length in shape[1:]:
        if any(not isinstance(row, list) or len(row) != length for row in flat):
            raise ValueError(f"an array of objects is not of the shape {shape}")
        flat = [item for row in flat for item in row]
    if not shape or len(flat) != math.prod(shape):
        raise ValueError(f"an array of objects is not of the shape {shape}")
    found = np.empty(len(flat), dtype=object)
    for index, item in enumerate(flat):
        found[index] = item
    return found.reshape(shape)


def random_state_from(state: Mapping[str, Any]) -> Any:
    """The `numpy.random.RandomState` with this state, of the generator MT19937."""
    import numpy as np

    _check_position(state)
    made = np.random.RandomState(0)
    made.set_state(dict(state))
    return made


def generator_from(state: Mapping[str, Any], seed: Mapping[str, Any] | None) -> Any:
    """The `numpy.random.Generator` with this state, and the seed sequence that it was made of."""
    import numpy as np

    name = state.get("bit_generator")
    if name not in _BIT_GENERATORS:
        raise ValueError(f"there is no generator of random bits {name!r}")
    _check_position(state)
    if seed is not None and not 4 <= int(seed.get("pool_size", 4)) <= 1024:
        raise ValueError("the pool of a seed sequence is out of range")
    sequence = None if seed is None else np.random.SeedSequence(**seed)
    bits = getattr(np.random, str(name))(sequence)
    bits.state = dict(state)
    return np.random.Generator(bits)


def _check_position(state: Mapping[str, Any]) -> None:
    """NumPy reads at these positions without looking whether they are within the state."""
    inner = state.get("state")
    position = inner.get("pos", 0) if isinstance(inner, Mapping) else 0
    buffered = state.get("buffer_pos", 0)
    if not (isinstance(position, int) and 0 <= position <= 624):
        raise ValueError("the position in a random state is out of range")
    if not (isinstance(buffered, int) and 0 <= buffered <= 4):
        raise ValueError("the position in a random state is out of range")
