"""Requests and answers in the shape of OpenAI's API, with an engine that repeats its prompt."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

import pytest

from headrace.errors import InvalidRequest
from headrace.models.flavors.openai_answers import (
    Completion,
    Generated,
    embeddings_answer,
)
from headrace.models.flavors.openai_engine import Engine, answers, chat_pieces
from headrace.models.flavors.openai_requests import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    Sampling,
    messages_of,
    rows_of,
    sampling_of,
    texts_of,
)
from headrace.models.flavors.openai_signatures import check_no_other_signature, signature_of_task
from headrace.models.flavors.stop_texts import cut_at_stop
from headrace.models.schema import ColSpec, Schema
from headrace.models.signature import ModelSignature


class Echo(Engine):
    """Says the words of its prompt again; a word is a token."""

    model_name = "echo"

    def render(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> str:
        return " ".join(message["content"] for message in messages)

    def generate(self, prompt: str, sampling: Sampling, *, is_chat: bool) -> Generated:
        words = prompt.split()
        made = words[: sampling.max_tokens]
        text, is_stopped = cut_at_stop(" ".join(made), sampling.stop)
        ended = is_stopped or len(made) == len(words)
        one = Completion(text, len(made), "stop" if ended else "length")
        return Generated(len(words), (one,) * sampling.n)

    def stream(
        self, prompt: str, sampling: Sampling, *, is_chat: bool
    ) -> Generator[str | Completion, None, None]:
        yield from prompt.split()
        yield Completion(prompt, len(prompt.split()), "stop")


HELLO = {"messages": [{"role": "user", "content": "one two three"}]}


def test_a_chat_is_answered_in_openai_s_shape() -> None:
    (answer,) = answers(Echo(), CHAT, {**HELLO, "n": 2, "max_tokens": 2})
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "echo"
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    message = {"role": "assistant", "content": "one two"}
    assert answer["choices"][1] == {"index": 1, "message": message, "finish_reason": "length"}
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def test_a_completion_is_cut_before_the_stop_text() -> None:
    (answer,) = answers(Echo(), COMPLETIONS, {"prompt": "one two three", "stop": " t"})
    assert answer["object"] == "text_completion"
    assert answer["choices"] == [{"index": 0, "text": "one", "finish_reason": "stop"}]


def test_every_request_has_its_own_answer_and_params_hold_for_all() -> None:
    requests = [{"prompt": "a b c"}, {"prompt": "d e f", "max_tokens": 2}]
    found = answers(Echo(), COMPLETIONS, requests, {"max_tokens": 1})
    assert [each["choices"][0]["text"] for each in found] == ["a", "d e"]


def test_answers_have_ids_of_their_own() -> None:
    first, second = answers(Echo(), COMPLETIONS, ["a", "b"])
    assert first["id"] != second["id"]


def test_a_streamed_answer_begins_with_its_role_and_ends_with_its_reason() -> None:
    chunks = list(chat_pieces(Echo(), HELLO))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": "one"}
    assert [delta.get("content") for delta in deltas[1:]] == ["two", "three", None]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "stop"]
    assert len({chunk["id"] for chunk in chunks}) == 1


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"messages": []}, "at least one message"),
        ({}, "at least one message"),
        ({"messages": "hello"}, "at least one message"),
        ({"messages": [{"content": "no role"}]}, r"messages\[0\]"),
        ({"messages": [{"role": "user", "content": 5}]}, r"messages\[0\].content"),
        ({**HELLO, "temperature": "hot"}, "temperature"),
        ({**HELLO, "temperature": -1}, "temperature"),
        ({**HELLO, "temperature": math.inf}, "temperature"),
        ({**HELLO, "top_p": 1.5}, "top_p"),
        ({**HELLO, "top_k": 0}, "top_k"),
        ({**HELLO, "max_tokens": 0}, "max_tokens"),
        ({**HELLO, "max_tokens": 1.5}, "max_tokens"),
        ({**HELLO, "max_tokens": True}, "max_tokens"),
        ({**HELLO, "n": 1000}, "'n'"),
        ({**HELLO, "stop": [1]}, "stop"),
        ({**HELLO, "frequency_penalty": 3}, "frequency_penalty"),
        ({**HELLO, "tools": ["x"]}, "tools"),
    ],
)
def test_what_is_wrong_is_named(request_: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        answers(Echo(), CHAT, request_)


def test_content_may_come_in_parts_of_text_only() -> None:
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    assert messages_of({"messages": [{"role": "user", "content": parts}]})[0]["content"] == (
        "one two"
    )
    image = [{"type": "image_url", "image_url": {"url": "http://x"}}]
    with pytest.raises(InvalidRequest, match="no text"):
        messages_of({"messages": [{"role": "user", "content": image}]})


def test_what_enforcement_filled_with_none_is_left_out() -> None:
    (row,) = rows_of([{**HELLO, "stop": None, "temperature": math.nan}], "messages")
    assert set(row) == {"messages"}
    message = {"role": "user", "content": "hi", "name": None, "tool_calls": None}
    assert messages_of({"messages": [message]}) == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("request_", "is_random"),
    [
        ({}, None),
        ({"temperature": 0}, False),
        ({"temperature": 0.7}, True),
        ({"top_p": 0.9}, True),
        ({"top_k": 5}, True),
        ({"temperature": 0, "top_p": 0.9}, False),
    ],
)
def test_tokens_are_drawn_when_the_request_says_so(
    request_: dict[str, Any], is_random: bool | None
) -> None:
    assert sampling_of(request_).is_random is is_random


def test_a_seed_has_a_place_though_the_signature_has_none() -> None:
    assert sampling_of({"seed": 3}).seed == 3
    assert sampling_of({"custom_inputs": {"seed": 4}}).seed == 4
    assert sampling_of({"custom_inputs": {"other": 4}}).seed is None


@pytest.mark.parametrize("wrong", [{"input": []}, {"input": 5}, {"input": [1]}, {}])
def test_texts_to_embed_are_texts(wrong: dict[str, Any]) -> None:
    assert texts_of({"input": "one"}) == ["one"]
    with pytest.raises(InvalidRequest, match="input"):
        texts_of(wrong)


def test_embeddings_keep_their_order() -> None:
    answer = embeddings_answer([[1, 2], [3, 4]], 7)
    assert [each["embedding"] for each in answer["data"]] == [[1.0, 2.0], [3.0, 4.0]]
    assert answer["usage"] == {"prompt_tokens": 7, "total_tokens": 7}


def test_the_signature_of_a_task_is_fixed() -> None:
    check_no_other_signature(CHAT, signature_of_task(CHAT))
    with pytest.raises(InvalidRequest, match="signature of its own"):
        check_no_other_signature(CHAT, ModelSignature(Schema([ColSpec("string")])))
    with pytest.raises(InvalidRequest, match="llm/v1/chat"):
        signature_of_task("llm/v1/songs")


@pytest.mark.parametrize("task", [CHAT, COMPLETIONS, EMBEDDINGS])
def test_signatures_survive_their_json(task: str) -> None:
    signature = signature_of_task(task)
    assert ModelSignature.from_dict(signature.to_dict()) == signature
