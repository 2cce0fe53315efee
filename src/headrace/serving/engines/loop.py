"""Continuous batching: one more token for all sequences at each step, whoever joins or leaves."""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

from headrace.serving.engines.base import Event, Generation, GenerationEngine, Started
from headrace.serving.engines.decoder import Decoder
from headrace.serving.engines.line import Line
from headrace.serving.engines.pace import Pace
from headrace.serving.engines.prompts import check_length, check_tokens
from headrace.serving.engines.refusals import refusal
from headrace.serving.engines.sampling import Chooser, chosen, defaults_of
from headrace.serving.engines.sequences import Choice, ChoiceText

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ContinuousLoop(GenerationEngine):
    """See the module. Each of a request's choices takes a slot of the decoder, and memory for its
    tokens. Where either is missing, requests wait and take turns (see `Line`); nobody overtakes the
    first, so that long ones have their turn as well. Where answers under way outgrow the memory,
    the one that joined last steps back: it waits, and goes on where it was.
    """

    has_logprobs = True

    def __init__(
        self,
        decoder: Decoder,
        defaults: Mapping[str, Any] | None = None,
        *,
        chunk: int | None = None,
    ) -> None:
        """`defaults` say how the model answers where a request does not (see `defaults_of`).

        Of prompts `chunk` tokens at most are taken in between two tokens of the others; None: as
        many as take a quarter of a second or so.
        """
        self.model_name = decoder.model_name
        self.capacity = decoder.slots
        self.context_length = decoder.context_length
        self._decoder = decoder
        self._defaults = defaults_of(defaults or {})
        self._pace = Pace(chunk)
        self._new: list[Generation] = []
        self._waiting: Line[Choice] = Line()
        self._joining: deque[Choice] = deque()
        """Those that have a slot, and whose prompt is being taken in."""
        self._active: list[Choice] = []
        self._free = list(range(decoder.slots))

    def add(self, generation: Generation) -> None:
        """See GenerationEngine."""
        self._new.append(generation)

    def cancel(self, key: int) -> None:
        """See GenerationEngine."""
        self._new = [each for each in self._new if each.key != key]
        self._waiting.remove(key)
        for choice in (*self._joining, *self._active):
            if choice.key == key:
                self._leave(choice)
        self._joining = deque(each for each in self._joining if each.key != key)
        self._active = [each for each in self._active if each.key != key]

    def step(self) -> list[Event]:
        """See GenerationEngine."""
        events: list[Event] = []
        if self._new:
            self._read(events)
        self._look_at_memory()
        while self._free and (choice := self._waiting.first()) and self._has_room(choice):
            self._waiting.take()
            self._join(choice, events)
        if self._joining:
            self._prefill(events)
        if self._active:
            self._stay_within_memory()
            active = self._active
            slots = [each.slot for each in active]
            began = time.perf_counter()
            logits = self._decoder.step(slots, [each.last for each in active])
            self._pace.stepped(time.perf_counter() - began)
            self._active = self._go_on(active, logits, events)
        return events

    @property
    def is_idle(self) -> bool:
        """See GenerationEngine."""
        return not (self._active or self._joining or self._waiting or self._new)

    def close(self) -> None:
        """See GenerationEngine."""
        self._decoder.close()

    def _read(self, events: list[Event]) -> None:
        """Have new requests wait, or refuse them."""
        new, self._new = self._new, []
        for generation in new:
            try:
                for choice in self._choices(generation):
                    self._waiting.add(choice)
            except Exception as error:  # noqa: BLE001 - one request's failure must not be the others'
                events.append(refusal(generation.key, error))

    def _choices(self, generation: Generation) -> list[Choice]:
        decoder = self._decoder
        prompt = self._prompt(generation)
        sampling = self._defaults.completed(generation.sampling, len(prompt))
        check_tokens("'logit_bias'", dict(sampling.logit_bias), decoder.vocabulary)
        room = decoder.context_length - len(prompt)
        return [
            Choice(
                generation.key,
                index,
                prompt,
                Chooser(sampling, self._defaults, index, prompt, decoder.end_tokens),
                ChoiceText(decoder, sampling.stop, sampling.logprobs),
                min(sampling.max_tokens or room, room),
            )
            for index in range(sampling.n)
        ]

    def _prompt(self, generation: Generation) -> list[int]:
        decoder, given = self._decoder, generation.prompt
        if generation.messages is not None:
            rendered = decoder.render(generation.messages, generation.tools)
            tokens = decoder.encode(rendered, is_rendered=True)
        elif isinstance(given, str):
            tokens = decoder.encode(given, is_rendered=False)
        else:
            tokens = list(given or ())
            check_tokens("The prompt", tokens, decoder.vocabulary)
        check_length(len(tokens), decoder.context_length)
        return tokens

    def _has_room(self, choice: Choice) -> bool:
        """Whether there is memory for it beside the others; for one alone there must be."""
        others = (*self._joining, *self._active)
        return not others or self._decoder.room.holds(
            each.length_soon for each in (*others, choice)
        )

    def _look_at_memory(self) -> None:
        made = (each.length for each in self._active)
        self._decoder.room.look(chain(made, (each.taken for each in self._joining)))

    def _stay_within_memory(self) -> None:
        """Have those that joined last step back, until there is memory for a step of the others."""
        while len(self._active) + len(self._joining) > 1 and not self._decoder.room.holds(
            each.length for each in (*self._active, *self._joining)
        ):
            choice = (self._joining or self._active).pop()
            self._leave(choice)
            choice.step_back()
            self._waiting.put_back(choice)

    def _join(self, choice: Choice, events: list[Event]) -> None:
        # The lowest ones, so that those in use lie together.
        choice.slot = heapq.heappop(self._free)
        self._joining.append(choice)
        if choice.index == 0 and not choice.has_begun:
            events.append(Started(choice.key, len(choice.prompt)))
        choice.has_begun = True

    def _leave(self, choice: Choice) -> None:
        self._decoder.leave(choice.slot)
        heapq.heappush(self._free, choice.slot)

    def _prefill(self, events: list[Event]) -> None:
        """Take in a part of a long prompt, or as many short ones as make no more work."""
        group = self._together()
        logits = self._all_taken_in(group) if len(group) > 1 else None
        if logits is None:
            for choice in group:
                if choice in self._joining:  # it is not, where its request was refused meanwhile
                    self._take_in(choice, events)
            return
        for _ in group:
            self._joining.popleft()
        self._active.extend(self._go_on(group, logits, events))

    def _all_taken_in(self, group: list[Choice]) -> NDArray[np.float32] | None:
        """None where the model raises, which may be for one of them."""
        prompts = [each.prompt for each in group]
        began = time.perf_counter()
        try:
            logits = self._decoder.prefill_many([each.slot for each in group], prompts)
        except Exception:  # noqa: BLE001 - one prompt's failure must not be the others'
            return None
        self._pace.took(max(map(len, prompts)) * len(group), time.perf_counter() - began)
        return logits

    def _together(self) -> list[Choice]:
        """The first that are joining, as many as can be taken in together as a whole."""
        group: list[Choice] = []
        longest = 0
        for choice in self._joining:
            longest = max(longest, len(choice.prompt))
            if longest * (len(group) + 1) > self._pace.tokens:
                break
            group.append(choice)
        return group or [self._joining[0]]

    def _take_in(self, choice: Choice, events: list[Event]) -> None:
        """The next part of its prompt."""
        part = choice.prompt[choice.taken : choice.taken + self._pace.tokens]
        began = time.perf_counter()
        try:
            logits = self._decoder.prefill(choice.slot, part, choice.taken)
        except Exception as error:  # noqa: BLE001 - a prompt's failure must not be the others'
            self.cancel(choice.key)
            events.append(refusal(choice.key, error))
            return
        self._pace.took(len(part), time.perf_counter() - began)
        choice.taken += len(part)
        if choice.taken == len(choice.prompt):
            self._joining.remove(choice)
            self._active.extend(self._go_on([choice], logits[None], events))

    def _go_on(
        self, choices: list[Choice], logits: NDArray[np.float32], events: list[Event]
    ) -> list[Choice]:
        """Give each of them its next token; those that are not over."""
        tokens = chosen(logits, [each.chooser for each in choices])
        under_way = []
        for place, choice in enumerate(choices):
            if choice.take(tokens[place], logits[place], events):
                self._leave(choice)
            else:
                under_way.append(choice)
        return under_way
