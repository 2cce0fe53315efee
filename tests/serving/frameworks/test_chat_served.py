"""Language models as the real `openai` client sees them: a tiny Phi-3 that knows answers by heart,
in transformers' continuous engine; and a tiny BERT that embeds.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.tiny_language import ANSWERS, tiny_bert, tiny_phi3
from tests.serving.conversing import CHAT, wait_until_busy
from tests.serving.served import ServingLauncher, ServingProcess

openai = pytest.importorskip("openai")
transformers = pytest.importorskip("transformers")
pytest.importorskip("torch")
pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]

QUESTION, ANSWER = next(iter(ANSWERS.items()))
USER = [{"role": "user", "content": QUESTION}]
ENDLESS = {"logit_bias": dict.fromkeys(range(6), -100)}
"""No token that ends an answer."""
GREEDY = {"model": "chat", "temperature": 0, "messages": USER}


@pytest.fixture(scope="session")
def phi3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_phi3(tmp_path_factory.getbasetemp() / "tiny-phi3")


@pytest.fixture(scope="module")
def server(
    phi3: Path, tmp_path_factory: pytest.TempPathFactory, shared_serving_process: ServingLauncher
) -> ServingProcess:
    import headrace.transformers as flavor

    folder = tmp_path_factory.mktemp("models")
    pipeline = transformers.pipeline("text-generation", model=str(phi3), device="cpu")
    flavor.save_model(pipeline, folder / "chat", task="llm/v1/chat")
    flavor.save_model(pipeline, folder / "completions", task="llm/v1/completions")
    bert = transformers.pipeline(
        "feature-extraction", model=str(tiny_bert(folder / "bert")), device="cpu"
    )
    flavor.save_model(bert, folder / "vectors", task="llm/v1/embeddings")
    names = [folder / name for name in ("chat", "completions", "vectors")]
    return shared_serving_process(*names, threads=1, slots=4)


@pytest.fixture
def client(server: ServingProcess) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0) as found:
        yield found


def test_a_chat_is_answered(client: Any) -> None:
    """As written in OpenAI's documentation."""
    answer = client.chat.completions.create(**GREEDY)
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", ANSWER)
    assert choice.finish_reason == "stop"
    assert answer.object == "chat.completion"
    assert answer.model == "chat"
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens > usage.completion_tokens > 5
    assert answer._request_id.startswith("req-")


def test_a_chat_comes_in_pieces(client: Any) -> None:
    """The role, the text, why it ended, and the usage where it was asked for."""
    options = {"stream": True, "stream_options": {"include_usage": True}}
    first, *pieces, end, last = client.chat.completions.create(**GREEDY, **options)
    assert first.choices[0].delta.role == "assistant"
    assert "".join(each.choices[0].delta.content for each in pieces) == ANSWER
    assert pieces
    assert end.choices[0].finish_reason == "stop"
    assert not end.choices[0].delta.content
    assert last.choices == []
    assert last.usage == client.chat.completions.create(**GREEDY).usage
    assert len({each.id for each in (first, *pieces, end, last)}) == 1
    without = list(client.chat.completions.create(**GREEDY, stream=True))
    assert {each.usage for each in without} == {None}


def test_the_stream_helper_of_the_client_reads_it(client: Any) -> None:
    """Which puts the pieces together, and checks them."""
    with client.chat.completions.stream(**GREEDY, n=2) as stream:
        final = stream.get_final_completion()
    assert [each.message.content for each in final.choices] == [ANSWER] * 2


def test_several_choices_come_beside_each_other(client: Any) -> None:
    """Each with its index; greedy ones are equal, drawn ones differ and repeat with their seed."""
    texts = ["", ""]
    order = []
    for chunk in client.chat.completions.create(**GREEDY, n=2, stream=True):
        (choice,) = chunk.choices
        texts[choice.index] += choice.delta.content or ""
        order.append(choice.index)
    assert texts == [ANSWER] * 2
    assert order.index(1) < len(order) - 1 - order[::-1].index(0), "they take turns"
    drawn = {**GREEDY, "temperature": 3, "n": 4, "seed": 3, "max_tokens": 8}
    made = [
        [each.message.content for each in client.chat.completions.create(**drawn).choices]
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert len(set(made[0])) > 1


@pytest.mark.parametrize("stop", [["Paris"], "Paris", ["nowhere", "of France is Par"]])
def test_a_stop_text_is_cut(client: Any, stop: Any) -> None:
    """Before it, whole and in pieces, also within tokens."""
    cut = (
        ANSWER[: min(ANSWER.index(each) for each in stop if each in ANSWER)]
        if (isinstance(stop, list))
        else ANSWER[: ANSWER.index(stop)]
    )
    (choice,) = client.chat.completions.create(**GREEDY, stop=stop).choices
    assert (choice.message.content, choice.finish_reason) == (cut, "stop")
    pieces = client.chat.completions.create(**GREEDY, stop=stop, stream=True)
    assert "".join(each.choices[0].delta.content or "" for each in pieces) == cut


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_length_is_kept(client: Any, name: str) -> None:
    """And said to be the reason."""
    answer = client.chat.completions.create(**GREEDY, **{name: 3})
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3
    assert ANSWER.startswith(answer.choices[0].message.content)


def test_penalties_and_biases_change_the_answer(client: Any) -> None:
    """They reach the engine."""
    (choice,) = client.chat.completions.create(
        **GREEDY, max_tokens=9, logit_bias={300: 100}
    ).choices
    assert choice.message.content != ANSWER
    drawn = {**GREEDY, "temperature": 3, "seed": 1, "max_tokens": 40}
    penalties = {"presence_penalty": 2, "frequency_penalty": 2}
    one, other = (client.chat.completions.create(**drawn, **each) for each in ({}, penalties))
    assert one.choices[0].message.content != other.choices[0].message.content


def test_log_probabilities_are_told(client: Any) -> None:
    """Of the tokens that make the text, with the likeliest ones; whole and in pieces."""
    asked = {**GREEDY, "logprobs": True, "top_logprobs": 2}
    (choice,) = client.chat.completions.create(**asked).choices
    tokens = choice.logprobs.content
    assert "".join(each.token for each in tokens).strip() == ANSWER
    for each in tokens:
        assert each.logprob == pytest.approx(each.top_logprobs[0].logprob)
        assert bytes(each.bytes).decode() == each.token
        assert len(each.top_logprobs) == 2
    pieces = client.chat.completions.create(**asked, stream=True)
    streamed = [
        token
        for chunk in pieces
        if chunk.choices[0].logprobs
        for token in chunk.choices[0].logprobs.content
    ]
    assert [each.token for each in streamed] == [each.token for each in tokens]


@pytest.mark.parametrize("model", ["chat", "completions"])
def test_prompts_are_gone_on_from(client: Any, model: str) -> None:
    """A text, several, tokens; by a model for chats, and by one for completions."""
    asked = {"model": model, "prompt": "The capital of", "temperature": 0, "max_tokens": 4}
    answer = client.completions.create(**asked, logprobs=2)
    assert answer.object == "text_completion"
    (choice,) = answer.choices
    assert choice.text
    assert "".join(choice.logprobs.tokens).strip() == choice.text
    assert len(choice.logprobs.top_logprobs[0]) == 2
    both = {**asked, "prompt": ["The capital of", "Who"], "n": 2}
    several = client.completions.create(**both)
    assert [each.index for each in several.choices] == [0, 1, 2, 3]
    texts = [each.text for each in several.choices]
    assert texts[:2] == [choice.text] * 2
    assert texts[2] == texts[3]
    pieces = ["", "", "", ""]
    for chunk in client.completions.create(**both, stream=True):
        pieces[chunk.choices[0].index] += chunk.choices[0].text
    assert pieces == texts
    tokens = client.completions.create(**{**asked, "prompt": [[10, 20], [30]]})
    assert len(tokens.choices) == 2
    assert tokens.usage.prompt_tokens == 3


def test_texts_are_embedded(client: Any) -> None:
    """In the client's own format (base64), and as numbers: the same; in any company the same."""
    one = client.embeddings.create(model="vectors", input="A spider has eight legs.")
    (data,) = one.data
    assert len(data.embedding) == 32
    assert one.usage.prompt_tokens == one.usage.total_tokens > 3
    plain = client.embeddings.create(
        model="vectors", input="A spider has eight legs.", encoding_format="float"
    )
    assert plain.data[0].embedding == pytest.approx(data.embedding, abs=1e-6)
    several = client.embeddings.create(
        model="vectors", input=["MLflow", "A spider has eight legs."], dimensions=32
    )
    assert [each.index for each in several.data] == [0, 1]
    assert several.data[1].embedding == pytest.approx(data.embedding, abs=1e-5)


def test_embeddings_that_are_asked_together_are_each_ones_own(client: Any) -> None:
    """Also where one of them cannot be answered."""
    texts = [f"number {n}" for n in range(8)]
    alone = {
        text: client.embeddings.create(model="vectors", input=text).data[0].embedding
        for text in texts
    }
    usage = {t: client.embeddings.create(model="vectors", input=t).usage for t in texts}
    found: dict[str, Any] = {}

    def ask(text: str) -> None:
        try:
            more = {"dimensions": 7} if text == texts[3] else {}
            found[text] = client.embeddings.create(model="vectors", input=text, **more)
        except openai.BadRequestError as error:
            found[text] = error

    threads = [threading.Thread(target=ask, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "32" in found.pop(texts[3]).message
    for text, answer in found.items():
        assert answer.data[0].embedding == pytest.approx(alone[text], abs=1e-5)
        assert answer.usage == usage[text]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"input": [1, 2, 3]}, "tokens"),
        ({"input": [[1], [2]]}, "tokens"),
        ({"input": []}, "text"),
        ({"input": ""}, "empty"),
        ({"input": ["a", 5]}, "text"),
        ({"dimensions": 64}, "32"),
        ({"dimensions": -1}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"input": ["a"] * 3000}, "2048"),
        ({"input": "a" * 1_000_001}, "too long"),
    ],
)
def test_what_cannot_be_embedded_is_refused(client: Any, more: dict[str, Any], says: str) -> None:
    with pytest.raises(openai.BadRequestError, match=says):
        client.embeddings.create(**{"model": "vectors", "input": "a", **more})


def test_texts_are_embedded_on_invocations_too(server: ServingProcess, client: Any) -> None:
    """An object with `input`; a table is predicted."""
    path = "/models/vectors/invocations"
    expected = client.embeddings.create(model="vectors", input="MLflow").data[0].embedding
    for given in ("MLflow", ["MLflow", "other"]):
        answer = server.ask(json.dumps({"input": given}).encode(), path=path).json()
        assert answer["object"] == "list"
        assert answer["data"][0]["embedding"] == pytest.approx(expected, abs=1e-5)
    table = {"dataframe_split": {"columns": ["input"], "data": [["MLflow"]]}}
    predicted = server.ask(json.dumps(table).encode(), path=path).json()["predictions"]
    assert predicted["data"][0]["embedding"] == pytest.approx(expected, abs=1e-5)


def test_models_are_listed(client: Any) -> None:
    """All of them, and each by its name."""
    assert {each.id for each in client.models.list()} == {"chat", "completions", "vectors"}
    assert client.models.retrieve("chat").id == "chat"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("nobody")
    assert caught.value.code == "model_not_found"


def test_models_are_asked_for_what_they_do(client: Any, phi3: Path) -> None:
    """The source's name will do; other tasks and unknown models are refused."""
    assert client.chat.completions.create(**{**GREEDY, "model": str(phi3)})
    with pytest.raises(openai.NotFoundError, match="chat, completions, vectors"):
        client.chat.completions.create(**{**GREEDY, "model": "gpt-5"})
    with pytest.raises(openai.BadRequestError, match="/v1/completions"):
        client.chat.completions.create(**{**GREEDY, "model": "completions"})
    with pytest.raises(openai.BadRequestError, match="/v1/embeddings"):
        client.completions.create(model="vectors", prompt="a")
    with pytest.raises(openai.BadRequestError, match="/v1/chat/completions"):
        client.embeddings.create(model="chat", input="a")


def test_hanging_up_frees_the_places(server: ServingProcess, client: Any) -> None:
    """More hang up than there are places, in the middle of answers; then all places are free."""
    many = {**GREEDY, "temperature": 3, "max_tokens": 200, "n": 128, **ENDLESS}
    for _ in range(3):
        stream = client.chat.completions.create(**many, stream=True)
        next(iter(stream))
        stream.close()
    body = json.dumps(many).encode()
    for _ in range(3):
        with server.asking(body, CHAT):
            wait_until_busy(server, queued=0, under_way=1, model="chat")
        wait_until_busy(server, queued=0, under_way=0, model="chat")
    assert client.chat.completions.create(**GREEDY).choices[0].message.content == ANSWER


BAD: dict[str, dict[str, Any]] = {
    "ten million characters": {"messages": [{"role": "user", "content": "word " * 2_000_000}]},
    "more than fits": {"messages": [{"role": "user", "content": "word " * 2_000}]},
    "many messages": {"messages": USER * 2_000},
    "long tools": {"messages": USER, "tools": [{"type": "function", "x": "y" * 1_000_000}]},
    "a long name": {"messages": [{**USER[0], "name": "x" * 1_000_000}]},
    "many stop texts": {"messages": USER, "stop": [f"{n} " for n in range(100_000)]},
    "a long stop text": {"messages": USER, "stop": "a" * 1_000_000},
    "empty": {"messages": []},
    "unknown role": {"messages": [{"role": "wizard", "content": "x"}]},
    "no token": {"messages": USER, "logit_bias": {"999999": 1}},
    "nobody": {"messages": USER, "model": "nobody"},
    "absurd": {"messages": USER, "temperature": 1e300},
    "too many": {"messages": USER, "n": 1000},
}


def text_of(chunks: Iterable[Any]) -> str:
    """What a stream has said."""
    return "".join(each.choices[0].delta.content or "" for each in chunks)


@pytest.mark.parametrize("name", BAD)
def test_bad_requests_disturb_no_stream(client: Any, name: str) -> None:
    """One is in the middle of a long answer, of drawn tokens: it gets those that it gets alone."""
    asked = {**GREEDY, "temperature": 2.5, "seed": 11, "max_tokens": 150, "stream": True}
    asked |= ENDLESS
    alone = text_of(client.chat.completions.create(**asked))
    stream = iter(client.chat.completions.create(**asked))
    begun = [next(stream), next(stream)]
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)) as caught:
        client.chat.completions.create(**{"model": "chat", **BAD[name]})
    assert caught.value.body["message"]
    assert text_of([*begun, *stream]) == alone
    assert len(alone) > 100


@pytest.mark.parametrize(
    "prompt", ["", [7] * 5_000, [-1], [10**9], [2**70], "word " * 2_000, "a" * 10_000_000]
)
def test_prompts_that_cannot_be_gone_on_from(client: Any, prompt: Any) -> None:
    with pytest.raises(openai.BadRequestError):
        client.completions.create(model="chat", prompt=prompt)


def test_a_million_of_anything_is_refused(server: ServingProcess, client: Any) -> None:
    """Sent without the client, which takes minutes for it; streams go on meanwhile."""
    message = {"role": "user", "content": ""}
    for path, body in (
        ("/v1/chat/completions", {"messages": [message] * 1_000_000}),
        ("/models/chat/invocations", {"messages": [message] * 40_000}),
        ("/v1/completions", {"prompt": [7] * 1_000_000}),
        ("/v1/completions", {"prompt": [[7]] * 1_000_000}),
    ):
        stream = iter(client.chat.completions.create(**GREEDY, stream=True))
        pieces = [next(stream)]
        answer = server.ask(json.dumps({"model": "chat", **body}).encode(), path=path)
        assert answer.status in (400, 413)
        pieces += stream
        assert "".join(each.choices[0].delta.content or "" for each in pieces) == ANSWER


def test_one_bad_prompt_of_several_ends_the_request(server: ServingProcess, client: Any) -> None:
    """Whole: an error. In pieces: an error, which the client raises, as the last of them."""
    asked = {"model": "chat", "prompt": ["The capital of", ""], "max_tokens": 200, **ENDLESS}
    with pytest.raises(openai.BadRequestError, match="empty"):
        client.completions.create(**asked)
    with pytest.raises(openai.APIError, match="empty"):
        list(client.completions.create(**asked, stream=True))
    wait_until_busy(server, queued=0, under_way=0, model="chat")


def test_the_client_raises_what_ends_a_stream(server: ServingProcess, client: Any) -> None:
    """The worker is killed in the middle; another one takes its place."""
    asked = {**GREEDY, **ENDLESS, "max_tokens": 200, "n": 128}
    stream = iter(client.chat.completions.create(**asked, stream=True))
    next(stream)
    for worker in server.workers():
        worker.kill()
    with pytest.raises(openai.APIError, match="process"):
        list(stream)
    assert client.chat.completions.create(**GREEDY).choices[0].message.content == ANSWER


def test_errors_are_the_clients_own(server: ServingProcess, client: Any) -> None:
    """With what OpenAI's have: the kind, the field, a code, the request's id."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{**GREEDY, "temperature": -1})
    error = caught.value
    assert (error.status_code, error.param, error.type) == (
        *(400, "temperature", "invalid_request_error"),
    )
    assert error.request_id
    assert error.request_id.startswith("req-")
    with pytest.raises(openai.BadRequestError, match="response_format"):
        client.chat.completions.create(**GREEDY, response_format={"type": "json_object"})
    with pytest.raises(openai.NotFoundError, match="does not serve"):
        client.images.generate(prompt="a cat", model="chat")
