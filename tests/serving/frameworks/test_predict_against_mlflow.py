"""`headrace models predict` beside MLflow's own command, on the same models and files."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.tiny_language import ANSWERS, tiny_phi3
from tests.serving.frameworks.exchanges import CSV, JSON, requests, save_all

pytest.importorskip("mlflow.pyfunc.scoring_server")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow warns of its own type hints when it is imported
    from mlflow.pyfunc import scoring_server

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]

CHOSEN = {
    ("linear", "split"),
    ("linear", "csv"),
    ("linear", "inputs of one row"),
    ("linear", "two formats"),
    ("unsigned", "csv"),  # with a signature, MLflow reads CSV by it in its server only
    ("unsigned", "records"),
    ("unsigned", "inputs by name"),
    ("unsigned", "messages"),
    ("unsigned", "prompt"),
    ("params", "all"),
    ("tensors", "instances"),
    ("hinted", "inputs"),
    ("rows", "inputs"),
    ("answers", "times"),
    ("answers", "dict"),
    ("answers", "text"),
    ("answers", "raises"),
}
EXCHANGES = [each for each in requests() if each[:2] in CHOSEN]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    saved = save_all(tmp_path_factory.mktemp("models"))
    return {folder.name: folder for folder in saved}


def run(program: str, folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program's `models predict`, of what is installed here."""
    command: list[str | Path] = [sys.executable, "-m", program, "models", "predict"]
    command += ["-m", folder, "--env-manager", "local", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("model", "content_type", "body"),
    [(model, content_type, body) for model, _, content_type, body in EXCHANGES],
    ids=[f"{model}-{name}".replace(" ", "_") for model, name, *_ in EXCHANGES],
)
def test_both_predict_alike(
    folders: dict[str, Path], tmp_path: Path, model: str, content_type: str, body: bytes
) -> None:
    kind = {JSON: "json", CSV: "csv"}[content_type]
    source, wanted, found = (tmp_path / name for name in ("in", "wanted", "found"))
    source.write_bytes(body)
    try:
        scoring_server._predict(str(folders[model]), str(source), str(wanted), kind)
    except Exception:  # noqa: BLE001 - whatever MLflow, or the model's code, raises
        wanted.unlink(missing_ok=True)

    ran = run("headrace", folders[model], "-i", source, "-o", found, "-t", kind)

    assert ran.stdout == ""
    assert (ran.returncode == 0) == wanted.exists() == found.exists(), ran.stderr
    if wanted.exists():
        assert json.loads(found.read_bytes()) == json.loads(wanted.read_bytes())
    else:
        assert ran.stderr.startswith("Error: ")
        assert "Traceback" not in ran.stderr


def test_both_commands_print_the_same(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a,b\n1.0,2.0\n")
    words = ("-i", tmp_path / "in.csv", "-t", "csv")

    ours, theirs = (
        run("headrace", folders["linear"], *words),
        run("mlflow", folders["linear"], *words),
    )

    assert ours.stdout == theirs.stdout.splitlines()[-1] + "\n"


def test_a_language_model_answers(tmp_path: Path) -> None:
    transformers: Any = pytest.importorskip("transformers")
    import headrace.transformers

    pipeline = transformers.pipeline("text-generation", tiny_phi3(tmp_path / "phi3"))
    headrace.transformers.save_model(pipeline, tmp_path / "m", task="llm/v1/chat")
    question, answer = next(iter(ANSWERS.items()))
    asked = {"messages": [{"role": "user", "content": question}], "temperature": 0.0}
    (tmp_path / "asked.json").write_text(json.dumps(asked))

    ran = run("headrace", tmp_path / "m", "-i", tmp_path / "asked.json")

    assert ran.returncode == 0, ran.stderr
    (said,) = json.loads(ran.stdout)  # as MLflow's; its server's own answer is bare
    assert said["choices"][0]["message"]["content"] == answer
