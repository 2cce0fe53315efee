"""The decoder over ONNX Runtime: sequences of a model for ONNX Runtime GenAI, many in one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headrace.errors import InvalidRequest
from headrace.models.flavors.onnxruntime_genai_engine import GenAIModel
from headrace.serving.engines.decoder import Decoder, TextStream
from headrace.serving.engines.onnxruntime_session import CachedSession

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class OnnxRuntimeDecoder(Decoder):
    """See the module. Tokens and the chat template are those of ONNX Runtime GenAI's tokenizer.

    Sequences lie in the first rows of the session's cache, so that each run has no more rows than
    there are sequences; where one has left, the last one takes its place before the next run.
    """

    def __init__(self, model: GenAIModel, session: CachedSession, *, slots: int) -> None:
        """`session` has as many rows as there are `slots`."""
        self.model_name = model.model_name
        self.slots = slots
        self.room = session.room
        self.context_length = model.context_length
        self.end_tokens = frozenset(int(token) for token in model.tokenizer.eos_token_ids)
        self.vocabulary = session.vocabulary
        self._model = model
        self._tokenizer = model.tokenizer
        self._session = session
        self._rows: dict[int, int] = {}
        """The row of each slot that is in use."""

    def render(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> str:
        """See Decoder."""
        return self._model.render(messages, tools)

    def encode(self, text: str, *, is_rendered: bool) -> list[int]:
        """See Decoder."""
        self._tokenizer.update_options(add_special_tokens="false" if is_rendered else "true")
        try:
            return [int(token) for token in self._tokenizer.encode(text)]
        except TypeError as error:
            raise InvalidRequest("The prompt holds characters that are no Unicode text.") from error

    def text_stream(self) -> TextStream:
        """See Decoder."""
        return _Stream(self._tokenizer.create_stream())

    def token_text(self, token: int) -> str:
        """See Decoder."""
        return str(self._tokenizer.decode([token]))

    def prefill(self, slot: int, tokens: Sequence[int], start: int) -> NDArray[np.float32]:
        """See Decoder."""
        row = self._rows.get(slot)
        if row is None:
            row = self._rows[slot] = min(set(range(self.slots)).difference(self._rows.values()))
        self._session.cut(row, start)
        return self._session.take(row, tokens)

    def step(self, slots: Sequence[int], tokens: Sequence[int]) -> NDArray[np.float32]:
        """See Decoder."""
        rows = self._rows
        if max(rows.values()) >= len(rows):
            self._close_ranks()
        logits: NDArray[np.float32] = self._session.step([rows[slot] for slot in slots], tokens)
        return logits if logits.dtype == "float32" else logits.astype("float32")

    def _close_ranks(self) -> None:
        free = set(range(len(self._rows))).difference(self._rows.values())
        for slot, row in self._rows.items():
            if row >= len(self._rows):
                self._rows[slot] = free.pop()
                self._session.move(row, self._rows[slot])

    def leave(self, slot: int) -> None:
        """See Decoder."""
        row = self._rows.pop(slot, None)
        if row is not None:
            self._session.cut(row)


class _Stream:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def add(self, token: int) -> str:
        """See TextStream."""
        return str(self._stream.decode(token))
