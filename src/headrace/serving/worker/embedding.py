"""Embeddings for requests in the shape of OpenAI's API: the texts of all of them at once."""

from __future__ import annotations

import base64
import json
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from headrace.errors import InvalidRequest
from headrace.serving.worker.answers import Answered, Failed, failed_by
from headrace.serving.worker.calls import Call

if TYPE_CHECKING:
    from headrace.models.pyfunc import PyFuncModel


@dataclass(frozen=True)
class _Asked:
    texts: list[str]
    model: str
    is_base64: bool
    dimensions: int | None


def embedded(model: PyFuncModel, calls: Sequence[Call]) -> Iterator[Answered | Failed]:
    """An answer for each of these calls of the kind `embeddings`. They are embedded together; where
    that fails, each alone when its answer is asked for, so that only the one fails whose fault it
    is.
    """
    asked = [_Asked(**json.loads(call.body)) for call in calls]
    count = _counting(model)
    if len(asked) == 1 or count is None:
        return map(partial(_alone, model), asked)
    try:
        vectors, _ = _vectors(model, [text for each in asked for text in each.texts])
    except Exception:  # noqa: BLE001 - whose fault it is shows when they are asked alone
        return map(partial(_alone, model), asked)
    answers: list[Answered | Failed] = []
    rest = iter(vectors)
    for each in asked:
        tokens = sum(count(text) for text in each.texts)
        answers.append(_told(each, [*islice(rest, len(each.texts))], tokens))
    return iter(answers)


def _alone(model: PyFuncModel, asked: _Asked) -> Answered | Failed:
    try:
        vectors, tokens = _vectors(model, asked.texts)
    except Exception as error:  # noqa: BLE001 - the model's own code may raise anything
        return failed_by(error)
    return _told(asked, vectors, tokens)


def _vectors(model: PyFuncModel, texts: list[str]) -> tuple[list[list[float]], int | None]:
    """The vectors of texts, and how many tokens these have, where the model says."""
    answer = model.predict({"input": texts})
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    told: Mapping[str, Any] = answer if isinstance(answer, Mapping) else {}
    rows = told.get("data") or ()
    vectors: list[Any] = [row.get("embedding") for row in rows if isinstance(row, Mapping)]
    if len(vectors) != len(texts) or not all(vectors):
        raise InvalidRequest(
            f"The model answered {len(texts)} texts with {type(answer).__name__}; expected an "
            "object whose 'data' has an 'embedding' for each."
        )
    usage = told.get("usage")
    tokens = usage.get("prompt_tokens") if isinstance(usage, Mapping) else None
    return [[float(x) for x in vector] for vector in vectors], tokens


def _counting(model: PyFuncModel) -> Any:
    """What counts the tokens of a text; None for a model that shows no tokenizer."""
    tokenizer = getattr(model.native, "tokenizer", None)
    if not callable(tokenizer):
        return None
    return lambda text: len(tokenizer(text)["input_ids"])


def _told(asked: _Asked, vectors: list[list[float]], tokens: int | None) -> Answered | Failed:
    width = len(vectors[0])
    if asked.dimensions not in (None, width):
        return Failed(
            f"'dimensions' is {asked.dimensions}; this model makes vectors of {width} only.",
            "INVALID_PARAMETER_VALUE",
        )
    shown = _as_base64 if asked.is_base64 else _as_it_is
    answer: dict[str, Any] = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": shown(vector)}
            for index, vector in enumerate(vectors)
        ],
        "model": asked.model,
    }
    if tokens is not None:
        answer["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return Answered(json.dumps(answer, separators=(",", ":")).encode())


def _as_base64(vector: list[float]) -> str:
    """32-bit floats, the low byte first, as OpenAI's clients read them."""
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()


def _as_it_is(vector: list[float]) -> list[float]:
    return vector
