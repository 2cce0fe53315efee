"""Whether what a node of a skops file names is on the list, for that kind of node.

The kind matters: a name that is good for the class of an object is not good for a function. Kinds
that take attributes of what was made (methods), or call what they are given (`operator`, partial
functions, constructors by name), are never good, but for the one partial function that scikit-learn
makes itself.
"""

from __future__ import annotations

import builtins
import importlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from headrace.models.flavors import skops_names
from headrace.models.flavors.skops_special import is_opaque, special_for

Node = Mapping[str, Any]


def names_in(schema: Node) -> dict[str, bool]:
    """Each name in a file, and whether it is on the list. ValueError for no skops schema."""
    seen: set[tuple[str, str, str]] = set()
    found: dict[str, bool] = {}
    for node in _nodes(schema):
        loader = node["__loader__"]
        key = (loader, node["__module__"], node["__class__"])
        if key in seen and loader not in _BY_CONTENT:
            continue
        seen.add(key)
        name = _full_name(node)
        found[name] = found.get(name, True) and _is_reviewed(node)
    return found


def modules_in(schema: Node) -> frozenset[str]:
    """The modules that a file names."""
    return frozenset(str(node["__module__"]) for node in _nodes(schema))


def _nodes(content: Any) -> Iterator[Node]:
    """All nodes of a schema but those in the state of opaque classes."""
    waiting = [content]
    while waiting:
        each = waiting.pop()
        inner = each
        if type(each) is dict:
            inner = each.values()
            if "__loader__" in each:
                yield each
                if each["__loader__"] == "ObjectNode" and is_opaque(*name_of(each)):
                    continue
        # What json reads is of these very types, and most of it is neither.
        waiting += [part for part in inner if type(part) is dict or type(part) is list]


def name_of(node: Node) -> tuple[str, str]:
    """Module and name of what a node makes. ValueError where it does not say."""
    module, name = node["__module__"], node["__class__"]
    if not isinstance(module, str) or not isinstance(name, str):
        raise ValueError("a node does not say what it is")
    return module, name


def class_of(node: Node, reviewed: frozenset[tuple[str, str]]) -> Any:
    """The class that a node names, which is imported. ValueError where it is not `reviewed`."""
    module, name = name_of(node)
    if (module, name) not in reviewed:
        raise ValueError(f"it names {module}.{name}, which is not reviewed")
    return getattr(importlib.import_module(module), name)


def function_of(node: Node) -> Any:
    """A reviewed function, or a ufunc of NumPy or SciPy. ValueError for any other."""
    import numpy as np

    module, name = name_of(node)
    if (module, name) in skops_names.functions():
        return getattr(importlib.import_module(module), name)
    found = None
    if module.partition(".")[0] == "numpy":
        found = vars(np).get(name)
        if name in skops_names.NUMPY_FUNCTIONS:
            return found
    elif module.startswith("scipy.special"):
        import scipy.special

        found = vars(scipy.special).get(name)
    if not isinstance(found, np.ufunc):
        raise ValueError(f"it names {module}.{name}, which is not reviewed")
    return found


def type_of(node: Node) -> Any:
    """A plain type of Python, or one of NumPy's for numbers. ValueError for any other."""
    module, name = name_of(node)
    if module == "builtins" and name in skops_names.PLAIN_TYPES:
        return getattr(builtins, name)
    if (module, name) == ("collections", "OrderedDict"):
        return OrderedDict
    return _number_type(module, name)


def scalar_of(node: Node, found: Any) -> Any:
    """The NumPy scalar that an array without dimensions holds, of the type that a node names."""
    kind = _number_type(*name_of(node))
    if found.ndim != 0:
        raise ValueError(f"a {kind.__name__} is an array")
    return kind(found)


def _number_type(module: str, name: str) -> Any:
    import numpy as np

    found = vars(np).get(name) if module == "numpy" else None
    if not (isinstance(found, type) and issubclass(found, np.generic)):
        raise ValueError(f"it names {module}.{name}, which is not reviewed")
    return found


def _full_name(node: Node) -> str:
    full = ".".join(name_of(node))
    inner = node.get("content")
    if node["__loader__"] == "MethodNode" and isinstance(inner, dict):
        return f"{full}.{inner.get('func')}"
    return full


def _is_reviewed(node: Node) -> bool:
    loader = node["__loader__"]
    if loader in _HARMLESS:
        return True
    if loader in _FIXED:
        return ".".join(name_of(node)) in _FIXED[loader]
    judge = _JUDGES.get(loader)
    return judge is not None and judge(node)


def _by(resolve: Callable[[Node], Any]) -> Callable[[Node], bool]:
    def is_good(node: Node) -> bool:
        try:
            resolve(node)
        except (ValueError, ImportError, AttributeError):
            return False
        return True

    return is_good


def _in(reviewed: Callable[[], frozenset[tuple[str, str]]]) -> Callable[[Node], bool]:
    return lambda node: name_of(node) in reviewed()


def _is_object(node: Node) -> bool:
    return name_of(node) in skops_names.objects() or special_for(*name_of(node)) is not None


def _is_array(node: Node) -> bool:
    return name_of(node) == ("numpy", "ndarray") or _by(type_of)(node)


def _is_sparse(node: Node) -> bool:
    return name_of(node)[0].startswith("scipy.sparse.")


def _is_check_of_input(node: Node) -> bool:
    func = node["content"]["func"]
    wanted = ("sklearn.utils.validation", "check_array")
    return func.get("__loader__") == "FunctionNode" and name_of(func) == wanted


_HARMLESS: Final = frozenset(
    {"BytearrayNode", "BytesNode", "DTypeNode", "DefaultDictNode", "JsonNode", "SliceNode"}
)
_BY_CONTENT: Final = frozenset({"MethodNode", "PartialNode"})
"""What these are is not said by their names alone."""
_FIXED: Final = {
    "ListNode": ("builtins.list",),
    "MaskedArrayNode": ("numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"),
    "RandomGeneratorNode": ("numpy.random._generator.Generator",),
    "RandomStateNode": ("numpy.random.mtrand.RandomState",),
    "SetNode": ("builtins.set",),
    "TreeNode": ("sklearn.tree._tree.Tree",),
    "TupleNode": ("builtins.tuple",),
}
_JUDGES: Final[dict[str, Callable[[Node], bool]]] = {
    "DictNode": _in(lambda: skops_names.DICTS),
    "FunctionNode": _by(function_of),
    "LossNode": _in(skops_names.losses),
    "NdArrayNode": _is_array,
    "ObjectNode": _is_object,
    "PartialNode": _is_check_of_input,
    "SparseMatrixNode": _is_sparse,
    "TypeNode": _by(type_of),
}
