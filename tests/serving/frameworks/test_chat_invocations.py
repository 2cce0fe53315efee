"""A chat model asked as MLflow's scoring server is: what is the same, and what is better on purpose
(docs/reference/differences.md names it). MLflow 3.17's statuses for these are in the table.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.fixtures.tiny_language import ANSWERS, tiny_phi3
from tests.serving.served import HttpAnswer, ServingLauncher, ServingProcess

transformers = pytest.importorskip("transformers")
pytest.importorskip("torch")
pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]

QUESTION, ANSWER = next(iter(ANSWERS.items()))
OTHER = list(ANSWERS)[1]
USER = [{"role": "user", "content": QUESTION}]
TOOL = {
    "type": "function",
    "function": {
        "name": "f",
        "description": "d",
        "parameters": {"type": "object", "properties": {"x": {"type": "string"}}},
    },
}


@dataclass(frozen=True)
class Case:
    """A request of `messages`, MLflow's status, and ours; where they differ, why."""

    more: dict[str, Any]
    mlflow: int
    ours: int = 200
    text: str | None = ANSWER
    """How the answer begins; None where it is not looked at."""
    why: str = ""


CASES: Final = {
    "plain": Case({}, 200),
    "a system message": Case(
        {"messages": [{"role": "system", "content": "Be terse."}, *USER]}, 200, text=None
    ),
    "several turns": Case(
        {
            "messages": [
                *USER,
                {"role": "assistant", "content": ANSWER},
                {"role": "user", "content": OTHER},
            ]
        },
        200,
        text=None,
    ),
    "max_tokens": Case({"max_tokens": 3}, 200, text=None),
    "temperature": Case({"temperature": 0.0, "max_tokens": 20}, 200),
    "model": Case({"model": "anything"}, 200),
    "top_p": Case({"top_p": 0.9, "temperature": 0.1}, 200),
    "tools": Case({"tools": [TOOL]}, 200),
    "params": Case({"params": {"temperature": 1}}, 200),
    "an unknown field": Case({"anything": 1}, 200),
    "no role": Case({"messages": [{"content": "x"}]}, 400, 400),
    "temperature a text": Case({"temperature": "hot"}, 400, 400),
    "max_tokens negative": Case({"max_tokens": -1}, 400, 400),
    "stop": Case(
        {"stop": ["Paris"]}, 200, text=ANSWER.partition("Paris")[0], why="the stop text is cut"
    ),
    "stop a text": Case({"stop": "Paris"}, 400, text=ANSWER.partition("Paris")[0], why="as OpenAI"),
    "n": Case({"n": 2, "temperature": 0}, 400, why="the signature has it"),
    "not streamed": Case({"stream": False}, 400, why="the signature has it"),
    "frequency_penalty": Case({"frequency_penalty": 0.1}, 400, why="the signature has it"),
    "content in parts": Case(
        {"messages": [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}]},
        400,
        why="as OpenAI",
    ),
    "empty messages": Case({"messages": []}, 500, 400, why="the caller's mistake"),
    "content null": Case(
        {"messages": [{"role": "user", "content": None}]}, 500, 400, why="the caller's mistake"
    ),
    "an unknown role": Case(
        {"messages": [{"role": "wizard", "content": "x"}]},
        200,
        400,
        why="templates leave such messages out without a word",
    ),
    "max_tokens 0": Case({"max_tokens": 0}, 200, 400, why="MLflow ignores it"),
}


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, shared_serving_process: ServingLauncher
) -> ServingProcess:
    import headrace.transformers as flavor

    checkpoint = tiny_phi3(tmp_path_factory.getbasetemp() / "tiny-phi3")
    pipeline = transformers.pipeline("text-generation", model=str(checkpoint), device="cpu")
    folder = tmp_path_factory.mktemp("models") / "chat"
    config = {"max_new_tokens": 60, "do_sample": False}
    flavor.save_model(pipeline, folder, task="llm/v1/chat", model_config=config)
    return shared_serving_process(folder, threads=1, slots=4)


def ask(server: ServingProcess, request: Any, **headers: str) -> HttpAnswer:
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    return server.ask(body, path="/invocations", timeout=60, **headers)


@pytest.mark.parametrize("name", CASES)
def test_conversations(server: ServingProcess, name: str) -> None:
    case = CASES[name]
    answer = ask(server, {"messages": USER, **case.more})
    assert answer.status == case.ours, answer.body
    assert case.why or case.mlflow == case.ours
    told = answer.json()
    if answer.status != 200:
        assert set(told) == {"error_code", "message"}
        assert told["error_code"] == "INVALID_PARAMETER_VALUE"
        return
    assert isinstance(told, dict), "MLflow answers a list of it"
    assert told["object"] == "chat.completion"
    assert {"id", "created", "model", "usage", "choices"} <= set(told)
    assert len(told["choices"]) == case.more.get("n", 1)
    for choice in told["choices"]:
        assert choice["message"]["role"] == "assistant"
        if case.text is not None:
            assert choice["message"]["content"] == case.text


def test_tables_are_predicted_as_mlflow_does(server: ServingProcess) -> None:
    """A list, with an answer for each row; also for `inputs`, which MLflow answers with 400."""
    split = {"columns": ["messages"], "data": [[USER]]}
    records = [{"messages": [{"role": "user", "content": each}]} for each in ANSWERS]
    for request, expected in (
        ({"dataframe_split": split}, [ANSWER]),
        ({"dataframe_records": records}, list(ANSWERS.values())),
        ({"inputs": {"messages": USER}}, [ANSWER]),
    ):
        answer = ask(server, request)
        assert answer.status == 200, answer.body
        told = answer.json()["predictions"]
        assert [each["choices"][0]["message"]["content"] for each in told] == expected


@pytest.mark.parametrize(
    ("request_", "content_type", "status"),
    [
        ({"temperature": 1}, "application/json", 400),
        (b"{nope", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"messages": "\xff"}', "application/json", 400),
        ({"messages": USER}, "text/plain", 415),
        (b"messages\nhi", "text/csv", 400),
        ({"instances": [{"messages": USER}]}, "application/json", 400),
    ],
)
def test_what_is_no_conversation_has_mlflows_status(
    server: ServingProcess, request_: Any, content_type: str, status: int
) -> None:
    answer = ask(server, request_, **{"Content-Type": content_type})
    assert answer.status == status, answer.body
    assert set(answer.json()) == {"error_code", "message"}


def test_a_stream_has_openais_pieces(server: ServingProcess) -> None:
    """Which MLflow answers with 400."""
    answer = ask(server, {"messages": USER, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    *events, done, _ = answer.body.decode().split("\n\n")
    assert done == "data: [DONE]"
    chunks = [json.loads(each.removeprefix("data: ")) for each in events]
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == ANSWER
    refused = ask(server, {"messages": [], "stream": True})
    assert refused.status == 400
    assert refused.json()["error_code"] == "INVALID_PARAMETER_VALUE"


def test_a_prompt_is_gone_on_from(server: ServingProcess) -> None:
    """An object with `prompt`."""
    answer = ask(server, {"prompt": "The capital of", "max_tokens": 3})
    assert answer.json()["object"] == "text_completion"
    assert answer.json()["choices"][0]["text"]


def test_openais_path_is_there(server: ServingProcess) -> None:
    """Which MLflow answers with 404."""
    answer = server.ask(json.dumps({"messages": USER}).encode(), path="/v1/chat/completions")
    assert answer.json()["choices"][0]["message"]["content"] == ANSWER
