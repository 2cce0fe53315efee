"""Artifacts, as a user of MLflow writes and reads them."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException

from tests.wire.programs.steps import main, step

client: Any = None
state: dict[str, Any] = {}


def prepare(url: str) -> None:
    global client  # noqa: PLW0603 - a program's main object
    mlflow.set_tracking_uri(url)
    client = mlflow.MlflowClient(url)
    state["experiment"] = client.create_experiment("files")


def new_run() -> str:
    run_id: str = client.create_run(state["experiment"]).info.run_id
    return run_id


@step
def text_dict_figure_image_table() -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np
    from PIL import Image

    with mlflow.start_run(experiment_id=state["experiment"]) as run:
        mlflow.log_text("Grüße\n", "notes/hello.txt")
        mlflow.log_dict({"a": [1, 2]}, "d.json")
        mlflow.log_dict({"a": 1}, "d.yaml")
        figure, axes = plt.subplots()
        axes.plot([1, 2])
        mlflow.log_figure(figure, "plots/figure.png")
        mlflow.log_image(np.zeros((4, 5, 3), dtype=np.uint8), "image.png")
        mlflow.log_image(Image.new("RGB", (3, 2)), key="seen", step=3, synchronous=True)
        mlflow.log_table({"x": [1, 2]}, "t.json")
        mlflow.log_table({"x": [3]}, "t.json")
    run_id = run.info.run_id
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/notes/hello.txt") == "Grüße\n"
    assert mlflow.artifacts.load_dict(f"runs:/{run_id}/d.json") == {"a": [1, 2]}
    assert mlflow.artifacts.load_image(f"runs:/{run_id}/image.png").size == (5, 4)
    table = client.load_table(state["experiment"], "t.json", run_ids=[run_id])
    assert list(table["x"]) == [1, 2, 3]
    listed = {item.path: item for item in client.list_artifacts(run_id)}
    assert set(listed) == {"notes", "plots", "images", "d.json", "d.yaml", "image.png", "t.json"}
    assert listed["notes"].is_dir
    assert listed["d.json"].file_size == len(json.dumps({"a": [1, 2]}, indent=2))
    assert [item.path for item in client.list_artifacts(run_id, "notes")] == ["notes/hello.txt"]
    assert len(client.list_artifacts(run_id, "images")) == 2
    tags = client.get_run(run_id).data.tags
    assert json.loads(tags["mlflow.loggedArtifacts"]) == [{"path": "t.json", "type": "table"}]


@step
def files_of_no_and_one_byte_and_odd_names() -> None:
    run_id = new_run()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sub").mkdir()
        sizes = {"empty": 0, "one": 1, "sub/mid.bin": 70_000, "a b+c ü水&=.txt": 3}
        for name, size in sizes.items():
            Path(folder, name).write_bytes(os.urandom(size))
        client.log_artifacts(run_id, folder, "in")
        client.log_artifact(run_id, str(Path(folder, "empty")))
        back = client.download_artifacts(run_id, "in", tempfile.mkdtemp(dir=folder))
        for name, size in sizes.items():
            assert Path(back, name).read_bytes() == Path(folder, name).read_bytes(), name
            assert Path(back, name).stat().st_size == size
        one = client.download_artifacts(run_id, "empty", tempfile.mkdtemp(dir=folder))
        assert Path(one).read_bytes() == b""
    assert client.list_artifacts(run_id, "in/nothing") == []


@step
def a_file_is_replaced_and_a_missing_one_is_an_error() -> None:
    run_id = new_run()
    client.log_text(run_id, "one", "a.txt")
    client.log_text(run_id, "second", "a.txt")
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/a.txt") == "second"
    try:
        mlflow.artifacts.download_artifacts(f"runs:/{run_id}/nothing.txt")
    except (MlflowException, OSError) as error:
        assert "nothing.txt" in str(error) or "404" in str(error)  # noqa: PT017 - not pytest
    else:
        raise AssertionError("no error")


@step
def artifacts_are_deleted() -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    run_id = new_run()
    client.log_text(run_id, "one", "a/b.txt")
    client.log_text(run_id, "one", "c.txt")
    repository = get_artifact_repository(client.get_run(run_id).info.artifact_uri)
    repository.delete_artifacts("a")
    assert [item.path for item in client.list_artifacts(run_id)] == ["c.txt"]


def digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@step
def a_large_file_goes_in_parts_and_comes_in_ranges() -> None:
    from tests.wire.programs.steps import requests_sent

    size = int(os.environ.get("WIRE_LARGE_FILE", "600000000"))
    run_id = new_run()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "large.bin")
        block = os.urandom(1_000_000)
        with open(path, "wb") as file:
            for number in range(size // len(block)):
                file.write(number.to_bytes(8, "big") + block[8:])
        client.log_artifact(run_id, path, "big")
        sent = requests_sent()
        assert any("/mpu/create/" in entry["path"] for entry in sent)
        assert any("/mpu/complete/" in entry["path"] for entry in sent)
        (listed,) = client.list_artifacts(run_id, "big")
        assert listed.file_size == size
        back = client.download_artifacts(run_id, "big/large.bin", tempfile.mkdtemp(dir=folder))
        assert digest(back) == digest(path)
    assert any("/presigned/" in entry["path"] for entry in requests_sent())


if __name__ == "__main__":
    main(prepare)
