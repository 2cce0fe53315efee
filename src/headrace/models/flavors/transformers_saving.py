"""transformers models written into a folder, with MLflow's names; never with a call to a hub."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from headrace.errors import InvalidRequest
from headrace.models.flavor import Target, comes_from
from headrace.models.flavors.openai_requests import CHAT, COMPLETIONS, EMBEDDINGS
from headrace.models.flavors.transformers_loading import COMPONENTS
from headrace.models.flavors.transformers_predicting import PROMPTED

MODEL: Final = "model"
ADAPTER: Final = "peft"
_SHARD: Final = "500MB"
_TASKS_OF: Final = {CHAT: "text-generation", COMPLETIONS: "text-generation"} | {
    EMBEDDINGS: "feature-extraction"
}
_TASK_OF_CLASS: Final = {
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForMaskedLM": "fill-mask",
    "ForImageClassification": "image-classification",
    "ForAudioClassification": "audio-classification",
    "ForSpeechSeq2Seq": "automatic-speech-recognition",
    "ForCTC": "automatic-speech-recognition",
}
_COMPONENTS: Final = ("feature_extractor", "tokenizer", "image_processor")
_KEYS: Final = (MODEL, *_COMPONENTS, "torch_dtype", "dtype")


@dataclass(frozen=True)
class Options:
    """What the caller of `save` says beside the model; the names are those of MLflow."""

    processor: Any = None
    task: str | None = None
    torch_dtype: Any = None
    model_card: Any = None
    save_pretrained: bool = True
    base_model_path: str | None = None


@dataclass
class Written:
    """What was written, and what there is to say of it."""

    facts: dict[str, Any]
    task: str
    packages: tuple[str, ...] = ("transformers", "torch")
    modules: frozenset[str] = frozenset()
    pickled: tuple[str, ...] = field(default=())


def pipeline_task(task: str | None) -> str | None:
    """The task of transformers that stands behind one in OpenAI's shape."""
    return _TASKS_OF.get(task or "", task)


def as_pipeline(model: Any, task: str | None) -> Any:
    """The pipeline that components make; a pipeline is one already. InvalidRequest."""
    if not isinstance(model, Mapping):
        return model
    import transformers

    unknown = sorted(set(model) - set(_KEYS))
    if unknown or MODEL not in model:
        wrong = f"it has '{unknown[0]}'" if unknown else "it has none"
        raise InvalidRequest(
            f"A dictionary of components needs a 'model', and may have {', '.join(_KEYS[1:])}; "
            f"{wrong}."
        )
    given = dict(model)
    old = given.pop("torch_dtype", None)
    if old is not None:
        given.setdefault("dtype", old)
    chosen = pipeline_task(task) or _task_of(given[MODEL])
    try:
        return transformers.pipeline(task=chosen, **given)
    except (ValueError, TypeError, KeyError, OSError, RuntimeError) as error:
        raise InvalidRequest(f"These components make no '{chosen}' pipeline: {error}") from error


def write_pipeline(pipeline: Any, target: Target, options: Options) -> Written:
    """Write the model and components of a pipeline."""
    model = pipeline.model
    if len(set(getattr(model, "hf_device_map", {"": 0}).values())) > 1:
        raise InvalidRequest(
            "The model lies on several devices (device_map), and parts of it may be missing in "
            "what is saved; load it without device_map to save it."
        )
    is_adapted = comes_from(model, "peft")
    inner = model.get_base_model() if is_adapted else model
    facts: dict[str, Any] = {
        "task": pipeline.task,
        "instance_type": type(pipeline).__name__,
        "torch_dtype": str(options.torch_dtype or model.dtype),
        "pipeline_model_type": type(inner).__name__,
        "source_model_name": inner.name_or_path,
    }
    if is_adapted:
        model.save_pretrained(target.folder / ADAPTER)
        facts["peft_adaptor"] = ADAPTER
        facts["local_base_model_path"] = _base(options.base_model_path)
    elif options.base_model_path is not None:
        raise InvalidRequest("'base_model_path' is for models with an adapter (PEFT) only.")
    revision = None if options.save_pretrained else getattr(inner.config, "_commit_hash", None)
    if revision is not None and not is_adapted:
        facts["source_model_revision"] = revision
    elif not is_adapted:
        facts["model_binary"] = MODEL
        model.save_pretrained(target.folder / MODEL, max_shard_size=_SHARD)
    components = {name: getattr(pipeline, name, None) for name in _COMPONENTS}
    facts["components"] = [name for name, each in components.items() if each is not None]
    for name, each in {**components, "processor": options.processor}.items():
        if each is None:
            continue
        facts[f"{name}_type"] = type(each).__name__
        if revision is None:
            each.save_pretrained(target.folder / COMPONENTS / name)
        else:
            facts[f"{name}_name"] = getattr(each, "name_or_path", inner.name_or_path)
            facts[f"{name}_revision"] = revision
    others = [each for each in components.values() if each is not None]
    _write_card(options.model_card, Path(str(inner.name_or_path)), target)
    return Written(
        facts,
        str(pipeline.task),
        _packages(components["image_processor"], is_adapted=is_adapted),
        _modules(pipeline, inner, *others),
        _code_in(target.folder),
    )


def write_checkpoint(path: str | Path, target: Target, options: Options) -> Written:
    """Take a checkpoint's files as they are; no weight is read."""
    import transformers

    if options.task is None:
        raise InvalidRequest(
            "A model given as a folder needs its task, such as task='text-generation'."
        )
    if not options.save_pretrained:
        raise InvalidRequest("A model given as a folder is always saved: save_pretrained=True.")
    source = Path(path).expanduser()
    task = str(pipeline_task(options.task))
    kind = _class_in(source)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            str(source), local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"The folder '{path}' has no tokenizer to go with it: {error}") from (
            error
        )
    facts: dict[str, Any] = {
        "task": task,
        "instance_type": _pipeline_class(task),
        "torch_dtype": str(options.torch_dtype) if options.torch_dtype else None,
        "pipeline_model_type": kind,
        "source_model_name": str(path),
        "model_binary": MODEL,
        "components": ["tokenizer"],
        "tokenizer_type": type(tokenizer).__name__,
    }
    target.take(source, MODEL)
    tokenizer.save_pretrained(target.folder / COMPONENTS / "tokenizer")
    if options.processor is not None:
        facts["processor_type"] = type(options.processor).__name__
        options.processor.save_pretrained(target.folder / COMPONENTS / "processor")
    _write_card(options.model_card, source, target)
    return Written(facts, task, pickled=_code_in(target.folder))


def check_template(template: str | None, task: str) -> None:
    """Raise InvalidRequest for a prompt template that has not one place, `{prompt}`."""
    if template is None:
        return
    if task not in PROMPTED:
        raise InvalidRequest(
            f"'prompt_template' is for the tasks {', '.join(PROMPTED)}; this model's is '{task}'."
        )
    try:
        places = [
            place for _, place, _, _ in string.Formatter().parse(template) if place is not None
        ]
    except (ValueError, TypeError) as error:
        raise InvalidRequest(f"'prompt_template' is no template: {error}") from error
    if places != ["prompt"]:
        raise InvalidRequest(
            "'prompt_template' must have one place, {prompt}, such as 'Q: {prompt} A:'; "
            f"it has {places}."
        )


def check_task(task: str | None, pipeline: str) -> None:
    """Raise InvalidRequest for a task in OpenAI's shape that the pipeline's can't be."""
    wanted = _TASKS_OF.get(task or "")
    if wanted is not None and wanted != pipeline:
        raise InvalidRequest(
            f"The task '{task}' needs a '{wanted}' pipeline; this is one for '{pipeline}'."
        )
    if task is not None and task.startswith("llm/") and wanted is None:
        raise InvalidRequest(f"There is no task '{task}'; expected one of: {', '.join(_TASKS_OF)}.")


def _task_of(model: Any) -> str:
    name = type(model).__name__
    for ending, task in _TASK_OF_CLASS.items():
        if name.endswith(ending):
            return task
    raise InvalidRequest(f"A {name} may be for several tasks; name one, such as task='fill-mask'.")


def _class_in(source: Path) -> str:
    import json

    try:
        with open(source / "config.json", encoding="utf-8") as file:
            found = json.load(file)["architectures"][0]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InvalidRequest(
            f"The folder '{source}' is no checkpoint of transformers: it needs a config.json that "
            f"names the model's class in 'architectures' ({error})."
        ) from error
    return str(found)


def _pipeline_class(task: str) -> str:
    from transformers.pipelines import check_task as known

    try:
        implementation = known(task)[1]["impl"]
    except KeyError as error:
        raise InvalidRequest(
            f"The transformers installed here have no task '{task}': {error}"
        ) from error
    name = getattr(implementation, "__name__", implementation)
    return str(name).rpartition(".")[2]


def _base(path: str | None) -> str:
    if path is None:
        raise InvalidRequest(
            "A model with an adapter (PEFT) is saved without the model it adapts: say where that "
            "lies, with base_model_path=, or merge both first, with model.merge_and_unload()."
        )
    found = Path(path).expanduser().resolve()
    if not (found / "config.json").is_file():
        raise InvalidRequest(f"'base_model_path' is '{path}', which has no config.json.")
    return str(found)


def _packages(images: Any, *, is_adapted: bool) -> tuple[str, ...]:
    """What loading needs; torchvision only for what is calculated by it."""
    kinds = " ".join(kind.__name__ for kind in type(images).__mro__)
    more = [
        *(["peft"] if is_adapted else []),
        *(["pillow"] if images is not None else []),
        *(["torchvision"] if "Torchvision" in kinds or "Fast" in kinds else []),
    ]
    return ("transformers", "torch", *more)


def _modules(*objects: Any) -> frozenset[str]:
    found = {type(each).__module__ for each in objects}
    return frozenset(name for name in found if not name.startswith("transformers_modules"))


def _code_in(folder: Path) -> tuple[str, ...]:
    """Files that can run code, for which there is no other form."""
    files = [each.relative_to(folder) for each in folder.rglob("*") if each.is_file()]
    code = [each.as_posix() for each in files if each.suffix == ".py"]
    pickles = [each.as_posix() for each in files if each.suffix in (".bin", ".pt", ".pth")]
    has_safe = any(each.suffix == ".safetensors" for each in files)
    return tuple(sorted([*code, *([] if has_safe else pickles)]))


def _write_card(card: Any, source: Path, target: Target) -> None:
    """The card that the caller gives, and the licence if it lies with the model."""
    if card is not None:
        from headrace.protocol.yaml_text import dump_yaml

        (target.folder / "model_card.md").write_text(card.text, encoding="utf-8")
        (target.folder / "model_card_data.yaml").write_text(dump_yaml(card.data.to_dict()))
    if source.is_dir():
        licences = sorted(each for each in source.iterdir() if each.name.startswith("LICENSE"))
        if licences and licences[0].is_file():
            target.take(licences[0], "LICENSE.txt")
