"""What a transformers pipeline is given and gives, by its task, as MLflow's `pyfunc` has it."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from headrace.errors import InvalidRequest
from headrace.models.flavor import Predictor
from headrace.models.flavors.openai_answers import embeddings_answer
from headrace.models.flavors.openai_engine import Engine, answers, chat_pieces
from headrace.models.flavors.openai_requests import CHAT, rows_of, texts_of
from headrace.models.flavors.transformers_generation import checked_options

PROMPTED: Final = (
    *("feature-extraction", "fill-mask", "summarization", "text2text-generation"),
    "text-generation",
)
"""The tasks whose texts can be put into a prompt template."""
_TEXTS: Final = (*PROMPTED, "token-classification", "translation")
_ANSWER_KEYS: Final = {
    "text-generation": "generated_text",
    "text2text-generation": "generated_text",
    "summarization": "summary_text",
    "translation": "translation_text",
    "question-answering": "answer",
    "table-question-answering": "answer",
}


class AnswersPredictor(Predictor):
    """Answers requests for a task in OpenAI's shape; a list with an answer for each."""

    def __init__(self, engine: Engine, task: str) -> None:
        self._engine = engine
        self._task = task

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """See Predictor."""
        return answers(self._engine, self._task, data, params)

    def predict_stream(self, data: Any, params: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """See Predictor. Pieces of a chat answer."""
        if self._task != CHAT:
            return super().predict_stream(data, params)
        return chat_pieces(self._engine, data, params)


class EmbeddingsPredictor(Predictor):
    """The first token's features of each text, which is what MLflow calls its embedding."""

    def __init__(self, pipeline: Any, config: Mapping[str, Any]) -> None:
        self._pipeline = pipeline
        self._options = checked_options(config)

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """See Predictor. One answer for all texts."""
        texts = [text for row in rows_of(data, "input") for text in texts_of(row)]
        vectors = [features[0][0] for features in self._pipeline(texts, **self._options)]
        tokens = sum(len(self._pipeline.tokenizer(text)["input_ids"]) for text in texts)
        return embeddings_answer(vectors, tokens)


class PipelinePredictor(Predictor):
    """Any other pipeline."""

    def __init__(
        self, pipeline: Any, task: str, config: Mapping[str, Any], template: str | None
    ) -> None:
        self._pipeline = pipeline
        self._task = "translation" if task.startswith("translation_") else task
        self._template = template
        self._options = checked_options(config)

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """See Predictor."""
        options = {**self._options, **checked_options(params or {})}
        options.pop("include_prompt", None)
        collapse = bool(options.pop("collapse_whitespace", False))
        given = self._inputs(data)
        try:
            if isinstance(given, Mapping):
                raw = self._pipeline(**given, **options)
            else:
                raw = self._pipeline(given, **options)
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidRequest(
                f"The {self._task} pipeline does not take this: {error}"
            ) from error
        return self._output(raw, collapse)

    def _inputs(self, data: Any) -> Any:
        if self._task in _TEXTS:
            return [self._prompted(text) for text in _texts(data)]
        if self._task == "text-classification":
            return _text_or_pairs(data)
        if self._task == "zero-shot-classification":
            return _zero_shot(_records(data))
        if self._task == "question-answering":
            records = _records(data)
            _require_keys(records, "question", "context")
            return {key: [each[key] for each in records] for key in ("question", "context")}
        if self._task == "table-question-answering":
            return [_with_table(record) for record in _records(data)]
        if self._task == "image-classification":
            return [_image(each) for each in _values(data)]
        return _values(data)

    def _prompted(self, text: str) -> str:
        # Not str.format: the template is data, and could reach into what it is given.
        return text if self._template is None else self._template.replace("{prompt}", text)

    def _output(self, raw: Any, collapse: bool) -> Any:
        import numpy as np
        import pandas as pd

        if self._task in ("text-classification", "image-classification", "audio-classification"):
            return pd.DataFrame(raw)
        if self._task == "zero-shot-classification":
            return pd.DataFrame(list(_labels(raw if isinstance(raw, list) else [raw])))
        if self._task == "feature-extraction":
            vectors = [np.array(each[0]) for each in raw]
            return vectors[0] if len(vectors) == 1 else vectors
        if self._task == "token-classification":
            lists = raw if raw and isinstance(raw[0], list) else [raw]
            return [
                ",".join(str(each.get("entity", each.get("entity_group"))) for each in found)
                for found in lists
            ]
        if self._task == "fill-mask":
            lists = raw if isinstance(raw[0], list) else [raw]
            return [_first_word(each) for each in lists]
        key = _ANSWER_KEYS.get(self._task)
        if key is None:
            return raw
        texts = [str(each[key]).strip() for each in _flat(raw)]
        return [re.sub(r"\s+", " ", text) for text in texts] if collapse else texts


def _flat(raw: Any) -> Iterator[Any]:
    """The dictionaries in (lists of) lists, or the only one."""
    if isinstance(raw, list):
        for each in raw:
            yield from _flat(each)
    else:
        yield raw


def _first_word(found: Any) -> str:
    """The likeliest word of the first mask of a text."""
    first = found[0]
    return str((first[0] if isinstance(first, list) else first)["token_str"]).strip()


def _labels(found: list[Any]) -> Iterator[dict[str, Any]]:
    for each in found:
        for label, score in zip(each["labels"], each["scores"], strict=True):
            yield {"sequence": each["sequence"], "labels": label, "scores": score}


def _values(data: Any) -> list[Any]:
    """The first column of a table, the first value of each dictionary, or the items themselves."""
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        return [_plain(value) for value in data.iloc[:, 0]]
    if isinstance(data, Mapping):
        first = _plain(next(iter(data.values()), []))
        return first if isinstance(first, list) else [first]
    items = _plain(data)
    if not isinstance(items, list | tuple):
        return [items]
    return [next(iter(each.values())) if isinstance(each, Mapping) else each for each in items]


def _texts(data: Any) -> list[str]:
    values = _values(data)
    wrong = [value for value in values if not isinstance(value, str)]
    if wrong or not values:
        found = type(wrong[0]).__name__ if wrong else "nothing"
        raise InvalidRequest(f"The model takes texts: a str, or a list or column of them; {found}.")
    return values


def _records(data: Any) -> list[dict[str, Any]]:
    """A dictionary for each row."""
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        found = data.to_dict(orient="records")
    else:
        found = [data] if isinstance(data, Mapping) else data
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        raise InvalidRequest("The model takes dictionaries: one, a list, or the rows of a table.")
    return [{str(key): _plain(value) for key, value in each.items()} for each in found]


def _require_keys(records: list[dict[str, Any]], *keys: str) -> None:
    for record in records:
        missing = [key for key in keys if key not in record]
        if missing:
            raise InvalidRequest(f"'{missing[0]}' is missing; the model takes: {', '.join(keys)}.")


def _text_or_pairs(data: Any) -> list[Any]:
    """Texts, or pairs of them as dictionaries with `text` and `text_pair`."""
    is_table = hasattr(data, "to_dict") and "text_pair" in getattr(data, "columns", ())
    if not is_table and not isinstance(data, Mapping | list):
        return _texts(data)
    if not is_table and isinstance(data, list) and not isinstance(data[0], Mapping):
        return _texts(data)
    records = _records(data)
    _require_keys(records, "text")
    unknown = sorted(set().union(*records) - {"text", "text_pair"})
    if unknown:
        raise InvalidRequest(f"'{unknown[0]}' is not known; the model takes text and text_pair.")
    return [dict(record) for record in records]


def _zero_shot(records: list[dict[str, Any]]) -> dict[str, Any]:
    """All rows share their labels: those of the first, as a list or as JSON of one."""
    _require_keys(records, "sequences", "candidate_labels")
    labels = records[0]["candidate_labels"]
    if isinstance(labels, str) and labels.lstrip().startswith("["):
        try:
            labels = json.loads(labels)
        except ValueError as error:
            raise InvalidRequest(f"'candidate_labels' is no JSON list: {error}") from error
    sequences = [record["sequences"] for record in records]
    found = {"sequences": sequences[0] if len(sequences) == 1 else sequences}
    template = records[0].get("hypothesis_template")
    more = {"hypothesis_template": template} if isinstance(template, str) else {}
    return {**found, "candidate_labels": labels, **more}


def _with_table(record: dict[str, Any]) -> dict[str, Any]:
    table = record.get("table")
    if not isinstance(table, str):
        return record
    try:
        return {**record, "table": json.loads(table)}
    except ValueError as error:
        raise InvalidRequest(f"'table' is no JSON: {error}") from error


def _image(given: Any) -> Any:
    """An image: a PIL image, the bytes of a file, or those in base64. No path and no address:
    a model's inputs must not make a program open files or connections.
    """
    import PIL
    from PIL import Image

    data = given
    if isinstance(given, str):
        try:
            data = base64.b64decode(given.rpartition("base64,")[2], validate=True)
        except ValueError as error:
            raise InvalidRequest(
                "An image must be a PIL image, the bytes of a file, or those as base64; open files "
                "and addresses by yourself."
            ) from error
    if not isinstance(data, bytes):
        return data
    try:
        return Image.open(io.BytesIO(data)).convert("RGB")
    except PIL.UnidentifiedImageError as error:
        raise InvalidRequest(f"This is no image: {error}") from error


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
