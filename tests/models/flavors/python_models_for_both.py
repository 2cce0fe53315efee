"""A program that saves models written in Python with one library, or loads them with it.

    python python_models_for_both.py save|load mlflow|headrace FOLDER

The other library must not be there. Prints what the models predict, as JSON.
"""

# A program as users write them, without types, for whichever library is there:
# mypy: ignore-errors

import importlib
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pydantic

COMMAND, NAME, FOLDER = sys.argv[1], sys.argv[2], Path(sys.argv[3])
lib = importlib.import_module(NAME)
models = importlib.import_module(f"{NAME}.models")
assert importlib.util.find_spec("headrace" if NAME == "mlflow" else "mlflow") is None

FRAME = pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, 4.0]})
PERSON = {"name": "Ada", "tags": {"a": 1}, "born": None}
SCRIPT = """
import mlflow
from mlflow.models import ModelConfig

config = ModelConfig(development_config={"factor": 1})

class Agent(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [row * config.get("factor") * context.model_config["factor"] for row in model_input]

mlflow.models.set_model(Agent())
"""
LOADER = """
from pathlib import Path

class Loaded:
    def __init__(self, word):
        self.word = word

    def predict(self, data):
        return [self.word] * len(data)

def _load_pyfunc(path):
    return Loaded(Path(path).read_text())
"""


class Scale(lib.pyfunc.PythonModel):
    """Files, context and params; and a base class that it calls."""

    def __init__(self, power):
        super().__init__()
        self.power = power

    def load_context(self, context):
        super().load_context(context)
        self.factor = float(Path(context.artifacts["factor"]).read_text())

    def predict(self, context, model_input, params=None):
        assert Path(context.artifacts["folder"], "a.txt").read_text() == "a"
        return (model_input * self.factor) ** self.power + (params or {}).get("plus", 0)


class Person(pydantic.BaseModel):
    """A row."""

    name: str
    tags: dict[str, int]
    born: str | None = None


class People(lib.pyfunc.PythonModel):
    """Type hints with a model of pydantic's."""

    def predict(self, model_input: list[Person], params=None) -> list[str]:
        return [
            f"{type(each).__name__} {each.name} {sum(each.tags.values())}" for each in model_input
        ]


class Streams(lib.pyfunc.PythonModel):
    """Piece by piece."""

    def predict(self, context, model_input, params=None):
        return "".join(self.predict_stream(context, model_input))

    def predict_stream(self, context, model_input, params=None):
        yield from (f"{word};" for word in str(model_input).split())


class Tensors(lib.pyfunc.PythonModel):
    """Arrays."""

    def predict(self, context, model_input, params=None):
        return model_input.sum(axis=1)


class Config(lib.pyfunc.PythonModel):
    """A configuration."""

    def load_context(self, context):
        self.word = context.model_config["word"]

    def predict(self, context, model_input, params=None):
        return [self.word, context.model_config["number"], *model_input]


def plus_one(numbers: list[float]) -> list[float]:
    """A function with hints."""
    return [number + 1 for number in numbers]


def as_it_is(data):
    """A function without."""
    return data


def rows(data: list[dict[str, float]]):
    """Hints of the input only."""
    return [sum(row.values()) for row in data]


def inputs():
    """What each saved model is given: a list of (data, params)."""
    tables = [FRAME, {"x": 1.5, "y": 2.5}, [{"x": 1.0, "y": 2.0}]]
    return {
        "scale": [*((data, None) for data in tables), (FRAME, {"plus": 10})],
        "people": [([PERSON, PERSON], None), (pd.DataFrame([PERSON]), None)],
        "streams": [("a b c", None)],
        "tensors": [(np.arange(6, dtype=np.float32).reshape(2, 3), None)],
        "config": [([1, 2], None)],
        "plus_one": [([1.0, 2.5], None), (pd.DataFrame({"n": [1.0]}), None)],
        "as_it_is": [([1.0], None), (np.array([1.5]), None), (FRAME[["x"]], None)],
        "rows": [([{"a": 1.0, "b": 2.0}], None)],
        "script": [([1, 2], None)],
        "loader": [([1, 2], None)],
    }


def save():
    """Save all, each in a folder of its name."""
    source = FOLDER / "source"
    (source / "folder").mkdir(parents=True)
    (source / "folder" / "a.txt").write_text("a")
    (source / "factor.txt").write_text("2.5")
    (source / "agent.py").write_text(SCRIPT)
    (source / f"loader_of_{NAME}.py").write_text(LOADER)
    (source / "word.txt").write_text("word")
    files = {"factor": str(source / "factor.txt"), "folder": str(source / "folder")}
    signature = models.infer_signature(np.zeros((1, 3), np.float32), np.zeros(1, np.float32))
    arguments = {
        "scale": {
            "python_model": Scale(2),
            "artifacts": files,
            "input_example": (FRAME, {"plus": 0.5}),
        },
        "people": {"python_model": People(), "input_example": [PERSON]},
        "streams": {"python_model": Streams()},
        "tensors": {"python_model": Tensors(), "signature": signature},
        "config": {"python_model": Config(), "model_config": {"word": "w", "number": 3}},
        "plus_one": {"python_model": plus_one, "input_example": [1.0]},
        "as_it_is": {
            "python_model": as_it_is,
            "signature": models.infer_signature([1.0], [1.0]),
            "input_example": [1.0],
        },
        "rows": {"python_model": rows, "input_example": [{"a": 1.0}]},
        "script": {"python_model": str(source / "agent.py"), "model_config": {"factor": 3}},
        "loader": {
            "loader_module": f"loader_of_{NAME}",
            "data_path": str(source / "word.txt"),
            "code_paths": [str(source / f"loader_of_{NAME}.py")],
        },
    }
    for name, given in arguments.items():
        requirements = {
            "pip_requirements": ["cloudpickle"]
        }  # MLflow would look for them by loading
        lib.pyfunc.save_model(str(FOLDER / name), **given, **requirements)


def plain(value):
    """A prediction as JSON."""
    if isinstance(value, pd.DataFrame):
        return {str(name): column for name, column in value.to_dict(orient="list").items()}
    return value.tolist() if isinstance(value, np.ndarray | pd.Series) else value


def predictions():
    """What all saved models predict."""
    found = {}
    for name, cases in inputs().items():
        trust = {"trust": True} if NAME == "headrace" else {}
        model = lib.pyfunc.load_model(str(FOLDER / name), **trust)
        found[name] = [plain(model.predict(data, params=params)) for data, params in cases]
        if name == "streams":
            found[name].append(list(model.predict_stream("a b c")))
    return found


if __name__ == "__main__":
    if COMMAND == "save":
        save()
    sys.stdout.write(f"PREDICTED {json.dumps(predictions())}\n")
