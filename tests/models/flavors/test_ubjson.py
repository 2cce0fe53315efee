"""The reader of UBJSON: what was written is read again, and no length is believed."""

from __future__ import annotations

import contextlib
import math
import struct
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.models.flavors.ubjson import TypedArray, part_of, read_ubjson
from tests.models.flavors.ubjson_encoding import encoded, length

KINDS = {"i": "b", "U": "B", "I": "h", "u": "H", "l": "i", "m": "I", "L": "q", "M": "Q", "d": "f"}
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(width=32, allow_nan=False)


@st.composite
def typed_arrays(draw: st.DrawFn) -> TypedArray:
    """Arrays of numbers of every kind, of any bytes."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    size = struct.calcsize(KINDS[kind])
    n_numbers = draw(st.integers(0, 5))
    data = draw(st.binary(min_size=n_numbers * size, max_size=n_numbers * size))
    return TypedArray(kind, memoryview(data))


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text() | typed_arrays(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_was_written_is_read_again(value: Any) -> None:
    assert read_ubjson(encoded(value)) == value


@given(st.dictionaries(st.text(), VALUES, min_size=1, max_size=4))
def test_a_part_is_what_the_whole_has(value: dict[str, Any]) -> None:
    for name, each in value.items():
        assert read_ubjson(part_of(encoded(value), name)) == each
    with pytest.raises(ValueError, match="it has no"):
        part_of(encoded(value), "".join(value) + "-")


@given(VALUES, st.data())
def test_what_is_cut_off_or_goes_on_is_no_ubjson(value: Any, data: st.DataObject) -> None:
    whole = encoded(value)
    with pytest.raises(ValueError, match=r"cut off|more than there is"):
        read_ubjson(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ValueError, match="goes on"):
        read_ubjson(whole + b"Z")


@given(
    st.binary(max_size=60) | st.lists(st.sampled_from(list(b"{}[]$#LlUidSZTF\0\1")), max_size=60)
)
def test_any_bytes_are_read_or_refused(data: bytes | list[int]) -> None:
    with contextlib.suppress(ValueError):
        read_ubjson(bytes(data))


@pytest.mark.parametrize("claimed", [-1, 1 << 40, (1 << 63) - 1, 4, -(1 << 63)])
@pytest.mark.parametrize("before", [b"[$d#", b"[$U#", b"[#", b"S", b"{"], ids=repr)
def test_lengths_that_lie_take_no_memory(before: bytes, claimed: int) -> None:
    data = before + length(claimed) + b"xyz"
    tracemalloc.start()
    with pytest.raises(ValueError, match="a length is"):
        read_ubjson(data)
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "cut off"),
        (b"N", "0x4e"),
        (b"H", "0x48"),
        (b"[$S#" + length(1) + b"x", "no kind of numbers"),
        (b"[$dL", "no count"),
        (b"[#i\x01ZZZZZZZZZ", "expected int64"),
        (b"{i\x01aZ}ZZZZZZZ", "expected int64"),
        (b"{" + (length(1) + b"aZ") * 2 + b"}", "'a' twice"),
        (b"S" + length(1) + b"\xff", "utf-8"),
        (b"[" * 40 + b"]" * 40, "32 levels"),
        (b"[#" + length(1) + b"[ZZ", "cut off"),
    ],
)
def test_what_xgboost_would_not_take(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_ubjson(data)


def test_what_xgboost_writes() -> None:
    data = b"[U\xffi\xffI\xff\xfel\xff\xff\xff\xfdd\x3f\x80\0\0[ZTF]{}]"
    assert read_ubjson(data) == [255, -1, -2, -3, 1.0, [None, True, False], {}]
    found = read_ubjson(b"[$d#" + length(2) + struct.pack(">ff", 0.5, math.inf))
    assert (found.marker, found.form, len(found)) == ("d", ">f", 2)
    assert struct.unpack(">2f", found.data) == (0.5, math.inf)
    with pytest.raises(ValueError, match="'a' twice"):
        part_of(b"{" + (length(1) + b"aZ") * 2 + b"}", "a")
    with pytest.raises(ValueError, match="no object"):
        part_of(b"[]", "a")
