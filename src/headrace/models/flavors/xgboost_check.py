"""XGBoost's JSON and UBJSON models, checked before XGBoost reads them.

Its readers believe the lengths in a file, look fields up that may not be there, and a prediction
follows children, features, groups and categories wherever they lead: a crafted model ends the
process so, or worse. Here a model must be one in itself: every field known and of its type, every
array as long as it must be, every number that is followed within what it leads into.

The format: `src/learner.cc`, `src/gbm/` and `src/data/cat_container.cc` of XGBoost (1.0 to 3.2),
and `doc/model.schema` there.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from headrace.models.flavors.ubjson import part_of, read_ubjson
from headrace.models.flavors.xgboost_categories import check_encodings
from headrace.models.flavors.xgboost_fields import (
    NotChecked,
    count,
    fields,
    items,
    text,
    texts,
    whole_numbers,
)
from headrace.models.flavors.xgboost_trees import check_trees

_MOST_OUTPUTS: Final = 1 << 16
_LEAVES_SINCE: Final = (3, 2)
"""The version of XGBoost from which on it reads `leaf_weights`."""
_JSON_STRINGS: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"(\s*:)?')
_ROUND: Final = re.compile(r"-1|[0-9]{1,9}")
"""With the -1 that older versions wrote for none: XGBoost goes on to wherever it says."""
_TREES: Final = ("trees", "tree_info", "gbtree_model_param")


def check_model(data: bytes | bytearray, version: str) -> None:
    """Raise ValueError unless data is a model that the XGBoost of this version can read and use.

    NotChecked, a ValueError, where it may be one that is only not known here.
    """
    given = _parsed(data)
    fields(given, "it", ("learner",), ("version",))
    if "version" in given:
        whole_numbers(given, "version", "it", 3)
    learner = given["learner"]
    fields(
        learner,
        "its learner",
        ("attributes", "gradient_booster", "learner_model_param", "objective"),
        ("feature_names", "feature_types"),
    )
    _check_attributes(learner["attributes"])
    _check_objective(learner["objective"])
    n_features, n_outputs = _shape(learner["learner_model_param"])
    for name in ("feature_names", "feature_types"):
        found = learner.get(name, [])
        is_texts = isinstance(found, list) and all(isinstance(each, str) for each in found)
        if not is_texts or len(found) not in {0, n_features}:
            raise ValueError(f"'{name}' should be {n_features} texts, or none")
    has_leaves = tuple(int(each) for each in re.findall(r"\d+", version)[:2]) >= _LEAVES_SINCE
    _check_booster(learner["gradient_booster"], n_features, n_outputs, has_leaves=has_leaves)


def model_in_state(data: bytes | bytearray) -> bytearray:
    """The model in what a pickled booster keeps: its state in UBJSON, a model and a configuration.

    Raises ValueError.
    """
    return bytearray(part_of(data, "Model"))


def _parsed(data: bytes | bytearray) -> Any:
    """What a model says, by the format that XGBoost takes it for: its second byte tells."""
    if data[:2] == b"{L":
        return read_ubjson(data)
    if data[:1] != b"{" or data[1:2] not in b'" \t\r\n':
        raise NotChecked("it is neither JSON nor UBJSON; XGBoost's oldest format is not checked")
    try:
        found = json.loads(data.decode(), object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("it is too deep") from None
    for match in _JSON_STRINGS.finditer(data):
        if match[2] and b"\\" in match[1]:  # which XGBoost reads in its own way
            raise ValueError("the name of a field is written with a backslash")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a field twice")
    return found


def _check_attributes(given: Any) -> None:
    texts(given, "its attributes")
    best = given.get("best_iteration")
    if best is not None and not _ROUND.fullmatch(best):
        raise ValueError("its attribute 'best_iteration' is no round")


def _check_objective(given: Any) -> None:
    """XGBoost refuses names and values by itself; texts and lists of numbers are what it reads."""
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise ValueError("its objective has no name")
    for name, value in given.items():
        if name.endswith("_param"):
            texts(value, f"its objective's '{name}'")
        elif name != "name":
            items(given, name, "its objective")


def _shape(given: Any) -> tuple[int, int]:
    """How many features a model takes, and how many numbers it gives for a row."""
    what = "learner_model_param"
    needed = ("base_score", "num_class", "num_feature")
    fields(given, what, needed, ("num_target", "boost_from_average"))
    texts(given, what)
    n_classes = count(given, "num_class", what, most=_MOST_OUTPUTS)
    n_targets = (
        count(given, "num_target", what, least=1, most=_MOST_OUTPUTS)
        if "num_target" in given
        else 1
    )
    if n_classes > 1 and n_targets > 1:
        raise ValueError(f"it has {n_classes} classes and {n_targets} targets; XGBoost takes one")
    n_outputs = max(n_classes, n_targets)
    scores = json.loads(given["base_score"])
    scores = scores if isinstance(scores, list) else [scores]
    if not all(type(each) in {int, float} and math.isfinite(each) for each in scores):
        raise ValueError("'base_score' should be numbers")
    if len(scores) not in {1, n_outputs}:
        raise ValueError(f"'base_score' has {len(scores)} numbers; expected {n_outputs}, or 1")
    return count(given, "num_feature", what, least=1), n_outputs


def _check_booster(given: Any, n_features: int, n_outputs: int, *, has_leaves: bool) -> None:
    what = "gradient_booster"
    if not isinstance(given, dict) or "name" not in given:
        raise ValueError(f"{what} has no name")
    name = text(given, "name", what)
    if name == "gblinear":
        fields(given, what, ("name", "model"))
        _check_linear(given["model"], n_features, n_outputs)
    elif name == "dart":
        fields(given, what, ("name", "gbtree", "weight_drop"))
        fields(given["gbtree"], f"{what}, gbtree", ("name", "model"))
        text(given["gbtree"], "name", f"{what}, gbtree")
        model = given["gbtree"]["model"]
        _check_forest(model, n_features, n_outputs, has_leaves=has_leaves)
        items(given, "weight_drop", what, len(model["trees"]))
    elif name == "gbtree":
        fields(given, what, ("name", "model"))
        _check_forest(given["model"], n_features, n_outputs, has_leaves=has_leaves)
    else:
        raise NotChecked(f"its booster is '{name[:40]}'; known are gbtree, dart and gblinear")


def _check_linear(given: Any, n_features: int, n_outputs: int) -> None:
    what = "the linear model"
    fields(given, what, ("weights",), ("boosted_rounds",))
    items(given, "weights", what, (n_features + 1) * n_outputs)
    if type(given.get("boosted_rounds", 0)) is not int:
        raise ValueError(f"{what}: 'boosted_rounds' is no number")


def _check_forest(given: Any, n_features: int, n_outputs: int, *, has_leaves: bool) -> None:
    what = "the model of trees"
    fields(given, what, _TREES, ("iteration_indptr", "cats"))
    trees = given["trees"]
    if not isinstance(trees, list):
        raise ValueError(f"{what}: 'trees' is no array")
    n_trees = len(trees)
    param = given["gbtree_model_param"]
    names = ("num_parallel_tree", "size_leaf_vector")
    fields(param, f"{what}, gbtree_model_param", ("num_trees",), names)
    texts(param, f"{what}, gbtree_model_param")
    if count(param, "num_trees", what) != n_trees:
        raise ValueError(f"{what} has {n_trees} trees; it says {param['num_trees']}")
    width = check_trees(trees, n_features, n_outputs, has_leaves=has_leaves)
    groups = whole_numbers(given, "tree_info", what, n_trees)
    n_groups = n_outputs if width == 1 else 1
    for number, group in enumerate(groups):
        if not 0 <= group < n_groups:
            raise ValueError(f"tree {number} is of the group {group}; there are {n_groups}")
    _check_rounds(given, param, n_trees, max(groups, default=0) + 1)
    if "cats" in given:
        check_encodings(given["cats"], n_features)


def _check_rounds(
    given: Mapping[str, Any], param: Mapping[str, Any], n_trees: int, n_groups: int
) -> None:
    """The rounds are ranges of the trees, one after the other; without them all are as long."""
    what = "the model of trees"
    parallel = (
        count(param, "num_parallel_tree", what, least=1) if "num_parallel_tree" in param else 1
    )
    if "iteration_indptr" not in given:
        if not n_trees or n_trees % (parallel * n_groups):
            raise ValueError(f"{what} has {n_trees} trees and no rounds ('iteration_indptr')")
        return
    ends = whole_numbers(given, "iteration_indptr", what)
    if not ends or ends[0] != 0 or ends[-1] != n_trees or sorted(ends) != ends:
        raise ValueError(f"{what}: 'iteration_indptr' should go up from 0 to {n_trees}")
