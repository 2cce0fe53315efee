"""What scikit-learn's compiled code takes on trust in a fitted model, checked before it is used.

Such code follows the indices that a model holds without looking whether they are within bounds, so
that a crafted file could have it read or write elsewhere in memory. Here are the checks for what
`predict`, `transform` and their like do; `check` is asked about each object as it is made, when
all in it has been made and checked. ValueError says what does not fit. Not checked is what only
training on (`partial_fit`, `warm_start`) goes by; the explanation of trust says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final


class NeedsTrust(Exception):
    """The model may only be used by who trusts its maker: `what` in it, because it is `why`."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} is {why}")
        self.what = what
        self.why = why


def check(made: Any) -> None:
    """Raise ValueError for an object whose state compiled code would go wrong by, or NeedsTrust."""
    checked = _CHECKS.get(type(made).__name__)
    if checked is not None:
        checked(made)


def check_tree(state: Mapping[str, Any], n_features: int) -> None:
    """The nodes of a decision tree are one tree, of the depth it says, over these features."""
    import numpy as np

    nodes = state["nodes"]
    count = len(nodes)
    if nodes.ndim != 1 or count < 1 or state["node_count"] != count:
        raise ValueError("a decision tree has not as many nodes as it says")
    left, right, feature = (nodes[name] for name in ("left_child", "right_child", "feature"))
    inner = np.flatnonzero(left != -1)
    if (right[left == -1] != -1).any():
        raise ValueError("a leaf of a decision tree has a child")
    if len(inner) and not 0 <= feature[inner].min() <= feature[inner].max() < n_features:
        raise ValueError("a decision tree asks for a feature that there is not")
    if _depth(inner, left, right, count) > int(state["max_depth"]):
        raise ValueError("a decision tree is deeper than it says")


def _depth(inner: Any, left: Any, right: Any, count: int) -> int:
    """How deep a tree is whose children all come after their parents; ValueError if it is none."""
    import numpy as np

    children = np.concatenate([left[inner], right[inner]])
    parents = np.concatenate([inner, inner])
    if len(children) and not ((children > parents).all() and children.max() < count):
        raise ValueError("a decision tree points to a node that there is not")
    if len(children) != count - 1 or len(np.unique(children)) != count - 1:
        raise ValueError("the nodes of a decision tree are no tree")
    above = np.zeros(count, dtype=np.intp)
    above[children] = parents
    depth = np.zeros(count, dtype=np.intp)
    depth[1:] = 1
    while above.any():  # each time, a node knows of twice as many of those above it
        depth += depth[above]
        above = above[above]
    return int(depth.max())


def _tree_estimator(made: Any) -> None:
    from sklearn.tree._tree import Tree

    tree = getattr(made, "tree_", None)
    if tree is None:
        return
    if not isinstance(tree, Tree) or getattr(made, "n_features_in_", None) != tree.n_features:
        raise ValueError("a decision tree is for other features than its estimator")


def _forest(made: Any) -> None:
    from sklearn.tree import BaseDecisionTree

    for each in _each(made, "estimators_"):
        if not isinstance(each, BaseDecisionTree) or each.n_features_in_ != made.n_features_in_:
            raise ValueError("the trees of a forest are for other features than the forest")


def _isolation_forest(made: Any) -> None:
    from sklearn.tree import BaseDecisionTree

    trees = list(_each(made, "estimators_"))
    chosen = list(getattr(made, "estimators_features_", ()))
    wanted = getattr(made, "_max_features", None)
    if len(trees) != len(chosen):
        raise ValueError("the trees of a forest have not each a list of features")
    for tree, features in zip(trees, chosen, strict=True):
        if not isinstance(tree, BaseDecisionTree) or tree.n_features_in_ != wanted:
            raise ValueError("the trees of a forest are for other features than the forest")
        if len(features) != wanted or max(features) >= made.n_features_in_:
            raise ValueError("a tree of a forest is given features that there are not")


def _gradient_boosting(made: Any) -> None:
    """All trees have one output, and the first guess has a column for each tree of a stage."""
    import numpy as np
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.tree import DecisionTreeRegressor

    stages = getattr(made, "estimators_", None)
    if stages is None:
        return
    if not isinstance(stages, np.ndarray) or stages.ndim != 2 or stages.size == 0:
        raise ValueError("the stages of gradient boosting are no table of trees")
    for each in stages.flat:
        is_tree = isinstance(each, DecisionTreeRegressor)
        if not is_tree or each.n_features_in_ != made.n_features_in_:
            raise ValueError("the trees of gradient boosting are for other features")
        if each.tree_.n_outputs != 1 or each.tree_.max_n_classes != 1:
            raise ValueError("a tree of gradient boosting has more than one output")
    if made.init_ != "zero" and type(made.init_) not in (DummyClassifier, DummyRegressor):
        raise NeedsTrust(
            "GradientBoosting", "one whose first guess is made by another model (init=…)"
        )
    first = made._raw_predict_init(np.zeros((2, made.n_features_in_), dtype=np.float32))
    if first.shape != (2, stages.shape[1]):
        raise ValueError("gradient boosting has not a first guess for each of its trees")


def _predictor(made: Any) -> None:
    import numpy as np

    nodes = made.nodes
    count = len(nodes)
    inner = np.flatnonzero(nodes["is_leaf"] == 0)
    left, right = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64)
    for bits in (made.raw_left_cat_bitsets, made.binned_left_cat_bitsets):
        if bits.ndim != 2 or bits.shape[1] != 8:
            raise ValueError("the sets of categories of a tree are not of 256 bits")
    if nodes.ndim != 1 or count < 1:
        raise ValueError("a tree has no nodes")
    _depth(inner, left, right, count)
    split = nodes[inner][nodes[inner]["is_categorical"] != 0]
    n_sets = min(len(made.raw_left_cat_bitsets), len(made.binned_left_cat_bitsets))
    if len(split) and split["bitset_idx"].max() >= n_sets:
        raise ValueError("a tree asks for a set of categories that there is not")


def _hist_gradient_boosting(made: Any) -> None:
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

    stages = getattr(made, "_predictors", None)
    if stages is None:
        return
    n_features = made.n_features_in_
    _same_columns(getattr(made, "_preprocessor", None), n_features)
    categorical = made._bin_mapper.is_categorical_
    if len(categorical) != n_features or len(made._bin_mapper.bin_thresholds_) != n_features:
        raise ValueError("the bins of histogram boosting are for other features")
    for each in (tree for stage in stages for tree in stage):
        if not isinstance(each, TreePredictor):
            raise ValueError("the stages of histogram boosting are no lists of trees")
        inner = each.nodes[each.nodes["is_leaf"] == 0]
        if not len(inner):
            continue
        features = inner["feature_idx"]
        if features.min() < 0 or features.max() >= n_features:
            raise ValueError("a tree asks for a feature that there is not")
        if not all(categorical[features[inner["is_categorical"] != 0]]):
            raise ValueError("a tree takes for categories what are numbers")


def _same_columns(preprocessor: Any, n_features: int) -> None:
    """What goes before histogram boosting encodes categories, and leaves as many columns."""
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder

    if preprocessor is None:
        return
    if not isinstance(preprocessor, ColumnTransformer):
        raise ValueError("histogram boosting is preceded by something unknown")
    kept = [(step, mask) for name, step, mask in preprocessor.transformers_ if name != "remainder"]
    for step, mask in kept:
        if type(step) not in (OrdinalEncoder, FunctionTransformer) or len(mask) != n_features:
            raise ValueError("histogram boosting is preceded by something unknown")
    if sum(int(sum(mask)) for _, mask in kept) != n_features:
        raise ValueError("histogram boosting is given other columns than it has")


def _centers(made: Any) -> None:
    found = getattr(made, "cluster_centers_", None)
    if found is not None and (found.ndim != 2 or found.shape[1] != made.n_features_in_):
        raise ValueError("the centres of clusters are for other features")


def _bisecting(made: Any) -> None:
    _centers(made)
    waiting = [getattr(made, "_bisecting_tree", None)]
    while waiting:
        node = waiting.pop()
        if node is not None:
            if node.center.shape != (made.n_features_in_,):
                raise ValueError("the centres of clusters are for other features")
            waiting += [getattr(node, "left", None), getattr(node, "right", None)]


def _neighbors(made: Any) -> None:
    fitted = getattr(made, "_fit_X", None)
    if fitted is None:
        return
    n_samples = fitted.shape[0]
    if getattr(made, "n_samples_fit_", None) != n_samples:
        raise ValueError("there are not as many neighbours as it says")
    if made.metric != "precomputed" and fitted.shape[1] != made.n_features_in_:
        raise ValueError("the neighbours are for other features")
    labels = getattr(made, "_y", None)
    if labels is None:
        return
    if len(labels) != n_samples:
        raise ValueError("the neighbours have not each a label")
    is_one_label = hasattr(made, "classes_") and labels.ndim == 1
    if is_one_label and not 0 <= labels.min() <= labels.max() < len(made.classes_):
        raise ValueError("a neighbour has a label that there is not")


def _support_vectors(made: Any) -> None:
    if not hasattr(made, "support_"):
        return
    n_vectors, n_classes = len(made.support_), len(made._n_support)
    is_classifier = made._impl in ("c_svc", "nu_svc")
    pairs = n_classes * (n_classes - 1) // 2 if is_classifier else 1
    if made._n_support.min() < 0 or made._intercept_.shape != (pairs,):
        raise ValueError("a support vector machine has not an intercept for each pair of classes")
    if made._n_support.sum() != n_vectors if is_classifier else n_classes != 2:
        raise ValueError("a support vector machine has not as many vectors as it says")
    for each in (made._probA, made._probB):
        if len(each) not in (0, pairs):
            raise ValueError("a support vector machine has not probabilities for each pair")
    _coefficients(made, max(n_classes - 1, 1), n_vectors)


def _coefficients(made: Any, n_rows: int, n_vectors: int) -> None:
    """As many coefficients as support vectors, which are over the model's features."""
    found = made._dual_coef_
    size = found.data.size if made._sparse else found.size
    if found.shape != (n_rows, n_vectors) or size != n_rows * n_vectors:
        raise ValueError("a support vector machine has not a coefficient for each vector")
    if made.kernel == "precomputed" or callable(made.kernel):
        rows = made.support_
        if n_vectors and not 0 <= rows.min() <= rows.max() < made.shape_fit_[0]:
            raise ValueError("a support vector machine asks for a row that there is not")
    elif made.support_vectors_.shape != (n_vectors, made.n_features_in_):
        raise ValueError("the support vectors are for other features")


def _one_hot(made: Any) -> None:
    """Each category has its own column, within those of its feature."""
    kinds = getattr(made, "categories_", None)
    if kinds is None:
        return
    none = [None] * len(kinds)
    mappings = getattr(made, "_default_to_infrequent_mappings", None) or none
    dropped = getattr(made, "_drop_idx_after_grouping", None)
    left_out = none if dropped is None else list(dropped)
    for row in zip(kinds, mappings, left_out, made._n_features_outs, strict=True):
        _columns(*row)


def _columns(categories: Any, mapping: Any, drop: int | None, n_columns: int) -> None:
    import numpy as np

    if categories.dtype.kind in "iuf":
        known = categories[~np.isnan(categories)]
        if (np.diff(known) <= 0).any() or np.isnan(categories[: len(known)]).any():
            raise ValueError("the categories of a feature are not sorted")
    wanted = len(categories)
    if mapping is not None:
        if len(mapping) != wanted or mapping.min() < 0:
            raise ValueError("a category has a column that there is not")
        wanted = int(mapping.max()) + 1
    if drop is not None and not 0 <= drop < wanted:
        raise ValueError("a category is left out that there is not")
    if n_columns != wanted - (drop is not None):
        raise ValueError("a feature has not as many columns as categories")


def _vocabulary(name: str) -> Callable[[Any], None]:
    def checked(made: Any) -> None:
        _only_content(made)
        found = getattr(made, name, None)
        if found and {int(each) for each in found.values()} - set(range(len(found))):
            raise ValueError("a word has a column that there is not")

    return checked


def _only_content(made: Any) -> None:
    if getattr(made, "input", "content") != "content":
        raise NeedsTrust(
            type(made).__name__, f"one that opens files that are named in its input ({made.input})"
        )


def _no_memory(made: Any) -> None:
    if getattr(made, "memory", None) is not None:
        raise NeedsTrust(
            f"memory={made.memory!r} of {type(made).__name__}",
            "a folder of pickles that it would load",
        )


def _linkage(made: Any) -> None:
    import numpy as np

    found = getattr(made, "_single_linkage_tree_", None)
    if found is None:
        return
    limit = np.arange(len(found)) + len(found) + 1
    for side in ("left_node", "right_node"):
        if (found[side] < 0).any() or (found[side] >= limit).any():
            raise ValueError("a cluster is merged of clusters that there are not")


def _each(made: Any, name: str) -> Iterable[Any]:
    found = getattr(made, name, ())
    return found.flat if hasattr(found, "flat") else found


_BY_CHECK: Final[tuple[tuple[Callable[[Any], None], str], ...]] = (
    (_tree_estimator, "DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier"),
    (_tree_estimator, "ExtraTreeRegressor"),
    (_forest, "RandomForestClassifier RandomForestRegressor ExtraTreesClassifier"),
    (_forest, "ExtraTreesRegressor RandomTreesEmbedding"),
    (_isolation_forest, "IsolationForest"),
    (_gradient_boosting, "GradientBoostingClassifier GradientBoostingRegressor"),
    (_predictor, "TreePredictor"),
    (_hist_gradient_boosting, "HistGradientBoostingClassifier HistGradientBoostingRegressor"),
    (_centers, "KMeans MiniBatchKMeans"),
    (_bisecting, "BisectingKMeans"),
    (_neighbors, "KNeighborsClassifier KNeighborsRegressor KNeighborsTransformer"),
    (_neighbors, "RadiusNeighborsClassifier RadiusNeighborsRegressor RadiusNeighborsTransformer"),
    (_neighbors, "NearestNeighbors LocalOutlierFactor"),
    (_support_vectors, "SVC NuSVC SVR NuSVR OneClassSVM"),
    (_one_hot, "OneHotEncoder"),
    (_vocabulary("vocabulary_"), "CountVectorizer TfidfVectorizer DictVectorizer"),
    (_vocabulary("_cached_dict"), "MultiLabelBinarizer"),
    (_only_content, "HashingVectorizer"),
    (_no_memory, "Pipeline FeatureAgglomeration AgglomerativeClustering OPTICS"),
    (_linkage, "HDBSCAN"),
)
_CHECKS: Final = {name: check for check, names in _BY_CHECK for name in names.split()}
