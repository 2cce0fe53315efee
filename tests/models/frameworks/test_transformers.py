"""Models of transformers, saved here and loaded by MLflow, and the other way round."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

import headrace.transformers as door
from headrace.errors import InvalidRequest
from headrace.models.flavors.openai_requests import Sampling
from headrace.models.flavors.transformers_generation import penalties
from headrace.models.loading import load_pyfunc
from headrace.models.model import Model
from tests.fixtures.tiny_language import ANSWERS, conversation, tiny_bert, tiny_phi3

transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.heavy,
    # MLflow's own, and those of the libraries that it calls in an older way.
    pytest.mark.filterwarnings("ignore"),
]
GREEDY = {"do_sample": False, "max_new_tokens": 40}
QUESTION, ANSWER = next(iter(ANSWERS.items()))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connects to anything fails."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def phi3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_phi3(tmp_path_factory.getbasetemp() / "tiny-phi3")


def _bert(tmp_path_factory: pytest.TempPathFactory, head: str, **config: Any) -> Path:
    return tiny_bert(tmp_path_factory.getbasetemp() / f"tiny-{head}", head, **config)


@pytest.fixture
def mlflow_pyfunc() -> Any:
    return pytest.importorskip("mlflow.pyfunc")


@pytest.fixture
def mlflow_transformers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """MLflow's flavor, with no look at a hub for cards and licences."""
    found = pytest.importorskip("mlflow.transformers")
    monkeypatch.setattr(found, "_fetch_model_card", lambda name: None)
    monkeypatch.setattr(found, "_write_license_information", lambda *_: None)
    return found


def _frames_equal(one: Any, other: Any) -> None:
    pd.testing.assert_frame_equal(pd.DataFrame(one), pd.DataFrame(other), rtol=1e-5)


class TestTextGeneration:
    def test_saved_here_it_predicts_the_same_in_mlflow(
        self, phi3: Path, tmp_path: Path, mlflow_pyfunc: Any
    ) -> None:
        pipeline = transformers.pipeline("text-generation", model=str(phi3))
        door.save_model(pipeline, tmp_path / "m", model_config=GREEDY)
        prompts = [f"<|user|>\n{question}<|end|>\n<|assistant|>\n" for question in ANSWERS]
        ours = load_pyfunc(tmp_path / "m").predict(prompts)
        assert ours == mlflow_pyfunc.load_model(str(tmp_path / "m")).predict(prompts)
        assert [each.rpartition("\n")[2] for each in ours] == list(ANSWERS.values())

    def test_saved_in_mlflow_it_predicts_the_same_here(
        self, phi3: Path, tmp_path: Path, mlflow_pyfunc: Any, mlflow_transformers: Any
    ) -> None:
        pipeline = transformers.pipeline("text-generation", model=str(phi3))
        mlflow_transformers.save_model(
            pipeline, str(tmp_path / "m"), model_config=GREEDY, pip_requirements=["transformers"]
        )
        prompt = f"<|user|>\n{QUESTION}<|end|>\n<|assistant|>\n"
        table = pd.DataFrame({"text": [prompt, prompt]})
        ours = load_pyfunc(tmp_path / "m").predict(table)
        assert ours == mlflow_pyfunc.load_model(str(tmp_path / "m")).predict(table)
        assert ours[0].endswith(ANSWER)

    def test_a_checkpoint_is_taken_as_files(
        self, phi3: Path, tmp_path: Path, mlflow_pyfunc: Any
    ) -> None:
        door.save_model(str(phi3), tmp_path / "m", task="text-generation", model_config=GREEDY)
        saved, source = tmp_path / "m" / "model" / "model.safetensors", phi3 / "model.safetensors"
        assert saved.read_bytes() == source.read_bytes()
        facts = Model.load(tmp_path / "m").flavors["transformers"]
        assert facts["pipeline_model_type"] == "Phi3ForCausalLM"
        assert facts["instance_type"] == "TextGenerationPipeline"
        prompt = f"<|user|>\n{QUESTION}<|end|>\n<|assistant|>\n"
        ours = load_pyfunc(tmp_path / "m").predict(prompt)
        assert ours == mlflow_pyfunc.load_model(str(tmp_path / "m")).predict(prompt)

    def test_a_template_is_put_around_each_prompt(
        self, phi3: Path, tmp_path: Path, mlflow_pyfunc: Any
    ) -> None:
        template = "<|user|>\n{prompt}<|end|>\n<|assistant|>\n"
        pipeline = transformers.pipeline("text-generation", model=str(phi3))
        door.save_model(pipeline, tmp_path / "m", model_config=GREEDY, prompt_template=template)
        assert mlflow_pyfunc.load_model(str(tmp_path / "m")).predict(QUESTION) == [ANSWER]
        assert load_pyfunc(tmp_path / "m").predict(QUESTION) == [ANSWER]

    @pytest.mark.parametrize("template", ["no place", "{other}", "{prompt} {prompt}", "{prompt"])
    def test_a_template_without_one_place_is_refused(
        self, phi3: Path, tmp_path: Path, template: str
    ) -> None:
        with pytest.raises(InvalidRequest, match="prompt_template"):
            door.save_model(
                str(phi3), tmp_path / "m", task="text-generation", prompt_template=template
            )
        assert not (tmp_path / "m").exists()

    def test_an_example_shows_the_signature(self, phi3: Path, tmp_path: Path) -> None:
        components = {
            "model": transformers.Phi3ForCausalLM.from_pretrained(phi3),
            "tokenizer": transformers.AutoTokenizer.from_pretrained(phi3),
        }
        door.save_model(
            components,
            tmp_path / "m",
            model_config={"do_sample": False, "max_new_tokens": 2},
            input_example=(["hello"], {"max_new_tokens": 3}),
        )
        signature = Model.load(tmp_path / "m").signature
        assert signature is not None
        assert signature.params is not None
        loaded = load_pyfunc(tmp_path / "m")
        prompt = f"<|user|>\n{QUESTION}<|end|>\n<|assistant|>\n"
        short, long = (loaded.predict([prompt], {"max_new_tokens": most}) for most in (1, 9))
        assert short[0].endswith("The")
        assert long[0].endswith(ANSWER)

    def test_components_come_back(self, phi3: Path, tmp_path: Path) -> None:
        pipeline = transformers.pipeline("text-generation", model=str(phi3))
        door.save_model(pipeline, tmp_path / "m")
        found = door.load_model(str(tmp_path / "m"), return_type="components")
        assert type(found["model"]).__name__ == "Phi3ForCausalLM"
        assert found["tokenizer"]("hello")["input_ids"]
        again = door.load_model(str(tmp_path / "m"), device="cpu")
        assert type(again).__name__ == "TextGenerationPipeline"
        assert again.model.name_or_path == str(tmp_path / "m" / "model")


class TestChat:
    @pytest.fixture
    def saved(self, phi3: Path, tmp_path: Path) -> Path:
        door.save_model(
            transformers.pipeline("text-generation", model=str(phi3)),
            tmp_path / "m",
            task="llm/v1/chat",
            model_config=GREEDY,
        )
        return tmp_path / "m"

    def test_saved_here_it_answers_the_same_in_mlflow(
        self, saved: Path, mlflow_pyfunc: Any
    ) -> None:
        theirs = mlflow_pyfunc.load_model(str(saved))
        ours = load_pyfunc(saved)
        for question, answer in ANSWERS.items():
            (one,), (other,) = (m.predict(conversation(question)) for m in (ours, theirs))
            assert one["choices"] == other["choices"]
            assert one["usage"] == other["usage"]
            assert (one["model"], one["object"]) == (other["model"], other["object"])
            assert one["choices"][0]["message"]["content"] == answer

    def test_saved_in_mlflow_it_answers_the_same_here_and_says_the_same_of_itself(
        self, saved: Path, phi3: Path, tmp_path: Path, mlflow_transformers: Any
    ) -> None:
        mlflow_transformers.save_model(
            transformers.pipeline("text-generation", model=str(phi3)),
            str(tmp_path / "theirs"),
            task="llm/v1/chat",
            model_config=GREEDY,
            pip_requirements=["transformers"],
        )
        (answer,) = load_pyfunc(tmp_path / "theirs").predict(conversation(QUESTION))
        assert answer["choices"][0]["message"]["content"] == ANSWER
        ours, theirs = (Model.load(each).to_dict() for each in (saved, tmp_path / "theirs"))
        for known in (ours, theirs):
            del known["utc_time_created"], known["model_uuid"], known["model_size_bytes"]
        assert ours == theirs

    @pytest.mark.parametrize(
        ("more", "content", "reason", "tokens"),
        [
            ({"max_tokens": 3}, "The capital of", "length", 3),
            ({"stop": ["Paris"]}, "The capital of France is ", "stop", None),
            ({"stop": ["capital of"]}, "The ", "stop", None),
            ({"temperature": 0.0, "top_p": 0.5}, ANSWER, "stop", None),
            ({"temperature": 0.01, "custom_inputs": {"seed": 1}}, ANSWER, "stop", None),
            ({"stream": False}, ANSWER, "stop", None),
            ({"stream": True}, ANSWER, "stop", None),
        ],
    )
    def test_requests_are_followed(
        self, saved: Path, more: dict[str, Any], content: str, reason: str, tokens: int | None
    ) -> None:
        (answer,) = load_pyfunc(saved).predict(conversation(QUESTION, **more))
        choice = answer["choices"][0]
        assert choice["message"] == {"role": "assistant", "content": content}
        assert choice["finish_reason"] == reason
        usage = answer["usage"]
        assert tokens in (None, usage["completion_tokens"])
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]

    @pytest.mark.parametrize(
        ("more", "content", "reason"),
        [
            ({}, ANSWER, "stop"),
            ({"max_tokens": 3}, "The capital of", "length"),
            ({"stop": ["Paris"]}, "The capital of France is ", "stop"),
        ],
    )
    def test_an_answer_is_streamed(
        self, saved: Path, more: dict[str, Any], content: str, reason: str
    ) -> None:
        pieces = load_pyfunc(saved).predict_stream(conversation(QUESTION, **more))
        choices = [each["choices"][0] for each in pieces]
        assert "".join(each["delta"].get("content", "") for each in choices) == content
        assert choices[-1]["finish_reason"] == reason
        assert len(choices) > 3

    def test_a_stream_that_nobody_reads_ends_its_thread(self, saved: Path) -> None:
        loaded = load_pyfunc(saved, {"min_new_tokens": 200})
        steps: list[int] = []
        loaded.native.model.register_forward_hook(lambda *_: steps.append(1))
        pieces = loaded.predict_stream(conversation("?", temperature=5.0, max_tokens=200))
        next(pieces)
        cast("Generator[Any, None, None]", pieces).close()
        names = [thread.name for thread in threading.enumerate()]
        assert not any(name.startswith("headrace-stream") for name in names)
        assert len(steps) < 200

    def test_a_configuration_that_it_does_not_know_is_refused(self, saved: Path) -> None:
        loaded = load_pyfunc(saved, {"unknown_to_generate": 3})
        with pytest.raises(InvalidRequest, match="unknown_to_generate"):
            list(loaded.predict_stream(conversation(QUESTION)))
        with pytest.raises(InvalidRequest, match="unknown_to_generate"):
            loaded.predict(conversation(QUESTION))

    def test_n_answers_are_drawn_or_repeated(self, saved: Path) -> None:
        loaded = load_pyfunc(saved)
        (same,) = loaded.predict(conversation(QUESTION, n=3))
        assert [each["message"]["content"] for each in same["choices"]] == [ANSWER] * 3
        wild = conversation("?", n=4, temperature=5.0, max_tokens=8, custom_inputs={"seed": 3})
        (drawn,), (again,) = loaded.predict(wild), loaded.predict(wild)
        assert drawn["choices"] == again["choices"]
        assert len({each["message"]["content"] for each in drawn["choices"]}) > 1

    def test_penalties_are_taken_from_the_logits_of_what_was_said(self, saved: Path) -> None:
        import torch

        sampling = Sampling(frequency_penalty=1.5, presence_penalty=0.5)
        said = torch.tensor([[0, 1, 3, 3], [0, 1, 2, 3]])  # two tokens of prompt, two of answer
        scores = penalties(sampling, 2)(said, torch.zeros(2, 5))
        assert scores.tolist() == [[0, 0, 0, -3.5, 0], [0, 0, -2.0, -2.0, 0]]
        asked = conversation(QUESTION, frequency_penalty=0.1)
        (answer,) = load_pyfunc(saved).predict(asked)
        assert answer["choices"][0]["message"]["content"] == ANSWER

    @pytest.mark.parametrize("wrong", [{"messages": []}, conversation("x", max_tokens=0)])
    def test_a_wrong_request_is_refused(self, saved: Path, wrong: dict[str, Any]) -> None:
        with pytest.raises(InvalidRequest):
            load_pyfunc(saved).predict(wrong)

    def test_many_conversations_have_an_answer_each(self, saved: Path) -> None:
        found = load_pyfunc(saved).predict(pd.DataFrame([conversation(each) for each in ANSWERS]))
        contents = [each["choices"][0]["message"]["content"] for each in found]
        assert contents == list(ANSWERS.values())

    def test_a_signature_of_one_s_own_is_refused(self, phi3: Path, tmp_path: Path) -> None:
        from headrace.models.signature import infer_signature

        with pytest.raises(InvalidRequest, match="signature of its own"):
            door.save_model(
                str(phi3), tmp_path / "m", task="llm/v1/chat", signature=infer_signature("a", "b")
            )

    def test_completions(self, phi3: Path, tmp_path: Path, mlflow_pyfunc: Any) -> None:
        door.save_model(str(phi3), tmp_path / "m", task="llm/v1/completions", model_config=GREEDY)
        request = {"prompt": f"<|user|>\n{QUESTION}<|end|>\n<|assistant|>\n"}
        (ours,) = load_pyfunc(tmp_path / "m").predict(request)
        (theirs,) = mlflow_pyfunc.load_model(str(tmp_path / "m")).predict(request)
        assert (
            ours["choices"]
            == theirs["choices"]
            == [{"index": 0, "finish_reason": "stop", "text": ANSWER}]
        )

    def test_what_would_run_code_at_a_call_is_refused(self, phi3: Path, tmp_path: Path) -> None:
        config = {"custom_generate": str(tmp_path), "trust_remote_code": True}
        for task in ("llm/v1/chat", "text-generation"):
            door.save_model(str(phi3), tmp_path / task, task=task, model_config=config)
            with pytest.raises(InvalidRequest, match="custom_generate"):
                load_pyfunc(tmp_path / task)


class TestOtherTasks:
    @pytest.mark.parametrize(
        ("task", "head", "data"),
        [
            ("text-classification", "BertForSequenceClassification", ["hello", "what is it"]),
            (
                "text-classification",
                "BertForSequenceClassification",
                {"text": "a", "text_pair": "b"},
            ),
            ("fill-mask", "BertForMaskedLM", ["The <mask> of France", "a <mask> b"]),
            ("token-classification", "BertForTokenClassification", ["hello you", "what"]),
            ("feature-extraction", "BertModel", "hello you"),
            (
                "zero-shot-classification",
                "BertForSequenceClassification",
                {
                    "sequences": "hello",
                    "candidate_labels": '["one", "two"]',
                    "hypothesis_template": "It is {}.",
                },
            ),
        ],
    )
    def test_it_predicts_the_same_in_both_saved_by_both(
        self,
        task: str,
        head: str,
        data: Any,
        tmp_path: Path,
        tmp_path_factory: pytest.TempPathFactory,
        mlflow_pyfunc: Any,
        mlflow_transformers: Any,
    ) -> None:
        names = ["contradiction", "neutral", "entailment"]
        labels: dict[str, Any] = {
            "id2label": dict(enumerate(names)),
            "label2id": {name: place for place, name in enumerate(names)},
        }
        config = labels if "Classification" in head else {}
        source = _bert(tmp_path_factory, head, **config)
        pipeline = transformers.pipeline(task, model=str(source))
        example: dict[str, Any] = {"input_example": data} if isinstance(data, dict) else {}
        door.save_model(pipeline, tmp_path / "ours", **example)
        mlflow_transformers.save_model(
            pipeline, str(tmp_path / "theirs"), pip_requirements=["transformers"], **example
        )
        found = [load_pyfunc(tmp_path / each).predict(data) for each in ("ours", "theirs")] + [
            mlflow_pyfunc.load_model(str(tmp_path / each)).predict(data)
            for each in ("ours", "theirs")
        ]
        for each in found[1:]:
            if isinstance(each, np.ndarray):
                np.testing.assert_allclose(each, found[0], rtol=1e-5)
            else:
                _frames_equal(each, found[0])
        assert len(found[0])

    def test_images_are_classified(self, tmp_path: Path) -> None:
        import base64
        import io

        from PIL import Image

        config = transformers.ViTConfig(
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=8,
            patch_size=4,
        )
        pipeline = transformers.pipeline(
            "image-classification",
            model=transformers.ViTForImageClassification(config),
            image_processor=transformers.ViTImageProcessorPil(size={"height": 8, "width": 8})
            if hasattr(transformers, "ViTImageProcessorPil")
            else transformers.ViTImageProcessor(size={"height": 8, "width": 8}),
        )
        door.save_model(pipeline, tmp_path / "m")
        image = Image.new("RGB", (8, 8), "red")
        written = io.BytesIO()
        image.save(written, "PNG")
        data = written.getvalue()
        loaded = load_pyfunc(tmp_path / "m")
        found = loaded.predict([base64.b64encode(data).decode()])
        expected = pipeline(image)
        _frames_equal(pd.DataFrame(list(found.iloc[0])), expected)
        with pytest.raises(InvalidRequest, match="open files and addresses by yourself"):
            loaded.predict(["/etc/passwd.png"])

    def test_embeddings(
        self,
        tmp_path: Path,
        tmp_path_factory: pytest.TempPathFactory,
        mlflow_pyfunc: Any,
    ) -> None:
        source = _bert(tmp_path_factory, "BertModel")
        pipeline = transformers.pipeline("feature-extraction", model=str(source))
        door.save_model(pipeline, tmp_path / "m", task="llm/v1/embeddings")
        data = {"input": ["hello", "what is it"]}
        ours = load_pyfunc(tmp_path / "m").predict(data)
        theirs = mlflow_pyfunc.load_model(str(tmp_path / "m")).predict(data)
        assert ours["usage"] == theirs["usage"]
        for one, other in zip(ours["data"], theirs["data"], strict=True):
            np.testing.assert_allclose(one["embedding"], other["embedding"], rtol=1e-5)

    def test_a_task_that_the_library_no_longer_has_is_said_to_be_gone(
        self, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        from headrace.models.trust import sign_folder

        source = _bert(tmp_path_factory, "BertForMaskedLM")
        door.save_model(transformers.pipeline("fill-mask", str(source)), tmp_path / "m")
        described = Model.load(tmp_path / "m")
        described.flavors["transformers"]["task"] = "summarization"
        described.save(tmp_path / "m" / "MLmodel")
        sign_folder(tmp_path / "m")
        with pytest.raises(InvalidRequest, match=r"summarization.*return_type='components'"):
            door.load_model(str(tmp_path / "m"))
        assert door.load_model(str(tmp_path / "m"), return_type="components")["model"]


class TestSaving:
    def test_a_task_of_another_pipeline_is_refused(self, phi3: Path, tmp_path: Path) -> None:
        pipeline = transformers.pipeline("text-generation", model=str(phi3))
        for task in ("llm/v1/embeddings", "llm/v1/songs"):
            with pytest.raises(InvalidRequest, match=task):
                door.save_model(pipeline, tmp_path / "m", task=task)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("model", "words"),
        [
            ({"model": None, "other": 1}, "'other'"),
            ({"tokenizer": None}, "'model'"),
            ("not/there", r"config\.json"),
            (5, "not as a int"),
        ],
    )
    def test_what_is_no_model_is_refused(self, model: Any, words: str, tmp_path: Path) -> None:
        with pytest.raises(InvalidRequest, match=words):
            door.save_model(model, tmp_path / "m", task="text-generation")
        assert not list(tmp_path.iterdir())

    def test_a_reference_to_a_hub_says_what_it_needs(self, phi3: Path, tmp_path: Path) -> None:
        pipeline = transformers.pipeline("text-generation", model=str(phi3))
        pipeline.model.config._commit_hash = "0123abc"
        pipeline.model.name_or_path = "somebody/tiny"
        door.save_model(pipeline, tmp_path / "m", save_pretrained=False)
        assert not (tmp_path / "m" / "model").exists()
        with pytest.raises(InvalidRequest, match=r"somebody/tiny.*0123abc"):
            door.load_model(str(tmp_path / "m"))

    def test_the_card_that_is_given_is_kept(self, phi3: Path, tmp_path: Path) -> None:
        from huggingface_hub import ModelCard

        (phi3 / "LICENSE").write_text("Do what you like.")
        card = ModelCard("---\nlicense: mit\n---\n# Tiny\n")
        door.save_model(str(phi3), tmp_path / "m", task="text-generation", model_card=card)
        assert "# Tiny" in (tmp_path / "m" / "model_card.md").read_text()
        assert "mit" in (tmp_path / "m" / "model_card_data.yaml").read_text()
        assert (tmp_path / "m" / "LICENSE.txt").read_text() == "Do what you like."
        (phi3 / "LICENSE").unlink()
