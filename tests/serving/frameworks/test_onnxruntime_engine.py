"""Models for ONNX Runtime GenAI, calculated together over ONNX Runtime: int4 and fp32."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.errors import InvalidRequest
from headrace.models.flavors.onnxruntime_genai_engine import GenAIModel
from headrace.models.flavors.openai_requests import Sampling
from headrace.serving.engines import onnxruntime_session
from headrace.serving.engines.base import Generation, GenerationEngine
from headrace.serving.engines.genai_check import agrees
from headrace.serving.engines.genai_description import config_of, described
from headrace.serving.engines.genai_engine import genai_engine
from headrace.serving.engines.interleaved import Interleaved
from headrace.serving.engines.loop import ContinuousLoop
from headrace.serving.engines.onnxruntime_decoder import OnnxRuntimeDecoder
from headrace.serving.engines.onnxruntime_session import CachedSession
from headrace.testing.generation import GenerationEngineContract, asked, told_of
from tests.fixtures.tiny_language import ANSWERS, tiny_phi3

og = pytest.importorskip("onnxruntime_genai")
onnx = pytest.importorskip("onnx")
transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.heavy,
    # The builder's and transformers' own.
    pytest.mark.filterwarnings("ignore"),
]
MOST = 40
"""Tokens of an answer in the tests below."""


@pytest.fixture(scope="module")
def phi3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_phi3(tmp_path_factory.getbasetemp() / "tiny-phi3")


def build(checkpoint: Path, made: Path, precision: str) -> Path:
    """The folder `made`, by ONNX Runtime GenAI's builder (some seconds)."""
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
    command = [*builder, "-i", str(checkpoint), "-o", str(made), "-p", precision, "-e", "cpu"]
    subprocess.run(command, check=True, capture_output=True, timeout=110)
    return made


@pytest.fixture(scope="module", params=["int4", "fp32"])
def built(
    phi3: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Path:
    """The folder that the builder makes of the tiny Phi-3."""
    made = tmp_path_factory.mktemp("genai") / f"tiny-phi3-{request.param}"
    return build(phi3, made, request.param)


def configured(phi3: Path, folder: Path, **config: Any) -> GenAIModel:
    """The tiny Phi-3 with another configuration, in fp32."""
    shutil.copytree(phi3, folder / "checkpoint")
    file = folder / "checkpoint" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **config}))
    return GenAIModel(build(folder / "checkpoint", folder / "genai", "fp32"))


@pytest.fixture(scope="module")
def model(built: Path) -> GenAIModel:
    return GenAIModel(built)


def decoder_of(model: GenAIModel, slots: int) -> OnnxRuntimeDecoder:
    folder = Path(model.path)
    session = CachedSession(folder, described(config_of(folder)), rows=slots)
    return OnnxRuntimeDecoder(model, session, slots=slots)


class TestContinuousLoop(GenerationEngineContract):
    """All that every engine must do."""

    @pytest.fixture
    def engine(self, model: GenAIModel) -> GenerationEngine:
        return ContinuousLoop(decoder_of(model, 4))

    @pytest.fixture
    def known(self) -> Mapping[str, str]:
        return ANSWERS


class TestTakingTurns(GenerationEngineContract):
    """The same, where requests take turns between ONNX Runtime GenAI's own generators."""

    @pytest.fixture
    def engine(self, model: GenAIModel) -> GenerationEngine:
        # An option that the loop does not follow, and that changes nothing.
        engine = genai_engine(model.with_options({"min_length": 1, "do_sample": False}), slots=3)
        assert isinstance(engine, Interleaved)
        return engine

    @pytest.fixture
    def known(self) -> Mapping[str, str]:
        return ANSWERS


def tokens_of_genai(model: GenAIModel, prompt: list[int]) -> list[int]:
    """The greedy answer of ONNX Runtime GenAI's own generator, its last token included."""
    params = og.GeneratorParams(model.model)
    length = min(model.context_length, len(prompt) + MOST)
    params.set_search_options(max_length=length, do_sample=False)
    generator = og.Generator(model.model, params)
    generator.append_tokens(np.array(prompt, np.int32))
    made = []
    while not generator.is_done():
        generator.generate_next_token()
        made.append(int(generator.get_next_tokens()[0]))
    return made


class Company:
    """Sequences that join, pause and leave a decoder as chance has it."""

    def __init__(self, decoder: OnnxRuntimeDecoder, prompts: list[list[int]], seed: int) -> None:
        self.made: dict[int, list[int]] = {}
        self._decoder = decoder
        self._prompts = prompts
        self._chance = random.Random(seed)
        self._live: dict[int, int] = {}

    def go_on(self) -> None:
        """Until all have been answered."""
        waiting = list(range(len(self._prompts)))
        while waiting or self._live:
            while waiting and len(self._live) < self._decoder.slots and self._chance.random() < 0.6:
                self._join(waiting.pop(0))
            if self._live and self._chance.random() < 0.1:  # someone hangs up, and asks again
                slot, number = self._live.popitem()
                self._decoder.leave(slot)
                waiting.append(number)
            slots = [slot for slot in self._live if self._chance.random() < 0.9]
            self._chance.shuffle(slots)
            if slots:
                last = [self.made[self._live[slot]][-1] for slot in slots]
                for slot, row in zip(slots, self._decoder.step(slots, last), strict=True):
                    self._take(slot, row)

    def _join(self, number: int) -> None:
        free = sorted(set(range(self._decoder.slots)) - set(self._live))
        slot, prompt = self._chance.choice(free), self._prompts[number]
        self._live[slot] = number
        self.made[number] = []
        cut = self._chance.randrange(len(prompt))
        if cut:
            self._decoder.prefill(slot, prompt[:cut], 0)
            if self._live.keys() - {slot}:  # others go on between the parts of a prompt
                other = next(each for each in self._live if each != slot)
                last = [self.made[self._live[other]][-1]]
                self._take(other, self._decoder.step([other], last)[0])
        self._take(slot, self._decoder.prefill(slot, prompt[cut:], cut))

    def _take(self, slot: int, logits: Any) -> None:
        number = self._live[slot]
        made = self.made[number]
        made.append(int(logits.argmax()))
        is_full = len(self._prompts[number]) + len(made) == self._decoder.context_length
        if made[-1] in self._decoder.end_tokens or len(made) == MOST or is_full:
            self._decoder.leave(slot)
            del self._live[slot]


def prompts_of(model: GenAIModel, seed: int) -> list[list[int]]:
    """What it knows by heart, and nonsense of all lengths."""
    chance = random.Random(seed)
    known = [f"<|user|>\n{question}<|end|>\n<|assistant|>\n" for question in ANSWERS]
    prompts = [[int(token) for token in model.tokenizer.encode(each)] for each in known * 3]
    for length in (1, 2, 7, 31, 90, 150, 200, 240):
        prompts.append([chance.randrange(6, 800) for _ in range(length)])
    chance.shuffle(prompts)
    return prompts


@pytest.mark.parametrize("seed", range(3))
def test_tokens_are_those_of_genai_in_any_company(model: GenAIModel, seed: int) -> None:
    prompts = prompts_of(model, seed)
    company = Company(decoder_of(model, 5), prompts, seed)
    company.go_on()
    for number, prompt in enumerate(prompts):
        assert company.made[number] == tokens_of_genai(model, prompt), number


def test_the_cache_grows_with_the_longest_and_long_prompts_are_cut(
    model: GenAIModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime_session, "_FIRST_PLACES", 9)
    monkeypatch.setattr(onnxruntime_session, "_PART", 16)
    prompts = prompts_of(model, 7)
    company = Company(decoder_of(model, 3), prompts, 7)
    company.go_on()
    for number, prompt in enumerate(prompts):
        assert company.made[number] == tokens_of_genai(model, prompt), number


def test_answers_are_those_of_torch(phi3: Path, model: GenAIModel) -> None:
    torch_model = transformers.AutoModelForCausalLM.from_pretrained(phi3)
    tokenizer = transformers.AutoTokenizer.from_pretrained(phi3)
    told = told_of(
        ContinuousLoop(decoder_of(model, 3)),
        [asked(key, question) for key, question in enumerate(ANSWERS)],
    )
    for key, question in enumerate(ANSWERS):
        prompt = f"<|user|>\n{question}<|end|>\n<|assistant|>\n"
        ids = tokenizer(prompt, return_tensors="pt")
        made = torch_model.generate(**ids, do_sample=False, max_new_tokens=MOST)[0]
        expected = made[ids["input_ids"].shape[1] :].tolist()
        text = tokenizer.decode(expected, skip_special_tokens=True)
        assert told[key].answer() == (text, "stop", len(expected))


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_it_agrees_with_genai_before_it_serves(model: GenAIModel, slots: int) -> None:
    decoder = decoder_of(model, slots)
    assert agrees(decoder, model)
    assert agrees(decoder, model)  # it left nothing behind


def test_a_mask_that_is_wrong_by_one_does_not_agree(
    model: GenAIModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stepped(self: CachedSession, rows: list[int], tokens: list[int]) -> Any:
        logits = step(self, rows, tokens)
        for row in rows:
            self.lengths[row] -= 1
        return logits

    step = CachedSession.step
    monkeypatch.setattr(CachedSession, "step", stepped)
    assert not agrees(decoder_of(model, 4), model)


def test_a_sequence_cannot_be_longer_than_the_context(model: GenAIModel) -> None:
    decoder = decoder_of(model, 2)
    decoder.prefill(0, [7] * model.context_length, 0)
    with pytest.raises(InvalidRequest, match="256"):
        decoder.step([0], [7])
    with pytest.raises(InvalidRequest, match="256"):
        decoder.prefill(1, [7] * (model.context_length + 1), 0)


def test_text_that_is_no_unicode_is_refused(model: GenAIModel) -> None:
    with pytest.raises(InvalidRequest, match="Unicode"):
        decoder_of(model, 1).encode("\ud800", is_rendered=False)


def test_characters_come_whole(model: GenAIModel) -> None:
    decoder = decoder_of(model, 1)
    tokens = decoder.encode("é 日本 ok<|end|>", is_rendered=True)
    stream = decoder.text_stream()
    pieces = [stream.add(token) for token in tokens]
    assert "".join(pieces) == "é 日本 ok"
    assert "\ufffd" not in "".join(pieces)
    assert decoder.token_text(decoder.encode("o", is_rendered=True)[0]) == "o"


def test_a_sequence_that_paused_leaves_nothing_behind(model: GenAIModel) -> None:
    decoder = decoder_of(model, 2)
    prompt = list(range(20, 30))
    expected = decoder.prefill(0, prompt, 0).copy()
    decoder.prefill(0, list(range(10, 60)), 0)
    decoder.prefill(1, prompt, 0)
    decoder.step([1], [7])  # and the first rides along
    decoder.leave(0)
    decoder.prefill(0, prompt, 0)
    assert np.array_equal(decoder.prefill(0, prompt, 0), expected)
    assert np.array_equal(decoder.prefill(0, prompt[4:], 4).argmax(), expected.argmax())


def test_the_models_options_hold_where_a_request_says_nothing(model: GenAIModel) -> None:
    question, answer = next(iter(ANSWERS.items()))
    silent = Sampling()

    def told(options: dict[str, Any], sampling: Sampling = silent) -> tuple[str, str, int]:
        engine = genai_engine(model.with_options(options), slots=2)
        assert isinstance(engine, ContinuousLoop)
        return told_of(engine, [asked(1, question, sampling)])[1].answer()

    assert told({})[:2] == (answer, "stop")  # do_sample is false in genai_config.json
    assert told({"max_new_tokens": 2})[1:] == ("length", 2)
    assert told({"stop": [" is"]})[0] == answer[: answer.index(" is")]
    assert told({"max_new_tokens": 2}, Sampling(max_tokens=100))[:2] == (answer, "stop")
    drawn = {"do_sample": True, "temperature": 3.0, "top_k": 0, "seed": 3, "max_new_tokens": 12}
    assert told(drawn) == told(drawn)
    assert told(drawn)[0] != answer
    assert told(drawn, Sampling(temperature=0))[:2] == (answer, "stop")


def crafted(built: Path, folder: Path, place: str, value: Any) -> GenAIModel:
    """The model with another value in its genai_config.json; None takes it away."""
    shutil.copytree(built, folder)
    config = json.loads((folder / "genai_config.json").read_text())
    *tables, key = place.split(".")
    table = config
    for name in tables:
        table = table[name]
    if value is None:
        table.pop(key)
    else:
        table[key] = value
    (folder / "genai_config.json").write_text(json.dumps(config))
    return GenAIModel(folder)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("model.decoder.inputs.past_key_names", "nope", "'past_key_names'"),
        ("model.decoder.num_hidden_layers", 10**9, "'num_hidden_layers'"),
        ("model.decoder.head_size", 10**9, "'head_size'"),
        ("search.top_p", 7, "'top_p'"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(
    built: Path, tmp_path: Path, place: str, value: Any, said: str
) -> None:
    model = crafted(built, tmp_path / "crafted", place, value)
    with pytest.raises(InvalidRequest, match=said):
        genai_engine(model, slots=2)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("model.decoder.num_hidden_layers", 3, "past_key_values.2.key"),
        ("model.context_length", 10**6, "cos_cache"),
        ("search.past_present_share_buffer", False, "past_present_share_buffer"),
        ("search.min_length", 1, "min_length"),
    ],
)
def test_what_cannot_be_calculated_together_takes_turns(
    built: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    place: str,
    value: Any,
    said: str,
) -> None:
    model = crafted(built, tmp_path / "crafted", place, value)
    engine = genai_engine(model, slots=2)
    assert isinstance(engine, Interleaved)
    assert said in caplog.text
    question, answer = next(iter(ANSWERS.items()))
    assert told_of(engine, [asked(1, question)])[1].answer()[:2] == (answer, "stop")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("model.decoder.inputs.past_key_names", "nope.%d.key"),
        ("model.decoder.inputs.input_ids", "tokens"),
        ("model.decoder.head_size", 17),
    ],
)
def test_a_description_of_another_graph_refuses_requests(
    built: Path, tmp_path: Path, place: str, value: Any
) -> None:
    engine = genai_engine(crafted(built, tmp_path / "crafted", place, value), slots=2)
    told = told_of(engine, [asked(key, next(iter(ANSWERS))) for key in range(3)])
    assert all(each.refused is not None for each in told.values())
    assert engine.is_idle


def test_a_graph_whose_rows_depend_on_the_longest_takes_turns(
    phi3: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """LongRoPE: all angles change when the longest has more than 64 tokens."""
    factors = {"short_factor": [1.0] * 8, "long_factor": [1.0 + place for place in range(8)]}
    kind = {"rope_type": "longrope", "type": "longrope", "rope_theta": 10000.0}
    rope = {**kind, **factors, "original_max_position_embeddings": 64}
    model = configured(phi3, tmp_path, rope_parameters=rope, original_max_position_embeddings=64)
    engine = genai_engine(model, slots=2)
    assert isinstance(engine, Interleaved)
    assert "longest row" in caplog.text
    question, answer = next(iter(ANSWERS.items()))
    assert told_of(engine, [asked(1, question)])[1].answer()[:2] == (answer, "stop")


def test_layers_that_see_a_window_only_give_the_tokens_of_genai(
    phi3: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = ["sliding_attention", "full_attention"]
    model = configured(phi3, tmp_path, sliding_window=20, layer_types=layers)
    assert isinstance(genai_engine(model, slots=2), ContinuousLoop)
    monkeypatch.setattr(onnxruntime_session, "_FIRST_PLACES", 9)  # fewer than the window has
    prompts = prompts_of(model, 5)
    company = Company(decoder_of(model, 3), prompts, 5)
    company.go_on()
    for number, prompt in enumerate(prompts):
        assert company.made[number] == tokens_of_genai(model, prompt), number


def test_a_window_that_no_layer_has_does_not_matter(built: Path, tmp_path: Path) -> None:
    """What the builder writes for Phi-3-mini-4k, whose graph attends to everything."""
    slides = {"slide_key_value_cache": False, "slide_inputs": False}
    window = {"window_size": 20, "layers": [], "cache_slack": 0, **slides}
    model = crafted(built, tmp_path / "crafted", "model.decoder.sliding_window", window)
    engine = genai_engine(model, slots=2)
    assert isinstance(engine, ContinuousLoop)
    told = told_of(engine, [Generation(1, Sampling(temperature=0), prompt=[30] * 100)])
    assert told[1].refused is None
    plain = told_of(
        genai_engine(GenAIModel(built), slots=2),
        [Generation(1, Sampling(temperature=0), prompt=[30] * 100)],
    )
    assert told[1].answer() == plain[1].answer()


def test_places_are_given_where_the_graph_asks_for_them(built: Path, tmp_path: Path) -> None:
    """In a graph that adds something to each logit that depends on its token's place."""
    folder = tmp_path / "with-places"
    shutil.copytree(built, folder)
    graph = onnx.load(folder / "model.onnx", load_external_data=False)
    give_places(graph.graph)
    onnx.save(graph, folder / "model.onnx")
    config = json.loads((folder / "genai_config.json").read_text())
    config["model"]["decoder"]["inputs"]["position_ids"] = "position_ids"
    (folder / "genai_config.json").write_text(json.dumps(config))
    model = GenAIModel(folder)
    assert isinstance(genai_engine(model, slots=3), ContinuousLoop)
    prompts = prompts_of(model, 4)
    company = Company(decoder_of(model, 3), prompts, 4)
    company.go_on()
    for number, prompt in enumerate(prompts):
        assert company.made[number] == tokens_of_genai(model, prompt), number


def give_places(graph: Any) -> None:
    make = onnx.helper
    graph.input.append(
        make.make_tensor_value_info("position_ids", onnx.TensorProto.INT64, ["batch", "length"])
    )
    last = next(node for node in graph.node if "logits" in node.output)
    last.output[0] = "plain_logits"
    size = graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    weights = np.linspace(0, 1, size, dtype=np.float32)
    graph.initializer.extend(
        [
            onnx.numpy_helper.from_array(weights, "of_places"),
            onnx.numpy_helper.from_array(np.array([2], np.int64), "third"),
        ]
    )
    graph.node.extend(
        [
            make.make_node("Cast", ["position_ids"], ["places"], to=onnx.TensorProto.FLOAT),
            make.make_node("Unsqueeze", ["places", "third"], ["columns"]),
            make.make_node("Mul", ["columns", "of_places"], ["added"]),
            make.make_node("Add", ["plain_logits", "added"], ["logits"]),
        ]
    )


def test_names_that_are_not_given_are_those_of_genai(built: Path, tmp_path: Path) -> None:
    model = crafted(built, tmp_path / "crafted", "model.decoder.inputs", None)
    assert isinstance(genai_engine(model, slots=2), ContinuousLoop)


@pytest.mark.parametrize("threads", [None, 1, 2])
def test_threads_may_be_chosen(model: GenAIModel, threads: int | None) -> None:
    engine = genai_engine(model, slots=2, threads=threads)
    assert isinstance(engine, ContinuousLoop)
    question, answer = next(iter(ANSWERS.items()))
    assert told_of(engine, [asked(1, question)])[1].answer()[:2] == (answer, "stop")
