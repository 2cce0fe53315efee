"""The trees of an XGBoost booster, checked against each other before XGBoost follows them.

XGBoost's prediction goes from a node to its left child or to the one after it, takes the feature
that a split names and adds a leaf to the output of the tree's group, without looking whether they
are there. The nodes of all trees are checked together, as columns of NumPy.

The format: `src/tree/tree_model.cc` and `src/tree/multi_target_tree_model.cc` of XGBoost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from headrace.models.flavors.ubjson import TypedArray
from headrace.models.flavors.xgboost_fields import MOST, count, fields, items

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DEEPEST: Final = 2_000
"""XGBoost dumps and explains trees by functions that call themselves: 5,000 levels are too many for
the stack of a thread where it has 2 MiB, 20,000 where it has 8."""
_MOST_CATEGORY_BYTES: Final = 1 << 33
"""Of the sets of bits that XGBoost makes of categories, which may be few and high."""
_NO_PARENT: Final = (-1, 2**31 - 1)
_DELETED: Final = 2**31 - 1
"""As the feature of a node that was pruned: it stays, and nothing leads to it."""
_OF_NODES: Final = ("left_children", "right_children", "parents", "split_indices")
_NODE_COLUMNS: Final = (*_OF_NODES, "default_left", "split_conditions")
_STATISTICS: Final = ("loss_changes", "sum_hessian")
_OF_CATEGORIES: Final = ("categories_nodes", "categories_segments", "categories_sizes")
_NEEDED: Final = ("id", "tree_param", "base_weights", *_NODE_COLUMNS)
_OF_LEAVES: Final = ("leaf_weights", "leaf_child_counts")
_OPTIONAL: Final = (*_STATISTICS, *_OF_LEAVES, "split_type", "categories", *_OF_CATEGORIES)


@dataclass(frozen=True)
class _Forest:
    """All nodes, one after the other: `sizes` per tree; `tree` and `node` (its number) of each."""

    trees: Sequence[Mapping[str, Any]]
    sizes: NDArray[np.int64]
    tree: NDArray[np.int64]
    node: NDArray[np.int64]

    def refuse(self, bad: NDArray[np.bool_], what: str) -> None:
        """Raise ValueError for the first node that is bad, if one is."""
        if bad.any():
            first = int(bad.argmax())
            raise ValueError(f"tree {self.tree[first]}, node {self.node[first]}: {what}")


def check_trees(trees: Sequence[Any], n_features: int, n_outputs: int, *, has_leaves: bool) -> int:
    """Raise ValueError unless XGBoost can predict with each of the trees.

    `has_leaves` is whether the XGBoost that will read trees of vectors takes `leaf_weights` (3.2),
    or the last of their `base_weights` (before). Returns the length of a leaf's vector, or 1.
    """
    import numpy as np

    if not trees:
        return 1
    sizes, width = _sizes(trees)
    forest = _Forest(
        trees,
        np.array(sizes),
        np.repeat(np.arange(len(sizes)), sizes),
        np.arange(sum(sizes)) - np.repeat(np.cumsum(sizes) - sizes, sizes),
    )
    if width > 1:
        if width != n_outputs:
            raise ValueError(f"its leaves have {width} numbers; expected {n_outputs}")
        _check_vectors(forest, width, has_leaves=has_leaves)
    columns = {name: _column(forest, name) for name in _OF_NODES}
    deleted = _deleted(forest, columns)
    _check_nodes(forest, columns, deleted, n_features)
    _check_depth(forest, columns["left_children"])
    if any("split_type" in tree for tree in trees):
        _check_categories(forest)
    return width


def _sizes(trees: Sequence[Any]) -> tuple[list[int], int]:
    """How many nodes each tree has, as do all its arrays, and how long all leaves are."""
    sizes, widths, seen = [], set(), set()
    for number, tree in enumerate(trees):
        what = f"tree {number}"
        fields(tree, what, _NEEDED, _OPTIONAL)
        given = tree["tree_param"]
        names = ("num_nodes", "num_feature", "num_deleted", "size_leaf_vector")
        fields(given, f"{what}, tree_param", names)
        n_nodes = count(given, "num_nodes", what, least=1)
        count(given, "num_feature", what)
        width = max(count(given, "size_leaf_vector", what), 1)
        widths.add(width)
        of_numbers = (*_STATISTICS, "base_weights") if width == 1 else ()
        for name in (*_NODE_COLUMNS, *of_numbers):
            items(tree, name, what, n_nodes)
        sizes.append(n_nodes)
        if type(tree["id"]) is not int or not 0 <= tree["id"] < len(trees) or tree["id"] in seen:
            raise ValueError(f"{what}: its id is not that of one tree")
        seen.add(tree["id"])
    if len(widths) > 1:
        raise ValueError("its trees have leaves of several lengths")
    return sizes, widths.pop()


def _check_vectors(forest: _Forest, width: int, *, has_leaves: bool) -> None:
    for number, (tree, size) in enumerate(zip(forest.trees, forest.sizes, strict=True)):
        what = f"tree {number}"
        n_weights = len(items(tree, "base_weights", what))
        if n_weights % size or not 0 < n_weights <= size * width:
            raise ValueError(f"{what}: 'base_weights' has {n_weights} numbers for {size} nodes")
        if not has_leaves:
            items(tree, "base_weights", what, int(size) * width)
            continue
        if "leaf_weights" not in tree:
            raise ValueError(
                f"{what} has no 'leaf_weights'; an XGBoost before 3.2 saved it, and can load it"
            )
        for name in _STATISTICS:
            items(tree, name, what, int(size))
        left = _numbers(tree["left_children"], what, "left_children")
        n_leaves = int((left == -1).sum())
        items(tree, "leaf_weights", what, n_leaves * width)
        place = _numbers(tree["right_children"], what, "right_children")[left == -1]
        if place.min(initial=0) < 0 or place.max(initial=0) >= n_leaves:
            raise ValueError(f"{what}: a leaf is at a place where its {n_leaves} leaves are not")


def _deleted(forest: _Forest, columns: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Which nodes were pruned. Each tree has as many as it says."""
    import numpy as np

    of_deleted = (forest.node > 0) & (_column(forest, "default_left") == 1)
    deleted: NDArray[np.bool_] = of_deleted & (columns["split_indices"] == _DELETED)
    found = np.bincount(forest.tree[deleted], minlength=len(forest.trees))
    for number, tree in enumerate(forest.trees):
        said = count(tree["tree_param"], "num_deleted", f"tree {number}")
        if said != found[number]:
            raise ValueError(f"tree {number} has {found[number]} deleted nodes; it says {said}")
    return deleted


def _check_nodes(
    forest: _Forest, columns: Mapping[str, Any], deleted: NDArray[np.bool_], n_features: int
) -> None:
    """Every node is a deleted one, or reached once from the root of its tree."""
    import numpy as np

    left, right, parent, feature = (columns[name] for name in _OF_NODES)
    node, size = forest.node, forest.sizes[forest.tree]
    splits = left != -1
    forest.refuse(
        splits & ((left <= node) | (left >= size - 1) | (right != left + 1)),
        "its children are not two nodes of the tree that come after it, one beside the other",
    )
    forest.refuse(splits & deleted, "it was deleted, and has children")
    forest.refuse(
        ~deleted & ((feature < 0) | (feature >= n_features)),
        f"it asks for a feature that there is not (there are {n_features})",
    )
    of_first = (np.arange(len(node)) - node)[splits]
    children = np.concatenate([of_first + left[splits], of_first + right[splits]])
    reached = np.bincount(children, minlength=len(node))
    is_right = np.where((node == 0) | deleted, reached == 0, reached == 1)
    forest.refuse(~is_right, f"it is reached from {_some(reached, is_right)} nodes, not from one")
    up = np.zeros(len(node), np.int64)
    up[children] = np.concatenate([node[splits], node[splits]])
    rooted = np.where(deleted, (parent >= 0) & (parent < size), parent == up)
    rooted[node == 0] = np.isin(parent[node == 0], _NO_PARENT)
    forest.refuse(~rooted, "its parent is not the node that leads to it")


def _some(reached: NDArray[np.int64], is_right: NDArray[np.bool_]) -> int:
    return int(reached[~is_right][0]) if not is_right.all() else 1


def _check_depth(forest: _Forest, left: NDArray[np.int64]) -> None:
    import numpy as np

    first = np.flatnonzero(forest.node == 0)
    level = first
    for _ in range(_DEEPEST):
        level = level[left[level] != -1]
        if not level.size:
            return
        level = first[forest.tree[level]] + left[level]
        level = np.concatenate([level, level + 1])
    raise ValueError(f"a tree is more than {_DEEPEST} levels deep")


def _check_categories(forest: _Forest) -> None:
    """What splits by categories has a set of them, within those of its tree."""
    import numpy as np

    for number, (tree, size) in enumerate(zip(forest.trees, forest.sizes, strict=True)):
        what = f"tree {number}"
        items(tree, "split_type", what, int(size))
        n_sets = len(items(tree, "categories_nodes", what))
        for name in _OF_CATEGORIES:
            items(tree, name, what, n_sets)
        items(tree, "categories", what)
    kinds = _column(forest, "split_type")
    forest.refuse((kinds != 0) & (kinds != 1), "it splits in a way that there is not")
    nodes, starts, lengths = (_column(forest, name) for name in _OF_CATEGORIES)
    wanted = np.flatnonzero(kinds == 1)
    tree_of = np.repeat(np.arange(len(forest.trees)), _lengths(forest, "categories_nodes"))
    said = np.stack([tree_of, nodes])
    if not np.array_equal(said, np.stack([forest.tree[wanted], forest.node[wanted]])):
        raise ValueError("'categories_nodes' are not the nodes that split by categories, in order")
    _check_sets(forest, tree_of, starts, lengths)


def _check_sets(
    forest: _Forest,
    tree_of: NDArray[np.int64],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
) -> None:
    import numpy as np

    n_categories = _lengths(forest, "categories")
    there = n_categories[tree_of]
    bad = (starts < 0) | (starts > there) | (lengths < 1) | (lengths > there)
    bad |= starts + lengths > there
    if bad.any():
        first = int(tree_of[bad.argmax()])
        raise ValueError(f"tree {first}: a set of categories is not in its 'categories'")
    categories = _column(forest, "categories")
    if categories.size and not 0 <= categories.min() <= categories.max() < MOST:
        raise ValueError(f"a category is not between 0 and {MOST}")
    highest = np.zeros(len(forest.trees), np.int64)
    np.maximum.at(highest, np.repeat(np.arange(len(forest.trees)), n_categories), categories)
    if ((highest[tree_of] // 32 + 1) * 4).sum() > _MOST_CATEGORY_BYTES:
        raise ValueError("its categories would take more memory than a model may")


def _lengths(forest: _Forest, name: str) -> NDArray[np.int64]:
    import numpy as np

    return np.array([len(tree[name]) for tree in forest.trees], np.int64)


def _column(forest: _Forest, name: str) -> NDArray[np.int64]:
    """An array of whole numbers of all trees, one after the other."""
    import numpy as np

    arrays: list[Any] = [tree[name] for tree in forest.trees]
    if all(isinstance(each, TypedArray) and each.marker == arrays[0].marker for each in arrays):
        joined = memoryview(b"".join(each.data for each in arrays))
        arrays = [TypedArray(arrays[0].marker, joined)]
    found = [_numbers(each, f"tree {number}", name) for number, each in enumerate(arrays)]
    return np.concatenate(found) if len(found) != 1 else found[0]


def _numbers(array: Any, what: str, name: str) -> NDArray[np.int64]:
    import numpy as np

    if isinstance(array, TypedArray):
        found = np.frombuffer(array.data, array.form)
    elif not array:
        return np.zeros(0, np.int64)
    else:
        found = np.array(array)
    if found.ndim != 1 or found.dtype.kind not in "bi" + "u" * (found.dtype.itemsize < 8):
        raise ValueError(f"{what}: '{name}' holds something else than whole numbers")
    return found.astype(np.int64)
