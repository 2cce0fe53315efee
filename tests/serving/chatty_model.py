"""A model of Python code that answers conversations as their last message says.

say WORDS          answers with them, a piece for each
wait FILE WORDS    says the first word, and goes on when there is such a file
length WORDS       says that they are cut
raise, die, tools, nonsense    as they are called
request            answers with the request that it was given, as JSON
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Chatty(PythonModel):  # type: ignore[misc]  # its name is found when the model is loaded
    """See the module."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """A whole answer."""
        what, rest = _asked(model_input)
        if what == "request":
            return json.dumps(model_input)
        if what == "nonsense":
            return {"answer": 42}
        if what == "tools":
            call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            return _answer({"role": "assistant", "tool_calls": [call]}, "tool_calls")
        pieces = list(_words(what, rest))
        text = {"role": "assistant", "content": "".join(pieces)}
        reason = "length" if what == "length" else "stop"
        usage = {"prompt_tokens": 5, "completion_tokens": len(pieces), "total_tokens": 0}
        return [{**_answer(text, reason), "usage": usage, "custom_outputs": {"by": "Chatty"}}]

    def predict_stream(self, context: Any, model_input: Any, params: Any = None) -> Iterator[Any]:
        """The same, a word at a time."""
        what, rest = _asked(model_input)
        if what == "tools":
            yield {"choices": [{"index": 0, "delta": {"tool_calls": [{"id": "1"}]}}]}
        for place, word in enumerate(_words(what, rest)):
            if place % 2:
                yield word
            else:
                yield {"choices": [{"index": 0, "delta": {"content": word}}]}
        reason = "length" if what == "length" else "stop"
        yield {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}


def _asked(request: dict[str, Any]) -> tuple[str, str]:
    text = request["messages"][-1]["content"] if "messages" in request else request["prompt"]
    what, _, rest = text.partition(" ")
    return what, rest


def _words(what: str, rest: str) -> Iterator[str]:
    if what == "raise":
        raise RuntimeError(f"as it was asked to {rest}")
    if what == "mark":
        Path(rest).touch()
    while what in ("forever", "flood"):
        if what == "forever":
            time.sleep(0.001)
        yield rest
    gate = None
    if what == "wait":
        gate, _, rest = rest.partition(" ")
    for place, word in enumerate(rest.split(" ")):
        if place == 1 and gate is not None:
            while not Path(gate).exists():
                time.sleep(0.005)
        if word == "die":
            os._exit(3)
        yield word if place == 0 else f" {word}"


def _answer(message: dict[str, Any], reason: str) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return {"object": "chat.completion", "choices": [choice]}


set_model(Chatty())
