"""Hostile PyTorch models: by whatever way code is put into them, none of it runs without trust.

Each attack that works on PyTorch itself is shown to work there first, so that a test that passes
because PyTorch changed says so.
"""

from __future__ import annotations

import copyreg
import io
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.errors import InvalidModel, InvalidRequest, NotTrusted
from headrace.models.flavors.pytorch_export import UnsafeProgram, checked_program
from headrace.models.loading import load_model, load_pyfunc
from headrace.models.model import Model

torch: Any = pytest.importorskip("torch")
mlflow = pytest.importorskip("mlflow")

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]
DATA = np.ones((3, 4), np.float32)


class _Runs:
    """Unpickling it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that MLflow exported; nobody signed it."""
    folder = tmp_path_factory.mktemp("saved") / "m"
    model = torch.nn.Sequential(torch.nn.Linear(4, 2)).eval()
    mlflow.pytorch.save_model(model, folder, input_example=DATA, pip_requirements=["torch"])
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    import shutil

    shutil.copytree(saved, tmp_path / "m")
    return tmp_path / "m"


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """The file that an attack makes."""
    return tmp_path / "marker"


def rewrite(folder: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Change the records of the folder's program; the program."""
    file = folder / "data/model.pt2"
    with zipfile.ZipFile(file) as archive:
        records = {
            f"archive/{name.partition('/')[2]}": archive.read(name) for name in archive.namelist()
        }
    change(records)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in records.items():
            archive.writestr(name, content)
    return file


def in_json(
    name: str, change: Callable[[dict[str, Any]], None]
) -> Callable[[dict[str, bytes]], None]:
    """Changes the JSON of the record whose name ends with `name`."""

    def act(records: dict[str, bytes]) -> None:
        (found,) = [each for each in records if each.endswith(name)]
        content = json.loads(records[found])
        change(content)
        records[found] = json.dumps(content).encode()

    return act


def in_program(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, bytes]], None]:
    return in_json("models/model.json", change)


def source(marker: Path) -> str:
    """Python that makes the file."""
    return f"__import__('pathlib').Path({str(marker)!r}).touch()"


def guards(marker: Path) -> Callable[[dict[str, bytes]], None]:
    return in_program(lambda it: it.update(guards_code=[f"{source(marker)} is None"]))


def formula(marker: Path) -> Callable[[dict[str, bytes]], None]:
    def change(program: dict[str, Any]) -> None:
        for tensor in program["graph_module"]["graph"]["tensor_values"].values():
            for size in tensor["sizes"]:
                if "as_expr" in size:
                    size["as_expr"]["expr_str"] = source(marker)

    return in_program(change)


def pickled_weight(marker: Path) -> Callable[[dict[str, bytes]], None]:
    def change(records: dict[str, bytes]) -> None:
        made = io.BytesIO()
        torch.save(_Runs(marker), made)
        records["archive/data/weights/weight_0"] = made.getvalue()
        in_json(
            "model_weights_config.json",
            lambda table: table["config"]["0.weight"].update(use_pickle=True),
        )(records)

    return change


def opaque_constant(marker: Path) -> Callable[[dict[str, bytes]], None]:
    def change(records: dict[str, bytes]) -> None:
        records["archive/data/constants/opaque_obj_0"] = pickle.dumps(_Runs(marker))
        entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True}
        in_json(
            "model_constants_config.json",
            lambda table: table["config"].update(x={**entry, "tensor_meta": None}),
        )(records)

    return change


def pickled_example(marker: Path) -> Callable[[dict[str, bytes]], None]:
    def change(records: dict[str, bytes]) -> None:
        made = io.BytesIO()
        torch.save(_Runs(marker), made)
        records["archive/data/sample_inputs/model.pt"] = made.getvalue()

    return change


def injected_name(marker: Path) -> Callable[[dict[str, bytes]], None]:
    text = f"x={source(marker)}"

    def change(records: dict[str, bytes]) -> None:
        (name,) = [each for each in records if each.endswith("models/model.json")]
        records[name] = records[name].replace(b'"input"', json.dumps(text).encode())

    return change


def any_operator(marker: Path) -> Callable[[dict[str, bytes]], None]:
    def change(program: dict[str, Any]) -> None:
        program["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.system"

    return in_program(change)


RUNS = [guards, formula, pickled_weight, opaque_constant, pickled_example]
DROPPED = [guards, pickled_example]
"""What a program does not need is left out, so these models load, and nothing runs."""


@pytest.mark.parametrize("attack", RUNS)
def test_pytorch_itself_runs_what_is_in_a_program(
    folder: Path, marker: Path, attack: Callable[[Path], Any]
) -> None:
    file = rewrite(folder, attack(marker))
    with suppress(Exception):  # what it does afterwards is of no interest
        torch.export.load(file).module()(torch.ones(3, 4))
    assert marker.exists()


@pytest.mark.parametrize("attack", [*RUNS, injected_name, any_operator])
def test_nothing_in_a_program_runs_here(
    folder: Path, marker: Path, attack: Callable[[Path], Any]
) -> None:
    rewrite(folder, attack(marker))
    for load in (load_model, load_pyfunc):
        if attack in DROPPED:
            load(folder)
        else:
            with pytest.raises(NotTrusted, match=r"data/model\.pt2.*trust=True"):
                load(folder)
    if attack in DROPPED:
        assert load_pyfunc(folder).predict(DATA).shape == (3, 2)
    assert not marker.exists()


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to all texts in a JSON value."""
    if isinstance(value, str):
        yield way
    elif isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(each, (*way, key))


@pytest.mark.parametrize("record", ["models/model.json", "data/weights/model_weights_config.json"])
def test_python_in_the_place_of_any_text_or_key_never_reaches_pytorch(
    folder: Path, record: str
) -> None:
    file = folder / "data/model.pt2"
    with zipfile.ZipFile(file) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(record)]
        text = archive.read(name)
    payload, refused, tried = "__import__('os').getpid()", 0, 0
    for way in places(json.loads(text)):
        for is_key in (False, True):
            content = json.loads(text)
            inner = content
            for key in way[:-1]:
                inner = inner[key]
            if is_key and isinstance(inner, dict):
                inner[payload] = inner.pop(way[-1])
            else:
                inner[way[-1]] = payload
            rewrite(folder, _putting(record, content))
            tried += 1
            try:
                made = checked_program(file)
            except UnsafeProgram:
                refused += 1
                continue
            with zipfile.ZipFile(made) as archive:
                assert payload not in archive.read(f"archive/{record}").decode()
    assert tried >= 8
    assert refused > tried / 2


def _putting(record: str, content: Any) -> Callable[[dict[str, bytes]], None]:
    text = json.dumps(content).encode()
    return lambda records: records.update({f"archive/{record}": text})


@pytest.mark.parametrize(
    "change",
    [
        lambda records: records.pop("archive/models/model.json"),
        lambda records: records.update({"archive/models/model.json": b"{"}),
        lambda records: records.update({"archive/models/model.json": b"[]"}),
        lambda records: records.update({"archive/models/model.json": b"[" * 100_000}),
        lambda records: records.update({"other/models/model.json": b"{}"}),
        lambda records: records.pop("archive/data/weights/weight_0"),
        in_json(
            "model_weights_config.json",
            lambda table: table["config"]["0.weight"].update(path_name="../../x"),
        ),
        in_json(
            "model_weights_config.json",
            lambda table: table["config"].update({"x y": table["config"]["0.weight"]}),
        ),
        in_program(lambda it: it["graph_module"]["graph"].update(custom_obj_values={"x y": {}})),
        in_program(
            lambda it: it["graph_module"]["graph"]["nodes"][0]["inputs"][0].update(
                arg={"as_custom_obj": {"name": "x", "class_fqn": "os"}}
            )
        ),
    ],
)
def test_a_program_of_another_form_is_refused(
    folder: Path, change: Callable[[dict[str, bytes]], None]
) -> None:
    rewrite(folder, change)
    with pytest.raises(NotTrusted, match=r"data/model\.pt2"):
        load_model(folder)


def test_libraries_beside_a_program_are_not_opened(folder: Path) -> None:
    rewrite(
        folder,
        lambda records: records.update({"archive/data/aotinductor/model/x.wrapper.so": b"ELF"}),
    )
    assert load_pyfunc(folder).predict(DATA).shape == (3, 2)


@pytest.mark.parametrize("name", ["model.pt2", "model.pth"])
def test_a_pickle_by_any_name_does_not_run(folder: Path, marker: Path, name: str) -> None:
    (folder / "data/model.pt2").unlink()
    for content in (pickle.dumps(_Runs(marker)), _as_zip(_Runs(marker))):
        (folder / "data" / name).write_bytes(content)
        with pytest.raises(NotTrusted, match=rf"data/{name}.*trust=True"):
            load_model(folder)
        with pytest.raises(NotTrusted, match=rf"data/{name}.*trust=True"):
            load_pyfunc(folder)
    assert not marker.exists()


def _as_zip(value: Any) -> bytes:
    made = io.BytesIO()
    torch.save(value, made)
    return made.getvalue()


def test_a_module_that_is_to_unpickle_is_not_imported(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil_pickle.py").write_text(f"import pathlib\n{source(tmp_path / 'marker')}\n")
    monkeypatch.syspath_prepend(tmp_path)
    (folder / "data/model.pt2").unlink()
    (folder / "data/model.pth").write_bytes(_as_zip(torch.nn.Linear(4, 2)))
    (folder / "data/pickle_module_info.txt").write_text("evil_pickle")
    described = Model.load(folder)
    described.flavors["python_function"]["pickle_module_name"] = "evil_pickle"
    described.save(folder / "MLmodel")
    for load in (load_model, load_pyfunc):
        with pytest.raises(NotTrusted):
            load(folder)
    assert not (tmp_path / "marker").exists()
    (folder / "data/pickle_module_info.txt").write_text("no_such_module")
    with pytest.raises(InvalidRequest, match="no_such_module"):
        load_model(folder, trust=True)


@pytest.mark.parametrize("data", ["../outside", "/etc", "data/../../outside", "link"])
def test_files_outside_of_the_folder_are_not_loaded(folder: Path, data: str) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "model.pth").write_bytes(_as_zip(torch.nn.Linear(4, 2)))
    (folder / "link").symlink_to(outside)
    described = Model.load(folder)
    described.flavors["pytorch"]["model_data"] = data
    described.save(folder / "MLmodel")
    with pytest.raises(InvalidModel):
        load_model(folder, trust=True)


def test_what_a_stranger_signed_again_does_not_run(
    folder: Path, marker: Path, stranger: Callable[[Path], None]
) -> None:
    (folder / "data/model.pth").write_bytes(_as_zip(_Runs(marker)))
    stranger(folder)
    with pytest.raises(NotTrusted, match="whom you do not trust"):
        load_model(folder)
    assert not marker.exists()


def test_with_trust_it_runs_as_one_said(folder: Path, marker: Path) -> None:
    rewrite(folder, pickled_weight(marker))
    with pytest.raises(InvalidRequest):
        load_model(folder, trust=True)
    assert marker.exists()


def test_registered_reducers_are_as_they_were(folder: Path) -> None:
    before = dict(copyreg.dispatch_table)
    load_model(folder)
    assert dict(copyreg.dispatch_table) == before
