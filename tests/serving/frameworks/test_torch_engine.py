from __future__ import annotations

import copy
import itertools
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from headrace.models.flavors.openai_requests import Sampling
from headrace.models.flavors.transformers_generation import PipelineEngine
from headrace.serving.engines.base import Generation, GenerationEngine
from headrace.serving.engines.interleaved import Interleaved
from headrace.serving.engines.loop import ContinuousLoop
from headrace.testing.generation import (
    GREEDY,
    Conversation,
    GenerationEngineContract,
    alone,
    asked,
    told_of,
)
from tests.fixtures.tiny_language import ANSWERS, tiny_phi3

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]

from headrace.serving.engines.torch_cache import Places, SlotLayer  # noqa: E402 - needs them
from headrace.serving.engines.torch_checking import why_not_together  # noqa: E402 - needs them
from headrace.serving.engines.torch_engine import own_options, torch_engine  # noqa: E402 - as above

PROMPTS = ("The", "Who wrote Faust?", "A spider", "What is the capital of France? It", "MLflow is")


@pytest.fixture(scope="session")
def phi3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_phi3(tmp_path_factory.getbasetemp() / "tiny-phi3")


@pytest.fixture(scope="session")
def pipeline(phi3: Path) -> Any:
    return transformers.pipeline("text-generation", model=str(phi3), device="cpu")


def engine_of(
    pipeline: Any, config: Mapping[str, Any] | None = None, *, slots: int = 4
) -> GenerationEngine:
    return torch_engine(pipeline, config or {}, "tiny", slots=slots, threads=1)


class TestTorchEngine(GenerationEngineContract):
    @pytest.fixture
    def engine(self, pipeline: Any) -> GenerationEngine:
        engine = engine_of(pipeline)
        assert isinstance(engine, ContinuousLoop)
        return engine

    @pytest.fixture
    def known(self) -> Mapping[str, str]:
        return ANSWERS


class TestOneAfterTheOther(GenerationEngineContract):
    @pytest.fixture
    def engine(self, pipeline: Any) -> GenerationEngine:
        engine = engine_of(pipeline, {"no_repeat_ngram_size": 100})
        assert isinstance(engine, Interleaved)
        return engine

    @pytest.fixture
    def known(self) -> Mapping[str, str]:
        return ANSWERS


@pytest.fixture(scope="module", params=["sdpa", "eager", "sliding", "kinds", "places"])
def wild(request: pytest.FixtureRequest, pipeline: Any) -> Any:
    """A pipeline whose model babbles: of random weights that say something at least."""
    size = len(pipeline.tokenizer)
    like = {
        "vocab_size": size,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "eos_token_id": None,
        "bos_token_id": None,
        "pad_token_id": pipeline.tokenizer.pad_token_id,
    }
    with torch.random.fork_rng():
        torch.manual_seed(5)
        match request.param:
            case "sliding":
                config = transformers.Phi3Config(**like, sliding_window=6)
                model = transformers.Phi3ForCausalLM(config)
            case "kinds":
                config = transformers.Gemma3TextConfig(
                    **like,
                    head_dim=8,
                    sliding_window=5,
                    layer_types=["sliding_attention", "full_attention"],
                )
                model = transformers.Gemma3ForCausalLM(config)
            case "places":
                config = transformers.GPT2Config(
                    vocab_size=size,
                    n_embd=32,
                    n_layer=2,
                    n_head=4,
                    n_positions=256,
                    eos_token_id=None,
                    bos_token_id=None,
                )
                model = transformers.GPT2LMHeadModel(config)
            case kind:
                config = transformers.Phi3Config(**like)
                model = transformers.Phi3ForCausalLM(config)
                model.set_attn_implementation(kind)
        for weights in model.parameters():
            if weights.ndim > 1:
                torch.nn.init.normal_(weights, std=0.3)
    model.generation_config.eos_token_id = None
    return transformers.pipeline(
        "text-generation", model=model, tokenizer=pipeline.tokenizer, device="cpu"
    )


def own_text(pipeline: Any, prompt: str, tokens: int) -> str:
    """What `generate` makes of it, alone."""
    ids = pipeline.tokenizer(prompt, return_tensors="pt")
    made = pipeline.model.generate(
        **ids,
        do_sample=False,
        max_new_tokens=tokens,
        eos_token_id=pipeline.tokenizer.eos_token_id,
    )
    text = pipeline.tokenizer.decode(made[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
    return str(text.lstrip())


def test_each_kind_of_model_says_together_what_it_says_alone(wild: Any) -> None:
    engine = engine_of(wild, slots=3)
    assert isinstance(engine, ContinuousLoop)
    talk = Conversation(engine)
    counts = (40, 7, 25, 12, 33)
    for key, (prompt, tokens) in enumerate(zip(PROMPTS, counts, strict=True)):
        talk.add(Generation(key, replace(GREEDY, max_tokens=tokens), prompt=prompt))
        for _ in range(4):
            talk.step()
    told = talk.finish()
    for key, (prompt, tokens) in enumerate(zip(PROMPTS, counts, strict=True)):
        text = told[key].text()
        own = own_text(wild, prompt, tokens)
        # A character that is cut in the middle has no text in a stream.
        assert own.rstrip("\N{REPLACEMENT CHARACTER}") == text.rstrip("\N{REPLACEMENT CHARACTER}")
    assert sum(each.ends[0].tokens for each in told.values()) > 40


def test_a_long_prompt_in_chunks_is_as_a_whole_one(wild: Any) -> None:
    prompt = " ".join(PROMPTS * 4)
    whole = engine_of(wild)
    assert isinstance(whole, ContinuousLoop)
    chunked = ContinuousLoop(whole._decoder, {}, chunk=9)
    brief = Generation(1, replace(GREEDY, max_tokens=20), prompt=prompt)
    company = [Generation(key, replace(GREEDY, max_tokens=30), prompt=f"{key}") for key in (2, 3)]
    told = told_of(chunked, [*company, brief])
    assert told[1].answer() == alone(whole, brief).answer()


def test_sequences_outgrow_their_rows(wild: Any) -> None:
    """Beside one that grows past the first room, in the middle of both."""
    engine = engine_of(wild)
    talk = Conversation(engine)
    grows = "x" * 120
    talk.add(Generation(1, replace(GREEDY, max_tokens=60), prompt=grows))
    talk.add(Generation(2, replace(GREEDY, max_tokens=60), prompt=PROMPTS[3]))
    told = talk.finish()
    for key, prompt in ((1, grows), (2, PROMPTS[3])):
        own = own_text(wild, prompt, 60)
        text = told[key].text()
        assert own.rstrip("\N{REPLACEMENT CHARACTER}") == text.rstrip("\N{REPLACEMENT CHARACTER}")
    assert (told[1].prompt_tokens or 0) < 128 < (told[1].prompt_tokens or 0) + 60


def test_rows_that_have_no_more_addresses_are_copied() -> None:
    """As on devices where memory is taken at once."""
    places = Places(rows=2)
    layer = SlotLayer(places)
    first = torch.rand(1, 4, 100, 8)
    places.targets = torch.arange(100) + places.room
    places.first, places.last, places.length, places.is_fresh = 1, 2, 100, True
    layer.update(first, -first)
    assert places.make_room(129)
    more = torch.rand(1, 4, 1, 8)
    places.targets = torch.tensor([100]) + places.room
    places.length, places.is_fresh = 101, False
    keys, values = layer.update(more, -more)
    assert torch.equal(keys, torch.cat([first, more], dim=2))
    assert torch.equal(values, -keys)


def test_answers_are_those_of_the_pipeline(pipeline: Any) -> None:
    one = PipelineEngine(pipeline, {}, "tiny")
    engine = engine_of(pipeline)
    for key, question in enumerate([*ANSWERS, "What?", "Which capital?"]):
        generation = asked(key, question, replace(GREEDY, max_tokens=30))
        prompt = one.render(generation.messages or [], None)
        expected = one.generate(prompt, generation.sampling, is_chat=True)
        told = alone(engine, generation)
        completion = expected.completions[0]
        assert told.answer() == (completion.text, completion.finish_reason, completion.tokens)
        assert told.prompt_tokens == expected.prompt_tokens


def test_penalties_are_those_of_the_pipeline(pipeline: Any) -> None:
    sampling = replace(GREEDY, max_tokens=40, frequency_penalty=1.5, presence_penalty=0.5)
    config = {"repetition_penalty": 1.3, "min_new_tokens": 30}
    one = PipelineEngine(pipeline, config, "tiny")
    engine = engine_of(pipeline, config)
    assert isinstance(engine, ContinuousLoop)
    for prompt in PROMPTS[1:4]:
        expected = one.generate(prompt, sampling, is_chat=False).completions[0]
        told = alone(engine, Generation(1, sampling, prompt=prompt))
        assert told.answer() == (expected.text, expected.finish_reason, expected.tokens)


def test_how_long_an_answer_is_where_nobody_says(pipeline: Any) -> None:
    plain = {"do_sample": False, "eos_token_id": None}
    for config in ({}, {"max_new_tokens": 5}, {"max_length": 30}):
        one = PipelineEngine(pipeline, {**plain, **config}, "tiny")
        expected = one.generate(PROMPTS[2], Sampling(), is_chat=False).completions[0]
        engine = engine_of(pipeline, {**plain, **config})
        told = alone(engine, Generation(1, Sampling(), prompt=PROMPTS[2]))
        assert told.answer() == (expected.text, expected.finish_reason, expected.tokens)


def test_log_probabilities_are_those_of_the_models_logits(pipeline: Any) -> None:
    sampling = replace(GREEDY, temperature=1.5, seed=2, max_tokens=8, logprobs=4, top_k=200)
    engine = engine_of(pipeline, {"min_new_tokens": 8})
    told = told_of(
        engine, (Generation(key, sampling, prompt=each) for key, each in enumerate(PROMPTS))
    )
    tokenizer = pipeline.tokenizer
    seen = 0
    for key, prompt in enumerate(PROMPTS):
        ids = tokenizer(prompt)["input_ids"]
        for each in told[key].logprobs.get(0, []):
            with torch.inference_mode():
                logits = pipeline.model(torch.tensor([ids])).logits[0, -1]
            expected = torch.log_softmax(logits.double(), -1)
            top = torch.topk(expected, 4)
            assert [lp for _, lp in each.top] == pytest.approx(top.values.tolist(), abs=1e-4)
            assert each.top[0][0] == tokenizer.decode([int(top.indices[0])])
            named = [t for t in range(len(expected)) if tokenizer.decode([t]) == each.text]
            token = min(named, key=lambda t: abs(float(expected[t]) - each.logprob))
            assert float(expected[token]) == pytest.approx(each.logprob, abs=1e-4)
            ids.append(token)
            seen += 1
    assert seen > 20


def test_drawn_tokens_are_as_likely_as_the_model_says(pipeline: Any) -> None:
    sampling = Sampling(temperature=1.3, top_p=0.95, top_k=20, max_tokens=1, n=100, logprobs=0)
    engine = engine_of(pipeline, slots=16)
    told = alone(engine, Generation(1, replace(sampling, seed=1), prompt="The"))
    drawn = [told.logprobs[index][0] for index in told.logprobs]
    assert all(np.isfinite(each.logprob) for each in drawn)
    likely = alone(engine, Generation(2, replace(sampling, n=1, logprobs=20), prompt="The"))
    allowed = {text for text, _ in likely.logprobs[0][0].top}
    assert {each.text for each in drawn} <= allowed


def test_many_come_and_go(pipeline: Any) -> None:
    """The rows grow, are used again, and never show what others left."""
    engine = engine_of(pipeline, slots=5)
    talk = Conversation(engine)
    questions = itertools.cycle(ANSWERS.items())
    expected = {}
    for key in range(60):
        question, answer = next(questions)
        expected[key] = answer
        talk.add(asked(key, question))
        if key % 7 == 3:
            filler = Generation(1000 + key, replace(GREEDY, max_tokens=60), prompt="A " * key)
            talk.add(filler)
        talk.step()
        if key % 11 == 10:
            talk.cancel(key - 2)
            expected.pop(key - 2)
    told = talk.finish()
    for key, answer in expected.items():
        assert told[key].answer()[:2] == (answer, "stop")


def _alibi(size: int) -> Any:
    return transformers.BloomForCausalLM(
        transformers.BloomConfig(vocab_size=size, hidden_size=32, n_layer=1, n_head=4)
    )


def _state_space(size: int) -> Any:
    return transformers.MambaForCausalLM(
        transformers.MambaConfig(vocab_size=size, hidden_size=32, num_hidden_layers=1)
    )


def _long_rope(size: int) -> Any:
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0] * 4,
        "long_factor": [2.0] * 4,
        "original_max_position_embeddings": 64,
    }
    return transformers.Phi3ForCausalLM(
        transformers.Phi3Config(
            vocab_size=size,
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=4,
            max_position_embeddings=256,
            original_max_position_embeddings=64,
            rope_parameters=rope,
            pad_token_id=0,
        )
    )


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_alibi, "does not take a mask"),
        (_state_space, "linear_attention"),
        (_long_rope, "longrope"),
    ],
)
def test_models_that_do_not_fit_answer_one_after_the_other(
    pipeline: Any, caplog: pytest.LogCaptureFixture, make: Any, reason: str
) -> None:
    model = make(len(pipeline.tokenizer))
    model.generation_config.eos_token_id = None
    other = transformers.pipeline(
        "text-generation", model=model, tokenizer=pipeline.tokenizer, device="cpu"
    )
    with caplog.at_level(logging.WARNING, "headrace.serving"):
        engine = engine_of(other)
    assert isinstance(engine, Interleaved)
    assert "one request after the other" in caplog.text
    assert reason in caplog.text
    brief = replace(GREEDY, max_tokens=5)
    told = told_of(engine, (Generation(key, brief, prompt=PROMPTS[key]) for key in range(3)))
    for key in range(3):
        text = told[key].text()
        own = own_text(other, PROMPTS[key], 5)
        assert text.rstrip("\N{REPLACEMENT CHARACTER}") == own.rstrip("\N{REPLACEMENT CHARACTER}")


def test_a_model_whose_company_changes_it_is_found_out(pipeline: Any) -> None:
    model = copy.deepcopy(pipeline.model)

    def leak(_: Any, __: Any, answer: Any) -> None:
        """Each sequence hears a little of the others in its call."""
        answer.logits = answer.logits + 0.1 * answer.logits.flip(0)

    model.register_forward_hook(leak)
    leaky = SimpleNamespace(model=model, tokenizer=pipeline.tokenizer)
    why = why_not_together(leaky)
    assert why is not None
    assert "logits differ" in why


def test_options_that_the_loop_does_not_have_leave_it_to_the_library(
    pipeline: Any, caplog: pytest.LogCaptureFixture
) -> None:
    without_effect = {"num_beams": 1, "typical_p": 1.0, "batch_size": 4}
    assert isinstance(engine_of(pipeline, without_effect), ContinuousLoop)
    beams = {"num_beams": 2, "do_sample": False, "max_new_tokens": 20}
    engine = engine_of(pipeline, beams)
    assert isinstance(engine, Interleaved)
    assert "'num_beams'" in caplog.text
    # Beams can't be streamed: it comes in one piece.
    (question, answer), *_ = ANSWERS.items()
    told = alone(engine, asked(1, question, Sampling()))
    assert told.pieces == {0: [answer]}


def test_a_configuration_that_is_wrong_is_the_librarys_to_refuse(
    pipeline: Any, caplog: pytest.LogCaptureFixture
) -> None:
    engine = engine_of(pipeline, {"do_sample": True, "temperature": -1.0})
    assert "'temperature' must be a number" in caplog.text
    refused = alone(engine, asked(1, "Who wrote Faust?", Sampling())).refused
    assert refused is not None
    assert refused.code == "INVALID_PARAMETER_VALUE"
    assert "temperature" in refused.message


def test_own_options_are_in_the_librarys_order(pipeline: Any) -> None:
    options = own_options(pipeline, {"top_p": 0.5})
    assert options["top_k"] == 50
    assert options["top_p"] == 0.5
    assert options["max_new_tokens"] == 256
    assert "max_new_tokens" not in own_options(pipeline, {"max_length": 9})


def test_a_prompt_of_tokens_is_taken_as_it_is(pipeline: Any) -> None:
    engine = engine_of(pipeline)
    text = "<|user|>\nWho wrote Faust?<|end|>\n<|assistant|>\n"
    tokens = pipeline.tokenizer(text)["input_ids"]
    told = alone(engine, Generation(1, GREEDY, prompt=tokens))
    assert told.text() == ANSWERS["Who wrote Faust?"]
    assert told.prompt_tokens == len(tokens)
    refused = alone(engine, Generation(2, GREEDY, prompt=[len(pipeline.tokenizer)])).refused
    assert refused is not None
    assert "no token of this model" in refused.message
    surrogate = alone(engine, Generation(3, GREEDY, prompt="\ud800")).refused
    assert surrogate is not None


def test_text_of_many_bytes_comes_whole(pipeline: Any) -> None:
    """Characters of several tokens are not torn apart, in any place of a long text."""
    from headrace.serving.engines.torch_text import StreamedText, backend_decode

    text = "naïve café 🙂 — 日本語のテキスト. " * 8
    tokens = pipeline.tokenizer(text)["input_ids"]
    stream = StreamedText(backend_decode(pipeline.tokenizer))
    pieces = [stream.add(token) for token in tokens]
    assert "".join(pieces) == text
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)
    assert sum(piece != "" for piece in pieces) > len(text) / 4
    broken = pipeline.tokenizer("日")["input_ids"][:1]
    cut = StreamedText(backend_decode(pipeline.tokenizer))
    said = "".join(cut.add(token) for token in broken * 6)
    assert said.startswith("\N{REPLACEMENT CHARACTER}")
