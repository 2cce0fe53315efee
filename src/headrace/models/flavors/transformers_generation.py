"""Text made by a transformers pipeline, for requests in the shape of OpenAI's API."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from headrace.errors import InvalidRequest
from headrace.models.flavors.openai_answers import (
    Completion,
    Generated,
)
from headrace.models.flavors.openai_engine import Engine
from headrace.models.flavors.openai_requests import Sampling
from headrace.models.flavors.stop_texts import cut_at_stop, streamed

_RUN_CODE: Final = ("custom_generate", "trust_remote_code")
_NOT_FOR_ANSWERS: Final = (
    *("return_full_text", "return_text", "return_tensors", "include_prompt"),
    *("collapse_whitespace", "num_return_sequences", "seed"),
)
_LEAST_TAIL: Final = 16


def checked_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a call, from a model's configuration or a caller's params.

    InvalidRequest for those by which a call would fetch and run code.
    """
    for name in _RUN_CODE:
        if config.get(name):
            raise InvalidRequest(
                f"The model's configuration has '{name}', which would run code that is not part of "
                "the library; it is never passed on. Load the model with 'load_model', and call "
                "it with that by yourself."
            )
    return {name: value for name, value in config.items() if name not in _RUN_CODE}


def rendered_chat(
    tokenizer: Any, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None
) -> str:
    """The prompt for a conversation, by the chat template of a transformers tokenizer.
    InvalidRequest where it has none, or refuses the messages.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise InvalidRequest("The model's tokenizer has no chat template.")
    import jinja2

    try:
        rendered = tokenizer.apply_chat_template(
            messages, tools=tools, tokenize=False, add_generation_prompt=True
        )
    except (jinja2.TemplateError, ValueError, TypeError, KeyError) as error:
        raise InvalidRequest(
            f"The model's chat template does not take these messages: {error}"
        ) from error
    return str(rendered)


class PipelineEngine(Engine):
    """A `TextGenerationPipeline`, asked one prompt at a time."""

    def __init__(self, pipeline: Any, config: Mapping[str, Any], model_name: str) -> None:
        self.model_name = model_name
        self._pipeline = pipeline
        self._tokenizer = pipeline.tokenizer
        options = checked_options(config)
        self._seed = options.get("seed")
        self._options = {
            name: value for name, value in options.items() if name not in _NOT_FOR_ANSWERS
        }

    def render(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> str:
        """See Engine."""
        return rendered_chat(self._tokenizer, messages, tools)

    def generate(self, prompt: str, sampling: Sampling, *, is_chat: bool) -> Generated:
        """See Engine."""
        return self._generated(prompt, sampling, is_chat, {})

    def stream(
        self, prompt: str, sampling: Sampling, *, is_chat: bool
    ) -> Generator[str | Completion, None, None]:
        """See Engine. A thread of its own generates; it ends when nobody asks for more."""
        from transformers import TextIteratorStreamer

        pieces = TextIteratorStreamer(self._tokenizer, skip_prompt=True, skip_special_tokens=True)
        is_over = threading.Event()
        more = {"streamer": pieces, "is_over": is_over}
        with ThreadPoolExecutor(1, "headrace-stream") as threads:
            work = threads.submit(self._generated, prompt, sampling, is_chat, more)
            work.add_done_callback(lambda _: pieces.on_finalized_text("", stream_end=True))
            try:
                is_stopped = yield from streamed(pieces, sampling.stop)
            finally:
                is_over.set()
            made = work.result().completions[0]
            yield replace(made, finish_reason="stop") if is_stopped else made

    def _generated(
        self, prompt: str, sampling: Sampling, is_chat: bool, more: Mapping[str, Any]
    ) -> Generated:
        special = {"add_special_tokens": False} if is_chat else {}
        length = len(self._tokenizer(prompt, **special)["input_ids"])
        options = {**self._options, **self._asked(sampling, length, more.get("is_over"))}
        if "streamer" in more:
            options["streamer"] = more["streamer"]
        is_random = options.get("do_sample") is not False
        if is_random and sampling.n > 1:
            options["num_return_sequences"] = sampling.n
        with _seeded(self._seed if sampling.seed is None else sampling.seed):
            try:
                records = self._pipeline(prompt, return_tensors=True, **special, **options)
            except (ValueError, TypeError) as error:
                raise InvalidRequest(f"The model does not generate like this: {error}") from error
        made = [
            self._completion(each["generated_token_ids"][length:], sampling) for each in records
        ]
        if len(made) < sampling.n:
            made *= sampling.n  # nothing is drawn: they are all the same
        return Generated(length, tuple(made))

    def _asked(
        self, sampling: Sampling, length: int, is_over: threading.Event | None
    ) -> dict[str, Any]:
        from transformers import LogitsProcessorList, StoppingCriteriaList

        asked: dict[str, Any] = {
            name: value
            for name, value in (
                ("max_new_tokens", sampling.max_tokens),
                ("do_sample", sampling.is_random),
                ("temperature", sampling.temperature or None),
                ("top_p", sampling.top_p),
                ("top_k", sampling.top_k),
            )
            if value is not None
        }
        if sampling.stop or is_over is not None:
            criterion = _stop_at(self._tokenizer, sampling.stop, length, is_over)
            asked["stopping_criteria"] = StoppingCriteriaList([criterion])
        if sampling.frequency_penalty or sampling.presence_penalty:
            asked["logits_processor"] = LogitsProcessorList([penalties(sampling, length)])
        return asked

    def _completion(self, tokens: Sequence[int], sampling: Sampling) -> Completion:
        ends = [place for place, token in enumerate(tokens) if token in self._end_tokens()]
        made = tokens[: ends[0] + 1] if ends else tokens
        text = self._tokenizer.decode(made, skip_special_tokens=True)
        text, is_stopped = cut_at_stop(text, sampling.stop)
        is_over = bool(ends) or is_stopped
        return Completion(text.lstrip(), len(made), "stop" if is_over else "length")

    def _end_tokens(self) -> set[int | None]:
        found: set[int | None] = {self._tokenizer.eos_token_id}
        for config in (self._pipeline.model.generation_config, self._pipeline.model.config):
            ids = getattr(config, "eos_token_id", None)
            found.update(ids if isinstance(ids, list) else [ids])
        return found


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """PyTorch draws from `seed` meanwhile, and goes on from where it was afterwards."""
    if seed is None:
        yield
        return
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def _stop_at(
    tokenizer: Any, stop: Sequence[str], length: int, is_over: threading.Event | None
) -> Any:
    """A criterion that ends a text when a stop text is in it, of which only the end is looked at,
    or when nobody waits for it any more.
    """
    import torch
    from transformers import StoppingCriteria

    tail = max((len(each) for each in stop), default=0) + _LEAST_TAIL

    class StopAtText(StoppingCriteria):  # type: ignore[misc]  # transformers has no types here
        def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
            if is_over is not None and is_over.is_set():
                found = [True] * len(input_ids)
            else:
                ends = [row[length:][-tail:] for row in input_ids.tolist()] if stop else []
                texts = [tokenizer.decode(end, skip_special_tokens=True) for end in ends]
                found = [cut_at_stop(text, stop)[1] for text in texts] or [False] * len(input_ids)
            return torch.tensor(found, dtype=torch.bool, device=input_ids.device)

    return StopAtText()


def penalties(sampling: Sampling, length: int) -> Any:
    """What OpenAI's two penalties take from the logits of the tokens that the answer has."""
    import torch
    from transformers import LogitsProcessor

    class Penalties(LogitsProcessor):  # type: ignore[misc]  # transformers has no types here
        def __call__(self, input_ids: Any, scores: Any) -> Any:
            made = input_ids[:, length:]
            counts = torch.zeros_like(scores).scatter_add_(
                1, made, torch.ones_like(made, dtype=scores.dtype)
            )
            once = (counts > 0).to(scores.dtype)
            return scores - sampling.frequency_penalty * counts - sampling.presence_penalty * once

    return Penalties()
