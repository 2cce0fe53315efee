"""A language model run by ONNX Runtime GenAI: texts, and answers in the shape of OpenAI's API.

This file and those that it takes things from are also written into the model, as the script by
which MLflow loads it (`onnxruntime_genai_script`); so they use nothing else of Headrace.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from headrace.errors import InvalidRequest
from headrace.models.flavors.openai_answers import (
    Completion,
    FinishReason,
    Generated,
)
from headrace.models.flavors.openai_engine import Engine, answers
from headrace.models.flavors.openai_requests import (
    CHAT,
    COMPLETIONS,
    Sampling,
    prompt_of,
    rows_of,
    sampling_of,
)
from headrace.models.flavors.stop_texts import StopCutter

_SEARCH: Final[tuple[str, ...]] = (
    *("do_sample", "temperature", "top_p", "top_k", "repetition_penalty", "min_length"),
    *("length_penalty", "no_repeat_ngram_size", "diversity_penalty"),
)
_OPTIONS: Final = (*_SEARCH, "max_length", "max_new_tokens", "max_tokens", "seed", "stop")


class GenAIModel(Engine):
    """A model and its tokenizer, and what they make of a prompt. Used by one thread at a time.

    Attributes:
        path: the folder that they are loaded from.
        model: the `onnxruntime_genai.Model`.
        tokenizer: the `onnxruntime_genai.Tokenizer`.
        context_length: how many tokens a prompt and what follows it can have together.
        options: what holds where a request does not say otherwise: the search options of ONNX
            Runtime GenAI, `max_new_tokens` (or `max_tokens`), `seed`, `stop`.
    """

    def __init__(
        self,
        path: str | Path,
        options: Mapping[str, Any] | None = None,
        *,
        provider: str | None = None,
        model_name: str | None = None,
    ) -> None:
        import onnxruntime_genai as og

        self.path = Path(path)
        self.model_name = model_name or self.path.name
        self.options: dict[str, Any] = dict(options or {})
        config = og.Config(str(path))
        if provider is not None:
            config.clear_providers()
            if provider != "cpu":
                config.append_provider(provider)
        described = json.loads((self.path / "genai_config.json").read_text(encoding="utf-8"))
        self.context_length = int(described["model"]["context_length"])
        config.overlay(json.dumps(_whole_cache(described["model"], provider)))
        self.model = og.Model(config)
        self.tokenizer = og.Tokenizer(self.model)
        self._ends = {int(token) for token in self.tokenizer.eos_token_ids}

    def with_options(self, options: Mapping[str, Any], model_name: str | None = None) -> GenAIModel:
        """The same model, not loaded again, with other options. InvalidRequest for unknown ones."""
        unknown = sorted(set(options) - set(_OPTIONS))
        if unknown:
            raise InvalidRequest(
                f"The model's configuration has '{unknown[0]}', which ONNX Runtime GenAI does not "
                f"know; expected: {', '.join(sorted(_OPTIONS))}."
            )
        other = GenAIModel.__new__(GenAIModel)
        other.__dict__.update(self.__dict__)
        other.options = dict(options)
        other.model_name = model_name or self.model_name
        return other

    def render(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> str:
        """See Engine."""
        options = {"tools": json.dumps(tools)} if tools else {}
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    json.dumps(messages), add_generation_prompt=True, **options
                )
            )
        except RuntimeError as error:
            raise InvalidRequest(
                f"The model's chat template does not take these messages: {error}"
            ) from error

    def generate(
        self, prompt: str, sampling: Sampling | None = None, *, is_chat: bool = False
    ) -> Generated:
        """See Engine. Without `sampling`, one text as the model's options have it."""
        wanted = sampling or Sampling()
        tokens = self._encode(prompt, is_chat)
        search, stop, seed = self._search(wanted, len(tokens))
        is_random = search.get("do_sample", True)
        made: list[Completion] = []
        for index in range(wanted.n if is_random else 1):
            if seed is not None:
                search["random_seed"] = seed + index
            pieces = self._pieces(tokens, search, stop, wanted)
            made += [each for each in pieces if isinstance(each, Completion)]
        return Generated(len(tokens), tuple(made * (wanted.n if len(made) < wanted.n else 1)))

    def stream(
        self, prompt: str, sampling: Sampling, *, is_chat: bool = False
    ) -> Generator[str | Completion, None, None]:
        """See Engine."""
        tokens = self._encode(prompt, is_chat)
        search, stop, seed = self._search(sampling, len(tokens))
        if seed is not None:
            search["random_seed"] = seed
        yield from self._pieces(tokens, search, stop, sampling)

    def _pieces(
        self, tokens: Any, search: Mapping[str, Any], stop: tuple[str, ...], sampling: Sampling
    ) -> Generator[str | Completion, None, None]:
        text, count, cutter = "", 0, StopCutter(stop)
        reason: FinishReason = "length"
        for token, piece in self._tokens(tokens, search, sampling):
            count += 1
            if said := cutter.add(piece):
                text += said
                yield said
            if cutter.is_stopped or token in self._ends:
                reason = "stop"
                break
        if rest := cutter.rest():
            text += rest
            yield rest
        yield Completion(text.lstrip(), count, reason)

    def _tokens(
        self, tokens: Any, search: Mapping[str, Any], sampling: Sampling
    ) -> Iterator[tuple[int, str]]:
        """Each new token and its text; the token that ends all has none."""
        import onnxruntime_genai as og

        params = og.GeneratorParams(self.model)
        params.set_search_options(**search)
        generator = og.Generator(self.model, params)
        generator.append_tokens(tokens)
        stream = self.tokenizer.create_stream()
        counts: dict[int, int] = {}
        while not generator.is_done():
            if sampling.frequency_penalty or sampling.presence_penalty:
                penalize(generator, counts, sampling)
            generator.generate_next_token()
            token = int(generator.get_next_tokens()[0])
            counts[token] = counts.get(token, 0) + 1
            yield token, "" if token in self._ends else stream.decode(token)

    def _encode(self, prompt: str, is_chat: bool) -> Any:
        # A template has written all special tokens already.
        self.tokenizer.update_options(add_special_tokens="false" if is_chat else "true")
        tokens = self.tokenizer.encode(prompt)
        if not 0 < len(tokens) < self.context_length:
            raise InvalidRequest(
                f"The prompt has {len(tokens)} tokens; expected at least one, and fewer than the "
                f"{self.context_length} that the model can hold."
            )
        return tokens

    def _search(
        self, sampling: Sampling, prompt_tokens: int
    ) -> tuple[dict[str, Any], tuple[str, ...], int | None]:
        """The search options, the stop texts and the seed, of a request and the model's options."""
        own = sampling_of({**self.options, **_most_new_tokens(self.options)})
        search = {name: self.options[name] for name in _SEARCH if name in self.options}
        asked = {
            "do_sample": sampling.is_random,
            "temperature": sampling.temperature or None,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
        }
        search.update({name: value for name, value in asked.items() if value is not None})
        most = sampling.max_tokens or own.max_tokens
        length = int(self.options.get("max_length", self.context_length))
        search["max_length"] = min(self.context_length, prompt_tokens + most if most else length)
        seed = own.seed if sampling.seed is None else sampling.seed
        return search, sampling.stop or own.stop, seed


def predicted(
    model: GenAIModel, task: str | None, data: Any, params: Mapping[str, Any] | None = None
) -> list[Any]:
    """What `predict` gives: answers in OpenAI's shape for its tasks, else a text for each prompt.

    Prompts are a text, a list of them, or the `prompt` (or only) column of a table; what is said
    beside them (`max_tokens`, `temperature` …) is as in OpenAI's requests.
    """
    if task in (CHAT, COMPLETIONS):
        return answers(model, task, data, params)
    requests = [{**(params or {}), **row} for row in rows_of(data, "prompt")]
    return [
        each.text
        for request in requests
        for each in model.generate(prompt_of(request), sampling_of(request)).completions
    ]


def _whole_cache(model: Mapping[str, Any], provider: str | None) -> dict[str, Any]:
    """What goes over a configuration so that its cache holds all that the model can.

    For CPUs the builder of onnxruntime-genai 0.18 asks for a cache of a window and `cache_slack`
    more, but writes a graph that looks at everything before; sequences beyond would fail.
    """
    decoder = model["decoder"]
    window = decoder.get("sliding_window") or {}
    slides = window.get("slide_inputs") or window.get("slide_key_value_cache")
    options = decoder.get("session_options") or {}
    is_on_cpu = not options.get("provider_options") if provider is None else provider == "cpu"
    if "cache_slack" not in window or slides or not is_on_cpu:
        return {}
    # A table is replaced as a whole.
    more = max(0, int(model["context_length"]) - int(window["window_size"]))
    return {"model": {"decoder": {"sliding_window": {**window, "cache_slack": more}}}}


def _most_new_tokens(options: Mapping[str, Any]) -> dict[str, Any]:
    """transformers' name for it, beside OpenAI's."""
    return {"max_tokens": options["max_new_tokens"]} if "max_new_tokens" in options else {}


def penalize(generator: Any, counts: Mapping[int, int], sampling: Sampling) -> None:
    """Take OpenAI's two penalties from the next token's logits; `counts` says how often a token
    has been made already.
    """
    logits = generator.get_logits().copy()
    for token, count in counts.items():
        taken = sampling.frequency_penalty * count + sampling.presence_penalty
        logits[..., token] -= taken
    generator.set_logits(logits)
