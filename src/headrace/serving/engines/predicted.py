"""Text of models that answer by their own `predict`: Python code that nothing is known of."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, Literal

from headrace.errors import HeadraceError, InvalidRequest
from headrace.models.flavors.stop_texts import StopCutter
from headrace.serving.engines.base import (
    Event,
    Finished,
    Generation,
    GenerationEngine,
    Piece,
    Refused,
    Started,
)
from headrace.serving.engines.raised import cut, message_of, origin_of, trace_of
from headrace.serving.engines.refusals import raised_log

if TYPE_CHECKING:
    from headrace.models.pyfunc import PyFuncModel

_SAID: Final = ("max_tokens", "temperature", "top_p", "top_k")
_LONGEST_PIECE: Final = 1 << 18
_PENALTIES: Final = ("frequency_penalty", "presence_penalty")


class PredictedEngine(GenerationEngine):
    """See the module. One request at a time, because nobody knows what its code shares.

    The model is given `{"messages": …}` or `{"prompt": …}` with what was said of the sampling. It
    answers with a text, or a dictionary (or an object with `model_dump` or `to_dict`) in the shape
    of OpenAI's API, or a list of one; piece by piece with chunks of that shape, or texts. Stop
    texts are cut here, whatever the model makes of them.
    """

    capacity = 1

    def __init__(self, model: PyFuncModel, model_name: str) -> None:
        self.model_name = model_name
        self._model = model
        self._waiting: deque[Generation] = deque()
        self._current: tuple[int, Generator[Event, None, None]] | None = None

    def add(self, generation: Generation) -> None:
        """See GenerationEngine."""
        self._waiting.append(generation)

    def cancel(self, key: int) -> None:
        """See GenerationEngine."""
        self._waiting = deque(each for each in self._waiting if each.key != key)
        if self._current is not None and self._current[0] == key:
            _, events = self._current
            self._current = None
            _close(events)

    def step(self) -> list[Event]:
        """See GenerationEngine. A model that answers as a whole blocks for as long as it takes."""
        if self._current is None:
            if not self._waiting:
                return []
            generation = self._waiting.popleft()
            self._current = generation.key, self._events(generation)
        key, events = self._current
        try:
            event = next(events, None)
        except HeadraceError as error:
            event = Refused(key, cut(error.message), error.error_code)
        except Exception as error:  # noqa: BLE001 - the model's own code may raise anything
            _tell("The model raised at a request for text", error)
            said = f"The model could not predict: {message_of(error)}"
            event = Refused(key, said, "BAD_REQUEST")
        if event is None or isinstance(event, Refused):
            self._current = None
        return [] if event is None else [event]

    @property
    def is_idle(self) -> bool:
        """See GenerationEngine."""
        return self._current is None and not self._waiting

    def _events(self, asked: Generation) -> Generator[Event, None, None]:
        sampling = asked.sampling
        if sampling.logprobs is not None or sampling.logit_bias:
            raise InvalidRequest(
                "This model answers by its own code, which has neither 'logprobs' nor "
                "'logit_bias'; leave them out."
            )
        for index in range(sampling.n):
            request = self._request(asked, index)
            pieces = self._pieces(request) if asked.is_streamed else None
            if pieces is None:
                yield from self._whole(asked, index, request)
            else:
                yield from self._streamed(asked, index, pieces)

    def _request(self, asked: Generation, index: int) -> dict[str, Any]:
        """What the model is given for one choice."""
        sampling = asked.sampling
        request: dict[str, Any] = (
            {"prompt": asked.prompt} if asked.messages is None else {"messages": asked.messages}
        )
        if asked.tools:
            request["tools"] = asked.tools
        said = {name: getattr(sampling, name) for name in _SAID}
        request.update({name: value for name, value in said.items() if value is not None})
        penalties = {name: getattr(sampling, name) for name in _PENALTIES}
        request.update({name: value for name, value in penalties.items() if value})
        if sampling.stop:
            request["stop"] = list(sampling.stop)
        if sampling.seed is not None:
            # The signature of MLflow's tasks has no place for it but this.
            seed = {"seed": sampling.seed + index}
            request.update({"custom_inputs": seed} if self._has_custom_inputs() else seed)
        return request

    def _has_custom_inputs(self) -> bool:
        signature = self._model.signature
        inputs = None if signature is None else signature.inputs
        return inputs is not None and "custom_inputs" in inputs.input_names()

    def _whole(
        self, asked: Generation, index: int, request: dict[str, Any]
    ) -> Generator[Event, None, None]:
        answer = _plain(self._model.predict(request))
        text, reason = _choice(answer)
        usage = answer.get("usage") if isinstance(answer, Mapping) else None
        usage = usage if isinstance(usage, Mapping) else {}
        if index == 0:
            yield Started(asked.key, _count(usage.get("prompt_tokens")))
        cutter = StopCutter(asked.sampling.stop)
        text = cutter.add(text) + cutter.rest()
        yield from _pieces_of(asked.key, index, text)
        reason = "stop" if cutter.is_stopped else reason
        yield Finished(asked.key, index, reason, _count(usage.get("completion_tokens")))

    def _streamed(
        self, asked: Generation, index: int, pieces: Iterator[Any]
    ) -> Generator[Event, None, None]:
        reason: Literal["stop", "length"] = "stop"
        cutter = StopCutter(asked.sampling.stop)
        with closing(_Closing(pieces)):
            if index == 0:
                yield Started(asked.key, 0)
            for piece in pieces:
                text, ended = _piece(_plain(piece))
                reason = ended or reason
                yield from _pieces_of(asked.key, index, cutter.add(text))
                if cutter.is_stopped:
                    break
        yield from _pieces_of(asked.key, index, cutter.rest())
        yield Finished(asked.key, index, "stop" if cutter.is_stopped else reason, 0)

    def _pieces(self, request: dict[str, Any]) -> Iterator[Any] | None:
        """The model's pieces; None where it answers as a whole only."""
        try:
            pieces = iter(self._model.predict_stream(request))
            first = next(pieces, None)
        except InvalidRequest:  # it has none; what else is wrong, predicting will tell as well
            return None
        return iter(()) if first is None else _with_first(first, pieces)


def _pieces_of(key: int, index: int, text: str) -> Iterator[Piece]:
    """A text in pieces that are never more than a frame takes; none for no text."""
    for start in range(0, len(text), _LONGEST_PIECE):
        yield Piece(key, index, text[start : start + _LONGEST_PIECE])


class _Closing:
    """Closes an iterator, where it can be."""

    def __init__(self, pieces: Iterator[Any]) -> None:
        self._pieces = pieces

    def close(self) -> None:
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()


def _with_first(first: Any, rest: Iterator[Any]) -> Generator[Any, None, None]:
    with closing(_Closing(rest)):
        yield first
        yield from rest


def _close(events: Generator[Event, None, None]) -> None:
    try:
        events.close()
    except Exception as error:  # noqa: BLE001 - the model's own code; nobody waits for the answer
        _tell("The model raised when its answer was given up", error)


def _tell(what: str, error: Exception) -> None:
    raised_log.tell(what, origin_of(error), trace_of(error))


def _plain(answer: Any) -> Any:
    """A dictionary, a list or a text for what stands for it."""
    for method in ("model_dump", "to_dict", "tolist"):
        found = getattr(answer, method, None)
        if callable(found) and not isinstance(answer, type):
            answer = found(orient="records") if hasattr(answer, "columns") else found()
            break
    if isinstance(answer, list) and len(answer) == 1:
        return _plain(answer[0])
    return answer


def _choice(answer: Any) -> tuple[str, Literal["stop", "length"]]:
    """The text of an answer, and why it ended. InvalidRequest for what is none."""
    if isinstance(answer, str):
        return answer, "stop"
    choice = _first_choice(answer)
    message = choice.get("message")
    if isinstance(message, Mapping):
        _check_no_calls(message)
        text = message.get("content")
    else:
        text = choice.get("text")
    if not isinstance(text, str):
        raise _no_answer(answer)
    return text, "length" if choice.get("finish_reason") == "length" else "stop"


def _piece(piece: Any) -> tuple[str, Literal["stop", "length"] | None]:
    """The text of a piece, and why the answer ended if it did."""
    if isinstance(piece, str):
        return piece, None
    choice = _first_choice(piece)
    delta = choice.get("delta", choice.get("message"))
    if isinstance(delta, Mapping):
        _check_no_calls(delta)
        text = delta.get("content")
    else:
        text = choice.get("text")
    if text is not None and not isinstance(text, str):
        raise _no_answer(piece)
    reason = choice.get("finish_reason")
    ended: Literal["stop", "length"] | None = "length" if reason == "length" else None
    return text or "", ended


def _check_no_calls(message: Mapping[str, Any]) -> None:
    if message.get("tool_calls"):
        raise InvalidRequest(
            "The model answered with calls of tools, which this server cannot pass on here; ask it "
            "at /invocations without 'stream', which gives its answer as it is."
        )


def _first_choice(answer: Any) -> Mapping[str, Any]:
    choices = answer.get("choices") if isinstance(answer, Mapping) else None
    if not isinstance(choices, list | tuple) or not choices or not isinstance(choices[0], Mapping):
        raise _no_answer(answer)
    return choices[0]


def _no_answer(answer: Any) -> InvalidRequest:
    keys = f" with {', '.join(map(repr, answer))}" if isinstance(answer, Mapping) else ""
    return InvalidRequest(
        f"The model answered with {type(answer).__name__}{keys[:200]}; expected a text, or an "
        "object with 'choices' in the shape of OpenAI's API."
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
