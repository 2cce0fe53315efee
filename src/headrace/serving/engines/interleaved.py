"""Requests over an engine that makes one text at a time: each gets its piece in turn."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field, replace

from headrace.errors import InvalidRequest
from headrace.models.flavors.openai_answers import Completion
from headrace.models.flavors.openai_engine import Engine
from headrace.models.flavors.openai_requests import Sampling
from headrace.serving.engines.base import (
    Event,
    Finished,
    Generation,
    GenerationEngine,
    Piece,
    Refused,
    Started,
)
from headrace.serving.engines.line import Line
from headrace.serving.engines.prompts import check_length
from headrace.serving.engines.refusals import refusal


@dataclass
class _Turn:
    """One choice of a request."""

    key: int
    index: int
    prompt: str
    prompt_tokens: int
    is_chat: bool
    sampling: Sampling
    events: Generator[Event, None, None] | None = field(default=None)


class Interleaved(GenerationEngine):
    """See the module. Nothing is gained by asking for several at once, but each is answered right.

    An engine whose randomness is the whole process's must have one place only, because seeds would
    disturb each other.
    """

    def __init__(
        self,
        engine: Engine,
        count: Callable[[str, bool], int],
        *,
        context_length: int | None = None,
        slots: int = 1,
    ) -> None:
        """`count` says how many tokens a text has, with those that a prompt of plain text begins
        with where the second is false. `context_length`: how many a prompt and its answer can have.
        """
        self.model_name = engine.model_name
        self.capacity = slots
        self._engine = engine
        self._count = count
        self.context_length = context_length
        self._new: list[Generation] = []
        self._waiting: Line[_Turn] = Line()
        self._active: list[_Turn] = []

    def add(self, generation: Generation) -> None:
        """See GenerationEngine."""
        self._new.append(generation)

    def cancel(self, key: int) -> None:
        """See GenerationEngine."""
        self._new = [each for each in self._new if each.key != key]
        self._waiting.remove(key)
        for turn in self._active:
            if turn.key == key and turn.events is not None:
                turn.events.close()
        self._active = [each for each in self._active if each.key != key]

    def step(self) -> list[Event]:
        """See GenerationEngine."""
        events: list[Event] = []
        new, self._new = self._new, []
        for generation in new:
            try:
                for turn in self._turns(generation):
                    self._waiting.add(turn)
            except Exception as error:  # noqa: BLE001 - one request's failure must not be the others'
                events.append(refusal(generation.key, error))
        while len(self._active) < self.capacity and (begun := self._waiting.first()):
            self._waiting.take()
            begun.events = self._told(begun)
            self._active.append(begun)
            if begun.index == 0:
                events.append(Started(begun.key, begun.prompt_tokens))
        for turn in list(self._active):
            if turn in self._active and turn.events is not None:
                self._take_turn(turn, turn.events, events)
        return events

    @property
    def is_idle(self) -> bool:
        """See GenerationEngine."""
        return not (self._active or self._waiting or self._new)

    def _turns(self, generation: Generation) -> list[_Turn]:
        sampling = generation.sampling
        if sampling.logprobs is not None or sampling.logit_bias:
            raise InvalidRequest(
                "This model's engine has neither 'logprobs' nor 'logit_bias'; leave them out."
            )
        is_chat = generation.messages is not None
        if generation.messages is not None:
            prompt = self._engine.render(generation.messages, generation.tools)
        elif isinstance(generation.prompt, str):
            prompt = generation.prompt
        else:
            raise InvalidRequest("This model's engine takes prompts of text, not of tokens.")
        tokens = self._count(prompt, is_chat) if prompt else 0
        check_length(tokens, self.context_length)
        seeds = [None if sampling.seed is None else sampling.seed + n for n in range(sampling.n)]
        return [
            _Turn(generation.key, index, prompt, tokens, is_chat, replace(sampling, n=1, seed=seed))
            for index, seed in enumerate(seeds)
        ]

    def _take_turn(
        self, turn: _Turn, told: Generator[Event, None, None], events: list[Event]
    ) -> None:
        try:
            event = next(told)
        except Exception as error:  # noqa: BLE001 - one request's failure must not be the others'
            event = refusal(turn.key, error)
        events.append(event)
        if isinstance(event, Finished):
            self._active.remove(turn)
        elif isinstance(event, Refused):
            self.cancel(turn.key)

    def _told(self, turn: _Turn) -> Generator[Event, None, None]:
        """What happens to a choice, piece by piece."""
        has_begun, whole = False, Completion("", 0, "stop")
        with closing(self._pieces(turn)) as pieces:
            for piece in pieces:
                if isinstance(piece, Completion):
                    whole = piece
                elif said := piece if has_begun else piece.lstrip():
                    has_begun = True
                    yield Piece(turn.key, turn.index, said)
        yield Finished(turn.key, turn.index, whole.finish_reason, whole.tokens)

    def _pieces(self, turn: _Turn) -> Generator[str | Completion, None, None]:
        """What the engine makes, at once where it does not go piece by piece."""
        try:
            stream = self._engine.stream(turn.prompt, turn.sampling, is_chat=turn.is_chat)
            first = next(stream)
        except InvalidRequest:  # it may still answer as a whole
            made = self._engine.generate(turn.prompt, turn.sampling, is_chat=turn.is_chat)
            yield made.completions[0].text
            yield made.completions[0]
            return
        with closing(stream):
            yield first
            yield from stream
