"""The engine over vLLM, for machines with a GPU: vLLM itself calculates requests together.

vLLM is driven by its synchronous interface (`vllm.LLMEngine`, seen in 0.33: `add_request`, `step`,
`abort_request`). It is no requirement of Headrace.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import HeadraceError, InvalidRequest
from headrace.models.flavors.transformers_files import reviewed, show
from headrace.models.flavors.transformers_generation import rendered_chat
from headrace.models.flavors.transformers_loading import COMPONENTS
from headrace.serving.engines.base import Event, Generation, GenerationEngine, Refused, Started
from headrace.serving.engines.prompts import check_length, check_tokens
from headrace.serving.engines.sampling import Defaults, defaults_of
from headrace.serving.engines.vllm_translation import VllmChoice, sampling_arguments

if TYPE_CHECKING:
    from headrace.models.pyfunc import PyFuncModel
    from headrace.models.trust import VerifiedFolder

_INSTALL: Final = "pip install vllm"


@dataclass
class Vllm:
    """vLLM with a model: what the engine needs of it.

    Attributes:
        engine: a `vllm.LLMEngine`.
        params: makes a `vllm.SamplingParams` of its arguments, whose outputs hold what is new.
        refusals: what it raises for a request that it does not take.
        context_length: how many tokens a prompt and its answer can have together.
        vocabulary: how many different tokens there are.
    """

    engine: Any
    params: Callable[..., Any]
    refusals: tuple[type[Exception], ...]
    context_length: int
    vocabulary: int


@dataclass
class _Waiting:
    choice: VllmChoice
    prompt: list[int]
    params: Any


class VllmEngine(GenerationEngine):
    """See the module."""

    has_logprobs = True

    def __init__(
        self, vllm: Vllm, model_name: str, defaults: Mapping[str, Any] | None = None, *, slots: int
    ) -> None:
        """`defaults` say how the model answers where a request does not (see `defaults_of`).
        vLLM is given `slots` choices at once; the others wait here.
        """
        self.model_name = model_name
        self.capacity = slots
        self.context_length = vllm.context_length
        self._vllm = vllm
        self._tokenizer = vllm.engine.get_tokenizer()
        self._defaults: Defaults = defaults_of(defaults or {})
        self._new: list[Generation] = []
        self._waiting: deque[_Waiting] = deque()
        self._active: dict[str, VllmChoice] = {}
        """Under vLLM's names for them."""
        self._count = 0

    def add(self, generation: Generation) -> None:
        """See GenerationEngine."""
        self._new.append(generation)

    def cancel(self, key: int) -> None:
        """See GenerationEngine."""
        self._new = [each for each in self._new if each.key != key]
        self._waiting = deque(each for each in self._waiting if each.choice.key != key)
        names = [name for name, choice in self._active.items() if choice.key == key]
        if names:
            self._vllm.engine.abort_request(names)
        for name in names:
            del self._active[name]

    def step(self) -> list[Event]:
        """See GenerationEngine."""
        events: list[Event] = []
        new, self._new = self._new, []
        for generation in new:
            try:
                self._waiting.extend(self._choices(generation))
            except HeadraceError as error:
                events.append(Refused(generation.key, error.message, error.error_code))
            except self._vllm.refusals as error:
                events.append(Refused(generation.key, f"vLLM does not take this: {error}"))
        while self._waiting and len(self._active) < self.capacity:
            self._join(self._waiting.popleft(), events)
        if self._active:
            for output in self._vllm.engine.step():
                self._tell(output, events)
        return events

    @property
    def is_idle(self) -> bool:
        """See GenerationEngine."""
        return not (self._active or self._waiting or self._new)

    def close(self) -> None:
        """See GenerationEngine. vLLM calculates in a process of its own, which ends."""
        self._vllm.engine.engine_core.shutdown()

    def _choices(self, generation: Generation) -> list[_Waiting]:
        sampling = generation.sampling
        prompt = self._prompt(generation)
        return [
            _Waiting(
                VllmChoice(generation.key, index, sampling.logprobs or 0),
                prompt,
                self._vllm.params(
                    **sampling_arguments(sampling, self._defaults, index, len(prompt))
                ),
            )
            for index in range(sampling.n)
        ]

    def _prompt(self, generation: Generation) -> list[int]:
        given = generation.prompt
        if generation.messages is not None:
            text = rendered_chat(self._tokenizer, generation.messages, generation.tools)
            # A template has written all special tokens already.
            tokens = self._tokenizer.encode(text, add_special_tokens=False)
        else:
            tokens = self._tokenizer.encode(given) if isinstance(given, str) else given
        prompt = [int(token) for token in tokens or ()]
        check_length(len(prompt), self._vllm.context_length)
        check_tokens("The prompt", prompt, self._vllm.vocabulary)
        return prompt

    def _join(self, waiting: _Waiting, events: list[Event]) -> None:
        choice = waiting.choice
        name = f"{choice.key}-{choice.index}-{self._count}"
        self._count += 1
        prompt = {"type": "token", "prompt_token_ids": waiting.prompt}
        try:
            self._vllm.engine.add_request(name, prompt, waiting.params)
        except self._vllm.refusals as error:
            self.cancel(choice.key)
            events.append(Refused(choice.key, f"vLLM does not take this: {error}"))
            return
        self._active[name] = choice
        if choice.index == 0:
            events.append(Started(choice.key, len(waiting.prompt)))

    def _tell(self, output: Any, events: list[Event]) -> None:
        choice = self._active.get(output.request_id)
        if choice is None:  # it was cancelled
            return
        told, is_over = choice.told(output)
        events += told
        if is_over:
            del self._active[output.request_id]
            if isinstance(told[-1], Refused):
                self.cancel(choice.key)


def vllm_engine(model: PyFuncModel, *, slots: int) -> GenerationEngine:
    """Answers of a model of the flavor transformers, from vLLM, to `slots` requests at once.

    The model's `model_config`, and then its generation config, say how it answers where a request
    does not. InvalidRequest where vLLM is not installed, finds nothing to calculate on, or does
    not take the model.
    """
    vllm = _imported()
    facts = model.metadata.flavors["transformers"]
    name = str(facts.get("source_model_name") or "model")
    with checkpoint(model.folder, facts) as folder:
        loaded = _loaded_by(vllm, folder, name, slots)
    defaults = {**loaded.engine.model_config.try_get_generation_config(), **model.model_config}
    return VllmEngine(loaded, name, defaults, slots=slots)


def _loaded_by(vllm: Any, folder: Path, name: str, slots: int) -> Vllm:
    """The checkpoint in `folder`, of which nothing is read later. InvalidRequest where the library
    `vllm` does not take it. No code of it is run, and no pickle read.
    """
    try:
        arguments = vllm.EngineArgs(
            model=str(folder),
            max_num_seqs=slots,
            load_format="safetensors",
            trust_remote_code=False,
            disable_log_stats=True,
        )
        engine = vllm.LLMEngine.from_engine_args(arguments)
    except (ValueError, RuntimeError, OSError) as error:
        raise InvalidRequest(f"vLLM cannot load the model '{name}': {error}") from error
    config = engine.model_config
    length, vocabulary = int(config.max_model_len), int(config.get_vocab_size())
    return Vllm(engine, _params(vllm), _refusals(), length, vocabulary)


@contextmanager
def checkpoint(folder: VerifiedFolder, facts: Mapping[str, Any]) -> Iterator[Path]:
    """A private folder with the weights and descriptions of a model of the flavor transformers,
    its tokenizer beside them, as vLLM wants it. `facts` is what the flavor wrote into the model.
    """
    if facts.get("peft_adaptor"):
        raise InvalidRequest(
            "The engine 'vllm' does not serve models with an adapter. Choose another engine, or "
            "merge the adapter into the model (merge_and_unload)."
        )
    with reviewed(folder, str(facts.get("model_binary", "pipeline"))) as view:
        tokenizer = f"{COMPONENTS}/tokenizer"
        if any(name.startswith(f"{tokenizer}/") for name in folder.names):
            show(folder, tokenizer, view)
        yield view


def _imported() -> Any:
    try:
        import vllm
        from vllm.platforms import current_platform
    except ImportError as error:
        raise InvalidRequest(
            f"The engine 'vllm' needs a GPU, and vLLM in the model's environment: {_INSTALL} "
            f"({error}). Or choose another engine."
        ) from error
    if current_platform.is_unspecified():
        raise InvalidRequest(
            "The engine 'vllm' needs a GPU, and vLLM finds none on this machine. Choose another "
            "engine."
        )
    return vllm


def _params(vllm: Any) -> Callable[..., Any]:
    from vllm.sampling_params import RequestOutputKind

    def params(**arguments: Any) -> Any:
        return vllm.SamplingParams(output_kind=RequestOutputKind.DELTA, **arguments)

    return params


def _refusals() -> tuple[type[Exception], ...]:
    """Not what it raises when it is broken itself, which is RuntimeErrors and VLLMServerErrors."""
    import vllm.exceptions

    own = getattr(vllm.exceptions, "VLLMClientError", ValueError)  # an error of its own since 0.3x
    return (ValueError, TypeError, OverflowError, own)
