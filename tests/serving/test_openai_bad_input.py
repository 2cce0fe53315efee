"""What callers send wrongly gets a clear 4xx in OpenAI's shape, and disturbs nobody: a stream goes
on meanwhile.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.serving.conversing import CHAT, save_chatty, saying, streaming
from tests.serving.served import HttpAnswer, ServingLauncher, ServingProcess

COMPLETIONS = "/v1/completions"
HI = [{"role": "user", "content": "say hi"}]


def chat(**more: Any) -> bytes:
    return json.dumps({"messages": HI, **more}).encode()


def messages(*given: Any) -> bytes:
    return json.dumps({"messages": list(given)}).encode()


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


BODIES = {
    "no body": (b"", "empty"),
    "only spaces": (b"  \n", "empty"),
    "no JSON": (b"{nope", "no JSON"),
    "half of it": (chat()[:-3], "no JSON"),
    "more after it": (chat() + b"}", "no JSON"),
    "no object": (b"[1]", "object"),
    "null": (b"null", "object"),
    "no UTF-8": (b'{"messages": "\xff\xfe"}', "UTF-8"),
    "UTF-16": (chat().decode().encode("utf-16"), "UTF-8"),
    "half a character": (messages(user("X")).replace(b"X", b"\\ud800"), "surrogate"),
    "a name twice": (b'{"messages": [], "messages": []}', "'messages' twice"),
    "a name twice inside": (b'{"messages": [{"role": "user", "role": "user"}]}', "twice"),
    "nested": (b'{"messages": ' + b"[" * 200 + b"]" * 200 + b"}", "nested"),
    "nested without end": (b'{"messages": ' + b"[" * 500_000, "nested"),
    "nested objects": (b'{"tools": ' + b'{"a":' * 900 + b"1" + b"}" * 901, "nested"),
    "a number without end": (b'{"seed": ' + b"9" * 5000 + b"}", "than 4300 digits."),
    "NaN": (b'{"temperature": NaN}', "NaN"),
    "infinite": (b'{"temperature": -Infinity}', "-Infinity"),
    "too large": (b'{"temperature": 1e999, "messages": [{"role": "user", "content": ""}]}', "100"),
}
CONVERSATIONS = {
    "no messages": (b"{}", "messages"),
    "empty messages": (messages(), "at least one"),
    "messages null": (b'{"messages": null}', "at least one"),
    "messages a text": (b'{"messages": "hi"}', "messages"),
    "messages an object": (b'{"messages": {"role": "user"}}', "messages"),
    "a message that is a text": (messages("hi"), r"messages\[0\]"),
    "no role": (messages({"content": "hi"}), "role"),
    "role null": (messages({"role": None, "content": "hi"}), "role"),
    "role a number": (messages({"role": 5, "content": "hi"}), "role"),
    "unknown role": (messages({"role": "wizard", "content": "hi"}), "wizard"),
    "no content": (messages({"role": "user"}), r"messages\[0\].content"),
    "content null": (messages(*HI, user(None)), r"messages\[1\].content"),
    "content a number": (messages(user(5)), "content"),
    "content an object": (messages(user({"text": "hi"})), "content"),
    "parts that are no objects": (messages(user(["hi"])), "part"),
    "an image": (messages(user([{"type": "image_url", "image_url": {}}])), "part"),
}
WRONG: dict[str, list[Any]] = {
    "temperature": [-1, 101, "hot", True, [], {}, 1e300],
    "top_p": [-0.1, 1.1, "a", False],
    "top_k": [0, -1, 1.5, "a"],
    "max_tokens": [0, -1, 1.5, "a", True, 2**70, 1e30],
    "max_completion_tokens": [0, -5, "a"],
    "n": [0, -1, 129, 10**9, 1.5, "a", False],
    "seed": [-1, 0.5, "a", 2**64],
    "stop": [5, [5], {"a": 1}, [["a"]]],
    "frequency_penalty": [-2.1, 3, "a"],
    "presence_penalty": [-2.1, 3, True],
    "logit_bias": [5, [1], {"a": 1}, {"1": 101}, {"1": "a"}, {"-1": 1}],
    "logprobs": ["a", -1, 21],
    "top_logprobs": [1, 21, -1],
    "stream": [1, "yes", []],
    "stream_options": [{"include_usage": True}, 5],
    "tools": [5, ["a"], {"a": 1}],
    "model": [5, ["chatty"]],
    "response_format": [{"type": "json_object"}, {"type": "json_schema"}, "text"],
    "tool_choice": ["required", {"type": "function", "function": {"name": "f"}}],
    "functions": [[{"name": "f"}]],
    "modalities": [["text", "audio"]],
    "audio": [{"voice": "alloy"}],
    "web_search_options": [{}],
    "temperatur": [0.5],
}
HARMLESS: dict[str, Any] = {
    "response_format": {"type": "text"},
    "tool_choice": "auto",
    "tools": [],
    "functions": [],
    "modalities": ["text"],
    "user": "me",
    "metadata": {"a": "b"},
    "store": False,
    "service_tier": "auto",
    "parallel_tool_calls": True,
    "reasoning_effort": "low",
    "stop": None,
    "n": 1,
    "logit_bias": None,
    "temperature": None,
    "top_p": 1,
    "max_tokens": 2**40,
    "logprobs": False,
    "stream": False,
    "stream_options": None,
}


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, shared_serving_process: ServingLauncher
) -> ServingProcess:
    return shared_serving_process(save_chatty(tmp_path_factory.mktemp("models") / "chatty"))


@pytest.fixture
def other_stream(server: ServingProcess, tmp_path: Path) -> Iterator[None]:
    """A stream that is in the middle of its answer meanwhile, and must end as it would alone."""
    gate = tmp_path / "gate"
    with streaming(server, saying(f"wait {gate} one two three", stream=True)) as stream:
        pieces = stream.pieces()
        assert next(pieces) == "one"
        yield
        gate.touch()
        assert "".join(pieces) == " two three"


def refused(answer: HttpAnswer, says: str, status: int = 400) -> dict[str, Any]:
    assert answer.status == status, answer.body
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert says.replace("\\", "") in error["message"]
    assert "Traceback" not in error["message"]
    assert len(error["message"]) <= 2000
    assert answer.headers["x-request-id"].startswith("req-")
    return error


@pytest.mark.parametrize("name", BODIES)
def test_what_is_no_request(server: ServingProcess, other_stream: None, name: str) -> None:
    body, says = BODIES[name]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("POST", CHAT, body)
    response = connection.getresponse()
    answer = HttpAnswer(response.status, dict(response.getheaders()), response.read())
    connection.close()
    assert refused(answer, says)["type"] == "invalid_request_error"


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_what_is_no_conversation(server: ServingProcess, other_stream: None, name: str) -> None:
    body, says = CONVERSATIONS[name]
    refused(server.ask(body, path=CHAT), says)
    streamed = json.dumps({**json.loads(body), "stream": True}).encode()
    refused(server.ask(streamed, path=CHAT), says)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_parameters_are_named(server: ServingProcess, other_stream: None, name: str) -> None:
    for value in WRONG[name]:
        error = refused(server.ask(chat(**{name: value}), path=CHAT), name)
        assert error["param"] in (name, None)


def test_harmless_parameters_are_taken(server: ServingProcess) -> None:
    """Those that change nothing, and the defaults of those that are not done here."""
    for name, value in HARMLESS.items():
        answer = server.ask(chat(**{name: value}), path=CHAT)
        assert answer.status == 200, (name, answer.body)
        assert answer.json()["choices"][0]["message"]["content"] == "hi"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", 5]}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": [1.5]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": {"a": 1}}, "prompt"),
        ({"prompt": ["a"] * 129}, "128"),
        ({"prompt": ["a"] * 2, "n": 100}, "128"),
        ({"echo": True}, "echo"),
        ({"best_of": 3}, "best_of"),
        ({"suffix": "."}, "suffix"),
        ({"logprobs": True}, "logprobs"),
        ({"messages": HI}, "messages"),
    ],
)
def test_wrong_prompts_are_refused(
    server: ServingProcess, other_stream: None, more: dict[str, Any], says: str
) -> None:
    body = json.dumps({"prompt": "say hi", **more}).encode()
    refused(server.ask(body, path=COMPLETIONS), says)


def test_defaults_of_completions_are_taken(server: ServingProcess) -> None:
    body = json.dumps(
        {"prompt": "say hi", "echo": False, "suffix": None, "best_of": 2, "n": 2}
    ).encode()
    choices = server.ask(body, path=COMPLETIONS).json()["choices"]
    assert [each["text"] for each in choices] == ["hi", "hi"]


def test_paths_and_methods_that_are_not_there(server: ServingProcess) -> None:
    """Also in OpenAI's shape, below /v1."""
    for path in (CHAT, COMPLETIONS, "/v1/embeddings"):
        answer = server.ask(path=path)
        refused(answer, "POST", 405)
        assert answer.headers["allow"] == "POST"
    assert refused(server.ask(b"{}", path="/v1/images/generations"), "/v1/", 404)
    error = refused(server.ask(chat(model="gpt-5"), path=CHAT), "chatty", 404)
    assert error["code"] == "model_not_found"
    assert server.ask(path="/v1/models/chatty").json()["id"] == "chatty"
    source = server.ask(path="/models").json()["models"][0]["source"]
    for named in (source, quote(source, safe="")):
        assert "/" in source
        assert server.ask(path=f"/v1/models/{named}").json().get("id") == "chatty"


def test_callers_without_the_key(serving_process: ServingLauncher, tmp_path: Path) -> None:
    """As OpenAI's clients understand it."""
    guarded = serving_process(save_chatty(tmp_path / "guarded"), api_key="sesame")
    answer = guarded.ask(chat(), path=CHAT)
    assert refused(answer, "Authorization", 401)["type"] == "authentication_error"
    assert answer.headers["www-authenticate"]
    assert guarded.ask(chat(), path=CHAT, Authorization="Bearer sesame").status == 200


def test_a_huge_body_is_refused_at_once(server: ServingProcess, other_stream: None) -> None:
    """By its announced length: none of it is read."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(
            b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999\r\n\r\n{"
            % CHAT.encode()
        )
        response = http.client.HTTPResponse(connection)
        response.begin()
        told = json.loads(response.read())
    assert response.status == 413
    assert told["error"]["type"] == "invalid_request_error"


def test_what_grows_on_its_way_to_the_worker_reaches_it_or_is_refused(
    server: ServingProcess,
) -> None:
    def said(letters: int) -> HttpAnswer:
        text = b'{"messages": [{"role": "user", "content": "say %b"}]}'
        return server.ask(text % ("é" * letters).encode(), path=CHAT)

    assert said(7 << 20).status == 200
    refused(said(12 << 20), "16777216", 413)


def test_a_long_prompt_is_the_models_own_matter(server: ServingProcess) -> None:
    """Where it is not known how much the model takes: ten million characters go through."""
    words = "a" * 10_000_000
    answer = server.ask(saying(f"say {words}"), path=CHAT)
    assert answer.status == 200
    assert answer.json()["choices"][0]["message"]["content"] == words


@pytest.mark.parametrize(
    ("what", "says"),
    [("raise", "as it was asked to"), ("tools", "calls of tools"), ("nonsense", "'answer'")],
)
def test_a_model_that_fails_says_why(server: ServingProcess, what: str, says: str) -> None:
    refused(server.ask(saying(what), path=CHAT), says)
    if what != "nonsense":
        answer = server.ask(saying(what, stream=True), path=CHAT)
        assert says in answer.body.decode()
        assert "Traceback" not in answer.body.decode()
        assert "[DONE]" not in answer.body.decode()
