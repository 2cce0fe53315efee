"""Answers are written as `encode_predictions` writes them, and compared by what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from headrace.models.predictions import encode_predictions
from headrace.serving.worker.encoding import encoded, is_same_answer

ARRAYS = npst.arrays(
    st.one_of(
        npst.scalar_dtypes(),
        npst.unicode_string_dtypes(max_len=3),
        st.just(np.dtype("longdouble")),
    ).filter(lambda dtype: dtype.kind not in "cm"),
    npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.binary()
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)


@given(ARRAYS | VALUES, st.booleans())
def test_the_fast_way_writes_what_the_careful_one_does(value: Any, bare: bool) -> None:
    wanted = encode_predictions(value, is_unwrapped=bare).encode()
    assert encoded(value, is_unwrapped=bare) == wanted


@given(ARRAYS | VALUES)
def test_an_answer_is_the_same_as_itself(value: Any) -> None:
    assert is_same_answer(encoded(value), encoded(value))


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (b"[1.0]", b"[1.0000001]", True),
        (b"[1.0]", b"[1]", True),
        (b"[1.0]", b"[1.01]", False),
        (b"[1e-9]", b"[2e-9]", True),
        (b"[1]", b"[2]", False),
        (b"[1]", b"[true]", False),
        (b"[1.0]", b"[null]", False),
        (b'["a"]', b'["b"]', False),
        (b'["1"]', b"[1.0]", False),
        (b"[1, 2]", b"[1]", False),
        (b"[Infinity]", b"[Infinity ]", True),
        (b"[Infinity]", b"[-Infinity]", False),
        (b'{"a": 1.0}', b'{"a": 1.0000001}', True),
        (b'{"a": 1.0}', b'{"b": 1.0}', False),
        (b'{"a": [{"b": 1.0}]}', b'{"a": [{"b": 2.0}]}', False),
        (b"[]", b"{}", False),
    ],
)
def test_answers_are_compared_but_for_rounding(one: bytes, other: bytes, is_same: bool) -> None:
    assert is_same_answer(one, other) is is_same
    assert is_same_answer(other, one) is is_same
