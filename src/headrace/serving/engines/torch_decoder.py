"""The decoder over a transformers text-generation pipeline: many sequences in one call of a model.

A model is called as its own `generate` calls it, with a mask and positions for each sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest
from headrace.models.flavors.openai_engine import Engine
from headrace.serving.engines.decoder import Decoder, TextStream
from headrace.serving.engines.memory import free_memory
from headrace.serving.engines.room import Layout
from headrace.serving.engines.torch_cache import Places, SlotLayer
from headrace.serving.engines.torch_text import StreamedText, backend_decode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_UNLIMITED: Final = 2**17


class TorchDecoder(Decoder):
    """See the module. The model stays on the device it is on."""

    vocabulary: int

    def __init__(self, pipeline: Any, engine: Engine, ends: frozenset[int], *, slots: int) -> None:
        """`engine` renders conversations; answers end with one of the tokens `ends`."""
        import numpy as np
        import torch
        from transformers.cache_utils import Cache, CacheLayerMixin

        self.model_name = engine.model_name
        self.slots = slots
        self.end_tokens = ends
        self._torch = torch
        self._engine = engine
        self._tokenizer = pipeline.tokenizer
        self._decode = backend_decode(pipeline.tokenizer)
        self._model = pipeline.model.eval()
        self._device = pipeline.model.device
        config = pipeline.model.config.get_text_config()
        self.context_length = context_length(config, pipeline.tokenizer)
        self.vocabulary = int(pipeline.model.get_input_embeddings().num_embeddings)
        self._longest_token = max(map(len, pipeline.tokenizer.get_vocab()), default=1)
        self._masks = Masks(config, pipeline.model.dtype)
        self._places = Places(slots)
        if self._device.type == "cpu":  # where only addresses are taken
            self._places.make_room(self.context_length)
        self._layers = [SlotLayer(self._places) for _ in range(config.num_hidden_layers)]
        CacheLayerMixin.register(SlotLayer)  # a cache asks its layers whether they are some
        layers: list[Any] = [*self._layers]
        self._cache = Cache(layers=layers)
        self._lengths = np.zeros(slots, np.int64)
        self._gives_back = False
        """Whether the memory of a sequence that is over is given back."""

    def reserve(self) -> None:
        """Take the addresses that all slots may need, and find out how much memory there is for
        them, by calculating a token. OSError where the system does not grant so many.
        """
        self.prefill(0, [0], 0)
        self.leave(0)
        if self._device.type != "cpu":
            return
        each = [size for layer in self._layers for size in layer.token_bytes]
        layout = Layout(sum(each), min(each))
        self._gives_back = layout.gives_back(self.context_length)
        self.room = layout.room(free_memory, self.slots, self.context_length, self.model_name)

    def render(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> str:
        """See Decoder."""
        return self._engine.render(messages, tools)

    def encode(self, text: str, *, is_rendered: bool) -> list[int]:
        """See Decoder. InvalidRequest for a text that is too long, before it is read whole."""
        most = self.context_length * self._longest_token
        if len(text) > most:
            raise InvalidRequest(
                f"The prompt has {len(text)} characters; this model takes {self.context_length} "
                f"tokens with the answer, which are {most} characters at the very most. Shorten it."
            )
        try:
            found = self._tokenizer(text, add_special_tokens=not is_rendered, verbose=False)
        except (TypeError, UnicodeError) as error:
            raise InvalidRequest("The prompt holds characters that are no Unicode text.") from error
        return list(found["input_ids"])

    def text_stream(self) -> TextStream:
        """See Decoder."""
        return StreamedText(self._decode)

    def token_text(self, token: int) -> str:
        """See Decoder."""
        return str(self._tokenizer.decode([token]))

    def prefill(self, slot: int, tokens: Sequence[int], start: int) -> NDArray[np.float32]:
        """See Decoder."""
        torch, places, end = self._torch, self._places, start + len(tokens)
        places.make_room(end)
        positions = torch.arange(start, end, device=self._device)
        places.targets = positions + slot * places.room
        places.first, places.last, places.length = slot, slot + 1, end
        places.is_fresh = start == 0
        mask = self._masks.of(positions[None, :, None], torch.arange(end, device=self._device))
        self._lengths[slot] = end
        logits: NDArray[np.float32] = self._called([list(tokens)], positions[None], mask)[0]
        return logits

    def prefill_many(
        self, slots: Sequence[int], prompts: Sequence[Sequence[int]]
    ) -> NDArray[np.float32]:
        """See Decoder. Shorter prompts are padded on the left, so that all end together."""
        torch, places = self._torch, self._places
        longest = max(map(len, prompts))
        places.make_room(longest)
        lengths = torch.tensor([len(each) for each in prompts], device=self._device)[:, None]
        columns = torch.arange(longest, device=self._device)
        positions = columns - (longest - lengths)  # negative: padding
        # The padding's keys go to the place behind the sequence's own, where the next one comes.
        rows = torch.tensor(list(slots), device=self._device)[:, None] * places.room
        places.targets = (rows + torch.where(positions < 0, lengths, positions)).flatten()
        places.first, places.last, places.length = 0, len(prompts), longest
        places.is_fresh = True
        mask = self._masks.of(positions[:, :, None], positions[:, None, :])
        self._lengths[list(slots)] = [len(each) for each in prompts]
        padded = [[0] * (longest - len(each)) + list(each) for each in prompts]
        return self._called(padded, positions.clamp(min=0), mask)

    def step(self, slots: Sequence[int], tokens: Sequence[int]) -> NDArray[np.float32]:
        """See Decoder. Rows between the slots are calculated too: their one token goes where their
        next one will.
        """
        import numpy as np

        torch, places = self._torch, self._places
        first, last = min(slots), max(slots) + 1
        used = np.asarray(slots) - first
        ids = np.zeros((last - first, 1), np.int64)
        ids[used, 0] = tokens
        at = self._lengths[first:last]
        length = int(at.max()) + 1
        places.make_room(length)
        positions = torch.from_numpy(at.copy()).to(self._device)
        places.targets = positions + torch.arange(first, last, device=self._device) * places.room
        places.first, places.last, places.length = first, last, length
        places.is_fresh = False
        seen = torch.arange(length, device=self._device)
        mask = self._masks.of(positions[:, None, None], seen)
        self._lengths[list(slots)] += 1
        logits = self._called(ids, positions[:, None], mask)
        is_all = len(used) == last - first and bool((used[:-1] < used[1:]).all())
        return logits if is_all else logits[used]

    def leave(self, slot: int) -> None:
        """See Decoder."""
        self._lengths[slot] = 0
        if self._gives_back:
            for layer in self._layers:
                layer.leave(slot)

    def close(self) -> None:
        """See Decoder."""
        del self._model, self._cache, self._layers

    def _called(self, tokens: Any, positions: Any, mask: Any) -> NDArray[np.float32]:
        """The logits after the last of `tokens` (sequences, tokens), for each sequence."""
        torch = self._torch
        with torch.inference_mode():
            answer = self._model(
                input_ids=torch.as_tensor(tokens, device=self._device),
                attention_mask=mask,
                position_ids=positions,
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )
            logits: NDArray[np.float32] = answer.logits[:, -1].float().cpu().numpy()
        return logits


class Masks:
    """What each token may look at: all before it, or those in a window; per kind of layer where a
    model has several kinds.
    """

    def __init__(self, config: Any, dtype: Any) -> None:
        """`config` is that of a model of text."""
        import torch

        window = getattr(config, "sliding_window", None)
        kinds = getattr(config, "layer_types", None)
        self._windows: dict[str, int | None] | None = None
        self._window = window
        if kinds:
            # As transformers makes them: models with kinds of layers take a mask for each kind.
            self._windows = {kind: window if "sliding" in kind else None for kind in set(kinds)}
        self._least: Any = None
        if config._attn_implementation == "eager":
            # It adds masks to scores.
            self._least = torch.tensor(torch.finfo(dtype).min, dtype=dtype)

    def of(self, positions: Any, seen: Any) -> Any:
        """For tokens at `positions` (sequences, tokens, 1), among those at `seen`, which has as
        many dimensions or fewer: masks of shape (sequences, 1, tokens, seen), for each kind.

        Places below 0 are padding, which looks at itself alone: a softmax over nothing would be
        no number.
        """
        visible = seen <= positions
        if seen.ndim > 1:
            visible = (visible & (seen >= 0)) | (seen == positions)
        if self._windows is None:
            return self._mask(visible, self._window, positions, seen)
        return {
            kind: self._mask(visible, window, positions, seen)
            for kind, window in self._windows.items()
        }

    def _mask(self, visible: Any, window: int | None, positions: Any, seen: Any) -> Any:
        if window is not None:
            visible = visible & (seen > positions - window)
        mask = visible[:, None]
        if self._least is None:
            return mask
        least = self._least.to(mask.device)
        return least.new_zeros(mask.shape).masked_fill(~mask, least)


def context_length(config: Any, tokenizer: Any) -> int:
    """How many tokens a model is made for; very many where nothing says it."""
    found = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    return int(min(found, _UNLIMITED))
