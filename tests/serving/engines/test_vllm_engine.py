"""What the engine over vLLM asks of it, and makes of what it tells.

A stand-in has vLLM's place here: it takes the calls of `vllm.LLMEngine` that the engine makes, and
answers with outputs of vLLM's shape. The real one is tried in tests/serving/frameworks.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from headrace.errors import InvalidRequest
from headrace.models.flavors.openai_requests import Sampling
from headrace.serving.engines.base import Finished, Generation, Piece, Refused, Started
from headrace.serving.engines.vllm_engine import Vllm, VllmEngine, checkpoint, vllm_engine

WORDS = ("one", " two", " three")


class Tokenizer:
    """A token for each character."""

    chat_template = None

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        return [1] * add_special_tokens + [ord(each) for each in text]


class StandIn:
    """Says a word to each request at each step, and then that it is over."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.aborted: list[str] = []
        self.most_at_once = 0
        self.is_shut = False
        self.engine_core = SimpleNamespace(shutdown=self._shut)
        self._said: dict[str, int] = {}

    def get_tokenizer(self) -> Tokenizer:
        return Tokenizer()

    def add_request(self, request_id: str, prompt: Any, params: Any) -> None:
        if params.get("temperature", 0) > 2:
            raise ValueError("temperature must be in [0, 2]")
        assert request_id not in self.asked
        self.asked[request_id] = (prompt, params)
        self._said[request_id] = 0
        self.most_at_once = max(self.most_at_once, len(self._said))

    def abort_request(self, request_ids: list[str]) -> None:
        self.aborted += request_ids
        for each in request_ids:
            del self._said[each]

    def step(self) -> list[Any]:
        assert self._said, "vLLM would wait for ever"
        return [self._told(name) for name in list(self._said)]

    def _told(self, name: str) -> Any:
        said = self._said[name]
        self._said[name] += 1
        is_over = said == len(WORDS)
        if is_over:
            del self._said[name]
        output = SimpleNamespace(
            text="" if is_over else WORDS[said],
            token_ids=[said],
            logprobs=None,
            finish_reason="stop" if is_over else None,
            stop_reason=None,
        )
        return SimpleNamespace(request_id=name, outputs=[output])

    def _shut(self) -> None:
        self.is_shut = True


@pytest.fixture
def stand_in() -> StandIn:
    return StandIn()


@pytest.fixture
def engine(stand_in: StandIn) -> VllmEngine:
    vllm = Vllm(stand_in, dict, (ValueError,), context_length=20, vocabulary=500)
    return VllmEngine(vllm, "made", {"max_new_tokens": 9}, slots=2)


def finish(engine: VllmEngine) -> list[Any]:
    events: list[Any] = []
    while not engine.is_idle:
        events += engine.step()
    return events


def test_a_request_is_asked_and_told(engine: VllmEngine, stand_in: StandIn) -> None:
    engine.add(Generation(4, Sampling(temperature=0.5), prompt="ab"))
    assert not engine.is_idle
    assert finish(engine) == [
        Started(4, 3),
        Piece(4, 0, "one"),
        Piece(4, 0, " two"),
        Piece(4, 0, " three"),
        Finished(4, 0, "stop", 4),
    ]
    ((prompt, params),) = stand_in.asked.values()
    assert prompt == {"type": "token", "prompt_token_ids": [1, 97, 98]}
    assert (params["temperature"], params["max_tokens"]) == (0.5, 9)


def test_each_choice_is_a_request_of_its_own(engine: VllmEngine, stand_in: StandIn) -> None:
    engine.add(Generation(4, Sampling(n=3, seed=7), prompt=[5, 6]))
    events = finish(engine)
    assert [each for each in events if isinstance(each, Started)] == [Started(4, 2)]
    ended = [each for each in events if isinstance(each, Finished)]
    assert ended == [Finished(4, index, "stop", 4) for index in range(3)]
    assert [params["seed"] for _, params in stand_in.asked.values()] == [7, 8, 9]
    assert stand_in.most_at_once == engine.capacity == 2


def test_who_comes_first_is_served_first(engine: VllmEngine) -> None:
    for key in (9, 3, 7, 1):
        engine.add(Generation(key, Sampling(), prompt="a"))
    started = [each.key for each in finish(engine) if isinstance(each, Started)]
    assert started == [9, 3, 7, 1]


def test_nobody_is_told_of_what_was_cancelled(engine: VllmEngine, stand_in: StandIn) -> None:
    for key in range(5):
        engine.add(Generation(key, Sampling(), prompt="a"))
    engine.cancel(4)
    engine.step()
    engine.cancel(0)
    engine.cancel(3)
    engine.cancel(99)
    assert len(stand_in.aborted) == 1
    events = finish(engine)
    assert {each.key for each in events} == {1, 2}
    engine.cancel(1)
    assert len(stand_in.aborted) == 1


def test_all_may_leave(engine: VllmEngine) -> None:
    engine.add(Generation(1, Sampling(n=2), prompt="a"))
    engine.step()
    engine.cancel(1)
    assert engine.is_idle
    assert engine.step() == []


@pytest.mark.parametrize(
    ("generation", "said"),
    [
        (Generation(1, Sampling(), prompt=[]), "prompt is empty"),
        (Generation(1, Sampling(), prompt=[7] * 20), "takes 20 with the answer"),
        (Generation(1, Sampling(), prompt=[-1]), "-1"),
        (Generation(1, Sampling(), prompt=[500]), "500"),
        (Generation(1, Sampling(), messages=[{"role": "user", "content": "a"}]), "chat template"),
        (Generation(1, Sampling(temperature=3, n=3), prompt="a"), r"temperature must be"),
    ],
)
def test_what_cannot_be_answered_is_refused_and_the_others_go_on(
    engine: VllmEngine, generation: Generation, said: str
) -> None:
    engine.add(Generation(0, Sampling(), prompt="a"))
    engine.add(generation)
    engine.add(Generation(2, Sampling(), prompt="a"))
    events = finish(engine)
    (refused,) = [each for each in events if isinstance(each, Refused)]
    assert refused.key == 1
    assert said in refused.message
    assert [each.key for each in events if isinstance(each, Finished)] == [0, 2]


def test_it_lets_go_of_vllm(engine: VllmEngine, stand_in: StandIn) -> None:
    engine.close()
    assert stand_in.is_shut


def test_a_model_with_an_adapter_is_refused() -> None:
    facts = {"peft_adaptor": "peft", "model_binary": "model"}
    folder: Any = SimpleNamespace(names=[])
    with pytest.raises(InvalidRequest, match="adapter"), checkpoint(folder, facts):
        raise AssertionError("it was shown")


def test_where_vllm_is_not_installed_it_says_what_is_missing() -> None:
    try:
        import vllm  # noqa: F401 - only whether it is there
    except ImportError:
        model: Any = SimpleNamespace()
        with pytest.raises(InvalidRequest, match="pip install vllm"):
            vllm_engine(model, slots=2)
    else:
        pytest.skip("vllm is installed")
