"""What makes text for many requests at once: the interface that every engine has.

An engine belongs to one thread. It is stepped: each step makes one more token (or a few) for every
request under way, so that requests join and leave between steps, and none waits for another's end.
What an engine needs beside Python is the model's own packages.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from headrace.models.flavors.openai_requests import Sampling


@dataclass(frozen=True)
class Generation:
    """One request: a conversation, or a text (or its tokens) to go on from."""

    key: int
    """Chosen by the caller, unlike that of any other request under way."""
    sampling: Sampling
    messages: list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    prompt: str | list[int] | None = None
    """Where there are no messages."""
    is_streamed: bool = False
    """Whether its reader wants pieces as they are made; else they may come all at once."""


@dataclass(frozen=True)
class TokenLogprob:
    """How likely a token was: the natural logarithm of its probability, before temperature and
    penalties.
    """

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()
    """The likeliest tokens at this place, the likeliest first, as many as were asked for."""


@dataclass(frozen=True)
class Started:
    """A request has joined; its prompt has so many tokens."""

    key: int
    prompt_tokens: int


@dataclass(frozen=True)
class Piece:
    """A choice goes on with `text`, which no stop text can begin in any more.

    `logprobs` are those of the tokens that made it, where they were asked for.
    """

    key: int
    index: int
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Finished:
    """A choice has ended. `tokens` counts all that were made, the one that ended it included."""

    key: int
    index: int
    reason: Literal["stop", "length"]
    tokens: int


@dataclass(frozen=True)
class Refused:
    """A request cannot be answered, for a reason that its author can understand. It is over."""

    key: int
    message: str
    code: str = "INVALID_PARAMETER_VALUE"


Event: TypeAlias = Started | Piece | Finished | Refused


class GenerationEngine(ABC):
    """See the module. Each request gets `Started`, then pieces, then one `Finished` for each of
    its `sampling.n` choices; or `Refused`, at any time, and nothing after it.
    """

    model_name: str
    """What answers say of the model."""
    capacity: int
    """How many choices go on at once, if there is memory for them; the others wait inside the
    engine. Of requests with one choice each, who comes first is served first.
    """
    context_length: int | None = None
    """How many tokens a prompt and its answer can have, where that is known."""
    has_logprobs: bool = False
    """Whether it can say how likely its tokens were; else asking for it is refused."""

    @abstractmethod
    def add(self, generation: Generation) -> None:
        """Let a request join at the next step. Never raises for what a request says: that is
        told by `Refused`, from the next step.
        """

    @abstractmethod
    def cancel(self, key: int) -> None:
        """Nobody waits for this request any more: its place is free at once, and no more events
        come of it. Unknown keys are ignored.
        """

    @abstractmethod
    def step(self) -> list[Event]:
        """Go on with all requests; what has happened. Events of one choice are in order.

        Blocks for one step of the model at most. What the model raises for one request alone is
        its `Refused`; what it raises otherwise is raised, and the engine is not to be used again.
        """

    @property
    @abstractmethod
    def is_idle(self) -> bool:
        """Whether no request is under way or waiting."""

    def close(self) -> None:  # noqa: B027 - most have nothing to let go of
        """Let go of the model."""
