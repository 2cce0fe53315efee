"""One program, run with `import mlflow` as it stands, and with `import headrace as mlflow`.

    python program.py FILE

It calls every name of the classic lifecycle, right and wrong, and writes what each step gave to
FILE, as JSON: a list of (step, result), with ids, times and places replaced by their kinds.
"""

from __future__ import annotations

import io
import json
import math
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib as mpl
import mlflow
import mlflow.artifacts
import mlflow.data
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
    RunStatus,
    RunTag,
    ViewType,
)

from tests.parity.steps import step, write

mpl.use("Agg")


def tags_of(run: Any) -> dict[str, str]:
    """The tags that the program gave, and those of MLflow that do not depend on the machine."""
    kept = ("mlflow.runName", "mlflow.note.content", "mlflow.parentRunId", "mlflow.source.type")
    return {k: v for k, v in run.data.tags.items() if not k.startswith(("mlflow.", "headrace."))
            or k in kept}  # fmt: skip


def run_of(run: Any) -> dict[str, Any]:
    """All of a run that does not depend on the machine."""
    return {
        "info": dict(run.info),
        "metrics": run.data.metrics,
        "params": run.data.params,
        "tags": tags_of(run),
        "datasets": [dict(each) for each in run.inputs.dataset_inputs],
        "models_in": [dict(each) for each in run.inputs.model_inputs],
        "models_out": [dict(each) for each in run.outputs.model_outputs],
    }


def experiments() -> None:
    client = MlflowClient()
    made = step("create_experiment", mlflow.create_experiment, "first", tags={"team": "a"})
    step("create_experiment again", mlflow.create_experiment, "first")
    step("create_experiment without a name", mlflow.create_experiment, "")
    step("create_experiment None", mlflow.create_experiment, None)
    step("get_experiment", mlflow.get_experiment, made)
    step("get_experiment by number", mlflow.get_experiment, int(made))
    step("get_experiment unknown", mlflow.get_experiment, "4711")
    step("get_experiment_by_name", mlflow.get_experiment_by_name, "first")
    step("get_experiment_by_name unknown", mlflow.get_experiment_by_name, "none")
    second = step("set_experiment makes", mlflow.set_experiment, "second").experiment_id
    step("set_experiment finds", mlflow.set_experiment, "second")
    step("set_experiment by id", mlflow.set_experiment, experiment_id=second)
    step("set_experiment unknown id", mlflow.set_experiment, experiment_id="4711")
    step("set_experiment without anything", mlflow.set_experiment)
    step("set_experiment with both", mlflow.set_experiment, "second", second)
    step("set_experiment_tag", mlflow.set_experiment_tag, "k", 5)
    step("set_experiment_tags", mlflow.set_experiment_tags, {"a": "b", "ü": "µ"})
    step("delete_experiment_tag", mlflow.delete_experiment_tag, "a")
    step("delete_experiment_tag again", mlflow.delete_experiment_tag, "a")
    step("tagged", mlflow.get_experiment, second)
    step("rename_experiment", client.rename_experiment, made, "renamed")
    step("rename_experiment unknown", client.rename_experiment, "4711", "x")
    step("delete_experiment", mlflow.delete_experiment, made)
    step("delete_experiment again", mlflow.delete_experiment, made)
    step("set_experiment deleted", mlflow.set_experiment, "renamed")
    for view in (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL):
        found = step(f"search_experiments {ViewType.to_string(view)}", names_of_experiments, view)
        assert found
    step("restore_experiment", mlflow.restore_experiment, made)
    step("restore_experiment again", mlflow.restore_experiment, made)
    search = mlflow.search_experiments
    step("search_experiments filter", search, filter_string="tags.team = 'a'")
    step("search_experiments like", search, filter_string="name LIKE 'sec%'")
    step("search_experiments order", search, order_by=["name ASC"], max_results=2)
    step("search_experiments wrong", search, filter_string="name ! 'x'")
    page = step("search_experiments page", client.search_experiments, max_results=1)
    step("next page", client.search_experiments, max_results=9, page_token=page.token)
    mlflow.set_experiment("second")


def names_of_experiments(view: Any) -> list[str]:
    return [each.name for each in mlflow.search_experiments(view, order_by=["name"])]


def logging() -> None:
    with mlflow.start_run(run_name="one", tags={"given": "1"}, description="said") as run:
        run_id = run.info.run_id
        step("start_run", lambda: dict(run.info))
        step("active_run", lambda: mlflow.active_run().info.run_id == run_id)
        step("start_run while one is active", mlflow.start_run)
        step("log_metric", mlflow.log_metric, "m", 1)
        step("log_metric step", mlflow.log_metric, "m", 2.5, step=3, timestamp=1234)
        step("log_metric numpy", mlflow.log_metric, "numpy", np.float32(0.5), step=np.int64(2))
        step("log_metric true", mlflow.log_metric, "true", True)
        step("log_metric text", mlflow.log_metric, "text", "nothing")
        step("log_metric None", mlflow.log_metric, "none", None)
        step("log_metric number as text", mlflow.log_metric, "texted", "1.5")
        step("log_metric array", mlflow.log_metric, "array", np.array(4.0))
        step("log_metric bad key", mlflow.log_metric, "a\nb", 1)
        step("log_metric empty key", mlflow.log_metric, "", 1)
        step("log_metric nan", mlflow.log_metric, "nan", math.nan)
        step("log_metric negative step", mlflow.log_metric, "neg", 7, step=-5)
        step("log_metrics", mlflow.log_metrics, {"x": 1, "y/z w.-": 2}, step=1, timestamp=5)
        step("log_metrics list", mlflow.log_metrics, [1])
        step("log_metrics empty", mlflow.log_metrics, {})
        step("log_param", mlflow.log_param, "p", 0.1)
        step("log_param again", mlflow.log_param, "p", 0.1)
        step("log_param None", mlflow.log_param, "none", None)
        step("log_param list", mlflow.log_param, "list", [1, "a"])
        step("log_param bad key", mlflow.log_param, "a//b", 1)
        step("log_param unicode", mlflow.log_param, "größe", "ü\n€")
        step("log_param empty", mlflow.log_param, "empty", "")
        step("log_params", mlflow.log_params, {"a": 1, "b": True})
        step("set_tag", mlflow.set_tag, "t", 5)
        step("set_tag over", mlflow.set_tag, "t", {"a": 1})
        step("set_tags", mlflow.set_tags, {"u": "x", "gone": "y"})
        step("delete_tag", mlflow.delete_tag, "gone")
        step("delete_tag again", mlflow.delete_tag, "gone")
        step("flush_async_logging", mlflow.flush_async_logging)
        step("wait", lambda: mlflow.log_metric("async", 1, synchronous=False).wait())
        step("wait for params", lambda: mlflow.log_params({"async": 1}, synchronous=False).wait())
    step("active_run after", mlflow.active_run)
    step("end_run without any", mlflow.end_run)
    step("get_run", lambda: run_of(mlflow.get_run(run_id)))
    step("last_active_run", lambda: mlflow.last_active_run().info.run_id == run_id)
    client = MlflowClient()
    for key in ("m", "numpy", "neg", "not there"):
        step(f"get_metric_history {key}", lambda key=key: [
            {**dict(point), "timestamp": 0} for point in client.get_metric_history(run_id, key)
        ])  # fmt: skip
    step("get_run unknown", mlflow.get_run, "0" * 32)
    step("get_run odd", mlflow.get_run, "../x")
    step("logged after the end", mlflow.log_metric, "late", 1, run_id=run_id)
    step("late", lambda: mlflow.get_run(run_id).data.metrics["late"])


def as_is(value: Any) -> Any:
    return value


def lives_of_runs() -> None:
    client = MlflowClient()
    with mlflow.start_run(run_name="outer") as outer:
        with mlflow.start_run(run_name="inner", nested=True) as inner:
            step("parent", lambda: mlflow.get_parent_run(inner.info.run_id).info.run_name)
        step("parent of none", mlflow.get_parent_run, outer.info.run_id)
        step("active again", lambda: mlflow.active_run().info.run_name)
        step("nested tags", lambda: tags_of(mlflow.get_run(inner.info.run_id)))
    with mlflow.start_run(parent_run_id=outer.info.run_id, run_name="child") as child:
        step("parent by id", lambda: mlflow.get_parent_run(child.info.run_id).info.run_name)
    step(
        "resume", lambda: mlflow.start_run(run_id=outer.info.run_id, tags={"more": "1"}).info.status
    )
    step("resumed", lambda: run_of(mlflow.get_run(outer.info.run_id)))
    step("end_run killed", mlflow.end_run, "KILLED")
    step("killed", lambda: mlflow.get_run(outer.info.run_id).info.status)
    mlflow.start_run()
    step("end_run odd", mlflow.end_run, "ODD")
    end_all_runs()
    step("start_run unknown", mlflow.start_run, "0" * 32)
    step("start_run elsewhere", mlflow.start_run, outer.info.run_id, experiment_id="0")
    step("start_run in no experiment", mlflow.start_run, experiment_id="4711")
    step("start_run with two notes", mlflow.start_run,
         tags={"mlflow.note.content": "a"}, description="b")  # fmt: skip
    end_all_runs()
    try:
        with mlflow.start_run(run_name="broken") as broken:
            raise KeyError("x")
    except KeyError:
        step("failed", lambda: mlflow.get_run(broken.info.run_id).info.status)
    step("delete_run", mlflow.delete_run, child.info.run_id)
    step("delete_run again", mlflow.delete_run, child.info.run_id)
    step("deleted", lambda: mlflow.get_run(child.info.run_id).info.lifecycle_stage)
    step("resume deleted", mlflow.start_run, child.info.run_id)
    step("log to deleted", client.log_metric, child.info.run_id, "m", 1)
    step("restore_run", client.restore_run, child.info.run_id)
    step("restore_run again", client.restore_run, child.info.run_id)
    step("restored", lambda: mlflow.get_run(child.info.run_id).info.lifecycle_stage)
    made = client.create_run(
        outer.info.experiment_id, start_time=5, tags={"a": "1"}, run_name="made"
    )
    step("create_run", run_of, made)
    step("update_run", client.update_run, made.info.run_id, "SCHEDULED", "renamed")
    step("update_run status", client.update_run, made.info.run_id, RunStatus.to_string(1))
    step("updated", lambda: run_of(client.get_run(made.info.run_id)))
    step("set_terminated", client.set_terminated, made.info.run_id, "FAILED", 77)
    step("terminated", lambda: dict(client.get_run(made.info.run_id).info))
    step("create_run nowhere", client.create_run, "4711")
    batch = [Metric(f"k{n}", n, 5, n) for n in range(3)], [Param("p", "1")], [RunTag("t", "1")]
    step("log_batch", client.log_batch, made.info.run_id, *batch)
    step("log_batch large", client.log_batch, made.info.run_id,
         [Metric("many", n, n, n) for n in range(1500)])  # fmt: skip
    step("batched", lambda: run_of(client.get_run(made.info.run_id)))
    many = client.get_metric_history(made.info.run_id, "many")
    step("history", lambda: [len(many), many[0].value, many[-1].value])
    step("client log_param", client.log_param, made.info.run_id, "q", 2)
    step("client set_tag", client.set_tag, made.info.run_id, "q", 2)
    step("client delete_tag", client.delete_tag, made.info.run_id, "q")
    step("client run of", lambda: run_of(client.get_run(made.info.run_id)))
    step("to_dictionary", lambda: {**client.get_run(made.info.run_id).to_dictionary(), "data": 0})


def end_all_runs() -> None:
    while mlflow.active_run():
        mlflow.end_run()


def searching() -> None:
    end_all_runs()
    mlflow.set_experiment("searched")
    for number in range(4):
        with mlflow.start_run(run_name=f"r{number}", tags={"part": str(number % 2)}):
            mlflow.log_param("n", number)
            mlflow.log_metrics({"loss": number / 4, **({"rare": 1.0} if number == 2 else {})})
        time.sleep(0.002)
    client = MlflowClient()
    here = mlflow.get_experiment_by_name("searched").experiment_id
    filters = (
        *("", "metrics.loss < 0.4", "params.n = '2'", "tags.part = '1' AND metrics.loss >= 0.5"),
        *("attributes.status = 'FINISHED'", "attributes.run_name LIKE 'r%'", "tags.`part` != '1'"),
        *("params.n IN ('1', '3')", "run_name ILIKE 'R1'", "metrics.rare = 1", "start_time > 0"),
        *("metrics.loss >", "loss < 1", "params.n > 1", "nothing.x = '1'", "metrics.loss = 'x'"),
    )
    for text in filters:
        step(f"search_runs {text}", lambda text=text: [
            run.info.run_name for run in mlflow.search_runs([here], text, output_format="list")
        ])  # fmt: skip
    for order in (["metrics.loss DESC"], ["params.n ASC"], ["metrics.rare ASC", "start_time DESC"],
                  ["attributes.start_time ASC"], ["what"]):  # fmt: skip
        step(f"search_runs by {order}", lambda order=order: [
            run.info.run_name for run in client.search_runs([here], order_by=order)
        ])  # fmt: skip
    step("search_runs frame", lambda: frame_of(mlflow.search_runs(order_by=["params.n"])))
    step("search_runs names", lambda: len(mlflow.search_runs(experiment_names=["searched", "?"])))
    step("search_runs everywhere", lambda: len(mlflow.search_runs(search_all_experiments=True)) > 4)
    step("search_runs both", mlflow.search_runs, [here], experiment_names=["searched"])
    step("search_runs none", lambda: list(mlflow.search_runs(filter_string="params.n='9'").columns))
    step("search_runs of nothing", mlflow.search_runs, ["4711"], output_format="list")
    step("search_runs odd format", mlflow.search_runs, output_format="csv")
    step("search_runs max", lambda: len(mlflow.search_runs(max_results=3)))
    page = client.search_runs([here], max_results=3)
    step("search_runs page", lambda: [run.info.run_name for run in page])
    step("search_runs next", lambda: [
        run.info.run_name for run in client.search_runs([here], page_token=page.token)
    ])  # fmt: skip
    step("search_runs odd token", client.search_runs, [here], page_token="odd")
    step("search_runs too many", client.search_runs, [here], max_results=10**6)
    step("search_runs deleted", lambda: len(client.search_runs([here], run_view_type=2)))


def frame_of(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns that do not depend on the machine."""
    known = ("mlflow.runName", "part")
    return frame[[n for n in frame.columns if not n.startswith("tags.") or n[5:] in known]]


def artifacts(folder: Path) -> None:
    client = MlflowClient()
    (folder / "sub").mkdir()
    (folder / "a.txt").write_text("a")
    (folder / "sub" / "b.bin").write_bytes(b"\0\1")
    with mlflow.start_run() as run:
        run_id = run.info.run_id
        step("log_artifact", mlflow.log_artifact, str(folder / "a.txt"))
        step("log_artifact path", mlflow.log_artifact, folder / "a.txt", "deep/er")
        step("log_artifact folder", mlflow.log_artifact, str(folder / "sub"), "whole")
        step("log_artifact missing", mlflow.log_artifact, str(folder / "none"))
        step("log_artifacts", mlflow.log_artifacts, str(folder), "all")
        step("log_text", mlflow.log_text, "ü\n", "t/text.txt")
        step("log_text html", mlflow.log_text, "<b>", "t/page.html")
        step("log_text outside", mlflow.log_text, "x", "../x.txt")
        step("log_text absolute", mlflow.log_text, "x", "/etc/x.txt")
        step("log_dict json", mlflow.log_dict, {"b": [1, None], "a": "ü"}, "d.json")
        step("log_dict yaml", mlflow.log_dict, {"b": [1, None], "a": 0.5}, "d.yaml")
        step("log_dict other", mlflow.log_dict, {"a": 1}, "d.what")
        step("log_stream", mlflow.log_stream, io.BytesIO(b"stream"), "s.bin")
        step("log_figure", log_a_figure)
        step("log_image", mlflow.log_image, np.zeros((2, 3, 3), dtype=np.uint8), "i.png")
        step("log_image key", mlflow.log_image, np.ones((2, 3)), key="series", step=4)
        step("log_image mlflow", mlflow.log_image, mlflow.Image(np.zeros((2, 2))), "j.png")
        step("log_image wrong", mlflow.log_image, np.zeros((2, 2, 7)), "k.png")
        step("log_image both", mlflow.log_image, np.zeros((2, 2)), "k.png", key="k")
        step("flush_artifacts", mlflow.flush_artifact_async_logging)
        tables(run_id)
        step("get_artifact_uri", mlflow.get_artifact_uri)
        step("get_artifact_uri path", mlflow.get_artifact_uri, "t/text.txt")
    for path in (None, "t", "all", "t/text.txt", "none"):
        step(f"list_artifacts {path}", lambda path=path: listed(client, run_id, path))
    step("images", lambda: len(client.list_artifacts(run_id, "images")))
    uri = f"runs:/{run_id}"
    step("load_text", mlflow.artifacts.load_text, f"{uri}/t/text.txt")
    step("load_text missing", mlflow.artifacts.load_text, f"{uri}/none.txt")
    step("load_dict", mlflow.artifacts.load_dict, f"{uri}/d.json")
    step("yaml lines", lambda: sorted(read(client.download_artifacts(run_id, "d.yaml")).split()))
    step("load_image", lambda: mlflow.artifacts.load_image(f"{uri}/i.png").size)
    step("json text", lambda: json.loads(read(client.download_artifacts(run_id, "d.json"))))
    step("other text", lambda: json.loads(read(client.download_artifacts(run_id, "d.what"))))
    got = Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="all"))
    step("download folder", lambda: sorted(str(p.relative_to(got)) for p in got.rglob("*")))
    target = folder / "target"
    target.mkdir()
    step("download to", client.download_artifacts, run_id, "a.txt", str(target))
    step("download missing", client.download_artifacts, run_id, "none.txt")
    step("download nothing", mlflow.artifacts.download_artifacts)
    step("list uri", mlflow.artifacts.list_artifacts, f"{uri}/t")
    step("list run", mlflow.artifacts.list_artifacts, run_id=run_id, artifact_path="all")


def listed(client: Any, run_id: str, path: str | None) -> list[Any]:
    """What lies there, but for what one of them notes by itself, and the spaces in JSON."""
    found = [dict(each) for each in client.list_artifacts(run_id, path)]
    return [
        {**each, "file_size": 0} if each["path"].endswith(".json") else each
        for each in found
        if each["path"] != "headrace"
    ]


def read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


def log_a_figure() -> None:
    import matplotlib.pyplot as plt

    figure = plt.figure()
    plt.plot([1, 2])
    mlflow.log_figure(figure, "figure.png")
    plt.close(figure)


def tables(run_id: str) -> None:
    step("log_table", mlflow.log_table, {"x": [1, 2], "y": ["a", "ü"]}, "table.json")
    step("log_table more", mlflow.log_table, pd.DataFrame({"x": [3], "y": ["c"]}), "table.json")
    step("log_table value", mlflow.log_table, {"x": 1, "y": "z"}, "one.json")
    step("log_table wrong", mlflow.log_table, [1, 2], "table.json")
    step("log_table wrong name", mlflow.log_table, {"x": [1]}, "table.txt")
    step("load_table", mlflow.load_table, "table.json", run_ids=[run_id])
    step("load_table extra", lambda: mlflow.load_table("one.json", extra_columns=["run_id"]))
    step("load_table missing", mlflow.load_table, "none.json")
    raw = json.loads(read(MlflowClient().download_artifacts(run_id, "table.json")))
    step("raw table", as_is, raw)


def datasets() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    by_frame = mlflow.data.from_pandas(frame, source="file:///tmp/x.csv", name="frame")
    by_array = mlflow.data.from_numpy(np.arange(6).reshape(3, 2), name="array")
    client = MlflowClient()
    with mlflow.start_run() as run:
        step("log_input", mlflow.log_input, by_frame, context="training", tags={"k": "v"})
        step("log_input again", mlflow.log_input, by_frame, context="training")
        step("log_inputs", mlflow.log_inputs, [by_array], ["validation"], [None])
        step("log_input wrong", mlflow.log_input, "data")
        step("log_metric dataset", mlflow.log_metric, "acc", 0.5, dataset=by_array)
    taken = DatasetInput(Dataset("d", "1", "local", "{}"), [InputTag("mlflow.data.context", "x")])
    step("client log_inputs", client.log_inputs, run.info.run_id, [taken])
    found = client.get_run(run.info.run_id).inputs.dataset_inputs
    step("data sets", lambda: sorted(
        [each.dataset.name, sorted((tag.key, tag.value) for tag in each.tags)] for each in found
    ))  # fmt: skip
    by_name = {each.dataset.name: each.dataset for each in found}
    for name in ("frame", "array"):
        entry = by_name[name]
        step(f"{name} source", lambda entry=entry: entry.source_type)
        step(f"{name} digest", lambda entry=entry: entry.digest)
        step(f"{name} schema", lambda entry=entry: json.loads(entry.schema))
    step("search by data set", lambda: len(mlflow.search_runs(filter_string="dataset.name='d'")))
    step("get_source", lambda: mlflow.data.get_source(by_name["frame"]).to_dict())


def logged_models() -> None:
    client = MlflowClient()
    step("last_logged_model none", lambda: mlflow.last_logged_model() is None)
    with mlflow.start_run() as run:
        made = mlflow.initialize_logged_model("net", params={"p": "1"}, tags={"t": "1"},
                                              model_type="cnn")  # fmt: skip
        step("initialize_logged_model", model_of, made)
        step("log_metric model", mlflow.log_metric, "acc", 0.5, model_id=made.model_id)
        step("log_outputs", mlflow.log_outputs, [LoggedModelOutput(made.model_id, 3)])
    step("outputs", lambda: len(mlflow.get_run(run.info.run_id).outputs.model_outputs))
    step("log_inputs model", client.log_inputs, run.info.run_id,
         models=[LoggedModelInput(made.model_id)])  # fmt: skip
    step("finalize_logged_model", lambda: model_of(
        mlflow.finalize_logged_model(made.model_id, "READY")
    ))  # fmt: skip
    step("finalize odd", mlflow.finalize_logged_model, made.model_id, "ODD")
    step("set_logged_model_tags", mlflow.set_logged_model_tags, made.model_id, {"a": "1", "b": "2"})
    step("delete_logged_model_tag", mlflow.delete_logged_model_tag, made.model_id, "a")
    step("delete_logged_model_tag again", mlflow.delete_logged_model_tag, made.model_id, "a")
    step("log_model_params", mlflow.log_model_params, {"q": "2"}, made.model_id)
    step("get_logged_model", lambda: model_of(mlflow.get_logged_model(made.model_id)))
    step("get_logged_model unknown", mlflow.get_logged_model, "m-" + "0" * 32)
    step("last_logged_model", lambda: mlflow.last_logged_model().model_id == made.model_id)
    outside = step("create_external_model", lambda: mlflow.create_external_model("outside"))
    step("external", lambda: model_of(outside))
    step("search_logged_models", lambda: sorted(
        each.name for each in mlflow.search_logged_models(output_format="list")
    ))  # fmt: skip
    step("search_logged_models filter", lambda: [
        each.name for each in
        mlflow.search_logged_models(filter_string="params.p = '1'", output_format="list")
    ])  # fmt: skip
    step("search_logged_models metric", lambda: [
        each.name for each in
        mlflow.search_logged_models(filter_string="metrics.acc > 0.4", output_format="list")
    ])  # fmt: skip
    step("search_logged_models order", lambda: [
        each.name for each in mlflow.search_logged_models(
            order_by=[{"field_name": "name", "ascending": False}], output_format="list"
        )
    ])  # fmt: skip
    step("search_logged_models columns", lambda: sorted(mlflow.search_logged_models().columns))
    step("search_logged_models wrong", mlflow.search_logged_models, filter_string="x ~ 1")
    step("log_model_artifacts", client.log_model_artifact, made.model_id, __file__)
    step("list_logged_model_artifacts", lambda: [
        each.path for each in client.list_logged_model_artifacts(made.model_id)
    ])  # fmt: skip
    active_models(made)
    step("delete_logged_model", client.delete_logged_model, made.model_id)
    step("delete_logged_model again", client.delete_logged_model, made.model_id)
    step("deleted model", mlflow.get_logged_model, made.model_id)


def active_models(made: Any) -> None:
    step("no active model", mlflow.get_active_model_id)
    with mlflow.set_active_model(model_id=made.model_id) as active:
        step("active", lambda: mlflow.get_active_model_id() == active.model_id)
        step("active name", lambda: active.name)
        with mlflow.start_run():
            step("metric of the active model", mlflow.log_metric, "of_active", 2)
    step("its metrics", lambda: sorted(
        metric.key for metric in mlflow.get_logged_model(made.model_id).metrics
    ))  # fmt: skip
    step("active after", mlflow.get_active_model_id)
    step("active by name", lambda: mlflow.set_active_model(name="outside").name)
    step("active neither", mlflow.set_active_model)
    step("active other name", lambda: mlflow.set_active_model(name="x", model_id=made.model_id))
    step("clear_active_model", mlflow.clear_active_model)
    step("cleared", mlflow.get_active_model_id)


def model_of(model: Any) -> dict[str, Any]:
    fields = {k: v for k, v in dict(model).items() if k not in ("tags", "metrics")}
    tags = {k: v for k, v in model.tags.items() if not k.startswith("mlflow.source.git")}
    fields["tags"] = {k: v for k, v in tags.items() if k not in ("mlflow.user", "mlflow.runName")}
    fields["metrics"] = [[metric.key, metric.value] for metric in model.metrics or ()]
    fields["status"] = str(getattr(model.status, "value", model.status))
    return fields


def registry(folder: Path) -> None:
    client = MlflowClient()
    step("create_registered_model", client.create_registered_model, "reg", {"k": "1"}, "about")
    step("create_registered_model again", client.create_registered_model, "reg")
    step("create_registered_model empty", client.create_registered_model, "")
    step("get_registered_model", client.get_registered_model, "reg")
    step("get_registered_model unknown", client.get_registered_model, "none")
    step("update_registered_model", client.update_registered_model, "reg", "other")
    step("set_registered_model_tag", client.set_registered_model_tag, "reg", "a", 1)
    step("delete_registered_model_tag", client.delete_registered_model_tag, "reg", "k")
    with mlflow.start_run() as run:
        mlflow.log_text("x", "model/file.txt")
    source = f"{run.info.artifact_uri}/model"
    step("create_model_version", client.create_model_version, "reg", source, run.info.run_id,
         tags={"v": "1"}, description="first")  # fmt: skip
    step("create_model_version again", client.create_model_version, "reg", source, run.info.run_id)
    step("create_model_version nowhere", client.create_model_version, "none", source)
    step("get_model_version", client.get_model_version, "reg", "1")
    step("get_model_version number", client.get_model_version, "reg", 2)
    step("get_model_version unknown", client.get_model_version, "reg", "9")
    step("get_model_version odd", client.get_model_version, "reg", "odd")
    step("update_model_version", client.update_model_version, "reg", "1", "newer")
    step("set_model_version_tag", mlflow.set_model_version_tag, "reg", "1", "w", 2)
    step("delete_model_version_tag", client.delete_model_version_tag, "reg", "1", "v")
    step("set_registered_model_alias", client.set_registered_model_alias, "reg", "best", "1")
    step("set_registered_model_alias odd", client.set_registered_model_alias, "reg", "v1", "1")
    step("get_model_version_by_alias", client.get_model_version_by_alias, "reg", "best")
    step("get_model_version_by_alias unknown", client.get_model_version_by_alias, "reg", "none")
    step("transition", client.transition_model_version_stage, "reg", "1", "Production")
    step("transition odd", client.transition_model_version_stage, "reg", "1", "Odd")
    step("get_latest_versions", client.get_latest_versions, "reg", ["Production"])
    step("get_model_version_stages", client.get_model_version_stages, "reg", "1")
    step("get_model_version_download_uri", client.get_model_version_download_uri, "reg", "1")
    step("copy_model_version", client.copy_model_version, "models:/reg@best", "copied")
    step("copied source", lambda: client.get_model_version("copied", "1").source)
    step("search_model_versions", lambda: sorted(
        [v.name, str(v.version)] for v in mlflow.search_model_versions(filter_string="name='reg'")
    ))  # fmt: skip
    step("search_registered_models", lambda: [
        m.name for m in mlflow.search_registered_models(order_by=["name ASC"])
    ])  # fmt: skip
    step("search_registered_models tag", lambda: [
        m.name for m in mlflow.search_registered_models(filter_string="tags.a = '1'")
    ])  # fmt: skip
    step("search_registered_models wrong", mlflow.search_registered_models, filter_string="x")
    step("delete_registered_model_alias", client.delete_registered_model_alias, "reg", "best")
    step("rename_registered_model", client.rename_registered_model, "reg", "renamed")
    step("delete_model_version", client.delete_model_version, "renamed", "2")
    step("delete_model_version again", client.delete_model_version, "renamed", "2")
    step("delete_registered_model", client.delete_registered_model, "renamed")
    step("get_registered_model deleted", client.get_registered_model, "renamed")
    registering(folder)


def registering(folder: Path) -> None:
    model = mlflow.create_external_model("to register")
    step("register_model", mlflow.register_model, model.model_uri, "registered", tags={"a": "b"})
    step("register_model again", lambda: str(
        mlflow.register_model(model.model_uri, "registered").version
    ))  # fmt: skip
    step("register_model unknown", mlflow.register_model, "models:/m-" + "0" * 32, "registered")
    step("register_model no run", mlflow.register_model, "runs:/" + "0" * 32 + "/m", "registered")
    step("register_model folder", lambda: mlflow.register_model(folder.as_uri(), "local").source)


def configuration() -> None:
    step("get_tracking_uri", mlflow.get_tracking_uri)
    step("get_registry_uri", mlflow.get_registry_uri)
    step("is_tracking_uri_set", mlflow.is_tracking_uri_set)
    step("tracking uri of a client", lambda: MlflowClient().tracking_uri)
    step("set_registry_uri", mlflow.set_registry_uri, mlflow.get_tracking_uri())
    step("enable_async_logging", mlflow.config.enable_async_logging)
    with mlflow.start_run():
        step("asynchronous", lambda: hasattr(mlflow.log_metric("m", 1), "wait"))
        step("asynchronous param", lambda: hasattr(mlflow.log_param("p", 1), "wait"))
        step("asynchronous tag", lambda: hasattr(mlflow.set_tag("t", 1), "wait"))
    step("enable_async_logging off", mlflow.config.enable_async_logging, False)
    with mlflow.start_run():
        step("synchronous", mlflow.log_metric, "m", 1)
    for name in ("enable_system_metrics_logging", "disable_system_metrics_logging"):
        step(name, getattr(mlflow, name))
    step("interval", mlflow.set_system_metrics_sampling_interval, 5)
    step("samples", mlflow.set_system_metrics_samples_before_logging, 2)
    step("node", mlflow.set_system_metrics_node_id, "n1")
    step("doctor", lambda: type(mlflow.doctor()).__name__)
    os.environ["MLFLOW_RUN_ID"] = mlflow.last_active_run().info.run_id
    with mlflow.start_run() as run:
        step(
            "run of the environment",
            lambda: run.info.run_id == mlflow.last_active_run().info.run_id,
        )
    os.environ.pop("MLFLOW_RUN_ID", None)
    step("tags that are no texts", mlflow.create_experiment, "numbered", tags={"n": 1})


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        experiments()
        logging()
        lives_of_runs()
        searching()
        mlflow.set_experiment("files")
        (Path(folder) / "up").mkdir()
        artifacts(Path(folder) / "up")
        datasets()
        logged_models()
        registry(Path(folder) / "up")
        configuration()
    write()


if __name__ == "__main__":
    main()
