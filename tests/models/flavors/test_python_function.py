"""Models written in Python: saved, loaded, and asked to predict."""

from __future__ import annotations

import datetime as dt
import gc
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pydantic
import pytest

import headrace.pyfunc as pyfunc  # noqa: PLR0402 - mypy: the facade finds it at run time
from headrace.errors import InvalidRequest
from headrace.models.model import Model
from headrace.models.signature import infer_signature
from headrace.models.trust import sign_folder
from headrace.models.type_hints import TypeFromExample


class Times(pyfunc.PythonModel):
    """Multiplies by what its file says."""

    def load_context(self, context: pyfunc.PythonModelContext) -> None:
        self.factor = int(Path(context.artifacts["factor"]).read_text())

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return model_input * self.factor + (params or {}).get("plus", 0)


class Person(pydantic.BaseModel):
    """A row."""

    name: str
    age: int
    born: dt.datetime | None = None


@pytest.fixture
def factor(tmp_path: Path) -> Path:
    file = tmp_path / "factor.txt"
    file.write_text("3")
    return file


def entry_of(folder: Path) -> dict[str, Any]:
    entry: dict[str, Any] = Model.load(folder).flavors["python_function"]
    return entry


def test_a_class_with_files_predicts_and_its_description_is_mlflows(
    tmp_path: Path, factor: Path
) -> None:
    data = pd.DataFrame({"a": [1.0, 2.0]})
    pyfunc.save_model(
        tmp_path / "m",
        python_model=Times(),
        artifacts={"factor": str(factor)},
        input_example=(data, {"plus": 1}),
    )
    model = pyfunc.load_model(str(tmp_path / "m"))
    assert model.predict(data)["a"].tolist() == [4.0, 7.0]  # the default of 'plus' is the example's
    assert model.predict(data, params={"plus": 10})["a"].tolist() == [13.0, 16.0]
    assert model.signature is not None
    assert model.signature.to_dict() == {
        "inputs": '[{"type": "double", "name": "a", "required": true}]',
        "outputs": '[{"type": "double", "name": "a", "required": true}]',
        "params": '[{"name": "plus", "default": 1, "shape": null, "type": "long"}]',
    }
    entry = entry_of(tmp_path / "m")
    assert entry["loader_module"] == "mlflow.pyfunc.model"
    assert entry["python_model"] == "python_model.pkl"
    assert entry["artifacts"] == {"factor": {"path": "artifacts/factor.txt", "uri": str(factor)}}
    assert (entry["streamable"], entry["code"]) == (False, None)
    assert entry["env"] == {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}
    requirements = (tmp_path / "m" / "requirements.txt").read_text()
    assert "cloudpickle==" in requirements
    assert "pandas" not in requirements.replace("mlflow", "")  # nothing in it names pandas


def test_what_a_method_of_the_main_program_imports_is_asked_for(tmp_path: Path) -> None:
    """It is saved by value: its imports stand in its code alone."""
    space: dict[str, Any] = {"__name__": "__main__", "pyfunc": pyfunc}
    exec(  # noqa: S102 - the program of a user, who writes models beside their training
        "class Imports(pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n"
        "        from scipy.special import expit\n"
        "        return expit(model_input)\n",
        space,
    )
    pyfunc.save_model(tmp_path / "m", python_model=space["Imports"]())

    assert "scipy==" in (tmp_path / "m" / "requirements.txt").read_text()


def test_the_object_that_is_saved_is_never_loaded(tmp_path: Path, factor: Path) -> None:
    class Opens(Times):
        def load_context(self, context: Any) -> None:
            super().load_context(context)
            self.handle = open(context.artifacts["factor"])  # noqa: SIM115 - it is what can't be pickled

        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            self.handle.close()
            return model_input * self.factor

    model = Opens()
    pyfunc.save_model(
        tmp_path / "m",
        python_model=model,
        artifacts={"factor": str(factor)},
        input_example=pd.DataFrame({"a": [1.0]}),
    )
    assert vars(model) == {}
    signature = Model.load(tmp_path / "m").signature
    assert signature is not None
    assert signature.outputs is not None


def test_predict_may_leave_context_and_params_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Short(pyfunc.PythonModel):
        def predict(self, model_input: Any) -> Any:
            return len(model_input)

    pyfunc.save_model(tmp_path / "m", python_model=Short())
    with caplog.at_level(logging.WARNING, "headrace"):
        assert pyfunc.load_model(str(tmp_path / "m")).predict([1, 2], params={"x": 1}) == 2
    assert "takes no params" in caplog.text


def test_a_function_predicts_on_all_kinds_of_input(tmp_path: Path) -> None:
    def total(data: Any) -> float:
        return float(np.asarray(data).sum())

    pyfunc.save_model(tmp_path / "m", python_model=total)
    model = pyfunc.load_model(str(tmp_path / "m"))
    for data in (
        [1, 2],
        np.array([1, 2]),
        pd.DataFrame({"a": [1, 2]}),
        pl.DataFrame({"a": [1, 2]}),
    ):
        assert model.predict(data) == 3.0
    assert model.unwrap_python_model().func([1]) == 1.0


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: 1, "takes 0: none"),
        (lambda a, b: 1, "takes 2: a, b"),
        (Times, "the class Times"),
        (7, "int"),
        (None, "NoneType"),
        ("no-such.py", "is no script"),
        ("model.txt", "is no script"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, model: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        pyfunc.save_model(tmp_path / "m", python_model=model)
    assert not (tmp_path / "m").exists()


def test_what_cannot_be_pickled_is_named(tmp_path: Path) -> None:
    holder = Times()
    holder.lock = threading.Lock()  # type: ignore[attr-defined]  # any attribute may be set
    with pytest.raises(InvalidRequest, match=r"cannot be pickled.*_thread\.lock.*load_context"):
        pyfunc.save_model(tmp_path / "m", python_model=holder)
    assert list(tmp_path.iterdir()) == []


def test_configuration_is_saved_and_overridden_at_load(tmp_path: Path) -> None:
    class Says(pyfunc.PythonModel):
        def load_context(self, context: Any) -> None:
            self.word = context.model_config["word"]

        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return self.word, context.model_config["times"]

    (tmp_path / "config.yaml").write_text("word: hello\ntimes: 2\n")
    pyfunc.save_model(
        tmp_path / "m", python_model=Says(), model_config=str(tmp_path / "config.yaml")
    )
    assert entry_of(tmp_path / "m")["config"] == {"word": "hello", "times": 2}
    model = pyfunc.load_model(str(tmp_path / "m"), model_config={"word": "bye"})
    assert model.predict(None) == ("bye", 2)
    assert model.model_config == {"word": "bye", "times": 2}
    more = pyfunc.load_model(str(tmp_path / "m"), model_config={"new": 1})
    assert more.model_config == {"word": "hello", "times": 2, "new": 1}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({1: "a"}, "keys are texts"),
        ({"a": object()}, "JSON cannot say"),
        (["a"], "keys are texts"),
        ("nowhere.yaml", "cannot be read"),
    ],
)
def test_a_wrong_configuration_is_refused(tmp_path: Path, config: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        pyfunc.save_model(tmp_path / "m", python_model=Times(), model_config=config)


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch {}/marker']",
        "a: &a [x, x]\nb: &b [*a, *a]\n" + "".join(f"c{i}: [*b, *b]\n" for i in range(2000)),
        "[" * 200 + "]" * 200,
        "a: [",
        "\x00",
    ],
)
def test_a_configuration_that_is_a_trap_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text.replace("{}", str(tmp_path)))
    with pytest.raises(InvalidRequest, match=r"config\.yaml"):
        pyfunc.save_model(
            tmp_path / "m", python_model=Times(), model_config=tmp_path / "config.yaml"
        )
    assert not (tmp_path / "marker").exists()


def test_type_hints_make_the_signature_and_convert_the_data(tmp_path: Path) -> None:
    class Ages(pyfunc.PythonModel):
        def predict(self, model_input: list[Person], params: Any = None) -> list[int]:
            return [person.age for person in model_input]

    people = [{"name": "Ada", "age": 36}, {"name": "Bob", "age": 7}]
    pyfunc.save_model(tmp_path / "m", python_model=Ages(), input_example=people)
    described = Model.load(tmp_path / "m")
    assert described.is_signature_from_type_hint
    assert described.signature is not None
    assert described.signature.to_dict()["outputs"] == '[{"type": "long", "required": true}]'
    model = pyfunc.load_model(str(tmp_path / "m"))
    assert model.predict(people) == [36, 7]
    assert model.predict(pd.DataFrame(people)) == [36, 7]
    with pytest.raises(InvalidRequest, match=r"model_input\[0\] is no Person: (.|\n)*age"):
        model.predict([{"name": "Ada", "age": "old"}])
    given: Any = people
    assert Ages().predict(given) == [36, 7]  # before it is saved, too


def test_hints_of_a_function_are_checked(tmp_path: Path) -> None:
    def upper(texts: list[str]) -> list[str]:
        return [text.upper() for text in texts]

    pyfunc.save_model(tmp_path / "m", python_model=upper)
    model = pyfunc.load_model(str(tmp_path / "m"))
    assert model.predict(["a"]) == ["A"]
    assert model.predict(pd.DataFrame({"any": ["a"]})) == ["A"]
    with pytest.raises(InvalidRequest, match=r"model_input\[1\] is of the type int.*wants str"):
        model.predict(["a", 1])


def test_a_hint_that_says_nothing_is_refused_when_saving(tmp_path: Path) -> None:
    def bad(data: list) -> Any:  # type: ignore[type-arg]  # it is what is wrong with it
        return data

    with pytest.raises(InvalidRequest, match="list"):
        pyfunc.save_model(tmp_path / "m", python_model=bad)


@pytest.mark.parametrize("example", [["a", "b"], pd.DataFrame({"x": [1], "y": [2]})])
def test_data_comes_in_the_form_of_the_example(tmp_path: Path, example: Any) -> None:
    def kind(data: TypeFromExample) -> str:
        return type(data).__name__

    pyfunc.save_model(tmp_path / "m", python_model=kind, input_example=example)
    assert Model.load(tmp_path / "m").type_hint_from_example
    model = pyfunc.load_model(str(tmp_path / "m"))
    assert model.predict(example) == type(example).__name__
    with pytest.raises(InvalidRequest, match="input_example"):
        pyfunc.save_model(tmp_path / "n", python_model=kind)


def test_a_users_signature_goes_before_hints(tmp_path: Path) -> None:
    def upper(texts: list[str]) -> list[str]:
        return [text.upper() for text in texts]

    own = infer_signature(pd.DataFrame({"text": ["a"]}), ["A"])
    pyfunc.save_model(tmp_path / "m", python_model=upper, signature=own)
    described = Model.load(tmp_path / "m")
    assert described.signature == own
    assert not described.is_signature_from_type_hint
    assert pyfunc.load_model(str(tmp_path / "m")).predict({"text": "a"}) == ["A"]


def test_a_stream_is_known_by_its_method(tmp_path: Path) -> None:
    class Words(pyfunc.PythonModel):
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return list(model_input)

        def predict_stream(
            self, context: Any, model_input: Any, params: Any = None
        ) -> Iterator[str]:
            yield from model_input["text"].split()

    pyfunc.save_model(
        tmp_path / "m",
        python_model=Words(),
        signature=infer_signature(pd.DataFrame({"text": ["a b"]})),
    )
    assert entry_of(tmp_path / "m")["streamable"] is True
    model = pyfunc.load_model(str(tmp_path / "m"))
    assert list(model.predict_stream({"text": "a b c"})) == ["a", "b", "c"]
    with pytest.raises(InvalidRequest, match="one input; this has 2"):
        list(model.predict_stream(pd.DataFrame({"text": ["a", "b"]})))
    pyfunc.save_model(tmp_path / "n", python_model=Times(), artifacts={"factor": __file__})
    with pytest.raises(InvalidRequest, match="does not predict piece by piece"):
        list(_loaded_without_context(tmp_path / "n").predict_stream([1]))


def _loaded_without_context(folder: Path) -> Any:
    Path(folder, "artifacts", Path(__file__).name).write_text("1")
    sign_folder(folder)
    return pyfunc.load_model(str(folder))


def test_files_of_one_name_lie_side_by_side_and_one_file_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.bin").write_text(name)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").write_text("x")

    class Reads(pyfunc.PythonModel):
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            found = {
                key: Path(path).read_text() for key, path in context.artifacts.items() if key != "d"
            }
            return {**found, "d": Path(context.artifacts["d"], "x").read_text()}

    pyfunc.save_model(
        tmp_path / "m",
        python_model=Reads(),
        artifacts={
            "one": str(tmp_path / "a" / "weights.bin"),
            "two": (tmp_path / "b" / "weights.bin").as_uri(),
            "again": str(tmp_path / "a" / "weights.bin"),
            "d": str(tmp_path / "folder"),
        },
    )
    places = {name: each["path"] for name, each in entry_of(tmp_path / "m")["artifacts"].items()}
    assert places == {
        "one": "artifacts/weights.bin",
        "two": "artifacts/0/weights.bin",
        "again": "artifacts/weights.bin",
        "d": "artifacts/folder",
    }
    model = pyfunc.load_model(str(tmp_path / "m"))
    assert model.predict(None) == {"one": "a", "two": "b", "again": "a", "d": "x"}


def test_files_stay_as_long_as_the_model(tmp_path: Path, factor: Path) -> None:
    class Later(pyfunc.PythonModel):
        def load_context(self, context: Any) -> None:
            self.path = Path(context.artifacts["factor"])

        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return self.path.read_text()

    pyfunc.save_model(tmp_path / "m", python_model=Later(), artifacts={"factor": str(factor)})
    model = pyfunc.load_model(str(tmp_path / "m")).unwrap_python_model()
    gc.collect()
    assert model.predict(None, None) == "3"
    copy = model.path
    del model
    gc.collect()
    assert not copy.exists()


@pytest.mark.parametrize(
    ("artifacts", "message"),
    [
        ({"a": "/nowhere/at/all"}, "no file or folder"),
        ({"a": 7}, "expected a path or a URI"),
        (["a"], "expected a dictionary"),
        ({1: "a"}, "expected a dictionary"),
    ],
)
def test_wrong_artifacts_are_refused(tmp_path: Path, artifacts: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        pyfunc.save_model(tmp_path / "m", python_model=Times(), artifacts=artifacts)
    assert list(tmp_path.iterdir()) == []


def test_another_pythons_pickle_is_refused_by_both_versions(tmp_path: Path) -> None:
    def double(x: Any) -> Any:
        return x * 2

    pyfunc.save_model(tmp_path / "m", python_model=double)
    described = Model.load(tmp_path / "m")
    described.flavors["python_function"]["python_version"] = "3.8.1"
    described.save(tmp_path / "m" / "MLmodel")
    sign_folder(tmp_path / "m")
    here = ".".join(map(str, sys.version_info[:2]))
    with pytest.raises(InvalidRequest, match=rf"pickled by Python 3\.8.*is Python {here}"):
        pyfunc.load_model(str(tmp_path / "m"))


def test_a_python_function_alone_is_loaded_as_what_predicts(tmp_path: Path) -> None:
    from headrace.models.loading import load_model

    pyfunc.save_model(tmp_path / "m", python_model=lambda x: x)
    assert load_model(tmp_path / "m").predict(1) == 1
