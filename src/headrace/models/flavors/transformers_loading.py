"""transformers models loaded from a model folder: with the library's own classes only, offline.

Classes are named by the folder, so each name is looked up in transformers and must be derived from
the base class of its kind. What has a class of its own, or weights that are a pickle, loads where
the model is trusted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import HeadraceError, InvalidModel, InvalidRequest
from headrace.models.flavor import require
from headrace.models.flavors.transformers_files import (
    config_in,
    offline,
    reviewed,
    why_code,
    why_config,
    within,
)

if TYPE_CHECKING:
    from headrace.models.trust import VerifiedFolder

COMPONENTS: Final = "components"
_BASES: Final = {
    "model": ("modeling_utils", "PreTrainedModel", "AutoModel"),
    "tokenizer": ("tokenization_utils_base", "PreTrainedTokenizerBase", "AutoTokenizer"),
    "feature_extractor": (
        "feature_extraction_utils",
        "FeatureExtractionMixin",
        "AutoFeatureExtractor",
    ),
    "image_processor": ("image_processing_base", "ImageProcessingMixin", "AutoImageProcessor"),
    "processor": ("processing_utils", "ProcessorMixin", "AutoProcessor"),
}
"""For each kind of component: the module and name of its base class, and the class that chooses."""
_ADAPTERS: Final = ("LORA", "ADALORA", "IA3", "LOHA", "LOKR", "PREFIX_TUNING", "P_TUNING")
_ADAPTERS_ASK: Final = (
    *("megatron_config", "auto_mapping", "corda_config", "lora_ga_config", "eva_config"),
    *("tokenizer_name_or_path", "tokenizer_kwargs", "prompt_tuning_init_state_dict_path"),
)
"""What of an adapter's configuration names modules to import, files to unpickle, or models."""
_LONGEST: Final = 500
_DTYPES: Final = ("float16", "bfloat16", "float32", "float64")


def load_components(
    folder: VerifiedFolder, facts: Mapping[str, Any], dtype: Any, base: VerifiedFolder | None
) -> dict[str, Any]:
    """The model and all that goes with it, by MLflow's names.

    `base` is the folder that the model itself lies in, where it is not the model's own.
    """
    kind = str(facts.get("pipeline_model_type"))
    with offline():
        if base is not None:
            model = _load_model(base, "", kind, dtype)
        else:
            model = _load_model(folder, _model_folder(facts), kind, dtype)
        adapter = facts.get("peft_adaptor")
        if adapter:
            model = _with_adapter(folder, str(adapter), model)
        loaded = {"model": model}
        for name in component_names(facts):
            loaded[name] = _load_component(folder, name, str(facts.get(f"{name}_type")))
    return loaded


def component_names(facts: Mapping[str, Any]) -> list[str]:
    """What goes with the model. InvalidModel for what is no component of any model."""
    names = facts.get("components") or []
    if not isinstance(names, list) or any(name not in _BASES or name == "model" for name in names):
        raise InvalidModel(f"The model's 'components' are {names!r}; no such things are known.")
    return [*names, *(["processor"] if facts.get("processor_type") else [])]


def dtype_named(name: Any) -> Any:
    """PyTorch's type of numbers of that name ("torch.float16"), or that type itself."""
    import torch

    if isinstance(name, torch.dtype):
        return name
    short = str(name).removeprefix("torch.")
    if short not in _DTYPES:
        raise InvalidRequest(
            f"{name!r} is no type that weights are loaded as; expected one of: "
            f"{', '.join(f'torch.{each}' for each in _DTYPES)}."
        )
    return getattr(torch, short)


def _model_folder(facts: Mapping[str, Any]) -> str:
    if facts.get("source_model_revision") and not facts.get("model_binary"):
        source = facts.get("source_model_name")
        raise InvalidRequest(
            f"This model has no weights of its own: it was saved with save_pretrained=False, as a "
            f"reference to '{source}' (revision {facts['source_model_revision']}) on the Hugging "
            "Face hub, and nothing is fetched from there while a model loads. Fetch it with "
            f"transformers.pipeline(model='{source}'), and save that."
        )
    # Models of MLflow before 2.4.1 say nothing, and lie in "pipeline".
    return str(facts.get("model_binary", "pipeline"))


def native_class(name: str, component: str) -> Any:
    """The class `name` of transformers, if it is one of that kind of component; None if not."""
    import importlib

    import transformers

    module, base, _ = _BASES[component]
    kind = getattr(importlib.import_module(f"transformers.{module}"), base)
    found = getattr(transformers, name, None) if name.isidentifier() else None
    return found if isinstance(found, type) and issubclass(found, kind) else None


def _load_model(folder: VerifiedFolder, name: str, kind: str, dtype: Any) -> Any:
    import transformers

    chosen = native_class(kind, "model")
    code = why_code(folder, name)
    config = within(name, "config.json")
    if code is None and chosen is None:
        code = config, f"a model of the class '{kind}', which transformers does not have"
    options = {} if dtype is None else {_dtype_option(): dtype}
    if code is None:
        with _shown(folder, name) as view:
            loaded = chosen.from_pretrained(
                str(view),
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                **options,
            )
        return _named(loaded, folder.path / name)
    folder.require_trust(*code)
    place = folder.code_path(name or ".", code[1])
    chosen = chosen or getattr(transformers, _automatic(config_in(folder, config), kind))
    return chosen.from_pretrained(
        str(place), local_files_only=True, trust_remote_code=True, **options
    )


def _automatic(config: Mapping[str, Any], kind: str) -> str:
    """The class of transformers that chooses the class `kind` of a model's own code."""
    for name, reference in (config.get("auto_map") or {}).items():
        if str(reference).rpartition(".")[2] == kind and str(name).startswith("AutoModel"):
            return str(name)
    raise InvalidModel(f"Neither transformers nor the model itself has a class '{kind}'.")


def _dtype_option() -> str:
    """The name of the option of transformers (before 4.56: another one)."""
    import transformers

    major, minor = (int(part) for part in transformers.__version__.split(".")[:2])
    return "dtype" if (major, minor) >= (4, 56) else "torch_dtype"


def _load_component(folder: VerifiedFolder, component: str, kind: str) -> Any:
    import transformers

    name = f"{COMPONENTS}/{component}"
    chosen = native_class(kind, component)
    automatic = getattr(transformers, _BASES[component][2])
    described = [each for each in _CONFIGS[component] if folder.has(f"{name}/{each}")]
    custom = [each for each in described if "auto_map" in config_in(folder, f"{name}/{each}")]
    if chosen is None and custom:
        why = f"a {component} with a class of its own ('{kind}')"
        folder.require_trust(f"{name}/{custom[0]}", why)
        place = folder.code_path(name, why, lasting=True)
        return automatic.from_pretrained(str(place), local_files_only=True, trust_remote_code=True)
    for each in described:
        why_other = why_config(config_in(folder, f"{name}/{each}"))
        if why_other is not None:
            folder.require_trust(f"{name}/{each}", why_other)
    with _shown(folder, name) as view:
        loaded = (chosen or automatic).from_pretrained(
            str(view), local_files_only=True, trust_remote_code=False
        )
    return _named(loaded, folder.path / name)


_CONFIGS: Final = {
    "tokenizer": ("tokenizer_config.json",),
    "feature_extractor": ("preprocessor_config.json",),
    "image_processor": ("preprocessor_config.json",),
    "processor": ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json"),
}


@contextmanager
def _shown(folder: VerifiedFolder, name: str) -> Iterator[Path]:
    """What a library may see of a folder; what it raises there is the model's fault."""
    try:
        with reviewed(folder, name) as view:
            yield view
    except HeadraceError:
        raise
    # Files that are missing or damaged, and settings that no class takes: errors of all kinds.
    except Exception as error:
        said = f"{type(error).__name__}: {error}".partition("\n")[0][:_LONGEST]
        raise InvalidModel(
            f"'{name or '.'}' of the model cannot be loaded by transformers: {said}"
        ) from error


def _named(loaded: Any, place: Path) -> Any:
    """Have what was loaded say where it is from, and not which folder it was shown."""
    config: Any = getattr(loaded, "config", None)
    if hasattr(config, "_name_or_path"):
        config._name_or_path = str(place)
    if isinstance(getattr(loaded, "name_or_path", None), str):
        loaded.name_or_path = str(place)
    return loaded


def _with_adapter(folder: VerifiedFolder, name: str, model: Any) -> Any:
    require("peft", "peft", "A model with an adapter (PEFT)")
    from peft import PeftModel

    config = config_in(folder, f"{name}/adapter_config.json")
    kind = config.get("peft_type")
    asks = next((key for key in _ADAPTERS_ASK if config.get(key)), None)
    if asks is not None or kind not in _ADAPTERS:
        why = f"asking for '{asks}'" if asks else f"of the kind {kind!r}"
        why = f"an adapter {why}, which may import modules or read pickles"
        folder.require_trust(f"{name}/adapter_config.json", why)
    if not folder.has(f"{name}/adapter_model.safetensors"):
        why = "an adapter whose weights are no safetensors"
        place = folder.code_path(name, why)
        return PeftModel.from_pretrained(model, str(place), local_files_only=True)
    with _shown_adapter(folder, name) as view:
        return PeftModel.from_pretrained(model, str(view), local_files_only=True)


@contextmanager
def _shown_adapter(folder: VerifiedFolder, name: str) -> Iterator[Path]:
    with reviewed(folder, name) as view:
        described = folder.read(f"{name}/adapter_config.json")
        (view / "adapter_config.json").write_bytes(described)
        yield view
