"""The memory that the engines over PyTorch and ONNX Runtime take, as the system counts it."""

from __future__ import annotations

import gc
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.models.flavors.openai_requests import Sampling
from headrace.serving.engines import onnxruntime_session, room, torch_decoder
from headrace.serving.engines.base import Generation, GenerationEngine
from headrace.serving.engines.loop import ContinuousLoop
from headrace.serving.engines.room import Room
from headrace.testing.generation import (
    GREEDY,
    ChoicesContract,
    Conversation,
    TogetherContract,
    alone,
    told_of,
)
from tests.fixtures.tiny_language import ANSWERS, tiny_phi3
from tests.serving.engines.held import held_bytes

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")
og = pytest.importorskip("onnxruntime_genai")
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(sys.platform != "linux", reason="measures as Linux tells"),
]

from headrace.models.flavors.onnxruntime_genai_engine import GenAIModel  # noqa: E402 - needs it
from headrace.serving.engines.genai_engine import genai_engine  # noqa: E402 - as above
from headrace.serving.engines.torch_engine import torch_engine  # noqa: E402 - as above

CONTEXT = 4096
TOKEN = 2 * 2 * 4 * 16 * 4
"""Bytes of keys and values: of 2 layers, 4 heads of 16 numbers."""
PART = 0.7
"""Of the memory that is free, what keys and values may take."""
Engines = Callable[[int, int], GenerationEngine]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Phi-3 with a longer context."""
    folder = tmp_path_factory.mktemp("long") / "checkpoint"
    shutil.copytree(tiny_phi3(tmp_path_factory.getbasetemp() / "tiny-phi3"), folder)
    file = folder / "config.json"
    longer = {"max_position_embeddings": CONTEXT, "original_max_position_embeddings": CONTEXT}
    file.write_text(json.dumps({**json.loads(file.read_text()), **longer}))
    return folder


@pytest.fixture(scope="module", params=["transformers", "onnxruntime"])
def make(request: pytest.FixtureRequest, checkpoint: Path, tmp_path_factory: Any) -> Engines:
    """An engine with so many slots, where so many bytes are free."""
    if request.param == "transformers":
        pipeline = transformers.pipeline("text-generation", model=str(checkpoint), device="cpu")

        def over_torch(slots: int, free: int) -> GenerationEngine:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(torch_decoder, "free_memory", left_of(free))
                return torch_engine(pipeline, {}, "tiny", slots=slots, threads=1)

        return over_torch
    folder = tmp_path_factory.mktemp("genai") / "built"
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
    command = [*builder, "-i", str(checkpoint), "-o", str(folder), "-p", "fp32", "-e", "cpu"]
    subprocess.run(command, check=True, capture_output=True, timeout=110)
    model = GenAIModel(folder)

    def made(slots: int, free: int) -> GenerationEngine:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(onnxruntime_session, "free_memory", left_of(free))
            return genai_engine(model, slots=slots)

    return made


def left_of(free: int) -> Callable[[], int]:
    """What is left of so many bytes, by what all engines take from now on."""
    before = held_bytes()
    return lambda: free - (held_bytes() - before)


def free_for(tokens: int) -> int:
    """So many free bytes that keys and values may have memory for these."""
    return int(tokens * TOKEN / PART)


class TestWithLittleMemory(TogetherContract, ChoicesContract):
    """Answers are as ever, though they wait for each other."""

    @pytest.fixture
    def engine(self, make: Engines) -> GenerationEngine:
        engine = make(4, free_for(100_000))
        assert isinstance(engine, ContinuousLoop)
        overhead = engine._decoder.room.overhead
        engine._decoder.room = Room(2 * (130 + overhead), overhead)  # of 4, two fit
        return engine

    @pytest.fixture
    def known(self) -> Mapping[str, str]:
        return ANSWERS


def unused(engine: GenerationEngine) -> int:
    """What slots without a sequence may hold, at most: bytes."""
    assert isinstance(engine, ContinuousLoop)
    return engine.capacity * engine._decoder.room.needed(1) * TOKEN


def babble(key: int, prompt: int, answer: int) -> Generation:
    """A prompt and an answer of so many tokens, which no end cuts short."""
    chance = random.Random(key)
    sampling = replace(GREEDY, max_tokens=answer, logit_bias=tuple((t, -100.0) for t in range(6)))
    return Generation(key, sampling, prompt=[chance.randrange(6, 800) for _ in range(prompt)])


def test_memory_is_taken_as_tokens_come_and_never_more_than_there_is(make: Engines) -> None:
    gc.collect()
    before = held_bytes()
    free = free_for(8_000)
    engine = make(8, free)
    talk = Conversation(engine)
    chance = random.Random(5)
    alike = [babble(key, *chance.choice([(1250, 30), (750, 40), (20, 60)])) for key in range(16)]
    talk.add(*alike[:10])
    most = 0
    for number in range(20_000):
        talk.step()
        if number % 5 == 0:
            held = held_bytes() - before
            most = max(most, held)
            assert held <= PART * free
        if number == 30:
            talk.cancel(talk.started[1])
            talk.add(*alike[10:])
        if engine.is_idle:
            break
    assert most > 0.4 * PART * free
    told = talk.finish()
    cancelled = talk.started[1]
    for each in alike[1::5]:
        if each.key != cancelled:
            assert told[each.key].answer() == alone(engine, each).answer()
    assert held_bytes() - before <= unused(engine)
    assert sum(each.prompt_tokens or 0 for each in told.values()) * TOKEN > PART * free


def test_short_ones_go_together_where_few_long_ones_fit(make: Engines) -> None:
    """As many as there are slots, though the memory is for one or two of full length."""
    engine = make(8, free_for(9_000))
    assert isinstance(engine, ContinuousLoop)
    assert engine.capacity == 8
    talk = Conversation(engine)
    talk.add(*(babble(key, 20, 300) for key in range(8)))
    while len(talk.started) < 8:
        talk.step()
    assert not any(each.ends for each in talk.told.values())
    for key in range(8):
        talk.cancel(key)
    talk.add(*(babble(key, 2800, 20) for key in range(10, 14)))
    counts = set()
    while not engine.is_idle:
        talk.step()
        counts.add(len(engine._active) + len(engine._joining))
    room = engine._decoder.room
    assert max(counts) == room.tokens // room.needed(2820) < 4


def test_answers_that_outgrow_the_memory_are_as_alone(make: Engines) -> None:
    """The last to join steps back, and takes in again what it said."""
    engine = make(3, free_for(2_000))
    assert isinstance(engine, ContinuousLoop)
    engine._decoder.room = Room(500)
    talk = Conversation(engine)
    wordy = [babble(key, 20, 300) for key in range(3)]
    talk.add(*wordy)
    under_way = []
    while not engine.is_idle:
        talk.step()
        under_way.append(len(engine._active))
    assert talk.started == [0, 1, 2]
    assert (max(under_way), under_way[250]) == (3, 1)
    for each in wordy:
        assert talk.told[each.key].answer() == alone(engine, each).answer()


def test_engines_that_share_memory_take_no_more_than_there_is(
    make: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of several workers do."""
    monkeypatch.setattr(room, "_LOOK_EVERY", 0.0)
    gc.collect()
    before = held_bytes()
    free = free_for(6_000)
    talks = [Conversation(make(8, free)) for _ in range(2)]
    for talk in talks:
        talk.add(*(babble(key, 750, 60) for key in range(8)))
    most = 0
    while not all(talk.engine.is_idle for talk in talks):
        for talk in talks:
            talk.step()
        most = max(most, held_bytes() - before)
    assert 0.4 * free < most < free
    expected = alone(talks[0].engine, babble(3, 750, 60)).answer()
    assert [talk.finish()[3].answer() for talk in talks] == [expected, expected]


def test_one_alone_may_take_more_than_there_is(make: Engines) -> None:
    gc.collect()
    before = held_bytes()
    free = free_for(1000)
    engine = make(3, free)
    brief = Generation(1, Sampling(temperature=0.0, max_tokens=5), prompt=[30] * 3000)
    told = told_of(engine, [brief, replace(brief, key=2)])
    assert told[1].answer() == told[2].answer()
    assert held_bytes() - before <= unused(engine)
