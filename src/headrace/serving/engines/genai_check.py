"""Whether the decoder calculates what ONNX Runtime GenAI does: tried when a model is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from headrace.models.flavors.onnxruntime_genai_engine import GenAIModel
from headrace.serving.engines.onnxruntime_decoder import OnnxRuntimeDecoder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SHORT: Final = 3
_LONG: Final = 8
_ROOM: Final = 16
_TOLERANCE: Final = 0.02
"""Of the distance between the greatest and the least logit: sequences are rounded otherwise in
other company, most with weights of 4 bits (0.0005 measured; 0.046 where a mask is wrong by one).
"""


def agrees(decoder: OnnxRuntimeDecoder, model: GenAIModel, *, room: int = _ROOM) -> bool:
    """Whether the logits are those of ONNX Runtime GenAI, for two sequences of different lengths,
    the second of which joins later and stays when the first has left. Leaves the decoder empty.

    Its generators are made for `room` tokens: they fail with fewer than a window of the model has.
    """
    size = decoder.vocabulary or 1
    theirs: dict[int, _Theirs] = {}

    def begins(slot: int, length: int) -> bool:
        theirs[slot] = _Theirs(model, min(decoder.context_length, max(room, _ROOM)))
        prompt = [(7 + 31 * place + slot) % size for place in range(length)]
        return _are_close(decoder.prefill(slot, prompt, 0), theirs[slot].logits(prompt))

    def go_on(*slots: int) -> bool:
        tokens = [(11 + 5 * slot) % size for slot in slots]
        ours = decoder.step(slots, tokens)
        each = zip(ours, slots, tokens, strict=True)
        return all(_are_close(row, theirs[slot].logits([token])) for row, slot, token in each)

    is_equal = begins(0, _SHORT) and go_on(0)
    if decoder.slots > 1:
        is_equal = is_equal and begins(1, _LONG) and go_on(1, 0)
        decoder.leave(0)
        is_equal = is_equal and go_on(1)
        decoder.leave(1)
    decoder.leave(0)
    return is_equal


class _Theirs:
    """A sequence in ONNX Runtime GenAI, told which tokens come next."""

    def __init__(self, model: GenAIModel, room: int) -> None:
        import onnxruntime_genai as og

        params = og.GeneratorParams(model.model)
        params.set_search_options(max_length=room)
        self._generator: Any = og.Generator(model.model, params)

    def logits(self, tokens: list[int]) -> NDArray[np.float32]:
        """The logits after these, shape (vocabulary,)."""
        import numpy as np

        self._generator.append_tokens(np.array(tokens, np.int32))
        found: NDArray[np.float32] = np.array(self._generator.get_logits(), np.float32)
        last: NDArray[np.float32] = found.reshape(-1, found.shape[-1])[-1]
        return last


def _are_close(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> bool:
    import numpy as np

    return bool(np.abs(ours - theirs).max() <= _TOLERANCE * np.ptp(theirs))
