"""Folders that would run code when they are loaded: none does, unless its signer is trusted."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import headrace.pyfunc as pyfunc  # noqa: PLR0402 - mypy: the facade finds it at run time
from headrace.errors import InvalidModel, InvalidRequest, NotTrusted
from headrace.models.loading import load_model, open_model
from headrace.models.model import Model
from headrace.models.trust import SIGNATURE_FILE, sign_folder
from headrace.models.trust.own_key import signing_key
from headrace.models.trust.signers import add_signer


class Marks:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (_mark, (str(self.marker),))


def _mark(marker: str) -> Any:
    Path(marker).touch()
    return pyfunc.PythonModel()


def _script(marker: Path) -> str:
    return (
        f"import pathlib; pathlib.Path({str(marker)!r}).touch()\n"
        "from headrace.models import set_model\nset_model(lambda data: data)\n"
        "def _load_pyfunc(path):\n    return __import__('types').SimpleNamespace(predict=len)\n"
    )


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """The file that is there when code has run."""
    return tmp_path / "code-has-run"


@pytest.fixture(autouse=True)
def path_as_before() -> Iterator[None]:
    before = list(sys.path)
    yield
    sys.path[:] = before
    for name in ("shipped_module", "json_helper"):
        sys.modules.pop(name, None)


@pytest.fixture
def as_stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Any]:
    """`as_stranger(folder)` signs it as somebody else, and gives back their public key."""

    def sign(folder: Path) -> Any:
        with monkeypatch.context() as patch:
            patch.setenv("HEADRACE_KEYS", str(tmp_path / "keys-of-a-stranger"))
            assert sign_folder(folder)
            return signing_key().public

    monkeypatch.setenv("HEADRACE_KEYS", str(tmp_path / "own-keys"))
    return sign


def folder_with(tmp_path: Path, entry: dict[str, Any], files: dict[str, bytes]) -> Path:
    folder = tmp_path / "hostile"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    folder.mkdir(exist_ok=True)
    Model(flavors={"python_function": entry}).save(folder / "MLmodel")
    return folder


def hostile_folders(tmp_path: Path, marker: Path) -> dict[str, tuple[Path, str]]:
    """Folders by what they try, each with what the error names."""
    evil = pickle.dumps(Marks(marker))
    code = _script(marker).encode()
    tries: dict[str, tuple[dict[str, Any], dict[str, bytes], str]] = {
        "a pickle": (
            {"loader_module": "mlflow.pyfunc.model", "python_model": "python_model.pkl"},
            {"python_model.pkl": evil},
            "python_model.pkl",
        ),
        "a pickle that is called otherwise": (
            {"loader_module": "mlflow.pyfunc.model", "python_model": "weights.safetensors"},
            {"weights.safetensors": evil},
            "weights.safetensors",
        ),
        "a script": (
            {"loader_module": "mlflow.pyfunc.loaders.code_model", "model_code_path": "agent.py"},
            {"agent.py": code},
            "agent.py",
        ),
        "a script that goes by a pickle's loader": (
            {"loader_module": "mlflow.pyfunc.model", "model_code_path": "agent.py"},
            {"agent.py": code},
            "agent.py",
        ),
        "a module that it ships": (
            {"loader_module": "shipped_module", "code": "code"},
            {"code/shipped_module.py": code},
            "code",
        ),
        "a module that is shipped, though another loads": (
            {
                "loader_module": "mlflow.pyfunc.model",
                "python_model": "p.pkl",
                "code": "code",
            },
            {"code/json_helper.py": code, "p.pkl": evil},
            "code",
        ),
        **{
            f"the module {name}": ({"loader_module": name, "data": "data"}, {"data/x": evil}, name)
            for name in (
                *("os", "antigravity", "this", "headrace.models.python_model_pickle"),
                *("mlflow.sklearn", "mlflow.spacy", "mlflow.pyfunc.loaders.chat_model"),
            )
        },
    }
    return {
        name: (folder_with(tmp_path / f"{number}", entry, files), named)
        for number, (name, (entry, files, named)) in enumerate(tries.items())
    }


def test_nothing_runs_from_unsigned_folders_or_strangers(
    tmp_path: Path, marker: Path, as_stranger: Callable[[Path], Any]
) -> None:
    loaded = set(sys.modules)
    for name, (folder, named) in hostile_folders(tmp_path, marker).items():
        for is_signed in (False, True):
            if is_signed:
                as_stranger(folder)
            for load in (lambda at: pyfunc.load_model(str(at)), load_model):
                with pytest.raises(NotTrusted) as caught:
                    load(folder)
                said = str(caught.value)
                assert named in said, name
                assert "headrace trust add" in said, name
                assert "trust=True" in said, name
        assert not marker.exists(), name
    assert not {"antigravity", "this", "shipped_module", "json_helper"} & (
        set(sys.modules) - loaded
    )


def test_the_same_folders_run_for_whom_the_caller_trusts(
    tmp_path: Path, marker: Path, as_stranger: Callable[[Path], Any]
) -> None:
    folders = [
        folder
        for name, (folder, _) in hostile_folders(tmp_path, marker).items()
        if not name.startswith("the module")
    ]
    assert len(folders) == 6
    for folder in folders:
        pyfunc.load_model(str(folder), trust=True)
        _was_made(marker)
    keys = [as_stranger(folder) for folder in folders]
    add_signer("a colleague", keys[0])
    for folder in folders:
        pyfunc.load_model(str(folder))
        _was_made(marker)


def _was_made(marker: Path) -> None:
    assert marker.exists()
    marker.unlink()
    sys.modules.pop("shipped_module", None)


def test_a_changed_byte_is_found_before_anything_is_unpickled(tmp_path: Path, marker: Path) -> None:
    def double(x: Any) -> Any:
        return x * 2

    pyfunc.save_model(tmp_path / "m", python_model=double)
    (tmp_path / "m" / "python_model.pkl").write_bytes(pickle.dumps(Marks(marker)))
    for trust in (False, True):
        with pytest.raises(InvalidModel, match=r"python_model\.pkl"):
            pyfunc.load_model(str(tmp_path / "m"), trust=trust)
    assert not marker.exists()
    (tmp_path / "m" / SIGNATURE_FILE).unlink()
    with pytest.raises(NotTrusted):
        pyfunc.load_model(str(tmp_path / "m"))
    assert not marker.exists()


def test_a_file_swapped_after_the_check_is_not_run(tmp_path: Path, marker: Path) -> None:
    from headrace.models.flavor import flavor_named

    (tmp_path / "weights.pkl").write_bytes(pickle.dumps({"w": 1}))

    class Opens(pyfunc.PythonModel):
        def load_context(self, context: Any) -> None:
            self.loaded = pickle.loads(Path(context.artifacts["w"]).read_bytes())  # noqa: S301 - as users do

        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return self.loaded

    pyfunc.save_model(
        tmp_path / "m", python_model=Opens(), artifacts={"w": str(tmp_path / "weights.pkl")}
    )
    for swapped in ("artifacts/weights.pkl", "python_model.pkl"):
        folder, model = open_model(tmp_path / "m")
        file = tmp_path / "m" / swapped
        before = file.read_bytes()
        file.write_bytes(pickle.dumps(Marks(marker)))
        with pytest.raises(InvalidModel, match="changed"):
            flavor_named("python_function").load(folder, model.flavors["python_function"])
        assert not marker.exists()
        file.write_bytes(before)


@pytest.mark.parametrize("place", ["../../secret", "/etc/passwd", "artifacts/link", "nowhere", 7])
def test_artifacts_do_not_lead_out(tmp_path: Path, place: Any) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = folder_with(
        tmp_path,
        {
            "loader_module": "mlflow.pyfunc.loaders.code_model",
            "model_code_path": "agent.py",
            "artifacts": {"a": {"path": place, "uri": "x"}},
        },
        {"agent.py": _script(tmp_path / "x").encode(), "artifacts/f": b""},
    )
    (folder / "artifacts" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(InvalidModel):
        pyfunc.load_model(str(folder), trust=True)


@pytest.mark.parametrize(
    "entry",
    [
        {"loader_module": "mlflow.pyfunc.model"},
        {"loader_module": "mlflow.pyfunc.model", "python_model": ["a"]},
        {"loader_module": "mlflow.pyfunc.model", "python_model": "../../x.pkl"},
        {"loader_module": "mlflow.pyfunc.model", "python_model": "text.txt"},
        {
            "loader_module": "mlflow.pyfunc.model",
            "python_model": "text.txt",
            "python_model_compression": "rar",
        },
        {"loader_module": "mlflow.pyfunc.loaders.code_model", "model_code_path": "../../x.py"},
        {"loader_module": "mlflow.pyfunc.loaders.code_model", "model_code_path": ""},
        {"loader_module": None},
        {"loader_module": {"a": 1}},
        {"loader_module": "..os"},
        {"loader_module": "os", "data": "../.."},
        {"loader_module": "os", "code": "../.."},
        {
            "loader_module": "mlflow.pyfunc.loaders.code_model",
            "model_code_path": "agent.py",
            "artifacts": ["a"],
        },
    ],
)
def test_descriptions_that_make_no_sense_are_refused(tmp_path: Path, entry: dict[str, Any]) -> None:
    folder = folder_with(
        tmp_path,
        entry,
        {"text.txt": b"no pickle", "agent.py": _script(tmp_path / "x").encode()},
    )
    with pytest.raises(InvalidRequest):
        pyfunc.load_model(str(folder), trust=True)
