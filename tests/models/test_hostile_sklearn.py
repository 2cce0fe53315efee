"""Model folders that want to run code or to have memory read that is not theirs: none gets to."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import skops.io
import yaml
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import headrace.sklearn
from headrace.errors import InvalidModel, InvalidRequest, NotTrusted
from headrace.models.flavors.skops_reader import MAX_UNPACKED, SkopsFile
from headrace.models.loading import load_model, load_pyfunc
from tests.models.skops_files import (
    alone,
    dict_node,
    edited,
    json_node,
    list_node,
    named_node,
    node_of,
    packed,
    parts_of,
    with_array,
    with_value,
)

X, Y = load_iris(return_X_y=True)
Edit = Callable[[Any], Any]


class Acts:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of scikit-learn."""
    path = tmp_path_factory.mktemp("saved") / "m"
    headrace.sklearn.save_model(LogisticRegression(max_iter=1000).fit(X, Y), path)
    return path


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A model of scikit-learn that nobody has signed."""
    shutil.copytree(saved, tmp_path / "m")
    (tmp_path / "m" / "model.sig").unlink()
    return tmp_path / "m"


def say(folder: Path, **facts: Any) -> None:
    """Have the MLmodel file say something else of the estimator."""
    content = yaml.safe_load((folder / "MLmodel").read_text())
    content["flavors"]["sklearn"] |= facts
    (folder / "MLmodel").write_text(yaml.safe_dump(content))


def refused(folder: Path, error: type[Exception], match: str) -> None:
    """Neither way to load the model gets further than `error`."""
    for load in (load_model, load_pyfunc):
        with pytest.raises(error, match=match):
            load(folder)


@pytest.mark.parametrize("name", ["model.skops", "model.pkl", "anything"])
@pytest.mark.parametrize("serialization_format", ["pickle", "cloudpickle", "skops", None, "joblib"])
def test_a_pickle_under_any_name(
    folder: Path, tmp_path: Path, name: str, serialization_format: str | None
) -> None:
    mark = tmp_path / "mark"
    (folder / name).write_bytes(pickle.dumps(Acts(mark)))
    say(folder, pickled_model=name, serialization_format=serialization_format)
    expected: dict[Any, tuple[type[Exception], str]] = {
        "skops": (InvalidModel, "cannot be loaded as a skops file"),
        "joblib": (InvalidRequest, "skops, cloudpickle, pickle"),
        None: (InvalidRequest, "skops, cloudpickle, pickle"),
    }
    trust = (NotTrusted, f"{name}.*headrace trust|{name}.*trust=True")
    refused(folder, *expected.get(serialization_format, trust))
    assert not mark.exists()


def test_no_format_is_a_pickle(folder: Path, tmp_path: Path) -> None:
    content = yaml.safe_load((folder / "MLmodel").read_text())
    del content["flavors"]["sklearn"]["serialization_format"]
    (folder / "MLmodel").write_text(yaml.safe_dump(content))
    (folder / "model.skops").write_bytes(pickle.dumps(Acts(tmp_path / "mark")))
    refused(folder, NotTrusted, r"model\.skops.*trust=True")
    assert not (tmp_path / "mark").exists()
    assert load_model(folder, trust=True) is None
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("serialization_format", ["skops", "pickle"])
@pytest.mark.parametrize(
    "name", ["../outside.pkl", "{tmp}/outside.pkl", "..", "", ".", "a/../../outside.pkl", 7, None]
)
def test_files_outside(folder: Path, tmp_path: Path, name: Any, serialization_format: str) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "outside.pkl").write_bytes(pickle.dumps(Acts(mark)))
    given = name.format(tmp=tmp_path) if isinstance(name, str) else name
    say(folder, pickled_model=given, serialization_format=serialization_format)
    for trust in (False, True):
        with pytest.raises((InvalidModel, NotTrusted)):
            load_model(folder, trust=trust)
    assert not mark.exists()


def test_a_link_that_leads_out(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "outside.pkl").write_bytes(pickle.dumps(Acts(mark)))
    (folder / "model.pkl").symlink_to(tmp_path / "outside.pkl")
    say(folder, pickled_model="model.pkl", serialization_format="pickle")
    for trust in (False, True):
        with pytest.raises((InvalidModel, NotTrusted)):
            load_model(folder, trust=trust)
    assert not mark.exists()


def calls(mark: Path) -> dict[str, dict[str, Any]]:
    """Nodes that would run something if they were made, or if what they make were used."""
    return calling_kinds(mark) | calling_names(mark)


def calling_kinds(mark: Path) -> dict[str, dict[str, Any]]:
    """Of kinds that call, or take an attribute of, what they are given."""
    args = list_node(json_node(f"touch {mark}"), kind="tuple")
    system = named_node("FunctionNode", "os", "system")
    path = named_node(
        "ObjectNode", "pathlib", "PosixPath", content=dict_node(_raw_paths=json_node([str(mark)]))
    )
    opened = {"func": "touch", "obj": path}
    return {
        "os.system": system,
        "builtins.eval": named_node("TypeNode", "builtins", "eval"),
        "builtins.open": named_node("FunctionNode", "builtins", "open"),
        "subprocess.Popen": named_node(
            "ConstructorFromReduceNode", "subprocess", "Popen", content=args
        ),
        "functools.partial": named_node(
            "PartialNode",
            "functools",
            "partial",
            content={"func": system, "args": args, "kwds": dict_node(), "namespace": dict_node()},
        ),
        "operator.methodcaller": named_node(
            "OperatorFuncNode",
            "operator",
            "methodcaller",
            attrs=list_node(json_node("touch"), kind="tuple"),
        ),
        "operator.call": named_node(
            "OperatorFuncNode", "operator", "call", attrs=list_node(system, kind="tuple")
        ),
        "pathlib.PosixPath.touch": named_node("MethodNode", "pathlib", "PosixPath", content=opened),
        "pathlib.PosixPath": path,
    }


def calling_names(mark: Path) -> dict[str, dict[str, Any]]:
    """Of kinds that are good for other names."""
    args = list_node(json_node(f"touch {mark}"), kind="tuple")
    return {
        "numpy.load": named_node("FunctionNode", "numpy", "load"),
        "numpy.fromfile": named_node("FunctionNode", "numpy", "fromfile"),
        "numpy.apply_along_axis": named_node("FunctionNode", "numpy", "apply_along_axis"),
        "numpy.os": named_node("FunctionNode", "numpy", "os"),
        "numpy.memmap": named_node("TypeNode", "numpy", "memmap"),
        "scipy.special.os": named_node("FunctionNode", "scipy.special", "os"),
        "sklearn.datasets._openml.fetch_openml": named_node(
            "FunctionNode", "sklearn.datasets._openml", "fetch_openml"
        ),
        "joblib.memory.Memory": named_node(
            "ObjectNode",
            "joblib.memory",
            "Memory",
            content=dict_node(location=json_node(str(mark))),
        ),
        "sklearn.metrics._dist_metrics.PyFuncDistance64": named_node(
            "ObjectNode",
            "sklearn.metrics._dist_metrics",
            "PyFuncDistance64",
            content=list_node(json_node(1), kind="tuple"),
        ),
        "scipy.stats._distn_infrastructure.rv_continuous": named_node(
            "ObjectNode",
            "scipy.stats._distn_infrastructure",
            "rv_continuous",
            content=dict_node(shapes=json_node(f"a=__import__('os').system('touch {mark}')")),
        ),
        "sklearn.cluster._kmeans.sys": named_node("ObjectNode", "sklearn.cluster._kmeans", "sys"),
        "os.environ": named_node("DictNode", "os", "environ", content={}, key_types=list_node()),
        "ctypes.c_void_p": named_node("NdArrayNode", "ctypes", "c_void_p", type="numpy", file="a"),
        "os.remove": named_node(
            "LossNode", "os", "remove", content=dict_node(), __reduce__={"args": args}
        ),
        "os.popen": named_node(
            "TreeNode", "os", "popen", content=dict_node(), __reduce__={"args": args}
        ),
        "collections.deque": named_node("ListNode", "collections", "deque", content=[]),
    }


@pytest.mark.parametrize("name", calls(Path("x")))
def test_what_a_skops_file_may_not_name(folder: Path, tmp_path: Path, name: str) -> None:
    mark = tmp_path / "mark"
    node = calls(mark)[name]
    inside = list_node(json_node(1), dict_node(func=node))
    for each in (node, inside):
        (folder / "model.skops").write_bytes(alone(each))
        # The model's own list is for MLflow: nothing here goes by it.
        say(folder, skops_trusted_types=[name, "os.system", "functools.partial"])
        refused(folder, NotTrusted, f"{name}.* in model.skops.*trust=True")
        with pytest.raises(InvalidModel, match="not reviewed"):
            SkopsFile(alone(each)).load()
    assert not mark.exists()


def test_a_transformer_that_would_call_what_it_is_given(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    def edit(schema: dict[str, Any], files: dict[str, bytes]) -> None:
        state = node_of(schema, "FunctionTransformer")["content"]["content"]
        state["func"] = named_node("FunctionNode", "os", "system")

    (folder / "model.skops").write_bytes(edited(FunctionTransformer(np.log1p).fit(X), edit))
    refused(folder, NotTrusted, "os.system in model.skops")
    assert not mark.exists()


def test_a_node_that_is_named_well_for_another_kind() -> None:
    """A list of names alone would take a class for a function, or a function for a class."""
    for loader, module, name in (
        ("FunctionNode", "sklearn.linear_model._logistic", "LogisticRegression"),
        ("TypeNode", "sklearn.linear_model._logistic", "LogisticRegression"),
        ("ObjectNode", "sklearn.metrics._classification", "accuracy_score"),
        ("TypeNode", "numpy", "log1p"),
        ("DictNode", "sklearn.linear_model._logistic", "LogisticRegression"),
        ("ObjectNode", "builtins", "dict"),
    ):
        node = named_node(loader, module, name, content={}, key_types=list_node())
        assert SkopsFile(alone(node)).unreviewed == [f"{module}.{name}"]


def test_keys_are_made_by_plain_types_only() -> None:
    node = dict_node(a=json_node(1))
    node["key_types"] = list_node(named_node("FunctionNode", "os", "system"))
    assert SkopsFile(alone(node)).unreviewed == ["os.system"]


@pytest.mark.parametrize("protocol", [0, 3, -1, True, None, "2"])
def test_other_protocols_are_not_guessed(folder: Path, protocol: Any) -> None:
    (folder / "model.skops").write_bytes(alone(json_node(1), protocol))
    refused(folder, NotTrusted, "protocol .* of skops")


def left_out_of_range(nodes: Any) -> Any:
    nodes["left_child"][0] = 10**6
    return nodes


def feature_out_of_range(nodes: Any) -> Any:
    nodes["feature"][0] = 4
    return nodes


def negative_feature(nodes: Any) -> Any:
    nodes["feature"][0] = -3
    return nodes


def in_a_circle(nodes: Any) -> Any:
    nodes["left_child"][0] = 0
    return nodes


def two_parents(nodes: Any) -> Any:
    nodes["left_child"][0] = nodes["right_child"][0]
    return nodes


@pytest.mark.parametrize(
    "change",
    [left_out_of_range, feature_out_of_range, negative_feature, in_a_circle, two_parents],
    ids=lambda each: each.__name__,
)
@pytest.mark.parametrize(
    "model",
    [
        DecisionTreeClassifier(random_state=0),
        RandomForestClassifier(3, random_state=0),
        GradientBoostingClassifier(n_estimators=2, random_state=0),
    ],
    ids=lambda each: type(each).__name__,
)
def test_crafted_trees(model: Any, change: Edit) -> None:
    data = with_array(model.fit(X, Y), "Tree", "nodes", change)
    with pytest.raises(InvalidModel, match="decision tree"):
        SkopsFile(data).load()


@pytest.mark.parametrize(
    ("owner", "attribute", "value"),
    [("Tree", "max_depth", 1), ("Tree", "node_count", 10**6)],
)
def test_trees_that_lie_about_their_size(owner: str, attribute: str, value: Any) -> None:
    data = with_value(DecisionTreeClassifier().fit(X, Y), owner, attribute, value)
    with pytest.raises(InvalidModel, match="decision tree"):
        SkopsFile(data).load()


def longer(array: Any) -> Any:
    return np.concatenate([array, array], axis=-1)


def shorter(array: Any) -> Any:
    return np.ascontiguousarray(array[..., :1])


def shifted(array: Any) -> Any:
    return array + 100


def bin_left(nodes: Any) -> Any:
    nodes["left"][0] = 10**6
    return nodes


def bin_feature(nodes: Any) -> Any:
    nodes["feature_idx"][0] = 99
    return nodes


def bin_categorical(nodes: Any) -> Any:
    nodes["is_categorical"][0] = 1
    return nodes


CRAFTED: dict[str, tuple[Any, str, str, Edit]] = {
    "too few centres": (KMeans(3), "KMeans", "cluster_centers_", shorter),
    "labels out of range": (KNeighborsClassifier(), "KNeighborsClassifier", "_y", shifted),
    "labels missing": (KNeighborsClassifier(), "KNeighborsClassifier", "_y", shorter),
    "fewer features": (
        KNeighborsClassifier(algorithm="brute"),
        "KNeighborsClassifier",
        "_fit_X",
        shorter,
    ),
    "more vectors": (SVC(), "SVC", "_n_support", shifted),
    "fewer coefficients": (SVC(), "SVC", "_dual_coef_", shorter),
    "fewer intercepts": (SVC(), "SVC", "_intercept_", shorter),
    "vectors of fewer features": (SVC(), "SVC", "support_vectors_", shorter),
    "rows out of range": (SVC(kernel="precomputed"), "SVC", "support_", shifted),
    "bins: child": (HistGradientBoostingClassifier(max_iter=2), "TreePredictor", "nodes", bin_left),
    "bins: feature": (
        HistGradientBoostingClassifier(max_iter=2),
        "TreePredictor",
        "nodes",
        bin_feature,
    ),
    "bins: categories": (
        HistGradientBoostingClassifier(max_iter=2),
        "TreePredictor",
        "nodes",
        bin_categorical,
    ),
    "bins: other features": (
        HistGradientBoostingClassifier(max_iter=2),
        "_BinMapper",
        "is_categorical_",
        longer,
    ),
}


@pytest.mark.parametrize("case", CRAFTED)
def test_crafted_states(case: str) -> None:
    model, owner, attribute, change = CRAFTED[case]
    data = X @ X.T if getattr(model, "kernel", "") == "precomputed" else X
    made = with_array(model.fit(data, Y), owner, attribute, change)
    with pytest.raises(InvalidModel, match="cannot be loaded as a skops file"):
        SkopsFile(made).load()


@pytest.mark.parametrize(
    "model",
    [
        DecisionTreeClassifier(),
        RandomForestClassifier(3),
        IsolationForest(n_estimators=3),
        GradientBoostingClassifier(n_estimators=2),
        HistGradientBoostingClassifier(max_iter=2),
        KMeans(3),
        KNeighborsClassifier(algorithm="brute"),
        SVC(),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_model_that_would_take_other_features(model: Any) -> None:
    data = with_value(model.fit(X, Y), type(model).__name__, "n_features_in_", 2)
    with pytest.raises(InvalidModel, match="cannot be loaded as a skops file"):
        SkopsFile(data).load()


def test_words_and_categories_with_columns_that_there_are_not() -> None:
    words = CountVectorizer().fit(["red green", "blue"])

    def edit(schema: dict[str, Any], files: dict[str, bytes]) -> None:
        state = node_of(schema, "CountVectorizer")["content"]["content"]
        state["vocabulary_"]["content"]["red"] = json_node(10**6)

    with pytest.raises(InvalidModel, match="a word has a column"):
        SkopsFile(edited(words, edit)).load()
    codes = OneHotEncoder().fit([["a"], ["b"], ["c"]])
    with pytest.raises(InvalidModel, match="as many columns as categories"):
        SkopsFile(with_value(codes, "OneHotEncoder", "_n_features_outs", [1])).load()


def test_gradient_boosting_with_more_trees_than_guesses() -> None:
    model = GradientBoostingClassifier(n_estimators=2).fit(X, Y)

    def edit(schema: dict[str, Any], files: dict[str, bytes]) -> None:
        state = node_of(schema, "GradientBoostingClassifier")["content"]["content"]
        for row in state["estimators_"]["content"]:
            row["content"] += row["content"]
        state["estimators_"]["shape"] = list_node(json_node(2), json_node(6), kind="tuple")

    with pytest.raises(InvalidModel, match="first guess"):
        SkopsFile(edited(model, edit)).load()


def test_sparse_matrices_with_indices_out_of_range() -> None:
    matrix = scipy.sparse.csr_matrix(np.eye(3))
    matrix.indices[:] = 10**6
    with pytest.raises(InvalidModel, match="cannot be loaded"):
        SkopsFile(skops.io.dumps({"matrix": matrix})).load()


def test_random_states_with_positions_out_of_range() -> None:
    schema, files = parts_of(skops.io.dumps(np.random.RandomState(0)))
    schema["content"]["content"]["state"]["content"]["pos"] = json_node(10**6)
    with pytest.raises(InvalidModel, match="position in a random state"):
        SkopsFile(packed(schema, files)).load()
    schema, files = parts_of(skops.io.dumps(np.random.Generator(np.random.Philox(0))))
    schema["content"]["bit_generator"]["content"]["buffer_pos"] = json_node(-9)
    with pytest.raises(InvalidModel, match="position in a random state"):
        SkopsFile(packed(schema, files)).load()
    schema["content"]["bit_generator"]["content"]["bit_generator"] = json_node("seed")
    with pytest.raises(InvalidModel, match="no generator"):
        SkopsFile(packed(schema, files)).load()


def test_what_opens_files_when_it_is_used_needs_trust(folder: Path, tmp_path: Path) -> None:
    words = CountVectorizer(input="filename").fit([__file__])
    cached = make_pipeline(StandardScaler(), memory=str(tmp_path / "cache")).fit(X)
    guess = GradientBoostingClassifier(n_estimators=1, init=LogisticRegression(max_iter=1000)).fit(
        X, Y
    )
    for model, what in ((words, "filename"), (cached, "memory="), (guess, "init=")):
        (folder / "model.skops").write_bytes(skops.io.dumps(model))
        refused(folder, NotTrusted, f"{what}.*trust=True")
        assert type(load_model(folder, trust=True)) is type(model)


def test_bombs(tmp_path: Path) -> None:
    inflated = packed(
        {**json_node(1), "protocol": 2}, {"zeros": bytes(MAX_UNPACKED)}, zipfile.ZIP_DEFLATED
    )
    assert len(inflated) < 1 << 20
    with pytest.raises(InvalidModel, match="would unpack to"):
        SkopsFile(inflated)
    levels = 100_000
    schema = b'{"a":' * levels + b"1" + b"}" * levels
    path = tmp_path / "deep.skops"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", schema)
    with pytest.raises(InvalidModel, match="nested too deeply"):
        SkopsFile(path.read_bytes())


def test_an_array_that_claims_more_than_it_has() -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    npy = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 8
    node = named_node("NdArrayNode", "numpy", "ndarray", type="numpy", file="a.npy")
    with pytest.raises(InvalidModel, match="an array of the shape"):
        SkopsFile(packed({**node, "protocol": 2}, {"a.npy": npy})).load()
    pickled = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    npy = b"\x93NUMPY\x01\x00" + len(pickled).to_bytes(2, "little") + pickled + b"\0" * 8
    with pytest.raises(InvalidModel, match="only a pickle can"):
        SkopsFile(packed({**node, "protocol": 2}, {"a.npy": npy})).load()


@pytest.mark.parametrize(
    "data",
    [b"", b"PK", b"no zip", packed([]), packed({}), packed({"protocol": 2}), packed("x")],
    ids=range(7),
)
def test_garbage(folder: Path, data: bytes) -> None:
    (folder / "model.skops").write_bytes(data)
    refused(folder, (InvalidModel, NotTrusted), r"model\.skops|protocol")  # type: ignore[arg-type]  # either


def test_the_bytes_that_were_checked_are_those_that_are_loaded() -> None:
    """Members that are not packed are read in place; one that is cut off is found."""
    data = skops.io.dumps(LogisticRegression(max_iter=1000).fit(X, Y))
    for cut in (10, len(data) // 2, len(data) - 30):
        with pytest.raises(InvalidModel):
            SkopsFile(data[:cut]).load()
    schema, files = parts_of(data)
    assert json.dumps(schema)
    assert SkopsFile(packed(schema, files, zipfile.ZIP_DEFLATED)).load().predict(X).shape == (150,)
