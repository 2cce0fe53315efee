"""What may stand in an exported program, and what may not because it would run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.models.flavors.pytorch_names import (
    is_dotted,
    is_identifier,
    is_operator,
    is_symbolic,
    is_tree,
)

WRITTEN = [
    "Symbol('s77', positive=True, integer=True)",
    "s0",
    "s0 + 2*s1",
    "Integer(4)",
    "Mul(Integer(2), Symbol('s0', integer=True))",
    "FloorDiv(Symbol('s0', positive=True, integer=True), Integer(2))",
    "Max(Integer(1), Add(Symbol('u0', integer=True), Integer(-1)))",
    "Eq(Symbol('s3', positive=True, integer=True), Integer(1))",
    "Float('0.5', precision=53)",
    "GreaterThan(Symbol('s3', integer=True), Integer(2))",
    "(s0 - 1)//2 <= 1024",
    "true",
]
HOSTILE = [
    "__import__('os').system('touch marker')",
    "().__class__.__bases__[0].__subclasses__()",
    "Symbol('__import__(\"os\")')",
    "Symbol('s0', cls=__import__('os'))",
    "Symbol(Symbol)",
    "Symbol.__init__(1)",
    "exec('1')",
    "eval('1')",
    "open('/etc/passwd')",
    "Lambda(s0, s0)",
    "lambda: 1",
    "[1 for x in (1,)]",
    "{1: 2}",
    "f'{1}'",
    "'text'",
    "s0 if s1 else s2",
    "s0.x",
    "s0[0]",
    "(s0 := 1)",
    "Float('__import__')",
    "Integer('1')",
    "Mul(*s0)",
    "Mul(**s0)",
    "9" * 40,
    "(" * 500 + ")" * 500,
    "s0 +",
    "",
    "s0; s1",
    "x",
    "S",
    "s0\n__import__('os')",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_formulas_that_pytorch_writes_pass(text: str) -> None:
    assert is_symbolic(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_formulas_with_anything_else_do_not(text: str) -> None:
    assert not is_symbolic(text)


@given(st.text(max_size=60))
def test_no_text_that_passes_holds_what_python_could_call(text: str) -> None:
    for check in (is_symbolic, is_identifier, is_dotted, is_operator, is_tree):
        found = check(text)
        assert isinstance(found, bool)
        if found:
            assert "__import__" not in text
            assert "lambda" not in text
            assert ";" not in text


@pytest.mark.parametrize(
    "text",
    [
        "torch.ops.aten.linear.default",
        "torch.ops.aten.add_.Tensor",
        "torch.ops.aten.sym_size.int",
        "torch.ops.aten._to_copy.default",
        "torch.ops.higher_order.wrap_with_set_grad_enabled",
        "_operator.floordiv",
        "math.trunc",
    ],
)
def test_operators_that_only_calculate_pass(text: str) -> None:
    assert is_operator(text)


@pytest.mark.parametrize(
    "text",
    [
        "torch.os.system",
        "torch.load",
        "torch.hub.load",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.save.default",
        "torch.ops.aten.set_.source_Storage",
        "torch.ops.aten.resize_.default",
        "torch.ops.aten._unsafe_index.Tensor",
        "torch.ops.aten.max_pool2d_with_indices_backward.default",
        "torch.ops.aten.fbgemm_linear_int8_weight.default",
        "torch.ops.aten.sparse_coo_tensor.size",
        "torch.ops.aten.segment_reduce.default",
        "torch.ops.aten.to_mkldnn.default",
        "torch.ops.aten.__class__.default",
        "torch.ops.aten.add.__globals__",
        "torch.ops.load_library",
        "torch.ops.mine.op.default",
        "torch.ops.higher_order.triton_kernel_wrapper_functional",
        "torch.ops.aten.linear.default.x",
        "torch.ops.aten.linear",
        "_operator.attrgetter",
        "_operator.methodcaller",
        "_operator.__add__",
        "math.__loader__",
        "os.system",
        "#extension:op",
        "",
        "torch.ops.aten.linear.default\n",
    ],
)
def test_all_other_operators_do_not(text: str) -> None:
    assert not is_operator(text)


@pytest.mark.parametrize("text", ["x", "p_layer_0_weight", "_0", "A9"])
def test_names_pass(text: str) -> None:
    assert is_identifier(text)


@pytest.mark.parametrize(
    "text", ["x)", "x=1", "x y", "x\n", "import", "None", "", "0x", "é", "x;y", "a.b", "x" * 600]
)
def test_what_would_be_more_than_a_name_does_not(text: str) -> None:
    assert not is_identifier(text)


def tree(kind: Any, context: Any = None, *children: Any) -> dict[str, Any]:
    """A node of a description, as PyTorch writes it."""
    text = None if kind is None else json.dumps(context)
    return {"type": kind, "context": text, "children_spec": list(children)}


def test_trees_of_plain_containers_pass_and_no_others() -> None:
    leaf = tree(None)
    plain = tree("builtins.tuple", None, tree("builtins.dict", ["ids", "0.x"], leaf), leaf)
    assert is_tree(json.dumps([1, plain]))
    assert is_tree("")
    refused: list[Any] = [
        tree("os.system"),
        tree("collections.namedtuple", "os.system"),
        tree("builtins.tuple", None, tree("transformers.Cache")),
        tree("builtins.dict", ["x); import os"]),
        tree("builtins.dict", [1]),
        {"type": "builtins.list", "children_spec": 3},
        [],
        "builtins.tuple",
    ]
    for wrong in refused:
        assert not is_tree(json.dumps([1, wrong]))
    for text in ("{", "[]", "1", "[1]", "null", "[1, null]"):
        assert not is_tree(text)
