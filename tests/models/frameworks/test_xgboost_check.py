"""Models of XGBoost that would end the process are refused before XGBoost reads them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headrace.sklearn
import headrace.xgboost as door
from headrace.errors import InvalidModel
from headrace.models.flavors.skops_special import special_for
from headrace.models.flavors.xgboost_check import check_model
from headrace.models.flavors.xgboost_fields import NotChecked
from headrace.models.loading import load_model
from headrace.models.trust import SIGNATURE_FILE
from tests.models.flavors.ubjson_encoding import encoded
from tests.models.frameworks.xgboost_boosters import BOOSTERS, ESTIMATORS, table_of

xgboost = pytest.importorskip("xgboost")
pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]
ROOT = Path(__file__).parents[3]
Change = Callable[[Any], object]


@cache
def booster(name: str) -> Any:
    """A trained booster."""
    return BOOSTERS[name]()


def predicted(model: Any) -> Any:
    table = table_of(model)
    return model.predict(xgboost.DMatrix(table, enable_categorical=True))


@pytest.mark.parametrize("model_format", ["ubj", "json"])
@pytest.mark.parametrize("name", BOOSTERS)
def test_what_xgboost_trains_is_good(name: str, model_format: str, tmp_path: Path) -> None:
    model = booster(name)
    door.save_model(model, tmp_path / "m", model_format=model_format)
    (tmp_path / "m" / SIGNATURE_FILE).unlink()
    np.testing.assert_array_equal(predicted(load_model(tmp_path / "m")), predicted(model))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_are_good_alone_and_in_pipelines(name: str, tmp_path: Path) -> None:
    from sklearn.pipeline import make_pipeline

    model = ESTIMATORS[name]()
    table = table_of(model.get_booster())
    door.save_model(model, tmp_path / "m")
    headrace.sklearn.save_model(make_pipeline(model), tmp_path / "p")
    for folder in (tmp_path / "m", tmp_path / "p"):
        (folder / SIGNATURE_FILE).unlink()
        found = load_model(folder).predict(table)
        np.testing.assert_array_equal(found, model.predict(table))


def trees(model: Any) -> Any:
    return forest(model)["trees"]


def forest(model: Any) -> Any:
    found = model["learner"]["gradient_booster"]
    return found.get("gbtree", found)["model"]


def shape(model: Any) -> Any:
    return model["learner"]["learner_model_param"]


def put(where: Callable[[Any], Any], *path: Any, to: Any) -> Change:
    """A change that sets what lies at the end of a path."""

    def change(model: Any) -> None:
        found = where(model)
        for key in path[:-1]:
            found = found[key]
        found[path[-1]] = to

    return change


def chain(depth: int) -> Change:
    """A change of the first tree into one of so many levels."""
    size = 2 * depth + 1

    def change(model: Any) -> None:
        tree = trees(model)[0]
        splits = [at % 2 == 0 and at < size - 1 for at in range(size)]
        tree["left_children"] = [at + 1 if each else -1 for at, each in enumerate(splits)]
        tree["right_children"] = [at + 2 if each else -1 for at, each in enumerate(splits)]
        tree["parents"] = [2**31 - 1, *((at - 1) // 2 * 2 for at in range(1, size))]
        for name in ("default_left", "split_indices", "split_type"):
            tree[name] = [0] * size
        for name in ("base_weights", "loss_changes", "split_conditions", "sum_hessian"):
            tree[name] = [0.5] * size
        tree["tree_param"]["num_nodes"] = str(size)

    return change


CRAFTED: dict[str, tuple[str, Change, str]] = {
    "a feature": ("binary", put(trees, 1, "split_indices", 0, to=10**9), "tree 1, node 0: .*feat"),
    "a child": ("binary", put(trees, 0, "left_children", 0, to=10**9), "tree 0, node 0: its chil"),
    "a circle": ("binary", put(trees, 0, "left_children", 1, to=0), "node 1: its children"),
    "one twice": ("binary", put(trees, 0, "right_children", 0, to=1), "node 0: its children"),
    "two fathers": ("binary", put(trees, 0, "parents", 2, to=1), "node 2: its parent"),
    "a far parent": ("binary", put(trees, 0, "parents", 2, to=10**9), "node 2: its parent"),
    "an unreached node": (
        "binary",
        put(trees, 0, "left_children", 0, to=-1),
        "node 1: it is reached from 0",
    ),
    "a group": ("classes", put(forest, "tree_info", 4, to=10**9), "tree 4 is of the group 1000"),
    "no group": ("classes", put(forest, "tree_info", 4, to=-1), "tree 4 is of the group -1"),
    "rounds": ("classes", put(forest, "iteration_indptr", 0, to=-(10**8)), "iteration_indptr"),
    "a round": ("classes", put(forest, "iteration_indptr", 1, to=10**8), "iteration_indptr"),
    "no rounds": ("no round", lambda model: forest(model).pop("iteration_indptr"), "no rounds"),
    "fewer trees": ("binary", lambda model: trees(model).pop(), "has 2 trees; it says 3"),
    "an id twice": ("binary", put(trees, 1, "id", to=0), "tree 1: its id"),
    "fewer nodes": ("binary", put(trees, 0, "tree_param", "num_nodes", to="1"), "expected 1"),
    "a short array": ("binary", lambda m: trees(m)[0]["parents"].pop(), "'parents' has"),
    "fractions": ("binary", put(trees, 0, "parents", 1, to=0.5), "something else than whole"),
    "huge": ("binary", put(trees, 0, "parents", 1, to=2**64), "something else than whole"),
    "deep": ("binary", chain(2001), "2000 levels"),
    "deleted": ("pruned", put(trees, 0, "tree_param", "num_deleted", to="0"), "deleted nodes; it"),
    "features": ("binary", put(shape, "num_feature", to="4294967295"), "num_feature"),
    "fewer features": (
        "many leaves",
        put(shape, "num_feature", to="1"),
        "feature that there is not",
    ),
    "classes": ("classes", put(shape, "num_class", to="2"), "base_score"),
    "both": ("classes", put(shape, "num_target", to="3"), "3 classes and 3 targets"),
    "scores": ("binary", put(shape, "base_score", to="[1,2]"), "base_score"),
    "no scores": ("binary", put(shape, "base_score", to="[]"), "base_score"),
    "drops": ("dart", lambda m: m["learner"]["gradient_booster"]["weight_drop"].pop(), "drop"),
    "weights": ("linear", lambda model: forest(model)["weights"].pop(), "expected 5"),
    "leaf weights": ("vectors", lambda m: trees(m)[0].pop("leaf_weights"), "before 3.2"),
    "leaf places": ("vectors", put(trees, 0, "right_children", -1, to=10**6), "a leaf is at"),
    "mixed leaves": (
        "vectors",
        put(trees, 0, "tree_param", "size_leaf_vector", to="1"),
        "base_weights|several lengths",
    ),
    "sets": ("categories", put(trees, 0, "categories_segments", 0, to=10**9), "a set of categ"),
    "no set": ("categories", put(trees, 0, "categories_nodes", 0, to=1), "in order"),
    "no kind": ("categories", put(trees, 0, "split_type", 0, to=2), "splits in a way"),
    "a high category": ("categories", put(trees, 0, "categories", 0, to=2**31 - 1), "a category"),
    "a low category": ("categories", put(trees, 0, "categories", 0, to=-5), "a category"),
    "order": ("categories", put(forest, "cats", "sorted_idx", 0, to=10**8), "no order"),
    "offsets": ("categories", put(forest, "cats", "enc", 0, "offsets", 0, to=9), "offsets"),
    "segments": ("categories", put(forest, "cats", "feature_segments", 1, to=10**8), "segments"),
    "no features": ("categories", lambda m: forest(m)["cats"]["enc"].pop(), "'enc' has"),
    "a last round": (
        "binary",
        put(lambda m: m["learner"]["attributes"], "best_iteration", to=str(2**31 - 1)),
        "best_iteration",
    ),
    "names": ("named", lambda m: m["learner"]["feature_names"].pop(), "feature_names"),
    "no learner": ("binary", lambda model: model.pop("learner"), "no 'learner'"),
    "no objective": ("binary", lambda m: m["learner"]["objective"].clear(), "objective has no"),
}
ENDING = (
    *("a feature", "a child", "a group", "rounds", "leaf weights", "leaf places"),
    *("sets", "order", "a last round"),
)
"""Of these, those that end the process with XGBoost 3.2."""


def crafted(case: str) -> tuple[bytes, str]:
    """A model with a change, and what is said of it."""
    name, change, why = CRAFTED[case]
    model = json.loads(bytes(booster(name).save_raw("json")))
    change(model)
    return json.dumps(model).encode(), why


@pytest.mark.parametrize("case", CRAFTED)
def test_crafted_models_are_refused(case: str) -> None:
    data, why = crafted(case)
    with pytest.raises(ValueError, match=why) as caught:
        check_model(data, xgboost.__version__)
    assert not isinstance(caught.value, NotChecked)


def test_the_file_is_named(tmp_path: Path) -> None:
    door.save_model(booster("binary"), tmp_path / "m")
    (tmp_path / "m" / SIGNATURE_FILE).unlink()
    data = bytes(booster("binary").save_raw("ubj"))
    wrong = data.replace(b"parents[$l#L\0", b"parents[$l#L\x7f", 1)
    (tmp_path / "m" / "model.ubj").write_bytes(wrong)
    with pytest.raises(InvalidModel, match=r"'model\.ubj' is no model .* a length is 9151"):
        load_model(tmp_path / "m")


def test_boosters_in_pipelines_are_checked_too() -> None:
    made = special_for("xgboost.core", "Booster")
    assert made is not None
    state = booster("binary").__getstate__()
    assert made(state).num_boosted_rounds() == 3
    model = json.loads(crafted("a child")[0])
    with pytest.raises(ValueError, match="its children"):
        made({"handle": bytearray(encoded({"Config": {}, "Model": model}))})
    with pytest.raises(ValueError, match="no 'Model'"):
        made({"handle": bytearray(encoded({"Config": {}}))})


@pytest.mark.parametrize(
    "data",
    [
        b"binf" + bytes(200),
        b"\0\0\0?" + bytes(200),
        b"\x80\x04.",
        b" {}",
        b"{\0",
        b"\xef\xbb\xbf{}",
    ],
    ids=repr,
)
def test_other_formats_are_not_checked_and_need_trust(data: bytes, tmp_path: Path) -> None:
    door.save_model(booster("binary"), tmp_path / "m")
    (tmp_path / "m" / SIGNATURE_FILE).unlink()
    (tmp_path / "m" / "model.ubj").write_bytes(data)
    with pytest.raises(InvalidModel, match=r"neither JSON nor UBJSON.*trust=True"):
        load_model(tmp_path / "m")
    with pytest.raises(InvalidModel, match="cannot be loaded as a model of XGBoost"):
        load_model(tmp_path / "m", trust=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: trees(model)[0].update(later=[1]),
        lambda model: forest(model).update(later=1),
        lambda model: model["learner"]["gradient_booster"].update(name="gbforest"),
    ],
    ids=["of a tree", "of the trees", "a booster"],
)
def test_what_a_newer_xgboost_may_write_needs_trust(change: Change) -> None:
    model = json.loads(bytes(booster("binary").save_raw("json")))
    change(model)
    with pytest.raises(NotChecked, match=r"later|gbforest"):
        check_model(json.dumps(model).encode(), xgboost.__version__)


def test_what_older_versions_wrote_is_good_where_it_can_be_read() -> None:
    model = json.loads(bytes(booster("vectors").save_raw("json")))
    for tree in trees(model):
        for name in ("leaf_weights", "loss_changes", "sum_hessian"):
            del tree[name]
    check_model(json.dumps(model).encode(), "3.0.5")
    with pytest.raises(ValueError, match="tree 0 has no 'leaf_weights'; an XGBoost"):
        check_model(json.dumps(model).encode(), "3.2.0")
    old = json.loads(bytes(booster("binary").save_raw("json")))
    for part, names in {
        "learner": ("feature_names", "feature_types"),
        "param": ("num_target", "boost_from_average"),
        "forest": ("cats", "iteration_indptr"),
    }.items():
        of = {"learner": old["learner"], "param": shape(old), "forest": forest(old)}[part]
        for name in names:
            del of[name]
    shape(old)["base_score"] = "5E-1"
    old["learner"]["attributes"]["best_iteration"] = "-1"
    forest(old)["gbtree_model_param"]["size_leaf_vector"] = "0"
    for tree in trees(old):
        del tree["split_type"]
        tree["leaf_child_counts"] = tree["left_children"]
        tree["default_left"] = [False] * len(tree["left_children"])
        tree["tree_param"]["size_leaf_vector"] = "0"
    check_model(json.dumps(old).encode(), "1.3.0")
    found = xgboost.Booster()
    found.load_model(bytearray(json.dumps(old).encode()))
    assert found.num_boosted_rounds() == 3


def test_json_that_xgboost_reads_in_its_own_way_is_refused() -> None:
    data = bytes(booster("binary").save_raw("json"))
    for change, why in (
        (data.replace(b'"trees"', b'"tre\\u0065s"'), "backslash"),
        (data.replace(b'"trees":', b'"trees":[],"trees":'), "twice"),
        (data + b"x", "Extra data"),
        (data.replace(b'"attributes":{}', b'"attributes":' + b"[" * 10**5), "deep"),
        (data.replace(b'"attributes":{}', b'"attributes":{"a":"\xff"}'), "utf-8"),
    ):
        with pytest.raises(ValueError, match=why):
            check_model(change, xgboost.__version__)


def test_names_may_be_any_text(tmp_path: Path) -> None:
    import pandas as pd

    names = ['a"b', "c\\d", 'x": 1', "ü"]
    table = pd.DataFrame(np.random.default_rng(1).random((50, 4)), columns=names)
    model = xgboost.XGBRegressor(n_estimators=2).fit(table, table.iloc[:, 0])
    for model_format in ("json", "ubj"):
        door.save_model(model, tmp_path / model_format, model_format=model_format)
        found = load_model(tmp_path / model_format)
        np.testing.assert_array_equal(found.predict(table), model.predict(table))


def run(folder: Path, seed: int, count: int) -> Any:
    """What the program of mutations says; see there."""
    module = "tests.models.frameworks.xgboost_mutations"
    command = [sys.executable, "-W", "ignore", "-m", module, str(folder), str(seed), str(count)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=150)
    return json.loads(done.stdout)


def test_no_mutated_model_that_passes_ends_its_process(tmp_path: Path) -> None:
    names = ("binary", "classes", "categories", "vectors", "dart", "linear", "pruned", "rank:ndcg")
    for name in names:
        for model_format in ("ubj", "json"):
            data = bytes(booster(name).save_raw(model_format))
            (tmp_path / f"{name.replace(':', '-')}.{model_format}.model").write_bytes(data)
    found = run(tmp_path, 1, 200)
    assert found["died"] == []
    assert min(found["refused"], found["used"]) > 5


def test_crafted_models_end_processes_where_nobody_checks(tmp_path: Path) -> None:
    """So that the test above can fail; and that XGBoost still needs the checker."""
    for at, case in enumerate(ENDING):
        (tmp_path / str(at)).write_bytes(crafted(case)[0])
    program = (
        "import sys; from pathlib import Path\n"
        "from tests.models.frameworks.xgboost_mutations import ending\n"
        "print([ending(Path(sys.argv[1], str(at)).read_bytes()) for at in range(int(sys.argv[2]))])"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path), str(len(ENDING))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=150)
    found = dict(zip(ENDING, json.loads(done.stdout), strict=True))
    assert [case for case, signal in found.items() if not signal] == []
