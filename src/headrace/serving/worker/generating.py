"""Text that a worker makes for many requests at once, over whatever engine serves its model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from headrace.models.flavors.openai_requests import Sampling
from headrace.models.model import PYFUNC
from headrace.serving.engines.base import Generation, GenerationEngine
from headrace.serving.engines.choice import AUTO, engine_for
from headrace.serving.engines.refusals import raised_log
from headrace.serving.worker.events import told

if TYPE_CHECKING:
    from headrace.models.pyfunc import PyFuncModel


_SLOTS: Final = 16


class Generator:
    """An engine, spoken to in the words of frames."""

    def __init__(self, engine: GenerationEngine, *, is_own_answer: bool = False) -> None:
        """`is_own_answer`: what the model's `predict` gives is an answer in OpenAI's shape that
        nobody needs to make.
        """
        self._engine = engine
        self.facts = {
            "model_name": engine.model_name,
            "capacity": engine.capacity,
            "context_length": engine.context_length,
            "is_own_answer": is_own_answer,
        }
        """What the server has to know."""

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return self._engine.is_idle

    def add(self, head: dict[str, Any]) -> None:
        """Begin with a request."""
        said = dict(head["sampling"])
        said["stop"] = tuple(said["stop"])
        said["logit_bias"] = tuple((token, bias) for token, bias in said["logit_bias"])
        self._engine.add(
            Generation(
                head["key"],
                Sampling(**said),
                head["messages"],
                head["tools"],
                head["prompt"],
                head["is_streamed"],
            )
        )

    def cancel(self, key: int) -> None:
        """Drop a request."""
        self._engine.cancel(key)

    def step(self) -> list[list[Any]]:
        """What has happened in one step, as `told` says it."""
        return [told(event) for event in self._engine.step()]


def generator_for(model: PyFuncModel, wanted: dict[str, Any]) -> Generator | None:
    """What makes text with this model; None for a model that makes no text for conversations or
    prompts. `wanted` says which engine (`name`), with how many places (`slots`) and `threads`, and
    whether each error of the model is logged in full (`debug`).
    """
    raised_log.is_each_in_full = bool(wanted.get("debug"))
    engine = engine_for(
        model,
        wanted.get("name") or AUTO,
        slots=wanted.get("slots") or _SLOTS,
        threads=wanted.get("threads"),
    )
    if engine is None:
        return None
    return Generator(engine, is_own_answer=set(model.metadata.flavors) == {PYFUNC})
