"""vLLM itself, where it is installed on a machine with a GPU; and the checkpoint it is given."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import headrace.transformers as door
from headrace.models.loading import load_pyfunc
from headrace.models.pyfunc import PyFuncModel
from headrace.serving.engines.base import GenerationEngine
from headrace.serving.engines.vllm_engine import checkpoint, vllm_engine
from headrace.testing.generation import GenerationEngineContract
from tests.fixtures.tiny_language import ANSWERS, tiny_phi3

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.heavy,
    # Those of the libraries that are called.
    pytest.mark.filterwarnings("ignore"),
]
HAS_VLLM = importlib.util.find_spec("vllm") is not None and torch.cuda.is_available()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> PyFuncModel:
    folder = tiny_phi3(tmp_path_factory.getbasetemp() / "tiny-phi3")
    pipeline = transformers.pipeline("text-generation", model=str(folder))
    target = tmp_path_factory.mktemp("saved") / "model"
    door.save_model(pipeline, target, task="llm/v1/chat")
    return load_pyfunc(target)


def test_the_checkpoint_has_all_that_vllm_reads_and_nothing_that_runs(saved: PyFuncModel) -> None:
    with checkpoint(saved.folder, saved.metadata.flavors["transformers"]) as view:
        names = {each.name for each in view.iterdir()}
        assert {"config.json", "generation_config.json", "tokenizer.json"} <= names
        assert all(Path(each).suffix in (".json", ".jinja", ".safetensors") for each in names)
        tokenizer = transformers.AutoTokenizer.from_pretrained(view)
        model = transformers.AutoModelForCausalLM.from_pretrained(view)
        question, answer = next(iter(ANSWERS.items()))
        messages = [{"role": "user", "content": question}]
        rendered = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer(rendered, return_tensors="pt")
        made = model.generate(**ids, do_sample=False, max_new_tokens=40)[0]
        told = tokenizer.decode(made[ids["input_ids"].shape[1] :], skip_special_tokens=True)
        assert told == answer
    assert not view.exists()


@pytest.mark.skipif(not HAS_VLLM, reason="needs a GPU and vllm")
class TestVllm(GenerationEngineContract):
    """All that every engine must do."""

    @pytest.fixture(scope="class")
    def loaded(self, saved: PyFuncModel) -> Iterator[GenerationEngine]:
        engine = vllm_engine(saved, slots=4)
        yield engine
        engine.close()

    @pytest.fixture
    def engine(self, loaded: GenerationEngine) -> GenerationEngine:
        return loaded

    @pytest.fixture
    def known(self) -> Mapping[str, str]:
        return ANSWERS
