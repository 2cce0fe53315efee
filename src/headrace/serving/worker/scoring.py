"""Predictions for the calls that a worker was given together."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.errors import HeadraceError, InvalidRequest
from headrace.models.payload import Payload, decode_csv, decode_payload
from headrace.models.predictions import encode_predictions
from headrace.serving.worker.answers import Answered, Failed
from headrace.serving.worker.calls import Call

if TYPE_CHECKING:
    from headrace.models.pyfunc import PyFuncModel


class Scorer:
    """Answers calls with one model."""

    def __init__(self, model: PyFuncModel) -> None:
        self._model = model

    def answer(self, calls: Sequence[Call]) -> list[Answered | Failed]:
        """An answer for each of the calls, in their order."""
        return [self._answer(call) for call in calls]

    def _answer(self, call: Call) -> Answered | Failed:
        try:
            payload = self._payload(call)
        except HeadraceError as error:
            return Failed(error.message, error.error_code, error.http_status)
        try:
            predictions = self._model.predict(payload.data, payload.params)
            text = encode_predictions(predictions, is_unwrapped=payload.is_unwrapped)
        except HeadraceError as error:
            return Failed(error.message, error.error_code, error.http_status)
        except Exception as error:  # noqa: BLE001 - the model's own code may raise anything
            message = f"The model could not predict: {type(error).__name__}: {error}"
            return Failed(message, trace=traceback.format_exc())
        return Answered(text.encode())

    def _payload(self, call: Call) -> Payload:
        model = self._model
        if call.content_type == "text/csv":
            return Payload(decode_csv(call.body.decode("utf-8-sig", "replace"), model.signature))
        if call.kind != "invocations":
            raise InvalidRequest(f"A model of this kind does not answer '{call.kind}'.")
        hinted = model.metadata.is_signature_from_type_hint
        return decode_payload(call.body, model.signature, from_type_hints=hinted)
