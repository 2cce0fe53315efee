"""What a call asks of the model: read from its body, with the model's signature as guide."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest
from headrace.models.enforcement import enforce_params
from headrace.models.payload import (
    FORMATS,
    Payload,
    decode_csv,
    decode_payload,
    is_for_language_model,
)
from headrace.models.polars_tables import pandas_library
from headrace.serving.worker.answers import Answered
from headrace.serving.worker.calls import CSV, PARQUET, Call
from headrace.serving.worker.columns import NotTaken
from headrace.serving.worker.encoding import encoded
from headrace.serving.worker.inference import params_of, read_inference
from headrace.serving.worker.inferred_rows import InferredRows
from headrace.serving.worker.merging import Input, may_grow, of_data, of_rows
from headrace.serving.worker.rows import RowPlan, plan_for
from headrace.serving.worker.tensor_inputs import data_of

if TYPE_CHECKING:
    from headrace.models.pyfunc import PyFuncModel

_MOST_TOGETHER: Final = 1 << 18
"""Bytes of a body that is read together with others; beyond, reading costs more than asking."""


@dataclass(frozen=True, slots=True)
class Question:
    """A call, read."""

    call: Call
    input: Input
    params: Any
    answer: Callable[[Any], Answered]
    """What the caller gets, of the model's prediction."""
    takes_records: bool = True
    """Whether a table of predictions may be a list of objects before it is answered."""

    @property
    def likeness(self) -> Hashable:
        """Equal for questions that can be asked as one; None where none can."""
        return None if self.input.likeness is None else (self.input.likeness, repr(self.params))


class Reader:
    """Reads calls for one model."""

    def __init__(self, model: PyFuncModel) -> None:
        self._model = model
        self._signature = signature = model.signature
        self._from_hints = model.metadata.is_signature_from_type_hint
        inputs = None if signature is None else signature.inputs
        self._may_grow = may_grow(inputs)
        is_plain = not self._from_hints and not model.metadata.type_hint_from_example
        self._plan: RowPlan | InferredRows | None = None
        if is_plain and find_spec("pandas") is not None:  # else the ordinary way says what to do
            self._plan = InferredRows() if inputs is None else plan_for(inputs)

    def read(self, call: Call) -> Question:
        """What the call asks. Raises InvalidRequest with what is wrong with it."""
        if call.kind == "infer":
            return self._inference(call)
        if call.content_type == CSV:
            return self._ordinary(call, Payload(decode_csv(_text(call.body), self._signature)))
        if call.content_type == PARQUET:
            return self._ordinary(call, Payload(_parquet(call.body)))
        request = _object(call.body)
        if request is None:
            return self.read_ordinarily(call)
        try:
            return self._short(call, request)
        except NotTaken:
            return self.read_ordinarily(call, request)

    def read_ordinarily(self, call: Call, request: dict[str, Any] | None = None) -> Question:
        """As `read`, of JSON, by way of `decode_payload` and of enforcing the signature."""
        body = call.body if request is None else request
        payload = decode_payload(body, self._signature, from_type_hints=self._from_hints)
        return self._ordinary(call, payload)

    def _short(self, call: Call, request: dict[str, Any]) -> Question:
        """Raises NotTaken."""
        if self._plan is None or len(call.body) > _MOST_TOGETHER or is_for_language_model(request):
            raise NotTaken
        formats = [name for name in request if name != "params"]
        params = request.get("params")
        is_fit = len(formats) == 1 and formats[0] in FORMATS
        if not is_fit or not (params is None or isinstance(params, dict)):
            raise NotTaken
        rows = self._plan.rows_of(formats[0], request[formats[0]])
        signature = self._signature
        if signature is not None and (params is not None or signature.params is not None):
            params = enforce_params(params, signature)
        return Question(call, of_rows(rows), params, _wrapped)

    def _ordinary(self, call: Call, payload: Payload) -> Question:
        data, params = self._model.enforced(payload.data, payload.params)
        grows = self._may_grow and not payload.is_unwrapped and len(call.body) <= _MOST_TOGETHER
        if isinstance(data, list) and not self._from_hints:
            grows = False  # only a type hint says that each item is an input by itself
        answer = _bare if payload.is_unwrapped else _wrapped
        return Question(call, of_data(data, may_grow=grows), params, answer)

    def _inference(self, call: Call) -> Question:
        asked = read_inference(call)
        data = data_of(asked, self._signature, from_hints=self._from_hints)
        data, params = self._model.enforced(data, params_of(asked, self._signature))
        grows = self._may_grow and len(call.body) <= _MOST_TOGETHER

        def answer(predictions: Any) -> Answered:
            return asked.answer(predictions, self._signature)

        given = of_data(data, may_grow=grows)
        return Question(call, given, params, answer, takes_records=False)


def _wrapped(predictions: Any) -> Answered:
    return Answered(encoded(predictions))


def _bare(predictions: Any) -> Answered:
    return Answered(encoded(predictions, is_unwrapped=True))


def _object(body: bytes) -> dict[str, Any] | None:
    """The object in a body; None for anything else, which the ordinary way can explain."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidRequest("The request is no UTF-8 text, as JSON and CSV are.") from None


def _parquet(body: bytes) -> Any:
    pandas = pandas_library()
    try:
        return pandas.read_parquet(BytesIO(body))
    except ImportError:
        raise InvalidRequest(
            "This server cannot read Parquet: the model's environment has no pyarrow. Add it to "
            "the model's requirements, or send JSON or CSV."
        ) from None
    except Exception as error:  # noqa: BLE001 - pyarrow raises many kinds for what is no Parquet
        raise InvalidRequest(f"The request is no table in Parquet: {error}") from None
