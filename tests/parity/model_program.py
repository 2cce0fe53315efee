"""As program.py, of models: described, saved, logged, registered, loaded, changed, evaluated.

    python model_program.py FILE

Each program loads what it has saved itself; that each loads the other's is seen in
tests/models/frameworks.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import mlflow
import mlflow.models
import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import MetricThreshold, Model, ModelSignature, infer_signature, set_signature
from mlflow.types.schema import ColSpec, DataType, Schema, TensorSpec
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression

from tests.parity.steps import step, write

mpl.use("Agg")
warnings.simplefilter("ignore")

FRAME, CLASSES = load_iris(as_frame=True, return_X_y=True)
FRAME = FRAME.iloc[::5].reset_index(drop=True)
CLASSES = CLASSES.iloc[::5].reset_index(drop=True)
SIGNED = "model.sig"
"""What one of the two adds to a model's files."""
VERSIONS = {"mlflow_version", "model_size_bytes", "utc_time_created"}


def signatures() -> None:
    table = pd.DataFrame(
        {
            "whole": [1, 2],
            "small": np.array([1, 2], dtype="int8"),
            "float": [0.5, 1.0],
            "single": np.array([0.5, 1], dtype="float32"),
            "text": ["a", "b"],
            "truth": [True, False],
            "time": pd.to_datetime(["2020-01-01", "2021-01-01"]),
            "bytes": [b"a", b"b"],
        }
    )
    inputs: dict[str, Any] = {
        "table": table,
        "table with gaps": pd.DataFrame({"a": [1.0, None], "b": ["x", None]}),
        "lists in a table": pd.DataFrame({"a": [[1, 2], [3]], "b": [{"x": 1}, {"x": 2, "y": "s"}]}),
        "column": pd.Series([1, 2], name="a"),
        "nameless column": pd.Series([0.5]),
        "array": np.zeros((3, 2)),
        "line": np.arange(3),
        "single": np.zeros((2, 2, 2), dtype="float32"),
        "texts": np.array(["a", "bc"]),
        "arrays by name": {"a": np.zeros(2), "b": np.zeros((2, 2), dtype="int32")},
        "values by name": {"a": 1, "b": "x", "c": 0.5, "d": True},
        "deep": {"messages": [{"role": "user", "content": "hi"}], "n": 1, "more": {"x": [0.5]}},
        "list of texts": ["a", "b"],
        "list of numbers": [1, 2],
        "list of objects": [{"a": 1}, {"a": 2, "b": "x"}],
        "text": "hello",
        "number": 0.5,
        "truth": True,
        "moment": dt.datetime(2020, 1, 1),  # noqa: DTZ001 - as users have them
        "nothing": None,
        "empty list": [],
        "list with a gap": ["a", None],
        "mixed list": [1, "a"],
        "function": print,
        "two-dimensional list": [[1, 2], [3, 4]],
    }
    for name, value in inputs.items():
        step(f"infer_signature {name}", lambda value=value: infer_signature(value).to_dict())
    step("infer_signature both", lambda: infer_signature(table, np.zeros(2)).to_dict())
    params: dict[str, Any] = {
        "plain": {"a": 1, "b": 0.5, "c": "x", "d": True},
        "lists": {"a": [1, 2], "b": ["x"]},
        "nothing": {},
        "none": {"a": None},
        "deep": {"a": {"b": [1]}},
        "no dictionary": [1],
    }
    for name, value in params.items():
        step(
            f"infer_signature params {name}",
            lambda value=value: infer_signature("x", params=value).to_dict(),
        )
    schemas()


def schemas() -> None:
    schema = Schema([ColSpec("double", "a"), ColSpec(DataType.string, "b", required=False)])
    step("schema", lambda: [schema.to_dict(), schema.input_names(), schema.required_input_names()])
    step("signature", lambda: ModelSignature(inputs=schema).to_dict())
    step("signature of nothing", lambda: ModelSignature().to_dict())
    tensors = Schema([TensorSpec(np.dtype("float32"), (-1, 3))])
    step("tensors", lambda: [tensors.to_dict(), tensors.is_tensor_spec()])
    step("schema again", lambda: Schema.from_json(schema.to_json()) == schema)
    step("ColSpec odd", ColSpec, "odd", "a")
    step("Schema mixed", lambda: Schema([ColSpec("double", "a"), ColSpec("double")]))
    step("repr", lambda: [repr(schema), str(ModelSignature(schema)), repr(tensors)])


def saved(folder: Path) -> None:
    model = LogisticRegression(max_iter=300).fit(FRAME, CLASSES)
    signature = infer_signature(FRAME, model.predict(FRAME))
    path = folder / "saved"
    step(
        "save_model",
        lambda: mlflow.sklearn.save_model(
            model, str(path), signature=signature, input_example=FRAME.head(2), metadata={"k": [1]}
        ),
    )
    step("save_model again", mlflow.sklearn.save_model, model, str(path))
    step("files", lambda: sorted({each.name for each in path.iterdir()} - {SIGNED, "model.skops"}))
    described = Model.load(str(path))
    step("description", lambda: facts_of(described))
    step("requirements", lambda: sorted((path / "requirements.txt").read_text().split()))
    step("python", lambda: (path / "python_env.yaml").read_text().splitlines()[0])
    step("load_model", lambda: mlflow.sklearn.load_model(str(path)).predict(FRAME))
    step("load_model Path", lambda: mlflow.sklearn.load_model(path).predict(FRAME))
    step("load_model nowhere", mlflow.sklearn.load_model, str(folder / "none"))
    predictions(mlflow.pyfunc.load_model(str(path)))
    examples(described, path)
    step("flavor that is not there", lambda: mlflow.pyfunc.load_model(str(folder)))
    step("add_flavor", lambda: Model().add_flavor("mine", a=1).flavors)
    step("tags of it", lambda: sorted(described.get_tags_dict()))
    requirements(model, folder)


def requirements(model: Any, folder: Path) -> None:
    def saved_with(name: str, **given: Any) -> list[str]:
        mlflow.sklearn.save_model(model, str(folder / name), **given)
        return (folder / name / "requirements.txt").read_text().split()

    step("pip_requirements", lambda: saved_with("r1", pip_requirements=["numpy==2.4.6"]))
    extra = ["pandas==3.1.1"]
    step("extra_pip_requirements", lambda: sorted(saved_with("r2", extra_pip_requirements=extra)))
    both = {"pip_requirements": ["a"], "extra_pip_requirements": ["b"]}
    step("both requirements", lambda: saved_with("r3", **both))
    listed = folder / "listed.txt"
    listed.write_text("numpy==2.4.6\n# a comment\nscipy\n")
    step("requirements file", lambda: saved_with("r4", pip_requirements=str(listed)))
    env = {"name": "e", "channels": ["c"], "dependencies": ["python=3.11", {"pip": ["numpy"]}]}
    step("conda_env", lambda: saved_with("r5", conda_env=env))
    file = mlflow.pyfunc.get_model_dependencies(str(folder / "r1"))
    step("get_model_dependencies", lambda: Path(file).read_text().split())
    step("default requirements", mlflow.sklearn.get_default_pip_requirements)
    step("of Python", mlflow.pyfunc.get_default_pip_requirements)


def predictions(model: Any) -> None:
    """What a pyfunc model takes, and what not."""
    rows = FRAME.head(3)
    names = list(FRAME.columns)
    taken: dict[str, Any] = {
        "table": rows,
        "columns in another order": rows[names[::-1]],
        "a column more": rows.assign(more=1),
        "array": rows.to_numpy(),
        "dictionary of lists": rows.to_dict("list"),
        "dictionary of arrays": {name: rows[name].to_numpy() for name in names},
        "list of dictionaries": rows.to_dict("records"),
        "list of lists": rows.to_numpy().tolist(),
        "single precision": rows.astype("float32"),
        "whole numbers": rows.astype("int64"),
        "a column less": rows[names[:-1]],
        "texts for numbers": rows.assign(**{names[0]: ["a", "b", "c"]}),
        "truth for numbers": rows.assign(**{names[0]: [True, False, True]}),
        "gaps": rows.assign(**{names[0]: [1.0, None, 2.0]}),
        "a text": "hello",
        "nothing": None,
        "a wide array": np.zeros((2, 7)),
    }
    for name, data in taken.items():
        step(f"predict {name}", model.predict, data)
    step("params that nobody takes", model.predict, rows, {"a": 1})
    step("pyfunc", lambda: [model.loader_module, sorted(model.metadata.flavors)])
    step("schemas", lambda: facts_of(model.metadata)["signature"])
    step("unwrap", model.unwrap_python_model)
    step("raw", lambda: type(model.get_raw_model()).__name__)
    step("example", lambda: model.input_example)


def examples(described: Any, path: Path) -> None:
    step("load_input_example", lambda: described.load_input_example(str(path)))
    step("without params", lambda: described.load_input_example_params(str(path)))
    step("serving input", lambda: json.loads(described.get_serving_input(str(path))))
    asked = mlflow.models.convert_input_example_to_serving_input(FRAME.head(1))
    step("request", lambda: json.loads(asked))
    for name, example in {"dictionary": {"a": 1}, "list": ["a"], "array": np.zeros(2)}.items():
        step(
            f"request of a {name}",
            lambda example=example: json.loads(
                mlflow.models.convert_input_example_to_serving_input(example)
            ),
        )
    step("validate_serving_input", mlflow.models.validate_serving_input, str(path), asked)
    wrong = json.dumps({"dataframe_split": {"columns": ["a"], "data": [[1]]}})
    step("wrong request", mlflow.models.validate_serving_input, str(path), wrong)
    target = path.parent / "answer.json"
    given = {"env_manager": "local", "output_path": str(target)}
    step("models.predict", mlflow.models.predict, str(path), FRAME.head(2), **given)
    step("its answer", lambda: json.loads(target.read_text()))
    (path.parent / "rows.csv").write_text(FRAME.head(2).to_csv(index=False))
    step("of a file", mlflow.models.predict, str(path), None, str(path.parent / "rows.csv"),
         content_type="csv", **given)  # fmt: skip
    step("its answer too", lambda: json.loads(target.read_text()))
    step("of two", mlflow.models.predict, str(path), FRAME, "rows.csv", **given)
    step("of an odd kind", mlflow.models.predict, str(path), FRAME, content_type="xml", **given)


def facts_of(described: Any) -> dict[str, Any]:
    """What a model's description says, but for versions and times."""
    facts = {k: v for k, v in described.to_dict().items() if k not in VERSIONS}
    facts["flavors"] = {
        name: sorted(key for key in each if key not in ("code", "skops_trusted_types"))
        for name, each in described.flavors.items()
    }
    facts["signature"] = described.signature and described.signature.to_dict()
    facts["example"] = bool(facts.pop("saved_input_example_info", None))
    return facts


def logged() -> None:
    model = LinearRegression().fit(*load_diabetes(return_X_y=True, as_frame=True))
    frame = load_diabetes(as_frame=True).data.head(3)
    client = MlflowClient()
    with mlflow.start_run(run_name="training") as run:
        mlflow.log_params({"alpha": 1})
        mlflow.log_metric("before", 0.5)
        info = mlflow.sklearn.log_model(
            model, name="linear", input_example=frame, registered_model_name="diabetes",
            params={"own": 2}, tags={"t": "1"}, model_type="regressor", metadata={"m": 1},
        )  # fmt: skip
        mlflow.log_metric("after", 0.25, model_id=info.model_id)
    mlflow.flush_async_logging()
    step("log_model", lambda: info_of(info))
    step("runs of it", lambda: mlflow.get_logged_model(info.model_id).source_run_id == run_id(run))
    step("status", lambda: str(mlflow.get_logged_model(info.model_id).status))
    step("metrics of it", lambda: sorted(
        [each.key, each.value] for each in mlflow.get_logged_model(info.model_id).metrics
    ))  # fmt: skip
    step("params of it", lambda: mlflow.get_logged_model(info.model_id).params)
    step("tags of it, logged", lambda: mlflow.get_logged_model(info.model_id).tags["t"])
    step(
        "outputs", lambda: [each.step for each in client.get_run(run_id(run)).outputs.model_outputs]
    )
    step("version", lambda: client.get_model_version("diabetes", 1).model_id == info.model_id)
    step("version's run", lambda: client.get_model_version("diabetes", 1).run_id == run_id(run))
    step("last_logged_model", lambda: mlflow.last_logged_model().model_id == info.model_id)
    step("files of it", lambda: sorted(
        {each.path for each in client.list_logged_model_artifacts(info.model_id)} - {SIGNED}
    ))  # fmt: skip
    client.set_registered_model_alias("diabetes", "best", 1)
    expected = model.predict(frame)
    places = {
        "model": info.model_uri,
        "id": f"models:/{info.model_id}",
        "version": "models:/diabetes/1",
        "alias": "models:/diabetes@best",
        "latest": "models:/diabetes/latest",
        "run": f"runs:/{run_id(run)}/linear",
        "artifacts": mlflow.get_logged_model(info.model_id).artifact_location,
    }
    for name, uri in places.items():
        step(f"load {name}", lambda uri=uri: mlflow.sklearn.load_model(uri).predict(frame))
        step(f"pyfunc {name}", lambda uri=uri: nearly(mlflow.pyfunc.load_model(uri).predict(frame)))
        step(f"info {name}", lambda uri=uri: info_of(mlflow.models.get_model_info(uri)))
        step(f"Model.load {name}", lambda uri=uri: facts_of(Model.load(uri)))
    step("same", lambda: bool(np.allclose(mlflow.sklearn.load_model(info.model_uri).predict(frame),
                                          expected)))  # fmt: skip
    not_there(run_id(run))
    changed(info, frame)
    downloads(info)


def not_there(run: str) -> None:
    wrong = {
        "an unknown model": "models:/none/1",
        "an unknown version": "models:/diabetes/9",
        "an unknown alias": "models:/diabetes@none",
        "an unknown id": f"models:/m-{'0' * 32}",
        "a short id": "models:/m-none",
        "an unknown path": f"runs:/{run}/none",
        "an unknown run": f"runs:/{'0' * 32}/linear",
        "half a URI": "models:/",
        "an odd scheme": "odd:/x",
        "nothing": "",
    }
    for name, uri in wrong.items():
        step(f"load from {name}", mlflow.sklearn.load_model, uri)


def nearly(values: Any) -> Any:
    """Sums come out otherwise in the last digit when columns lie otherwise in memory."""
    return np.round(values, 9)


def run_id(run: Any) -> str:
    return str(run.info.run_id)


def info_of(info: Any) -> dict[str, Any]:
    names = (
        *("artifact_path", "model_uri", "model_uuid", "run_id", "metadata", "model_id", "name"),
        *("registered_model_version", "env_vars", "prompts", "params"),
    )
    found = {name: getattr(info, name) for name in names}
    return {
        **found,
        "flavors": sorted(info.flavors),
        "signature": info.signature and info.signature.to_dict(),
        "tags": sorted(key for key in info.tags or {} if "." not in key),
        "metrics": sorted(each.key for each in info.metrics or ()),
        "same id": info.model_uuid == info.model_id,
    }


def changed(info: Any, frame: pd.DataFrame) -> None:
    signature = infer_signature(frame.astype("float32"), np.zeros(3))
    step("set_signature", set_signature, info.model_uri, signature)
    step(
        "signature now", lambda: info_of(mlflow.models.get_model_info(info.model_uri))["signature"]
    )
    step("set_signature version", set_signature, "models:/diabetes/1", signature)
    step("set_signature odd", set_signature, info.model_uri, "signature")
    update = mlflow.models.update_model_requirements
    step("update_model_requirements", update, info.model_uri, "add", ["cloudpickle==3.1.2"])
    found = mlflow.pyfunc.get_model_dependencies(info.model_uri)
    step("requirements now", lambda: "cloudpickle==3.1.2" in Path(found).read_text().split())
    step("update odd", update, info.model_uri, "odd", ["a"])
    step("update version", update, "models:/diabetes/1", "add", ["cloudpickle"])


def downloads(info: Any) -> None:
    got = Path(mlflow.artifacts.download_artifacts(info.model_uri))
    step("download", lambda: sorted({e.name for e in got.iterdir()} - {SIGNED, "model.skops"}))
    one = mlflow.get_logged_model(info.model_id).artifact_location + "/MLmodel"
    step("download one", lambda: Path(mlflow.artifacts.download_artifacts(one)).name)
    step("list", lambda: sorted(
        {each.path for each in mlflow.artifacts.list_artifacts(info.model_uri)} - {SIGNED}
    ))  # fmt: skip


def named() -> None:
    """How models are named and linked."""
    model = LinearRegression().fit([[0.0], [1.0]], [0, 1])
    with mlflow.start_run():
        older = mlflow.sklearn.log_model(model, artifact_path="older")
        step("artifact_path", lambda: info_of(older))
        nameless = mlflow.sklearn.log_model(model)
        step("nameless", lambda: info_of(nameless))
        mlflow.log_metric("m", 1, step=3)
        mlflow.log_metric("m", 2, step=7)
        stepped = mlflow.sklearn.log_model(model, name="stepped", step=3)
    mlflow.flush_async_logging()
    step("metric of its step", lambda: [
        [each.key, each.value, each.step] for each in
        mlflow.get_logged_model(stepped.model_id).metrics or ()
    ])  # fmt: skip
    outside = mlflow.sklearn.log_model(model, name="outside")
    step("without a run", lambda: [outside.run_id, mlflow.active_run() is None])
    step("bad name", mlflow.sklearn.log_model, model, name="a/b")
    step("two names", mlflow.sklearn.log_model, model, artifact_path="a", name="b")
    step("no model", mlflow.sklearn.log_model, "model", name="text")
    again = mlflow.register_model(outside.model_uri, "registered later")
    step("register_model", lambda: [again.name, str(again.version)])
    step(
        "register again", lambda: str(mlflow.register_model(outside.model_uri, again.name).version)
    )
    step("registered", lambda: mlflow.pyfunc.load_model("models:/registered later/1").predict(
        np.array([[0.5]])
    ))  # fmt: skip
    step("found", lambda: sorted(
        each.name for each in mlflow.search_logged_models(
            filter_string="metrics.m > 0", output_format="list"
        )
    ))  # fmt: skip
    step("found by name", lambda: [
        each.model_id == older.model_id for each in
        mlflow.search_logged_models(filter_string="name = 'older'", output_format="list")
    ])  # fmt: skip


class Doubler(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow has no types here
    """What users write."""

    def load_context(self, context: Any) -> None:
        self.factor = float(Path(context.artifacts["factor"]).read_text())

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        extra = (params or {}).get("extra", 0)
        return (model_input["a"] * self.factor + extra).tolist()


def doubled(model_input: list[str]) -> list[str]:
    return [text * 2 for text in model_input]


SCRIPT = """
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

class Scripted(PythonModel):
    def predict(self, context, model_input, params=None):
        return [len(model_input)]

set_model(Scripted())
"""


def written_in_python(folder: Path) -> None:
    (folder / "factor.txt").write_text("2.5")
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    signature = infer_signature(frame, [1.0], {"extra": 0.0})
    with mlflow.start_run():
        info = step_info("pyfunc.log_model", lambda: mlflow.pyfunc.log_model(
            name="doubler", python_model=Doubler(), signature=signature, input_example=frame,
            artifacts={"factor": str(folder / "factor.txt")}, model_config={"c": 1},
        ))  # fmt: skip
    model = mlflow.pyfunc.load_model(info.model_uri)
    step("doubled", model.predict, frame)
    step("with params", model.predict, frame, {"extra": 1})
    step("with odd params", model.predict, frame, {"extra": "x"})
    step("with other params", model.predict, frame, {"other": 1})
    step("config", lambda: dict(model.model_config))
    step("unwrapped", lambda: type(model.unwrap_python_model()).__name__)
    path = str(folder / "function")
    step("a function", mlflow.pyfunc.save_model, path, python_model=doubled, input_example=["a"])
    function = mlflow.pyfunc.load_model(path)
    step("of texts", function.predict, ["x", "y"])
    step("of no texts", function.predict, [1])
    step("its signature", lambda: facts_of(function.metadata)["signature"])
    script = folder / "script.py"
    script.write_text(SCRIPT)
    path = str(folder / "scripted")
    step("a script", mlflow.pyfunc.save_model, path, python_model=str(script))
    step("scripted", lambda: mlflow.pyfunc.load_model(path).predict([1, 2, 3]))
    step("no Python model", mlflow.pyfunc.save_model, str(folder / "none"), python_model=5)
    step("nothing", mlflow.pyfunc.save_model, str(folder / "nothing"))


def step_info(name: str, action: Any) -> Any:
    info = action()
    step(name, lambda: info_of(info))
    return info


def evaluated() -> None:
    model = LogisticRegression(max_iter=300).fit(FRAME, CLASSES)
    data = FRAME.assign(label=CLASSES)
    with mlflow.start_run():
        info = mlflow.sklearn.log_model(model, name="judged", input_example=FRAME.head(2))
        result = mlflow.models.evaluate(
            info.model_uri, data, targets="label", model_type="classifier",
            evaluator_config={"log_explainer": False, "log_model_explainability": False},
        )  # fmt: skip
    step("evaluate", lambda: rounded(result.metrics, "accuracy_score", "f1_score", "log_loss",
                                     "precision_score", "recall_score", "roc_auc"))  # fmt: skip
    mlflow.flush_async_logging()
    step("linked", lambda: "accuracy_score" in {
        each.key for each in mlflow.get_logged_model(info.model_id).metrics
    })  # fmt: skip
    step("search by accuracy", lambda: [each.name for each in mlflow.search_logged_models(
        filter_string="metrics.accuracy_score > 0.5", output_format="list"
    )])  # fmt: skip
    good = {"accuracy_score": MetricThreshold(threshold=0.5, greater_is_better=True)}
    bad = {"accuracy_score": MetricThreshold(threshold=1.1, greater_is_better=True)}
    missing = {"none": MetricThreshold(threshold=1, greater_is_better=True)}
    validate = mlflow.validate_evaluation_results
    step("good enough", validate, good, result)
    for name, thresholds in {"not good enough": bad, "no such metric": missing}.items():
        step(name, lambda thresholds=thresholds: refused(validate, thresholds, result))
    step("no baseline", lambda: refused(validate, {"accuracy_score": MetricThreshold(
        min_absolute_change=0.1, greater_is_better=True)}, result))  # fmt: skip
    step("against itself", lambda: refused(validate, {"accuracy_score": MetricThreshold(
        min_absolute_change=0.1, greater_is_better=True)}, result, result))  # fmt: skip
    step("threshold odd", MetricThreshold, threshold=1)
    step("threshold of nothing", MetricThreshold)
    regression(data)


def refused(validate: Any, *given: Any) -> str:
    try:
        validate(*given)
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is compared
        return "refused" if isinstance(error, MlflowException) else "broken"
    return "taken"


def regression(data: pd.DataFrame) -> None:
    frame, target = load_diabetes(as_frame=True, return_X_y=True)
    table = frame.assign(y=target, guess=target + 1)
    with mlflow.start_run():
        result = mlflow.models.evaluate(
            data=table, targets="y", predictions="guess", model_type="regressor",
            extra_metrics=[mlflow.models.make_metric(eval_fn=worst, greater_is_better=False)],
        )  # fmt: skip
    names = ("mean_absolute_error", "mean_squared_error", "root_mean_squared_error",
             "sum_on_target", "mean_on_target", "r2_score", "max_error", "worst")  # fmt: skip
    step("regression", lambda: rounded(result.metrics, *names))
    step("evaluate odd kind", lambda: mlflow.models.evaluate(
        data=data, targets="label", predictions="label", model_type="odd"
    ))  # fmt: skip
    step("evaluate without targets", lambda: mlflow.models.evaluate(
        data=data, model_type="classifier"
    ))  # fmt: skip
    while mlflow.active_run():
        mlflow.end_run()


def worst(predictions: Any, targets: Any) -> float:
    return float(np.abs(np.asarray(predictions) - np.asarray(targets)).max())


def rounded(metrics: dict[str, float], *names: str) -> dict[str, Any]:
    return {name: round(metrics[name], 6) if name in metrics else "none" for name in names}


def main() -> None:
    os.environ["MLFLOW_LOG_LEVEL"] = "ERROR"
    mlflow.set_experiment("models")
    with tempfile.TemporaryDirectory() as folder:
        signatures()
        saved(Path(folder))
        logged()
        named()
        written_in_python(Path(folder))
        evaluated()
    write()


if __name__ == "__main__":
    main()
