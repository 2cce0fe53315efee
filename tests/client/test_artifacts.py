"""Files, texts, figures, images and tables go in and come out the same."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
import pytest

import headrace
from headrace import artifacts
from headrace.errors import InvalidRequest, NotFound


def client() -> headrace.MlflowClient:
    return headrace.MlflowClient()


def read(run: headrace.ActiveRun, path: str) -> bytes:
    return Path(client().download_artifacts(run.info.run_id, path)).read_bytes()


def names(run: headrace.ActiveRun, path: str | None = None) -> list[str]:
    return [entry.path for entry in client().list_artifacts(run.info.run_id, path)]


def tree(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_files_and_folders(uri: str, tmp_path: Path) -> None:
    files = {"a.txt": b"a", "empty": b"", "sub/b ä.bin": bytes(range(256)) * 5000}
    folder = tree(tmp_path / "folder", files)
    with headrace.start_run() as run:
        headrace.log_artifact(folder / "a.txt")
        headrace.log_artifact(str(folder / "empty"), "some/where")
        headrace.log_artifact(folder, "whole")
        headrace.log_artifacts(str(folder))
        headrace.log_artifacts(folder, "copy")
        assert headrace.get_artifact_uri("copy") == f"{run.info.artifact_uri}/copy"
    assert names(run) == ["a.txt", "copy", "empty", "some", "sub", "whole"]
    assert names(run, "copy") == ["copy/a.txt", "copy/empty", "copy/sub"]
    assert names(run, "whole") == ["whole/folder"]
    sizes = {e.path: (e.is_dir, e.file_size) for e in client().list_artifacts(run.info.run_id)}
    assert sizes["a.txt"] == (False, 1)
    assert sizes["copy"] == (True, None)
    for where in ("", "copy/", "whole/folder/"):
        for name, content in files.items():
            assert read(run, where + name) == content
    assert read(run, "some/where/empty") == b""


def test_everything_comes_down_where_it_is_wanted(uri: str, tmp_path: Path) -> None:
    files = {"a.txt": b"a", "sub/b": b"b"}
    with headrace.start_run() as run:
        headrace.log_artifacts(tree(tmp_path / "in", files))
    run_id = run.info.run_id
    out = tmp_path / "out"
    assert client().download_artifacts(run_id, "", str(out)) == str(out)
    assert client().download_artifacts(run_id, "sub/b", str(out / "x")) == str(out / "x/sub/b")
    assert (out / "a.txt").read_bytes() == b"a"
    assert (out / "x" / "sub" / "b").read_bytes() == b"b"
    by_uri = artifacts.download_artifacts(f"runs:/{run_id}/sub/b", dst_path=str(out / "y"))
    assert Path(by_uri) == out / "y" / "b"
    by_run = artifacts.download_artifacts(run_id=run_id, artifact_path="a.txt")
    assert Path(by_run).read_bytes() == b"a"
    by_place = artifacts.download_artifacts(f"{run.info.artifact_uri}/a.txt")
    assert Path(by_place).read_bytes() == b"a"
    listed = artifacts.list_artifacts(f"runs:/{run_id}/sub")
    assert [entry.path for entry in listed] == ["sub/b"]
    listed = artifacts.list_artifacts(run_id=run_id, artifact_path="sub")
    assert [entry.path for entry in listed] == ["sub/b"]
    with pytest.raises(NotFound):
        client().download_artifacts(run_id, "none", str(out))
    with pytest.raises(NotFound):
        client().download_artifacts(run_id, "none")
    with pytest.raises(InvalidRequest, match="dst_path"):
        client().download_artifacts(run_id, "a.txt", str(out / "a.txt"))
    assert client().list_artifacts(run_id, "none") == []


def test_texts_and_dictionaries(uri: str) -> None:
    document = {"a": [1, 2.5, None], "ä": {"b": True}}
    with headrace.start_run() as run:
        headrace.log_text("Grüße\n", "notes/hello.txt")
        headrace.log_text("", "empty.txt")
        headrace.log_dict(document, "conf.json")
        headrace.log_dict([1, 2], "no_suffix")
        headrace.log_dict({"path": Path("/x")}, "text.json")
        root = f"runs:/{run.info.run_id}"
        assert artifacts.load_text(f"{root}/notes/hello.txt") == "Grüße\n"
        assert artifacts.load_text(f"{root}/empty.txt") == ""
        assert artifacts.load_dict(f"{root}/conf.json") == document
        assert artifacts.load_dict(f"{root}/text.json") == {"path": "/x"}
        assert json.loads(read(run, "no_suffix")) == [1, 2]
        headrace.log_text("again", "empty.txt")
        assert artifacts.load_text(f"{root}/empty.txt") == "again"
        with pytest.raises(InvalidRequest, match=r"empty\.txt"):
            artifacts.load_dict(f"{root}/empty.txt")


def test_yaml(database: str) -> None:
    with headrace.start_run() as run:
        headrace.log_dict({"a": [1, "ä"]}, "conf.yaml")
        uri = f"runs:/{run.info.run_id}/conf.yaml"
        assert artifacts.load_dict(uri) == {"a": [1, "ä"]}
    assert names(run) == ["conf.yaml"]


def test_streams(uri: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    with headrace.start_run() as run:
        headrace.log_stream(io.BytesIO(content), "stream.bin")
        headrace.log_stream(io.BytesIO(), "empty.bin")
        with pytest.raises(InvalidRequest, match="binary"):
            headrace.log_stream(io.StringIO("text"), "text.bin")
    assert read(run, "stream.bin") == content
    assert names(run) == ["empty.bin", "stream.bin"]


def test_figures_of_matplotlib(uri: str) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1), dpi=100)
    figure.add_subplot().plot([1, 2])
    with headrace.start_run() as run:
        headrace.log_figure(figure, "plots/figure.png")
        headrace.log_figure(figure, "large.png", save_kwargs={"dpi": 200})
        headrace.log_figure(figure, "figure.svg")
        with pytest.raises(InvalidRequest, match=r"\.xyz"):
            headrace.log_figure(figure, "figure.xyz")
        with pytest.raises(InvalidRequest, match="int"):
            headrace.log_figure(5, "figure.png")
    assert PIL.Image.open(io.BytesIO(read(run, "plots/figure.png"))).size == (200, 100)
    assert PIL.Image.open(io.BytesIO(read(run, "large.png"))).size == (400, 200)
    assert b"<svg" in read(run, "figure.svg")
    assert names(run) == ["figure.svg", "large.png", "plots"]


GREY = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (GREY, GREY),
        (GREY[:, :, None], GREY),
        (GREY.astype(np.int64), GREY),
        (GREY.tolist(), GREY),
        (GREY / 255, GREY),
        (GREY > 100, (GREY > 100) * np.uint8(255)),
        (np.stack([GREY] * 3, axis=2), np.stack([GREY] * 3, axis=2)),
        (np.stack([GREY] * 4, axis=2), np.stack([GREY] * 4, axis=2)),
        (PIL.Image.fromarray(GREY), GREY),
        (headrace.Image(GREY), GREY),
    ],
)
def test_images_of_all_kinds(database: str, image: Any, expected: np.ndarray[Any, Any]) -> None:
    with headrace.start_run() as run:
        headrace.log_image(image, "i.png")
    loaded = artifacts.load_image(f"runs:/{run.info.run_id}/i.png")
    assert np.abs(np.array(loaded).astype(int) - expected).max() <= 1


def test_images_in_a_series(uri: str) -> None:
    with headrace.start_run() as run:
        headrace.log_image(np.zeros((300, 600), np.uint8), key="dog/left", step=3, timestamp=77)
        headrace.log_image(np.zeros((4, 4), np.uint8), key="cat")
    found = sorted(names(run, "images"))
    assert len(found) == 4
    small = next(name for name in found if name.startswith("images/dog") and "+compressed" in name)
    large = next(name for name in found if name.startswith("images/dog") and name.endswith(".png"))
    assert large.startswith("images/dog~left+step+3+timestamp+77+")
    assert small == large.removesuffix(".png") + "+compressed.webp"
    assert PIL.Image.open(io.BytesIO(read(run, small))).size == (256, 128)
    assert PIL.Image.open(io.BytesIO(read(run, large))).size == (600, 300)
    assert headrace.get_run(run.info.run_id).data.tags["mlflow.loggedImages"] == "True"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"artifact_file": "a.png", "key": "k"}, "either"),
        ({}, "either"),
        ({"artifact_file": "a.png", "step": 1}, "'step'"),
        ({"key": "a#b"}, "key"),
        ({"artifact_file": "a.nope"}, "a.nope"),
        ({"image": np.zeros((2, 2, 5)), "artifact_file": "a.png"}, "shape"),
        ({"image": np.zeros(5), "artifact_file": "a.png"}, "shape"),
        ({"image": np.zeros((0, 3)), "artifact_file": "a.png"}, "nothing"),
        ({"image": np.full((2, 2), 256), "artifact_file": "a.png"}, "255"),
        ({"image": np.array([["a"]]), "artifact_file": "a.png"}, "numbers"),
        ({"image": "none.png", "artifact_file": "a.png"}, "none.png"),
    ],
)
def test_what_is_no_image(database: str, arguments: dict[str, Any], expected: str) -> None:
    headrace.start_run()
    with pytest.raises(InvalidRequest, match=expected):
        headrace.log_image(**{"image": GREY, **arguments})


def test_tables_grow_and_are_read(uri: str) -> None:
    with headrace.start_run() as run:
        headrace.log_table({"a": [1, 2], "b": ["x", "y"]}, "t.json")
        frame = pd.DataFrame({"a": [3.5], "c": [pd.Timestamp("2026-01-02T03:04:05Z")]})
        headrace.log_table(frame, "t.json")
        headrace.log_table({"a": 9}, "deep/u.json")
        headrace.log_param("lr", 5)
    assert json.loads(read(run, "t.json")) == {
        "columns": ["a", "b", "c"],
        "data": [[1, "x", None], [2, "y", None], [3.5, None, "2026-01-02T03:04:05+00:00"]],
    }
    tag = headrace.get_run(run.info.run_id).data.tags["mlflow.loggedArtifacts"]
    assert json.loads(tag) == [
        {"path": "t.json", "type": "table"},
        {"path": "deep/u.json", "type": "table"},
    ]
    with headrace.start_run() as second:
        headrace.log_table({"a": [4]}, "t.json")
    loaded = headrace.load_table("t.json", extra_columns=["run_id"])
    assert sorted(loaded["a"]) == [1, 2, 3.5, 4]
    assert set(loaded["run_id"]) == {run.info.run_id, second.info.run_id}
    one = headrace.load_table("t.json", [run.info.run_id], ["lr", "status"])
    assert one["lr"].tolist() == ["5"] * 3
    assert one["status"].tolist() == ["FINISHED"] * 3
    with pytest.raises(NotFound, match=r"none\.json"):
        headrace.load_table("none.json")
    with pytest.raises(InvalidRequest, match="extra_columns"):
        headrace.load_table("t.json", extra_columns=["none"])


def test_images_in_a_table(database: str) -> None:
    table = {"i": [headrace.Image(GREY), PIL.Image.fromarray(GREY)], "n": [1, float("nan")]}
    with headrace.start_run() as run:
        headrace.log_table(table, "dir/t.json")
    rows = json.loads(read(run, "dir/t.json"))["data"]
    assert [row[1] for row in rows] == [1, None]
    for cell, _ in rows:
        assert cell["type"] == "image"
        assert cell["filepath"].startswith("table_images/dir/t/")
        assert PIL.Image.open(io.BytesIO(read(run, cell["filepath"]))).size == (3, 2)
        assert PIL.Image.open(io.BytesIO(read(run, cell["compressed_filepath"]))).size[0] == 256


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        ({"a": [1]}, "t.csv", "artifact_file"),
        ({"a": [1]}, "t[1].json", "artifact_file"),
        ([1, 2], "t.json", "'data'"),
        ({"a": [1], "b": [1, 2]}, "t.json", "different lengths"),
        ({"a": [object()]}, "t.json", "JSON"),
        ({"a": [headrace.Image(GREY), 1]}, "t.json", "mixes"),
    ],
)
def test_what_is_no_table(database: str, data: Any, name: str, expected: str) -> None:
    headrace.start_run()
    with pytest.raises(InvalidRequest, match=expected):
        headrace.log_table(data, name)


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", "a\\b", "a%2e%2e/%2e%2e/x", "a#b", "", "a//b"]
)
def test_no_path_leads_out_of_the_run(uri: str, tmp_path: Path, path: str) -> None:
    (tmp_path / "f").write_bytes(b"x")
    with headrace.start_run() as run:
        with pytest.raises(InvalidRequest, match=r"[Pp]ath"):
            headrace.log_text("x", path)
        if path:
            with pytest.raises(InvalidRequest):
                headrace.log_artifact(tmp_path / "f", path)
            with pytest.raises(InvalidRequest):
                client().download_artifacts(run.info.run_id, path, str(tmp_path / "out"))
            with pytest.raises(InvalidRequest):
                client().list_artifacts(run.info.run_id, path)
    assert names(run) == []


def test_what_is_not_there(uri: str, tmp_path: Path) -> None:
    with headrace.start_run():
        with pytest.raises(NotFound):
            headrace.log_artifact(tmp_path / "none")
        with pytest.raises(NotFound):
            headrace.log_artifacts(tmp_path / "none")
    with pytest.raises(NotFound):
        artifacts.load_text(f"runs:/{'0' * 32}/f")
    with pytest.raises(InvalidRequest, match="s3"):
        artifacts.download_artifacts("s3://bucket/f")
    with pytest.raises(InvalidRequest, match="either"):
        artifacts.download_artifacts()


def test_a_database_keeps_files_beside_it(database: str, tmp_path: Path) -> None:
    with headrace.start_run() as run:
        headrace.log_text("x", "f.txt")
    local = Path(run.info.artifact_uri)
    assert local.is_relative_to(tmp_path / "headrace-artifacts")
    assert (local / "f.txt").read_text() == "x"
    # Nothing is copied to read it.
    assert client().download_artifacts(run.info.run_id, "f.txt") == str(local / "f.txt")


def test_an_experiment_with_a_folder_of_its_own(database: str, tmp_path: Path) -> None:
    place = tmp_path / "own place"
    for location in (str(place), f"file://{tmp_path}/own%20place"):
        experiment = headrace.create_experiment(location[-20:].replace("/", "_"), location)
        with headrace.start_run(experiment_id=experiment) as run:
            headrace.log_text("x", "a/f.txt")
        assert read(run, "a/f.txt") == b"x"
        assert (place / run.info.run_id / "artifacts" / "a" / "f.txt").read_text() == "x"


def test_files_of_logged_models(uri: str, tmp_path: Path) -> None:
    files = {"MLmodel": b"flavors: {}", "data/weights": b"w"}
    folder = tree(tmp_path / "model", files)
    with headrace.start_run() as run:
        model = headrace.initialize_logged_model("net")
        client().log_model_artifacts(model.model_id, folder)
        client().log_model_artifact(model.model_id, folder / "MLmodel", "copy")
        headrace.finalize_logged_model(model.model_id, "READY")
    listed = client().list_logged_model_artifacts(model.model_id)
    assert [entry.path for entry in listed] == ["MLmodel", "copy", "data"]
    for uri_of_it in (model.model_uri, f"runs:/{run.info.run_id}/net"):
        where = Path(artifacts.download_artifacts(uri_of_it, dst_path=str(tmp_path / "out")))
        assert (where / "data" / "weights").read_bytes() == b"w"
    assert artifacts.load_text(f"runs:/{run.info.run_id}/net/MLmodel") == "flavors: {}"
