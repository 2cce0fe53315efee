"""ONNX models, saved here and in MLflow, loaded in both."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from headrace import onnx as door
from headrace.errors import InvalidModel, InvalidRequest, NotTrusted
from headrace.models.loading import load_model, load_pyfunc
from headrace.models.model import Model

onnx = pytest.importorskip("onnx")
mlflow = pytest.importorskip("mlflow")
skl2onnx = pytest.importorskip("skl2onnx")

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]
IRIS = load_iris().data.astype(np.float32)


@pytest.fixture(scope="module")
def iris() -> tuple[Any, Any]:
    """A classifier of scikit-learn as ONNX, and its probabilities."""
    model = LogisticRegression(max_iter=300).fit(IRIS, load_iris().target)
    made = skl2onnx.to_onnx(model, IRIS[:1], options={"zipmap": False})
    return made, model.predict_proba(IRIS)


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Any, Any]:
    """A model with weights that are large enough to be kept in a file of their own."""
    data = load_digits()
    rows = data.data.astype(np.float32)
    model = MLPClassifier((50,), max_iter=15, random_state=0).fit(rows, data.target)
    made = skl2onnx.to_onnx(model, rows[:1], options={"zipmap": False})
    for tensor in made.graph.initializer:  # only raw bytes are moved out of a model
        numbers = onnx.numpy_helper.to_array(tensor)
        tensor.CopyFrom(onnx.numpy_helper.from_array(numbers, tensor.name))
    return made, rows, model.predict_proba(rows)


def copy_of(model: Any) -> Any:
    """The same model: ONNX changes what it is given to save."""
    return onnx.ModelProto.FromString(model.SerializeToString())


def two_inputs() -> Any:
    """A model that adds its inputs, columns of a table."""
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    values = [helper.make_tensor_value_info(name, number, [None]) for name in ("a", "b")]
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["sum"])],
        "adds",
        values,
        [helper.make_tensor_value_info("sum", number, [None])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_saved_here_loads_in_mlflow_and_here_without_trust(
    tmp_path: Path, iris: tuple[Any, Any]
) -> None:
    model, wanted = iris
    door.save_model(model, tmp_path / "m", input_example=IRIS[:3])
    (tmp_path / "m/model.sig").unlink()
    uri = str(tmp_path / "m")
    assert mlflow.onnx.load_model(uri) == model
    assert load_model(uri) == model
    for loaded in (mlflow.pyfunc.load_model(uri), load_pyfunc(uri)):
        found = loaded.predict(IRIS)
        assert set(found) == {"label", "probabilities"}
        np.testing.assert_allclose(found["probabilities"], wanted, atol=1e-5)


def test_saved_in_mlflow_loads_here(tmp_path: Path, digits: tuple[Any, Any, Any]) -> None:
    model, rows, wanted = digits
    mlflow.onnx.save_model(copy_of(model), tmp_path / "m", pip_requirements=["onnx"])
    assert len(list((tmp_path / "m").glob("*-*-*-*"))) == 1, "the weights lie in their own file"
    found = load_pyfunc(tmp_path / "m").predict(rows)
    np.testing.assert_allclose(found["probabilities"], wanted, atol=1e-4)
    native = load_model(tmp_path / "m")
    onnx.checker.check_model(native)
    sizes = [len(each.raw_data) for each in native.graph.initializer]
    assert max(sizes) >= 64 * 50 * 4


def test_the_facts_are_those_of_mlflow(tmp_path: Path, iris: tuple[Any, Any]) -> None:
    model, _ = iris
    options = {"intra_op_num_threads": 1, "execution_mode": "sequential"}
    mlflow.onnx.save_model(
        copy_of(model),
        tmp_path / "theirs",
        pip_requirements=["onnx"],
        onnx_session_options=options,
    )
    door.save_model(model, tmp_path / "ours", onnx_session_options=options)
    theirs, ours = Model.load(tmp_path / "theirs"), Model.load(tmp_path / "ours")
    assert ours.flavors["onnx"] == theirs.flavors["onnx"]
    assert ours.flavors["python_function"].keys() == theirs.flavors["python_function"].keys()
    found = load_pyfunc(tmp_path / "ours")
    assert found.native.get_session_options().intra_op_num_threads == 1


def test_weights_lie_beside_the_model_and_the_object_keeps_them(
    tmp_path: Path, digits: tuple[Any, Any, Any]
) -> None:
    model, rows, wanted = digits
    before = model.SerializeToString()
    door.save_model(model, tmp_path / "m", input_example=rows[:2])
    assert (tmp_path / "m/model.onnx.data").stat().st_size >= 64 * 50 * 4
    assert model.SerializeToString() == before
    for loaded in (load_pyfunc(tmp_path / "m"), mlflow.pyfunc.load_model(str(tmp_path / "m"))):
        np.testing.assert_allclose(loaded.predict(rows)["probabilities"], wanted, atol=1e-4)
    door.save_model(model, tmp_path / "n", save_as_external_data=False)
    assert not (tmp_path / "n/model.onnx.data").exists()


def test_a_file_is_taken_as_it_is_with_the_weights_that_it_names(
    tmp_path: Path, digits: tuple[Any, Any, Any]
) -> None:
    model, rows, wanted = digits
    (tmp_path / "given/weights").mkdir(parents=True)
    onnx.save_model(
        copy_of(model),
        tmp_path / "given/digits.onnx",
        save_as_external_data=True,
        location="weights.bin",
    )
    (tmp_path / "given/other.txt").write_text("not part of it")
    door.save_model(tmp_path / "given/digits.onnx", tmp_path / "m", input_example=rows[:2])
    names = {each.name for each in (tmp_path / "m").iterdir()}
    assert {"model.onnx", "weights.bin"} <= names
    assert "other.txt" not in names
    assert Model.load(tmp_path / "m").signature is not None
    found = load_pyfunc(tmp_path / "m").predict(rows)
    np.testing.assert_allclose(found["probabilities"], wanted, atol=1e-4)


def test_tables_and_dictionaries_give_the_inputs_by_name(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0], "c": [0.0, 0.0]})
    door.save_model(two_inputs(), tmp_path / "m")
    mine, theirs = load_pyfunc(tmp_path / "m"), mlflow.pyfunc.load_model(str(tmp_path / "m"))
    pd.testing.assert_frame_equal(mine.predict(frame), theirs.predict(frame))
    arrays = {"a": np.array([1.0]), "b": np.array([2.0])}
    np.testing.assert_allclose(mine.predict(arrays)["sum"], [3.0])
    with pytest.raises(InvalidRequest, match="no column 'b'"):
        mine.predict(frame[["a"]])
    with pytest.raises(InvalidRequest, match="has 2 inputs"):
        mine.predict(np.zeros(2))
    with pytest.raises(InvalidRequest, match="no input 'd'"):
        mine.predict({"d": np.zeros(2)})
    with pytest.raises(InvalidRequest, match="does not take this input"):
        mine.predict({"a": np.zeros(2)})


@pytest.mark.parametrize(
    "data", [IRIS[:3], IRIS[:3].tolist(), pd.DataFrame(IRIS[:3]), IRIS[:3].astype("f8")]
)
def test_one_input_takes_data_of_all_kinds(
    tmp_path: Path, iris: tuple[Any, Any], data: Any
) -> None:
    door.save_model(iris[0], tmp_path / "m")
    found = load_pyfunc(tmp_path / "m").predict(data)
    assert list(found["label"]) == [0, 0, 0]
    assert np.shape(list(found["probabilities"])) == (3, 3)


def test_what_is_wrong_is_said_before_anything_is_left(tmp_path: Path) -> None:
    model = two_inputs()
    wrong: list[tuple[Any, dict[str, Any], str]] = [
        (LogisticRegression(), {}, "converted first"),
        (tmp_path / "none.onnx", {}, "no ONNX file"),
        (model, {"onnx_session_options": {"threads": 1}}, "'threads'"),
        (model, {"onnx_session_options": {"execution_mode": "fast"}}, "'fast'"),
        (model, {"onnx_session_options": {"graph_optimization_level": 7}}, "expected one of"),
        (model, {"onnx_session_options": {"inter_op_num_threads": "2"}}, "whole number"),
        (model, {"onnx_execution_providers": [3]}, "no execution provider"),
    ]
    for given, options, message in wrong:
        with pytest.raises(InvalidRequest, match=message):
            door.save_model(given, tmp_path / "m", **options)
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(InvalidRequest, match="no valid ONNX model"):
        door.save_model(model, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def crafted(tmp_path: Path, model: Any, digits: tuple[Any, Any, Any] | None = None) -> Path:
    """A folder that MLflow saved, unsigned, with another `model.onnx` put into it."""
    folder = tmp_path / "m"
    mlflow.onnx.save_model(two_inputs(), folder, pip_requirements=["onnx"])
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


def with_weights_at(location: str) -> Any:
    """A model that reads ten numbers from the file at `location`."""
    model = two_inputs()
    tensor = onnx.TensorProto(name="b", data_type=onnx.TensorProto.FLOAT, dims=[10])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    model.graph.initializer.append(tensor)
    del model.graph.input[1]
    return model


@pytest.mark.parametrize(
    "location", ["../secret", "/etc/passwd", "x/../../secret", "./../secret", "link", "", "."]
)
def test_weights_outside_of_the_folder_are_never_read(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret").write_bytes(b"s" * 40)
    folder = crafted(tmp_path, with_weights_at(location))
    (folder / "link").symlink_to(tmp_path / "secret")
    for load in (load_model, load_pyfunc):
        with pytest.raises(InvalidModel):
            load(folder)
        with pytest.raises(InvalidModel):
            load(folder, trust=True)
    shutil.copy(tmp_path / "secret", folder / "inside")
    (folder / "model.onnx").write_bytes(with_weights_at("inside").SerializeToString())
    assert load_pyfunc(folder).predict({"a": np.zeros(10, "f4")})["sum"].shape == (10,)


def test_weights_inside_of_branches_are_checked_too(tmp_path: Path) -> None:
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=onnx.TensorProto())],
        "branch",
        [],
        [helper.make_tensor_value_info("c", number, [10])],
    )
    branch.node[0].attribute[0].t.CopyFrom(with_weights_at("../secret").graph.initializer[0])
    node = helper.make_node("If", ["on"], ["c"], then_branch=branch, else_branch=branch)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("on", onnx.TensorProto.BOOL, [1])],
        [helper.make_tensor_value_info("c", number, [10])],
    )
    (tmp_path / "secret").write_bytes(b"s" * 40)
    folder = crafted(tmp_path, helper.make_model(graph))
    with pytest.raises(InvalidModel, match="weights"):
        load_pyfunc(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"providers": [["CPUExecutionProvider", {"backend_path": "/tmp/evil.so"}]]},
        {"providers": [["QNNExecutionProvider", {"backend_path": "/tmp/evil.so"}]]},
        {"onnx_session_options": {"extra_session_config": {"ep.context_file_path": "/tmp/x"}}},
        {
            "onnx_session_options": {
                "extra_session_config": {
                    "session.model_external_initializers_file_folder_path": "/etc"
                }
            }
        },
    ],
)
def test_options_that_name_libraries_or_files_need_trust(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    folder = crafted(tmp_path, two_inputs())
    described = Model.load(folder)
    described.flavors["onnx"].update(change)
    described.save(folder / "MLmodel")
    with pytest.raises(NotTrusted, match="trust=True"):
        load_pyfunc(folder)


@pytest.mark.parametrize("operator", ["PythonOp", "ATen", "EPContext"])
def test_operators_that_run_code_need_trust(tmp_path: Path, operator: str) -> None:
    model = two_inputs()
    model.graph.node[0].op_type = operator
    model.graph.node[0].domain = "com.microsoft"
    folder = crafted(tmp_path, model)
    with pytest.raises(NotTrusted, match=operator):
        load_model(folder)


def test_bytes_that_are_no_model_are_said_to_be_none(tmp_path: Path) -> None:
    import pickle

    folder = crafted(tmp_path, two_inputs())
    (folder / "model.onnx").write_bytes(pickle.dumps(Path(tmp_path / "marker").touch))
    with pytest.raises(InvalidModel, match=r"no ONNX model|no valid"):
        load_model(folder)
    assert not (tmp_path / "marker").exists()
