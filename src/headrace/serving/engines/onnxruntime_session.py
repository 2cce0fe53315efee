"""A language model's graph in ONNX Runtime, with a cache that it calculates in, in place.

The graphs of ONNX Runtime GenAI's builder attend with `GroupQueryAttention`, which takes each
sequence's length from the attention mask: rows of one run may have different lengths, what lies
behind a row's end is never read, and where keys and values are given and taken in one buffer, only
the new ones are written (documented with the operator in ONNX Runtime's ContribOperators). So a
cache of fixed rows serves all: a run takes its first rows, or one row alone, without copying. Each
array of it has addresses for the longest sequences, and memory for the tokens that there are (see
`Reserved`).
Layers whose attention goes back a few tokens only may have caches that are as short, and evict from
them when they are full; here they have as many places as all others, and nothing is evicted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidModel, InvalidRequest
from headrace.serving.engines.genai_description import Description
from headrace.serving.engines.memory import free_memory
from headrace.serving.engines.reserved import Reserved
from headrace.serving.engines.room import Layout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TYPES: Final = {"tensor(float)": "float32", "tensor(float16)": "float16"}
_ATTENTION: Final = "GroupQueryAttention"
_FIRST_PLACES: Final = 2048
"""The cache has so many places for each row at first, and doubles when a sequence needs more."""
_PART: Final = 512
"""A prompt is taken in parts of so many tokens, so that logits of all its places need no memory."""
_SMALL: Final = 32 << 20
"""A graph with weights of fewer bytes is calculated by one thread: more would wait for each other.
(Measured: 330,000 weights, 8 rows: 79 µs with one thread, 163 µs with two.)
"""


@dataclass
class _Run:
    """A run of some rows, with all that is given and taken bound to it."""

    binding: Any
    tokens: NDArray[np.int64]
    places: NDArray[np.int64] | None
    logits: NDArray[Any]


class CachedSession:
    """See the module. Rows are numbered from 0; each holds one sequence.

    Attributes:
        lengths: how many tokens each row holds.
        vocabulary: how many different tokens there are.
    """

    def __init__(
        self, folder: Path, description: Description, *, rows: int, threads: int | None = None
    ) -> None:
        """`threads` calculate; None: one for a small model, else as many as there are cores.

        InvalidModel where the graph is not such a one. What ONNX Runtime raises for a graph that
        it cannot load is a RuntimeError, or its own exceptions. OSError where the system does not
        grant addresses for so many rows.
        """
        import numpy as np

        self._names = description
        self._session = _session(folder, description, threads)
        inputs = {each.name: each for each in self._session.get_inputs()}
        outputs = {each.name: each for each in self._session.get_outputs()}
        self._check(inputs, outputs)
        self._takes_places = description.position_ids in inputs
        first = inputs[description.past[0]]
        self._type = np.dtype(_TYPES[first.type])
        self._logits_type = np.dtype(_TYPES[outputs[description.logits].type])
        self.vocabulary = int(outputs[description.logits].shape[-1])
        self._heads, self._size = int(first.shape[1]), description.head_size
        each = self._size * self._type.itemsize
        row = self._heads * each
        layout = Layout(row * len(description.past), each, copied_bytes=row)
        self.room = layout.room(free_memory, rows, description.context_length, description.file)
        """How much memory there is for what the rows hold."""
        self._gives_back = layout.gives_back(description.context_length)
        self.rows = rows
        self.lengths = [0] * rows
        self._places = 0
        longest = rows * row * description.context_length
        self._reserved = [Reserved(longest) for _ in description.past]
        self._cache: list[NDArray[Any]] = [np.zeros(0, self._type) for _ in description.past]
        self._mask: NDArray[np.int64] = np.zeros((rows, 0), np.int64)
        self._steps: dict[int, _Run] = {}
        """Those of the first so many rows, a token each."""
        self._prompts: dict[int, Any] = {}
        """What is bound for one row alone."""
        self._first_places = min(description.context_length, max(_FIRST_PLACES, description.window))
        self._lay_out(self._first_places)
        self._prompt_logits = np.empty(_PART * self.vocabulary, self._logits_type)

    def _check(self, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
        names = self._names
        wanted = {names.input_ids, names.attention_mask, *names.past}
        if set(inputs) - {names.position_ids} != wanted:
            raise InvalidModel(
                f"The graph takes {sorted(inputs)}, and its description says {sorted(wanted)}."
            )
        if set(outputs) != {names.logits, *names.present}:
            raise InvalidModel(f"The graph gives {sorted(outputs)}, unlike its description.")
        first = inputs[names.past[0]]
        heads = first.shape[1] if len(first.shape) == 4 else None
        if first.type not in _TYPES or not isinstance(heads, int):
            raise InvalidModel(f"The cache is {first.type} with the shape {first.shape}.")
        for cache in [inputs[name] for name in names.past] + [outputs[n] for n in names.present]:
            if cache.type != first.type or cache.shape[1:2] != [heads]:
                raise InvalidModel("The caches of the graph's layers differ from each other.")
        logits = outputs[names.logits]
        if logits.type not in _TYPES or not isinstance(logits.shape[-1], int):
            raise InvalidModel(f"The logits are {logits.type} with the shape {logits.shape}.")

    def take(self, row: int, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Go on with one row; the logits after the last of the tokens, shape (vocabulary,)."""
        last: NDArray[Any] | None = None
        for start in range(0, len(tokens), _PART):
            last = self._take(row, tokens[start : start + _PART])
        if last is None:
            raise InvalidRequest("There is no token to go on from.")
        found: NDArray[np.float32] = last.astype("float32")
        return found

    def _take(self, row: int, tokens: Sequence[int]) -> NDArray[Any]:
        count, length = len(tokens), self.lengths[row]
        self._reserve(length + count)
        binding = self._prompts.get(row)
        if binding is None:
            binding = self._prompts[row] = self._bound(row, row + 1)
        logits = self._prompt_logits[: count * self.vocabulary]
        run = self._run(binding, logits.reshape(1, count, self.vocabulary))
        run.tokens[0] = tokens
        if run.places is not None:
            run.places[0] = range(length, length + count)
        self._mask[row, length : length + count] = 1
        self._session.run_with_iobinding(run.binding)
        self.lengths[row] = length + count
        last: NDArray[Any] = run.logits[0, -1]
        return last

    def step(self, rows: Sequence[int], tokens: Sequence[int]) -> NDArray[Any]:
        """One more token for each of these rows. All rows up to the last of them are calculated;
        those not named stay as they are. The logits after it, shape (rows, vocabulary), which the
        next call may overwrite.
        """
        import numpy as np

        top = max(rows) + 1
        # Rows that only ride along write behind their end, where their next token will: what the
        # mask and the cache have there is written anew with it.
        self._reserve(max(self.lengths[:top]) + 1)
        run = self._steps.get(top)
        if run is None:
            logits = np.empty((top, 1, self.vocabulary), self._logits_type)
            run = self._steps[top] = self._run(self._bound(0, top), logits)
        named = list(rows)
        run.tokens[named, 0] = tokens
        places = self.lengths[:top]
        if run.places is not None:
            run.places[:, 0] = places
        self._mask[range(top), places] = 1
        self._session.run_with_iobinding(run.binding)
        for row in named:
            self.lengths[row] += 1
        return run.logits[:, -1] if named == list(range(top)) else run.logits[named, -1]

    def try_longest(self) -> None:
        """Calculate a token in a row as long as the description allows, where the cache is shorter.
        What ONNX Runtime says to it, if the graph's table of angles is shorter, is a RuntimeError.
        """
        places = self._names.context_length
        if places > self._places:
            self._lay_out(places)
            self.take(0, [0])
            self.cut(0)

    def cut(self, row: int, length: int = 0) -> None:
        """Forget what a row holds behind its first `length` tokens."""
        self._mask[row, length:] = 0
        self.lengths[row] = length
        if length or not self._gives_back:
            return
        if self._places > self._first_places and not any(self.lengths):
            self._lay_out(self._first_places)
        for reserved, cache in zip(self._reserved, self._cache, strict=True):
            reserved.give_back(row * cache[0].nbytes, (row + 1) * cache[0].nbytes)

    def move(self, source: int, target: int) -> None:
        """Let `target` hold what `source` does, which is empty then."""
        length = self.lengths[source]
        self.cut(target)
        for each in self._cache:
            each[target, :, :length] = each[source, :, :length]
        self._mask[target, :length] = 1
        self.lengths[target] = length
        self.cut(source)

    def _reserve(self, places: int) -> None:
        if places > self._names.context_length:
            raise InvalidRequest(
                f"The model can hold {self._names.context_length} tokens of a prompt and its "
                f"answer, not {places}."
            )
        if places > self._places:
            self._lay_out(min(self._names.context_length, max(places, 2 * self._places)))

    def _lay_out(self, places: int) -> None:
        """Have so many places in each row. What the rows hold stays: it is copied, one array after
        the other.
        """
        import numpy as np

        self._steps, self._prompts = {}, {}
        shape = (self.rows, self._heads, places, self._size)
        held = [(row, length) for row, length in enumerate(self.lengths) if length]
        for number, (reserved, old) in enumerate(zip(self._reserved, self._cache, strict=True)):
            copies = [(row, old[row, :, :length].copy()) for row, length in held]
            reserved.give_back()
            new = np.frombuffer(reserved.buffer, self._type, math.prod(shape)).reshape(shape)
            for row, copy in copies:
                new[row, :, : copy.shape[1]] = copy
            self._cache[number] = new
        mask = np.zeros((self.rows, places), np.int64)
        for row, length in held:
            mask[row, :length] = 1
        self._mask, self._places = mask, places

    def _bound(self, first: int, end: int) -> Any:
        """The mask and the cache of these rows, bound."""
        names, binding = self._names, self._session.io_binding()
        binding.bind_ortvalue_input(names.attention_mask, _value(self._mask[first:end]))
        for past, present, cache in zip(names.past, names.present, self._cache, strict=True):
            value = _value(cache[first:end])
            binding.bind_ortvalue_input(past, value)
            binding.bind_ortvalue_output(present, value)
        return binding

    def _run(self, binding: Any, logits: NDArray[Any]) -> _Run:
        """A run for as many rows and tokens as `logits` has, whose tokens are still to be set."""
        import numpy as np

        names, shape = self._names, logits.shape[:2]
        tokens = np.zeros(shape, np.int64)
        binding.bind_ortvalue_input(names.input_ids, _value(tokens))
        binding.bind_ortvalue_output(names.logits, _value(logits))
        places = None
        if self._takes_places:
            places = np.zeros(shape, np.int64)
            binding.bind_ortvalue_input(names.position_ids, _value(places))
        return _Run(binding, tokens, places, logits)


def _value(array: NDArray[Any]) -> Any:
    """ONNX Runtime's view of the same memory, which keeps it alive."""
    import onnxruntime

    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


def _session(folder: Path, description: Description, threads: int | None) -> Any:
    import onnxruntime

    graph = folder / description.file
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # warnings are for those who build graphs
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if threads is None and _bytes(folder) < _SMALL:
        threads = 1
    options.intra_op_num_threads = threads or 0
    # Threads that wait by spinning take the cores away from the server and from other workers.
    # (Measured on two busy cores, 85 million weights, 8 rows: 31 ms a step, and 17 without.)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    kinds = {
        node.op_type
        for part in session.get_provider_graph_assignment_info()
        for node in part.get_nodes()
    }
    if _ATTENTION not in kinds:
        raise InvalidModel(f"The graph has no {_ATTENTION}, which rows of unlike lengths need.")
    if "If" in kinds:
        raise InvalidModel("The graph turns places into angles by the longest row of a run.")
    return session


def _bytes(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.iterdir() if each.is_file())
