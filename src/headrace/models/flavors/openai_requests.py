"""Requests in the shape of OpenAI's API, read: messages, prompts, texts to embed, and sampling.

Nothing here knows a model, a server or a library, so all of them can use it. What a request says
wrongly is an InvalidRequest that names the field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from headrace.errors import InvalidRequest

CHAT: Final = "llm/v1/chat"
COMPLETIONS: Final = "llm/v1/completions"
EMBEDDINGS: Final = "llm/v1/embeddings"
TASKS: Final = (CHAT, COMPLETIONS, EMBEDDINGS)
_MOST_ANSWERS: Final = 128
_MOST_LOGPROBS: Final = 20
_MOST_BIASES: Final = 1024
_GREATEST_BIAS: Final = 100


@dataclass(frozen=True)
class Sampling:
    """How an answer is chosen. None: as the model's own configuration has it."""

    max_tokens: int | None = None
    """The most tokens of an answer."""
    temperature: float | None = None
    """0: always the likeliest token; 1: as likely as the model says; more: more surprising."""
    top_p: float | None = None
    """Only of the likeliest tokens that together are as likely as this (0 to 1)."""
    top_k: int | None = None
    """Only of so many likeliest tokens."""
    frequency_penalty: float = 0.0
    """Taken from a token's logit for each time that the answer has it already (-2 to 2)."""
    presence_penalty: float = 0.0
    """Taken from a token's logit once if the answer has it already (-2 to 2)."""
    seed: int | None = None
    """The same answer for the same seed, on the same machine."""
    stop: tuple[str, ...] = ()
    """Texts that end an answer, and are not part of it."""
    n: int = 1
    """How many answers."""
    logprobs: int | None = None
    """With each token of the answer its log probability, and those of so many likeliest ones."""
    logit_bias: tuple[tuple[int, float], ...] = ()
    """Tokens, and what is added to their logits (-100 to 100)."""

    @property
    def is_random(self) -> bool | None:
        """Whether tokens are drawn; None where the model's own configuration says."""
        if self.temperature is not None:
            return self.temperature > 0
        return True if self.top_p is not None or self.top_k is not None else None


def sampling_of(request: Mapping[str, Any]) -> Sampling:
    """The sampling that a request asks for. `seed` may also lie in `custom_inputs`, because the
    signature of MLflow's tasks has no place for it.
    """
    custom = request.get("custom_inputs")
    seed = request.get("seed", custom.get("seed") if isinstance(custom, Mapping) else None)
    return Sampling(
        max_tokens=_max_tokens(request),
        temperature=_number(request.get("temperature"), "temperature", 0, 100),
        top_p=_number(request.get("top_p"), "top_p", 0, 1),
        top_k=_whole(request.get("top_k"), "top_k", 1),
        frequency_penalty=_number(request.get("frequency_penalty"), "frequency_penalty", -2, 2)
        or 0.0,
        presence_penalty=_number(request.get("presence_penalty"), "presence_penalty", -2, 2) or 0.0,
        seed=_whole(seed, "seed", 0),
        stop=_stop(request.get("stop")),
        n=_whole(request.get("n"), "n", 1, _MOST_ANSWERS) or 1,
        logprobs=_logprobs(request),
        logit_bias=_logit_bias(request.get("logit_bias")),
    )


def messages_of(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The conversation so far: dictionaries with `role` and a `content` of text."""
    messages = _plain(request.get("messages"))
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest(
            "'messages' is missing or empty; expected a list of at least one message, such as "
            '{"role": "user", "content": "Hello"}.'
        )
    return [_message(message, place) for place, message in enumerate(messages)]


def prompt_of(request: Mapping[str, Any]) -> str:
    """The text to go on from."""
    prompt = request.get("prompt")
    if not isinstance(prompt, str):
        raise InvalidRequest(f"'prompt' must be a text, not {type(prompt).__name__}.")
    return prompt


def tools_of(request: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The functions that the model may ask for; None where there are none."""
    tools = _plain(request.get("tools"))
    if tools is None:
        return None
    if not isinstance(tools, list) or not all(isinstance(tool, Mapping) for tool in tools):
        raise InvalidRequest("'tools' must be a list of objects with 'type' and 'function'.")
    return [_without_missing(tool) for tool in tools] or None


def texts_of(request: Mapping[str, Any]) -> list[str]:
    """The texts to embed: `input` is one or a list of them."""
    given = _plain(request.get("input"))
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise InvalidRequest("'input' must be a text or a list of at least one text.")
    return texts


def rows_of(data: Any, field: str) -> list[dict[str, Any]]:
    """One request for each row of a DataFrame, each dictionary of a list, or a dictionary.

    Texts, alone or in a list, stand for requests with the one `field`. What is missing (None, NaN)
    is left out.
    """
    if hasattr(data, "to_dict"):
        named = len(data.columns) != 1 or field in data.columns
        records = (data if named else data.set_axis([field], axis=1)).to_dict(orient="records")
    elif isinstance(data, Mapping):
        records = [data]
    else:
        given = _plain(data)
        records = [given] if isinstance(given, str) else given
        if not isinstance(records, list):
            raise InvalidRequest(
                f"Expected a request as a dictionary with '{field}', or a list or DataFrame of "
                f"them; got {type(data).__name__}."
            )
        records = [{field: each} if isinstance(each, str) else each for each in records]
    if not all(isinstance(record, Mapping) for record in records):
        raise InvalidRequest(f"Each request must be a dictionary with '{field}'.")
    return [
        {str(name): value for name, value in record.items() if not _is_missing(value)}
        for record in records
    ]


def _message(message: Any, place: int) -> dict[str, Any]:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise InvalidRequest(
            f"messages[{place}] must be an object with 'role' and 'content', not {message!r}."
        )
    known = _without_missing(message)
    content = known.get("content", "")
    if isinstance(content, list):
        content = "".join(_part(part, place) for part in content)
    if not isinstance(content, str):
        raise InvalidRequest(
            f"messages[{place}].content must be a text, not {type(content).__name__}."
        )
    return {**known, "content": content}


def _part(part: Any, place: int) -> str:
    text = part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else None
    if not isinstance(text, str):
        raise InvalidRequest(
            f"messages[{place}].content has a part that is no text; expected parts such as "
            '{"type": "text", "text": "Hello"}.'
        )
    return text


def _without_missing(given: Mapping[str, Any]) -> dict[str, Any]:
    """Without the optional properties that a signature's enforcement filled with None."""
    known: dict[str, Any] = {}
    for name, value in given.items():
        if not _is_missing(value):
            plain = _plain(value)
            known[str(name)] = _without_missing(plain) if isinstance(plain, Mapping) else plain
    return known


def _plain(value: Any) -> Any:
    """A list for an array, which is what DataFrames hold."""
    return value.tolist() if hasattr(value, "tolist") else value


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _whole(value: Any, name: str, least: int, most: int = 2**63 - 1) -> int | None:
    number = _plain(value)
    if number is None:
        return None
    is_whole = isinstance(number, int | float) and not isinstance(number, bool)
    if not is_whole or number != number // 1 or not least <= number <= most:
        limit = f"from {least} to {most}" if most < 2**63 - 1 else f"of at least {least}"
        raise InvalidRequest(f"'{name}' must be a whole number {limit}, not {value!r}.")
    return int(number)


def _number(value: Any, name: str, least: float, most: float) -> float | None:
    number = _plain(value)
    if number is None:
        return None
    if (
        not isinstance(number, int | float)
        or isinstance(number, bool)
        or not least <= number <= most
    ):
        raise InvalidRequest(f"'{name}' must be a number from {least} to {most}, not {value!r}.")
    return float(number)


def _max_tokens(request: Mapping[str, Any]) -> int | None:
    """Chat completions have a newer name for it, which goes before the older one."""
    newer = _whole(request.get("max_completion_tokens"), "max_completion_tokens", 1)
    older = _whole(request.get("max_tokens"), "max_tokens", 1)
    return older if newer is None else newer


def _logprobs(request: Mapping[str, Any]) -> int | None:
    """Of a chat (`logprobs: true` and `top_logprobs`) or a completion (`logprobs: 5`)."""
    asked, top = _plain(request.get("logprobs")), _plain(request.get("top_logprobs"))
    if top is not None:
        if asked is not True:
            raise InvalidRequest("'top_logprobs' needs 'logprobs': true.")
        return _whole(top, "top_logprobs", 0, _MOST_LOGPROBS)
    if asked is None or isinstance(asked, bool):
        return 0 if asked else None
    return _whole(asked, "logprobs", 0, _MOST_LOGPROBS)


def _logit_bias(value: Any) -> tuple[tuple[int, float], ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping) or len(value) > _MOST_BIASES:
        raise InvalidRequest(
            f"'logit_bias' must be an object of at most {_MOST_BIASES} token numbers with numbers "
            f'from -{_GREATEST_BIAS} to {_GREATEST_BIAS}, such as {{"42": -100}}.'
        )
    biases: list[tuple[int, float]] = []
    for token, bias in value.items():
        # Longer ones are no tokens of any model, and int() takes long for the longest.
        if not str(token).isascii() or not str(token).isdigit() or len(str(token)) > 9:
            raise InvalidRequest(f"'logit_bias' has {token!r}, which is no number of a token.")
        name = f"logit_bias[{token}]"
        number = _number(bias, name, -_GREATEST_BIAS, _GREATEST_BIAS)
        biases.append((int(token), number or 0.0))
    return tuple(biases)


def _stop(value: Any) -> tuple[str, ...]:
    given = _plain(value)
    if given is None:
        return ()
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise InvalidRequest(f"'stop' must be a text or a list of texts, not {value!r}.")
    return tuple(text for text in texts if text)
