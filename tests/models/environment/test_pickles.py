"""The modules that pickles name."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import fractions
import io
import pickle
from contextlib import suppress
from typing import Any

import cloudpickle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import InvalidRequest
from headrace.models.environment import modules_in_pickle


class Watching(pickle.Unpickler):
    """Notes every module that the real unpickler asks for."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.modules: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        self.modules.add(module)
        return super().find_class(module, name)


def asked_for(data: bytes) -> set[str]:
    watching = Watching(data)
    watching.load()
    return watching.modules


VALUES: list[Any] = [
    [dt.date(2026, 1, 1), decimal.Decimal("1.5"), fractions.Fraction(1, 3)],
    {"a": np.arange(3), "b": np.float64(2), "c": [np.arange(2), collections.OrderedDict(x=1)]},
    [collections.deque([1]), collections.Counter("aab"), {"decimal": decimal.Decimal(1)}],
    (len, np.sum, collections.OrderedDict, collections.OrderedDict),
]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", VALUES)
def test_the_modules_that_unpickling_asks_for(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)

    assert asked_for(data) <= modules_in_pickle(data)
    assert modules_in_pickle(data) <= asked_for(data) | {"copyreg", "__builtin__"}


nested = st.recursive(
    st.one_of(
        st.integers(),
        st.text(),
        st.binary(),
        st.dates(),
        st.decimals(allow_nan=False),
        st.sampled_from([len, decimal.Decimal, collections.Counter]),
    ),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


@given(nested, st.integers(0, 5))
def test_of_any_values(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)

    assert asked_for(data) <= modules_in_pickle(data)


def test_modules_that_functions_by_value_need() -> None:
    # A function defined here is carried by value where its module cannot be imported elsewhere.
    space: dict[str, Any] = {"__name__": "__main__"}
    exec("import fractions, numpy\ndef f(x): return fractions.Fraction(numpy.size(x))", space)  # noqa: S102 - a function of __main__

    found = modules_in_pickle(cloudpickle.dumps(space["f"]))

    assert {"fractions", "numpy"} <= found


def test_nothing_is_loaded() -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return (exec, ("raise SystemExit",))

    assert "builtins" in modules_in_pickle(pickle.dumps(Hostile()))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_pickle_or_refused(data: bytes) -> None:
    with suppress(InvalidRequest):
        assert isinstance(modules_in_pickle(data), set)


def test_a_cut_pickle_is_refused() -> None:
    data = pickle.dumps(VALUES)

    with pytest.raises(InvalidRequest, match="no pickle"):
        modules_in_pickle(data[:-5])
