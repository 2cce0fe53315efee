"""Compiled classes of a skops file, made from their parts rather than from their stored memory.

What a class in C would take for granted is either made anew by its constructor, which checks what
it is given (search trees, distances, splines, boosters), or checked here (decision trees). Every
function raises ValueError, or what the constructor raises, for parts that do not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from headrace.models.flavors.skops_checks import check_tree

DISTRIBUTIONS: Final = ("scipy.stats._continuous_distns", "scipy.stats._discrete_distns")
"""The modules whose classes are looked up among SciPy's distributions, by name; their state,
which SciPy would evaluate as a program, is not looked at."""
_PLAIN_DISTANCES: Final = (
    "Euclidean Manhattan Chebyshev Hamming Canberra BrayCurtis Haversine Jaccard Dice "
    "RogersTanimoto RussellRao SokalSneath"
).split()
_DISTANCES: Final = {
    **dict.fromkeys(_PLAIN_DISTANCES, "plain"),
    "SEuclidean": "variances",
    "Minkowski": "power",
    "Mahalanobis": "inverse",
}


def special_for(module: str, name: str) -> Callable[[Any], Any] | None:
    """What makes an instance of a class from the state that was stored; None for other classes."""
    if (module, name) in _MAKERS:
        return _MAKERS[module, name]
    if module == "sklearn.metrics._dist_metrics":
        kind = _DISTANCES.get(name.removesuffix("64").removesuffix("32").removesuffix("Distance"))
        return None if kind is None else lambda state: _distance(name, kind, state)
    if module in DISTRIBUTIONS:
        return lambda _: _distribution(name)
    return None


def is_opaque(module: str, name: str) -> bool:
    """Whether the parts of the state need not be reviewed: the maker takes numbers of it only."""
    return module in DISTRIBUTIONS or (module, name) == ("scipy.interpolate._bsplines", "BSpline")


def tree_from(args: Any, state: Mapping[str, Any]) -> Any:
    """scikit-learn's decision tree in C, every index in which is within bounds."""
    import numpy as np
    from sklearn.tree._tree import Tree

    n_features, n_classes, n_outputs = args
    counts = np.asarray(n_classes)
    if counts.ndim != 1 or counts.shape[0] != n_outputs or n_outputs < 1 or counts.min() < 1:
        raise ValueError("a decision tree has not as many counts of classes as outputs")
    check_tree(state, int(n_features))
    made = Tree(int(n_features), counts, int(n_outputs))
    made.__setstate__(dict(state))
    return made


def loss_from(module: str, name: str, args: Any) -> Any:
    """A compiled loss function, which is made of numbers."""
    import importlib

    numbers = tuple(args or ())
    if not all(isinstance(each, (int, float)) for each in numbers):
        raise ValueError(f"the loss {name} is made of something else than numbers")
    return getattr(importlib.import_module(module), name)(*numbers)


def _multinomial_loss(_: Any) -> Any:
    """The one loss that skops wrote as a plain object before 0.15; it has no state."""
    return loss_from("sklearn._loss._loss", "CyHalfMultinomialLoss", ())


def _search_tree(state: Any) -> tuple[Any, dict[str, Any]]:
    """The points of a search tree and how they are searched; the tree itself is grown anew."""
    data, leaf_size, metric, weights = state[0], state[4], state[11], state[12]
    return data, {"leaf_size": int(leaf_size), "metric": metric, "sample_weight": weights}


def _kd_tree(kind: str) -> Callable[[Any], Any]:
    def make(state: Any) -> Any:
        from sklearn.neighbors import _kd_tree

        data, how = _search_tree(state)
        return getattr(_kd_tree, kind)(data, **how)

    return make


def _ball_tree(kind: str) -> Callable[[Any], Any]:
    def make(state: Any) -> Any:
        from sklearn.neighbors import _ball_tree

        data, how = _search_tree(state)
        return getattr(_ball_tree, kind)(data, **how)

    return make


def _distance(name: str, kind: str, state: Any) -> Any:
    from sklearn.metrics import _dist_metrics

    made = getattr(_dist_metrics, name)
    power, vector, matrix = state[:3]
    if kind == "variances":
        return made(vector)
    if kind == "power":
        return made(float(power), vector if len(vector) else None)
    return made(VI=matrix) if kind == "inverse" else made()


def _spline(state: Mapping[str, Any]) -> Any:
    from scipy.interpolate import BSpline

    knots, coefficients = (state.get(f"_{name}", state.get(name)) for name in ("t", "c"))
    made = BSpline(knots, coefficients, int(state["k"]), axis=int(state.get("axis", 0)))
    made.extrapolate = state.get("extrapolate", True)
    return made


def _distribution(name: str) -> Any:
    import scipy.stats

    for each in vars(scipy.stats).values():
        is_one = isinstance(each, scipy.stats.rv_continuous | scipy.stats.rv_discrete)
        if is_one and type(each).__name__ == name:
            return each
    raise ValueError(f"SciPy has no distribution of the class {name}")


def _frozen(state: Mapping[str, Any]) -> Any:
    import scipy.stats

    made, args, named = state["dist"], tuple(state["args"]), dict(state["kwds"])
    if not isinstance(made, scipy.stats.rv_continuous | scipy.stats.rv_discrete):
        raise ValueError("a frozen distribution is of no distribution of SciPy")
    if not all(isinstance(each, (int, float)) for each in (*args, *named.values())):
        raise ValueError("a distribution is frozen with something else than numbers")
    return made(*args, **named)


def _lightgbm_booster(state: Mapping[str, Any]) -> Any:
    import lightgbm

    from headrace.models.flavors.lightgbm_text import check_text

    text = state.get("_handle", state.get("handle"))
    if not isinstance(text, str):
        raise ValueError("a LightGBM booster has no model")
    check_text(text)
    made = lightgbm.Booster(model_str=text)
    for name in ("best_iteration", "best_score", "params", "pandas_categorical"):
        if name in state:
            setattr(made, name, state[name])
    return made


def _xgboost_booster(state: Mapping[str, Any]) -> Any:
    """Without the configuration of its training, which nothing predicts by and nobody checked."""
    import xgboost

    from headrace.models.flavors.xgboost_check import check_model, model_in_state

    content = state.get("handle")
    if not isinstance(content, bytearray):
        raise ValueError("an XGBoost booster has no model")
    model = model_in_state(content)
    check_model(model, xgboost.__version__)
    made = xgboost.Booster()
    made.load_model(model)
    return made


_MAKERS: Final[dict[tuple[str, str], Callable[[Any], Any]]] = {
    ("sklearn.neighbors._kd_tree", "KDTree"): _kd_tree("KDTree"),
    ("sklearn.neighbors._kd_tree", "KDTree64"): _kd_tree("KDTree64"),
    ("sklearn.neighbors._kd_tree", "KDTree32"): _kd_tree("KDTree32"),
    ("sklearn.neighbors._ball_tree", "BallTree"): _ball_tree("BallTree"),
    ("sklearn.neighbors._ball_tree", "BallTree64"): _ball_tree("BallTree64"),
    ("sklearn.neighbors._ball_tree", "BallTree32"): _ball_tree("BallTree32"),
    ("sklearn._loss._loss", "CyHalfMultinomialLoss"): _multinomial_loss,
    ("scipy.interpolate._bsplines", "BSpline"): _spline,
    ("scipy.stats._distn_infrastructure", "rv_continuous_frozen"): _frozen,
    ("scipy.stats._distn_infrastructure", "rv_discrete_frozen"): _frozen,
    ("lightgbm.basic", "Booster"): _lightgbm_booster,
    ("xgboost.core", "Booster"): _xgboost_booster,
}
