from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import InvalidRequest
from headrace.serving.openai_requests import (
    chat_request,
    completion_request,
    document_of,
    embeddings_request,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
NAMES = (
    *("messages", "prompt", "input", "temperature", "top_p", "max_tokens", "stop", "n", "seed"),
    *("stream", "stream_options", "logprobs", "top_logprobs", "logit_bias", "tools", "model"),
    *("tool_choice", "response_format", "encoding_format", "dimensions", "best_of"),
    *("custom_inputs", "functions", "metadata", "echo", "user"),
)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]) | JSON, "content": JSON}),
    min_size=1,
    max_size=3,
)
READERS = (chat_request, completion_request, embeddings_request)
GOOD: dict[Any, dict[str, Any]] = {
    chat_request: {"messages": [{"role": "user", "content": "hi"}], "stream": True},
    completion_request: {"prompt": "hi", "stream": True},
    embeddings_request: {"input": "hi"},
}


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(InvalidRequest):
        assert document_of(body) == json.loads(body)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_any_object_is_read_exactly(document: dict[str, Any]) -> None:
    assert document_of(json.dumps(document).encode()) == document


@given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=8), MESSAGES, st.booleans())
def test_any_object_is_a_request_or_refused(
    document: dict[str, Any], messages: list[Any], has_messages: bool
) -> None:
    """By an error that is the caller's, whatever values stand where; and what is taken can be
    handed to a worker.
    """
    if has_messages:
        document = {**document, "messages": messages}
    for read in READERS:
        check_read(read, document)


@pytest.mark.parametrize("read", READERS)
@given(value=JSON)
def test_any_value_in_any_field_of_a_good_request_is_taken_or_refused(
    read: Any, value: Any
) -> None:
    for name in NAMES:
        check_read(read, {**GOOD[read], name: value})


def check_read(read: Any, document: dict[str, Any]) -> None:
    """Fails for any error but InvalidRequest, and for a request that no frame can carry."""
    for is_lenient in (True, False):
        with contextlib.suppress(InvalidRequest):
            found = read(document, is_lenient=is_lenient)
            for head in getattr(found, "heads", ()):
                json.dumps(head)


def test_good_requests_are_taken() -> None:
    for read, document in GOOD.items():
        assert read(document)


def test_escaped_and_paired_surrogates_are_text() -> None:
    body = b'{"a": "\\ud83d\\ude00", "b": %d}' % 2**80
    assert document_of(body) == {"a": "\N{GRINNING FACE}", "b": 2**80}


def test_depth_is_counted_and_not_breadth() -> None:
    flat = {"prompt": [[1, 2]] * 500}
    assert document_of(json.dumps(flat).encode()) == flat


def test_a_developer_is_the_system() -> None:
    """Templates know the older name."""
    asked = chat_request({"messages": [{"role": "developer", "content": "Be brief."}]})
    assert asked.heads[0]["messages"] == [{"role": "system", "content": "Be brief."}]


def test_parts_of_text_are_one_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    asked = chat_request({"messages": [{"role": "user", "content": parts}]})
    assert asked.heads[0]["messages"][0]["content"] == "ab"


def test_an_assistant_that_called_tools_needs_no_content() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "5", "tool_call_id": "1"},
    ]
    asked = chat_request({"messages": messages})
    assert asked.heads[0]["messages"][0] == {
        "role": "assistant",
        "content": "",
        "tool_calls": [call],
    }


def test_no_tools_are_shown_where_none_may_be_called() -> None:
    document = {
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": {"name": "f"}}],
    }
    assert chat_request(document).heads[0]["tools"]
    assert chat_request({**document, "tool_choice": "none"}).heads[0]["tools"] is None


@pytest.mark.parametrize("read", READERS)
def test_names_that_nobody_knows_are_ignored_only_where_mlflow_does(read: Any) -> None:
    document = {
        "messages": [{"role": "user", "content": "hi"}],
        "prompt": "hi",
        "input": "hi",
        "whatever": 1,
    }
    assert read(document, is_lenient=True)
    with pytest.raises(InvalidRequest, match="is not known here"):
        read(document)
