"""Keys and values of many sequences of unlike length, as transformers' models ask for them.

One row for each slot: the keys of a layer have the shape (rows, room, heads, size of a head), so
that those of one token lie together. Rows in use lie together too, and a step looks at them where
they are: nothing is copied as sequences join or leave. On a CPU nothing is copied as they grow
either: a row has addresses for the longest sequence, and memory for the tokens that it holds (see
`Reserved`). Other devices' rows have memory for the longest sequence so far.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from headrace.serving.engines.reserved import Reserved

_LEAST_ROOM: Final = 128


@dataclass
class Places:
    """Where the tokens of the next call go, and what they may look at. Shared by all layers."""

    rows: int
    """How many slots there are."""
    room: int = _LEAST_ROOM
    """How many tokens each row has room for."""
    targets: Any = None
    """Where each token's keys go: row * room + place, shape (sequences * tokens,)."""
    first: int = 0
    last: int = 0
    """The rows of this call, the last one exclusive."""
    length: int = 0
    """How many places of them are looked at."""
    is_fresh: bool = False
    """Whether sequences begin: then a call looks at its own tokens only."""

    def make_room(self, length: int) -> bool:
        """Whether the rows have to grow for sequences of this length."""
        if length <= self.room:
            return False
        while self.room < length:
            self.room *= 2
        return True


class SlotLayer:
    """One layer's keys and values. It has what transformers' `Cache` asks of its layers."""

    is_compileable = False
    is_croppable = False
    is_sliding = False
    is_initialized = True

    def __init__(self, places: Places) -> None:
        self._places = places
        self._keys: Any = None
        self._values: Any = None
        self._reserved: list[tuple[Reserved, int]] = []
        """What both lie in, on a CPU, and the bytes of a row."""

    @property
    def token_bytes(self) -> list[int]:
        """What a token takes: its key and its value; nothing before there has been one."""
        return [each[0, 0].nbytes for each in (self._keys, self._values) if each is not None]

    def leave(self, slot: int) -> None:
        """The row's tokens are over: give back its memory, where that is possible."""
        for reserved, size in self._reserved:
            reserved.give_back(slot * size, (slot + 1) * size)

    def update(self, keys: Any, values: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Keep new keys and values of shape (sequences, heads, tokens, size); all that the tokens
        may look at, in the same order of dimensions.
        """
        places = self._places
        if self._keys is None or self._keys.shape[1] != places.room:
            self._keys = self._grown(self._keys, keys)
            self._values = self._grown(self._values, values)
        kept_keys, kept_values = self._keys, self._values
        kept_keys.flatten(0, 1).index_copy_(0, places.targets, keys.transpose(1, 2).flatten(0, 1))
        kept_values.flatten(0, 1).index_copy_(
            0, places.targets, values.transpose(1, 2).flatten(0, 1)
        )
        if places.is_fresh:
            return keys, values
        seen_keys = kept_keys[places.first : places.last, : places.length]
        seen_values = kept_values[places.first : places.last, : places.length]
        return seen_keys.transpose(1, 2), seen_values.transpose(1, 2)

    def get_seq_length(self) -> int:
        """How many places are looked at."""
        return self._places.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """The length of a mask, and where it begins."""
        return self._places.length, 0

    def get_max_length(self) -> int:
        """No limit."""
        return -1

    def _grown(self, old: Any, new: Any) -> Any:
        # Zeros, because what is masked is multiplied by 0, and 0 times anything must be 0.
        places = self._places
        shape = (places.rows, places.room, new.shape[1], new.shape[3])
        if old is None and new.device.type == "cpu":
            import torch

            size = math.prod(shape[1:]) * new.itemsize
            reserved = Reserved(places.rows * size)
            self._reserved.append((reserved, size))
            return torch.frombuffer(reserved.buffer, dtype=new.dtype).view(shape)
        grown = new.new_zeros(shape)
        if old is not None:
            grown[:, : old.shape[1]] = old
        return grown
