"""What may stand as a name, an operator or a shape in a program of `torch.export`."""

from __future__ import annotations

import ast
import json
import keyword
import re
from typing import Any, Final

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,511}", re.ASCII)
_DOTTED: Final = re.compile(r"[A-Za-z0-9_]{1,256}(\.[A-Za-z0-9_]{1,256}){0,63}", re.ASCII)
_ATEN: Final = re.compile(
    r"torch\.ops\.aten\.([a-z_][a-z0-9_]*)\.[A-Za-z0-9][A-Za-z0-9_]*", re.ASCII
)
_SYMBOLIC_OPERATORS: Final = frozenset(
    {
        *(
            f"_operator.{name}"
            for name in (
                *("add", "and_", "eq", "floordiv", "ge", "gt", "le", "lshift", "lt", "mod", "mul"),
                *("ne", "neg", "or_", "pos", "pow", "rshift", "sub", "truediv"),
            )
        ),
        *("math.ceil", "math.floor", "math.trunc", "torch.sym_float", "torch.sym_int"),
        *("torch.sym_ite", "torch.sym_max", "torch.sym_min", "torch.sym_not", "torch._sym_sqrt"),
    }
)
_CONTROL: Final = frozenset(
    f"torch.ops.higher_order.{name}"
    for name in ("cond", "wrap_with_autocast", "wrap_with_set_grad_enabled")
)
"""They run graphs of the program, whose operators are checked like all others."""
_REFUSED: Final = frozenset(
    {
        # They read and write files.
        *("from_file", "save"),
        # They change which memory a tensor is over, or trust sizes that are not checked.
        *("set", "set_", "set_data", "resize", "resize_", "resize_as", "resize_as_"),
        *("resize_as_sparse", "resize_as_sparse_", "data", "record_stream", "Delete", "format"),
        *("sparse_resize", "sparse_resize_", "sparse_resize_and_clear"),
        "sparse_resize_and_clear_",
    }
)
_REFUSED_KINDS: Final = re.compile(
    # Not of predicting, and kernels that trust the indices or packed pointers they are given.
    r".*backward.*|(cudnn|fbgemm|miopen|mkldnn|mps|nested|quantized|segment|sparse)_.*|.*_mkldnn.*",
    re.ASCII,
)
_PRIVATE: Final = frozenset(
    {
        # Those that exporting writes itself, which check their arguments like public ones.
        *("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "_assert_async", "_assert_scalar"),
        *("_assert_tensor_metadata", "_cdist_forward", "_conj", "_convolution", "_embedding_bag"),
        *("_embedding_bag_forward_only", "_functional_assert_async", "_log_softmax"),
        *("_native_batch_norm_legit", "_native_batch_norm_legit_functional"),
        *("_native_batch_norm_legit_no_training", "_native_multi_head_attention", "_pdist_forward"),
        *("_reshape_alias", "_scaled_dot_product_attention_math", "_shape_as_tensor", "_softmax"),
        *("_scaled_dot_product_flash_attention_for_cpu", "_stack", "_to_copy", "_trilinear"),
        *("_transformer_encoder_layer_fwd", "_unique2", "_unsafe_view", "_weight_norm"),
        *("_weight_norm_interface", "_fft_c2c", "_fft_c2r", "_fft_r2c", "_linalg_det"),
        *("_linalg_eigh", "_linalg_slogdet", "_linalg_solve_ex", "_linalg_svd"),
        *("__and__", "__or__", "__xor__", "__lshift__", "__rshift__", "__iand__", "__ior__"),
        "__ixor__",
    }
)
_FUNCTIONS: Final = frozenset(
    {
        # SymPy's own, as torch.export writes them,
        *("Abs", "Add", "And", "Eq", "Equality", "Float", "Ge", "GreaterThan", "Gt", "Integer"),
        *("Le", "LessThan", "Lt", "Max", "Min", "Mul", "Ne", "Not", "Or", "Pow", "Rational"),
        *("StrictGreaterThan", "StrictLessThan", "Symbol", "Unequality", "ceiling", "floor"),
        # and PyTorch's (torch/utils/_sympy/functions.py).
        *("CeilDiv", "CeilToInt", "CleanDiv", "FloatPow", "FloatTrueDiv", "FloorDiv", "FloorToInt"),
        *("Identity", "IntTrueDiv", "IsNonOverlappingAndDenseIndicator", "LShift", "Mod"),
        *("ModularIndexing", "PowByNatural", "PythonMod", "RShift", "RoundDecimal", "RoundToInt"),
        *("ToFloat", "TruncToFloat", "TruncToInt", "Where"),
    }
)
_ASSUMPTIONS: Final = frozenset(
    {
        *("commutative", "evaluate", "finite", "integer", "negative", "nonnegative", "nonzero"),
        *("positive", "precision", "real", "zero"),
    }
)
_CONSTANTS: Final = frozenset({"true", "false"})
_SYMBOL: Final = re.compile(r"(s|u|zf|zuf|z)\d{1,6}", re.ASCII)
_ALLOWED_NODES: Final = (
    *(ast.BinOp, ast.UnaryOp, ast.Compare, ast.operator, ast.unaryop, ast.cmpop),
    *(ast.Load, ast.Expression, ast.keyword),
)
_MAX_EXPRESSION: Final = 4096
_MAX_NUMBER: Final = 1 << 63
_CONTAINERS: Final = frozenset({"builtins.tuple", "builtins.list", "builtins.dict", None})


def is_identifier(text: str) -> bool:
    """Whether a text may stand as a name in source: it can mean nothing else there."""
    return _IDENTIFIER.fullmatch(text) is not None and not keyword.iskeyword(text)


def is_dotted(text: str) -> bool:
    """Whether a text is a path of attributes, such as `layers.0.weight`."""
    return _DOTTED.fullmatch(text) is not None


def is_operator(text: str) -> bool:
    """Whether a text names an operator that only calculates: PyTorch's own, or on sizes."""
    if text in _SYMBOLIC_OPERATORS or text in _CONTROL:
        return True
    found = _ATEN.fullmatch(text)
    if found is None:
        return False
    name = found[1]
    if name in _REFUSED or _REFUSED_KINDS.fullmatch(name):
        return False
    return not name.startswith("_") or name in _PRIVATE


def is_symbolic(text: str) -> bool:
    """Whether a text is a formula over sizes, of numbers, symbols and known functions alone.

    SymPy evaluates such texts as Python, so nothing else may be in them.
    """
    if len(text) > _MAX_EXPRESSION:
        return False
    try:
        return _is_formula(ast.parse(text, mode="eval"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _is_formula(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return _is_number(node.value)
    if isinstance(node, ast.Name):
        return node.id in _CONSTANTS or _SYMBOL.fullmatch(node.id) is not None
    if isinstance(node, ast.Call):
        return _is_call(node)
    return isinstance(node, _ALLOWED_NODES) and all(
        _is_formula(child) for child in ast.iter_child_nodes(node)
    )


def _is_number(value: Any) -> bool:
    if isinstance(value, bool | float):
        return True
    return isinstance(value, int) and abs(value) <= _MAX_NUMBER


def _is_call(node: ast.Call) -> bool:
    if not isinstance(node.func, ast.Name) or node.func.id not in _FUNCTIONS:
        return False
    given: list[ast.expr] = list(node.args)
    if node.func.id in ("Symbol", "Float") and given and isinstance(given[0], ast.Constant):
        if not _is_quoted(node.func.id, given[0].value):
            return False
        given = given[1:]
    if any(each.arg not in _ASSUMPTIONS for each in node.keywords):
        return False
    return all(_is_formula(each) for each in (*given, *(each.value for each in node.keywords)))


def _is_quoted(function: str, value: Any) -> bool:
    """Whether a text or number may be a symbol's name, or a number's digits."""
    if not isinstance(value, str):
        return function == "Float" and _is_number(value)
    if function == "Symbol":
        return _SYMBOL.fullmatch(value) is not None
    return re.fullmatch(r"-?\d{1,40}(\.\d{0,40})?(e-?\d{1,4})?", value, re.ASCII) is not None


def is_tree(text: str) -> bool:
    """Whether a text describes nested tuples, lists and dictionaries, and no class of its own."""
    if not text:
        return True
    try:
        version, tree = json.loads(text)
        return isinstance(version, int) and _is_branch(tree)
    except (ValueError, TypeError, RecursionError):
        return False


def _is_branch(tree: Any) -> bool:
    if not isinstance(tree, dict) or tree.get("type") not in _CONTAINERS:
        return False
    children = tree.get("children_spec", [])
    return (
        isinstance(children, list)
        and _is_context(tree.get("context"))
        and all(_is_branch(each) for each in children)
    )


def _is_context(context: Any) -> bool:
    """Whether this is what a container keeps beside its items: a dictionary's keys, or nothing."""
    if context is None:
        return True
    keys = json.loads(context)
    return keys is None or (
        isinstance(keys, list) and all(isinstance(key, str) and is_dotted(key) for key in keys)
    )
