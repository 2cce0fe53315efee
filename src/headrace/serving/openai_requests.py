"""Requests for text and embeddings in the shape of OpenAI's API, read from their bodies.

What a request says beside its messages is taken, ignored because it changes no answer, or refused:
an answer that leaves out silently what was asked for would be wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from headrace.errors import InvalidRequest
from headrace.models.flavors.openai_requests import messages_of, sampling_of, texts_of, tools_of
from headrace.models.json_values import why_no_json

_ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
_MOST_MESSAGES: Final = 50_000
"""More than the longest contexts have room for."""
_MOST_PROMPTS: Final = 128
"""Choices of one request for completions, over all of its prompts."""
_MOST_TEXTS: Final = 2048
"""Texts of one request for embeddings; OpenAI's limit."""
_LONGEST_TEXT: Final = 1_000_000
"""Characters of a text to embed: more than any model reads."""
_LONGEST_TOKEN: Final = 128
"""Characters that a token stands for at most."""
_MOST_STOPS: Final = 32
_LONGEST_STOP: Final = 1000
"""Stop texts are looked for after each token."""
_DEEPEST: Final = 64

_SAMPLING: Final = frozenset(
    (
        *("max_tokens", "temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty"),
        *("seed", "stop", "n", "logprobs", "logit_bias", "stream", "stream_options", "model"),
        "custom_inputs",
    )
)
_CHAT: Final = _SAMPLING | {"messages", "tools", "max_completion_tokens", "top_logprobs"}
_COMPLETION: Final = _SAMPLING | {"prompt"}
_EMBEDDINGS: Final = frozenset(("input", "model", "encoding_format", "dimensions"))
_IGNORED: Final = frozenset(
    (
        *("user", "metadata", "store", "safety_identifier", "service_tier", "prediction"),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "verbosity"),
        *("parallel_tool_calls", "reasoning_effort", "moderation"),
    )
)
"""What says nothing of the answer itself, or is a mere hint."""
_ONLY: Final[Mapping[str, tuple[Any, ...]]] = {
    "response_format": ({"type": "text"},),
    "tool_choice": ("auto", "none"),
    "function_call": ("auto", "none"),
    "functions": ([],),
    "modalities": (["text"],),
    "audio": (),
    "web_search_options": (),
    "echo": (False,),
    "suffix": ("",),
    "best_of": (1,),
}
"""What only has these values here, beside null."""


@dataclass(frozen=True)
class TextRequest:
    """A request for text, as far as it can be checked without its model."""

    heads: tuple[dict[str, Any], ...]
    """What the model is asked: one for each prompt (see Pool.generate)."""
    n: int
    """Choices for each of them."""
    is_chat: bool
    is_stream: bool = False
    tells_usage: bool = False
    """Whether a stream ends with how many tokens there were."""
    logprobs: int | None = None

    @property
    def least_tokens(self) -> int:
        """How many tokens its longest prompt has at least, known before anybody makes them."""
        return max(_least_tokens(head) for head in self.heads)


@dataclass(frozen=True)
class EmbeddingsRequest:
    """A request for embeddings."""

    texts: list[str]
    is_base64: bool = False
    """Whether vectors are wanted as base64 of 32-bit floats."""
    dimensions: int | None = None


def document_of(body: bytes) -> dict[str, Any]:
    """The object in a body. InvalidRequest for what is none, exactly read: no NaN, no name twice,
    no half characters, nothing nested without end.
    """
    try:
        found = json.loads(
            body.decode(), object_pairs_hook=_object, parse_constant=_refuse_constant
        )
    except UnicodeDecodeError:
        raise InvalidRequest("The body is no UTF-8 text.") from None
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.") from None
    except ValueError as error:
        reason = f"{why_no_json(error)}." if body.strip() else "it is empty."
        raise InvalidRequest(f"The body is no JSON: {reason}") from None
    if not isinstance(found, dict):
        raise InvalidRequest(f"The body must be a JSON object, not {type(found).__name__}.")
    if body.count(b"[") + body.count(b"{") > _DEEPEST and _is_deep(found):
        raise InvalidRequest(f"The body is nested too deeply; at most {_DEEPEST} levels are read.")
    if b"\\u" in body:
        _check_characters(found)
    return found


def model_name_of(document: Mapping[str, Any]) -> str | None:
    """Which model is asked; None where it is not said."""
    name = document.get("model")
    if name is not None and not isinstance(name, str):
        raise InvalidRequest(f"'model' must be a text, not {name!r}.")
    return name


def chat_request(document: Mapping[str, Any], *, is_lenient: bool = False) -> TextRequest:
    """A conversation to be gone on with. `is_lenient`: names that nobody knows are ignored."""
    _check_names(document, _CHAT, is_lenient)
    tools = None if document.get("tool_choice") == "none" else tools_of(document)
    asked = {"messages": _messages(document), "tools": tools, "prompt": None}
    return _text_request(document, (asked,), is_chat=True)


def completion_request(document: Mapping[str, Any], *, is_lenient: bool = False) -> TextRequest:
    """Prompts to be gone on from. `is_lenient`: as of `chat_request`."""
    _check_names(document, _COMPLETION, is_lenient)
    if isinstance(document.get("logprobs"), bool):
        raise InvalidRequest("'logprobs' of a completion must be a number of tokens.")
    prompts = _prompts(document.get("prompt"))
    asked = tuple({"messages": None, "tools": None, "prompt": each} for each in prompts)
    found = _text_request(document, asked, is_chat=False)
    if found.n * len(prompts) > _MOST_PROMPTS:
        raise InvalidRequest(
            f"'prompt' has {len(prompts)} prompts with {found.n} choices each; at most "
            f"{_MOST_PROMPTS} choices are made for one request."
        )
    return found


def embeddings_request(
    document: Mapping[str, Any], *, is_lenient: bool = False
) -> EmbeddingsRequest:
    """Texts to be embedded. `is_lenient`: as of `chat_request`."""
    _check_names(document, _EMBEDDINGS, is_lenient)
    given = document.get("input")
    if isinstance(given, list) and given and isinstance(given[0], int | list):
        raise InvalidRequest("'input' must be texts; numbers of tokens are not taken here.")
    texts = texts_of(document)
    if len(texts) > _MOST_TEXTS:
        raise InvalidRequest(f"'input' has {len(texts)} texts; at most {_MOST_TEXTS} are taken.")
    if not all(texts):
        raise InvalidRequest("'input' has an empty text, of which nothing can be embedded.")
    if any(len(text) > _LONGEST_TEXT for text in texts):
        raise InvalidRequest(
            f"'input' has a text that is too long; at most {_LONGEST_TEXT} characters are taken."
        )
    kind = document.get("encoding_format")
    if kind not in (None, "float", "base64"):
        raise InvalidRequest(f'\'encoding_format\' must be "float" or "base64", not {kind!r}.')
    dimensions = document.get("dimensions")
    is_whole = isinstance(dimensions, int) and not isinstance(dimensions, bool) and dimensions > 0
    if dimensions is not None and not is_whole:
        raise InvalidRequest(f"'dimensions' must be a whole number, not {dimensions!r}.")
    return EmbeddingsRequest(texts, kind == "base64", dimensions)


def _text_request(
    document: Mapping[str, Any], asked: tuple[dict[str, Any], ...], *, is_chat: bool
) -> TextRequest:
    sampling = sampling_of(document)
    if len(sampling.stop) > _MOST_STOPS or any(len(each) > _LONGEST_STOP for each in sampling.stop):
        raise InvalidRequest(
            f"'stop' must be at most {_MOST_STOPS} texts of at most {_LONGEST_STOP} characters."
        )
    is_stream = _truth(document, "stream")
    options = document.get("stream_options")
    if options is not None and not (is_stream and isinstance(options, Mapping)):
        raise InvalidRequest("'stream_options' must be an object, and needs 'stream': true.")
    more = {"sampling": vars(sampling), "is_streamed": is_stream}
    return TextRequest(
        tuple({**each, **more} for each in asked),
        sampling.n,
        is_chat,
        is_stream,
        _truth(options or {}, "include_usage"),
        sampling.logprobs,
    )


def _check_names(document: Mapping[str, Any], known: frozenset[str], is_lenient: bool) -> None:
    for name, value in document.items():
        if name in known or name in _IGNORED or value is None:
            continue
        if name not in _ONLY:
            if is_lenient:
                continue
            raise InvalidRequest(f"'{name[:100]}' is not known here; leave it out.")
        allowed = _ONLY[name]
        if value not in allowed and not (name == "best_of" and value == document.get("n")):
            expected = " or ".join(json.dumps(each) for each in (*allowed, None))
            raise InvalidRequest(
                f"'{name}' is {json.dumps(value)[:200]}, which this server cannot do; expected "
                f"{expected}."
            )


def _messages(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The conversation. Templates leave out silently what they do not expect, so that is refused
    here.
    """
    given = document.get("messages")
    if isinstance(given, list) and len(given) > _MOST_MESSAGES:
        raise InvalidRequest(
            f"'messages' has {len(given)} messages; at most {_MOST_MESSAGES} are taken."
        )
    messages = messages_of(document)
    for place, (message, given) in enumerate(zip(messages, document["messages"], strict=True)):
        role = message["role"]
        if role not in _ROLES:
            raise InvalidRequest(
                f"messages[{place}].role is {role[:100]!r}; expected one of: {', '.join(_ROLES)}."
            )
        if given.get("content") is None and not (role == "assistant" and "tool_calls" in message):
            raise InvalidRequest(f"messages[{place}].content is missing or null; expected a text.")
        if role == "developer":
            message["role"] = "system"  # OpenAI's newer name for it
    return messages


def _prompts(given: Any) -> list[str | list[int]]:
    """One or several prompts, each a text or its tokens."""
    if isinstance(given, str) or _are_tokens(given):
        return [given]
    if not isinstance(given, list) or not given:
        raise InvalidRequest("'prompt' must be a text, a list of texts, or tokens as numbers.")
    for each in given:
        if not isinstance(each, str) and not _are_tokens(each):
            raise InvalidRequest("'prompt' must have texts, or lists of tokens as numbers, only.")
    return given


def _are_tokens(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(type(each) is int for each in given)


def _truth(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(f"'{name}' must be true or false, not {value!r}.")
    return bool(value)


def _least_tokens(head: Mapping[str, Any]) -> int:
    prompt = head["prompt"]
    if isinstance(prompt, list):
        return len(prompt)
    if prompt is None:
        # What templates make of it is about as long; each message costs something.
        prompt = json.dumps([head["messages"], head["tools"]], ensure_ascii=False)
    return len(prompt) // _LONGEST_TOKEN


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise InvalidRequest(f"The body has '{name[:100]}' twice in one object.")
            seen.add(name)
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidRequest(f"The body has {name}, which JSON does not have; expected a number.")


def _check_characters(document: Any) -> None:
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidRequest(
            "A text holds half of a surrogate pair, which is no character; remove it."
        ) from None


def _is_deep(document: Any) -> bool:
    level = [document]
    for _ in range(_DEEPEST):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
