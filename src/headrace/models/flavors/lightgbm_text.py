"""LightGBM's text of a model, checked before LightGBM reads it.

Its reader takes as many numbers as a tree says it has, and goes to where `tree_sizes` says, whether
the text has them or not; a prediction follows children and features without looking whether they
are there. A text that is cut off ends the process so. Here each tree must be one: as many numbers
as it needs, children that come after their parent, features and categories that there are.

The format: `src/io/gbdt_model_text.cpp` and `src/io/tree.cpp` of LightGBM (versions v2 to v4).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

_TREE: Final = b"Tree="
_TAIL: Final = re.compile(
    rb"end of trees\n+(feature_importances:\n([^\n=]*=[^\n]*\n)*\n*)?"
    rb"(parameters:\n(\[[^\n]*\]\n+)*end of parameters\n+)?(pandas_categorical:[^\n]*\n*)?"
)
"""What follows the trees. The reader does not see when the parameters have no end."""
_MOST: Final = 1 << 24
"""Of leaves, classes and features."""
_DEEPEST: Final = 5_000
"""LightGBM counts the depth by a function that calls itself."""
_CATEGORICAL: Final = 1
_OF_NODES: Final = ("split_gain", "threshold", "internal_value", "internal_weight")
_OF_LEAVES: Final = ("leaf_value", "leaf_weight")


def check_text(text: str) -> None:
    """Raise ValueError unless a text is a model that LightGBM can read and predict with."""
    data = text.encode()
    if b"\0" in data:
        raise ValueError("it holds a zero byte")
    end = data.find(b"\nend of trees") + 1
    if not end or _TAIL.fullmatch(data, end) is None:
        raise ValueError("it is cut off, or goes on where it should end")
    start = data.find(b"\n" + _TREE, 0, end) + 1
    header = _entries(data[: start or end].decode())
    n_features = _count(header, "max_feature_idx", 0) + 1
    per_iteration = _count(header, "num_tree_per_iteration", 1)
    _count(header, "num_class", 1)
    for name in ("feature_names", "feature_infos"):
        if len(header.get(name, "").split(" ")) != n_features:
            raise ValueError(f"it has not {n_features} of '{name}'")
    sizes = _numbers(header, "tree_sizes", None, int) if header.get("tree_sizes") else []
    if len(sizes) % per_iteration or (start == 0 and sizes):
        raise ValueError("it has not as many trees as it says")
    at = start
    for number, size in enumerate(sizes):
        tree = data[at : at + size] if size > 0 else b""
        if not tree.startswith(b"%s%d\n" % (_TREE, number)) or tree.find(b"\n" + _TREE) >= 0:
            raise ValueError(f"tree {number} is not where it says")
        _check_tree(_entries(tree.decode()), n_features)
        at += size
    if start and at != end:
        raise ValueError("its trees do not end where it says")


def _check_tree(tree: Mapping[str, str], n_features: int) -> None:
    n_leaves = _count(tree, "num_leaves", 1)
    _numbers(tree, "leaf_value", n_leaves, float)
    if tree.get("is_linear", "0") != "0":
        _check_linear(tree, n_leaves, n_features)
    if n_leaves == 1:
        return
    n_nodes = n_leaves - 1
    for name in _OF_NODES:
        _numbers(tree, name, n_nodes, float, needed=name == "threshold")
    for name in _OF_LEAVES:
        _numbers(tree, name, n_leaves, float, needed=name == "leaf_value")
    _numbers(tree, "internal_count", n_nodes, int, needed=False)
    _numbers(tree, "leaf_count", n_leaves, int, needed=False)
    if not all(0 <= each < n_features for each in _numbers(tree, "split_feature", n_nodes, int)):
        raise ValueError("a tree asks for a feature that there is not")
    _check_children(tree, n_nodes)
    _check_categories(tree, n_nodes)


def _check_children(tree: Mapping[str, str], n_nodes: int) -> None:
    left, right = (_numbers(tree, f"{side}_child", n_nodes, int) for side in ("left", "right"))
    depths = [0] * n_nodes
    seen: set[int] = set()
    for node, children in enumerate(zip(left, right, strict=True)):
        for child in children:
            is_one = node < child < n_nodes if child >= 0 else ~child <= n_nodes
            if not is_one or child in seen:
                raise ValueError("the nodes of a tree are not one tree")
            seen.add(child)
            if child >= 0:
                depths[child] = depths[node] + 1
    if max(depths) > _DEEPEST:
        raise ValueError(f"a tree is more than {_DEEPEST} levels deep")


def _check_categories(tree: Mapping[str, str], n_nodes: int) -> None:
    n_sets = _count(tree, "num_cat", 0)
    if n_sets:
        bounds = _numbers(tree, "cat_boundaries", n_sets + 1, int)
        words = _numbers(tree, "cat_threshold", None, int)
        if bounds[0] or sorted(bounds) != bounds or bounds[-1] != len(words):
            raise ValueError("the categories of a tree are not where it says")
        if not all(0 <= each < 1 << 32 for each in words):
            raise ValueError("the categories of a tree are no bits")
    kinds = _numbers(tree, "decision_type", n_nodes, int)
    thresholds = _numbers(tree, "threshold", n_nodes, float)
    for kind, threshold in zip(kinds, thresholds, strict=True):
        if not -128 <= kind < 128:
            raise ValueError("a tree decides in a way that there is not")
        if kind & _CATEGORICAL and not 0 <= threshold < n_sets:
            raise ValueError("a tree asks for categories that it has not")


def _check_linear(tree: Mapping[str, str], n_leaves: int, n_features: int) -> None:
    _numbers(tree, "leaf_const", n_leaves, float)
    counts = _numbers(tree, "num_features", n_leaves, int)
    if min(counts) < 0:
        raise ValueError("a leaf has fewer features than none")
    features = _numbers(tree, "leaf_features", sum(counts), int, needed=sum(counts) > 0)
    _numbers(tree, "leaf_coeff", sum(counts), float, needed=sum(counts) > 0)
    if not all(0 <= each < n_features for each in features):
        raise ValueError("a leaf asks for a feature that there is not")


def _entries(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.split("\n"):
        name, _, value = line.partition("=")
        if name in found and value:
            raise ValueError(f"it says '{name[:40]}' twice")
        found[name] = value.strip(" \r")
    return found


def _count(entries: Mapping[str, str], name: str, least: int) -> int:
    [value] = _numbers(entries, name, 1, int)
    if not least <= value <= _MOST:
        raise ValueError(f"its '{name}' is {value}")
    return int(value)


def _numbers(
    entries: Mapping[str, str],
    name: str,
    length: int | None,
    kind: Callable[[str], Any],
    *,
    needed: bool = True,
) -> list[Any]:
    """The numbers of one entry, as many as `length` where it is given. Raises ValueError."""
    text = entries.get(name, "")
    if not text and not needed:
        return []
    try:
        found = [kind(each) for each in text.split()]
    except ValueError:
        raise ValueError(f"'{name}' holds something else than numbers") from None
    if length is not None and len(found) != length:
        raise ValueError(f"'{name}' has {len(found)} numbers for {length}")
    return found
