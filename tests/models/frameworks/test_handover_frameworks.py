"""Every library's models, loaded and asked where Headrace's own dependencies may not be used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris

import headrace
from tests.fixtures.bare_worker import predict_bare, predict_here
from tests.fixtures.tiny_language import ANSWERS, conversation, tiny_phi3

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]
IRIS = load_iris(as_frame=True)
ROWS = IRIS.data.to_numpy(np.float32)
SMALL = {"n_estimators": 3, "max_depth": 2}
QUESTION, ANSWER = next(iter(ANSWERS.items()))
GREEDY = {"do_sample": False, "max_new_tokens": 40}


def alike(folder: Path) -> Any:
    """What a bare worker predicts, which is what is predicted here."""
    found = predict_bare(folder)
    assert found == predict_here(folder)
    return found


@pytest.mark.parametrize(
    ("library", "kind", "booster"),
    [
        ("xgboost", "XGBClassifier", lambda model: model.get_booster()),
        ("lightgbm", "LGBMClassifier", lambda model: model.booster_),
        ("catboost", "CatBoostClassifier", None),
    ],
)
def test_boosters(tmp_path: Path, library: str, kind: str, booster: Any) -> None:
    more = {"verbose": 0, "train_dir": tmp_path} if library == "catboost" else {}
    model = getattr(pytest.importorskip(library), kind)(**SMALL, **more)
    model.fit(IRIS.data, IRIS.target)
    for name, each in (("m", model), ("n", booster and booster(model))):
        if each is not None:
            folder = tmp_path / name
            getattr(headrace, library).save_model(each, folder, input_example=IRIS.data[:5])
            assert len(alike(folder)) == 5


def test_statsmodels(tmp_path: Path) -> None:
    statsmodels: Any = pytest.importorskip("statsmodels.api")
    fitted = statsmodels.OLS(IRIS.target, IRIS.data).fit()
    headrace.statsmodels.save_model(fitted, tmp_path / "m", input_example=IRIS.data[:5])
    assert len(alike(tmp_path / "m")) == 5


def test_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras: Any = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    headrace.keras.save_model(model, tmp_path / "m", input_example=ROWS[:5])
    assert np.shape(alike(tmp_path / "m")) == (5, 3)


def test_onnx(tmp_path: Path) -> None:
    skl2onnx: Any = pytest.importorskip("skl2onnx")
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(max_iter=300).fit(ROWS, IRIS.target)
    model = skl2onnx.to_onnx(fitted, ROWS[:1], options={"zipmap": False})
    headrace.onnx.save_model(model, tmp_path / "m", input_example=ROWS[:5])
    assert len(alike(tmp_path / "m")["label"]) == 5


@pytest.mark.parametrize("form", ["pt2", "pickle"])
def test_pytorch(tmp_path: Path, form: str) -> None:
    torch: Any = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.ReLU())
    headrace.pytorch.save_model(
        model, tmp_path / "m", input_example=ROWS[:5], serialization_format=form
    )
    assert np.shape(alike(tmp_path / "m")) == (5, 2)


@pytest.fixture(scope="module")
def phi3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    return tiny_phi3(tmp_path_factory.getbasetemp() / "tiny-phi3")


def test_transformers(tmp_path: Path, phi3: Path) -> None:
    headrace.transformers.save_model(
        str(phi3),
        tmp_path / "m",
        task="llm/v1/chat",
        model_config=GREEDY,
        input_example=conversation(QUESTION),
    )
    found = predict_bare(tmp_path / "m")
    assert found[0]["choices"][0]["message"]["content"] == ANSWER


def test_a_pipeline_of_transformers(tmp_path: Path, phi3: Path) -> None:
    transformers: Any = pytest.importorskip("transformers")
    pipeline = transformers.pipeline(task="text-generation", model=str(phi3))
    headrace.transformers.save_model(
        pipeline, tmp_path / "m", model_config=GREEDY, input_example=[QUESTION]
    )
    alike(tmp_path / "m")


def test_sentence_transformers(tmp_path: Path, phi3: Path) -> None:
    library: Any = pytest.importorskip("sentence_transformers")
    from sentence_transformers import models

    words = models.Transformer(str(phi3))
    words.tokenizer.pad_token = "<pad>"
    model = library.SentenceTransformer(
        modules=[words, models.Pooling(words.get_word_embedding_dimension())], device="cpu"
    )
    headrace.sentence_transformers.save_model(
        model, tmp_path / "m", input_example=["What is MLflow?"]
    )
    assert np.shape(predict_bare(tmp_path / "m")) == (1, 64)


def test_onnxruntime_genai(tmp_path: Path, phi3: Path) -> None:
    pytest.importorskip("onnxruntime_genai")
    made = tmp_path / "genai"
    builder = "onnxruntime_genai.models.builder"
    kind = ["-p", "int4", "-e", "cpu"]
    command = [sys.executable, "-m", builder, "-i", str(phi3), "-o", str(made), *kind]
    subprocess.run(command, check=True, capture_output=True, timeout=110)
    headrace.onnxruntime_genai.save_model(
        str(made),
        tmp_path / "m",
        task="llm/v1/chat",
        model_config=GREEDY,
        input_example=conversation(QUESTION),
    )
    found = predict_bare(tmp_path / "m")
    assert found[0]["choices"][0]["message"]["content"] == ANSWER
