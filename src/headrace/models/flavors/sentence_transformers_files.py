"""What in the folder of a model of sentence-transformers would run code when it is loaded.

`modules.json` names a class for each part of the model, and the parts name others: all of them must
be on the list of classes that have been read, and were found to load nothing but data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from headrace.artifacts.paths import safe_path
from headrace.errors import InvalidModel, InvalidRequest
from headrace.models.flavors.transformers_files import (
    PICKLED_WEIGHTS,
    WEIGHTS,
    check_shards,
    config_in,
    files_in,
    why_config,
    within,
)

if TYPE_CHECKING:
    from headrace.models.trust import VerifiedFolder

MODULES: Final = "modules.json"
_PACKAGE: Final = "sentence_transformers."
_REVIEWED: Final = (
    *("Transformer", "Pooling", "Dense", "Normalize", "LayerNorm", "Dropout", "CNN", "LSTM"),
    *("WeightedLayerPooling", "StaticEmbedding", "BoW", "WordWeights", "Router", "Asym"),
)
"""`WordEmbeddings` is not on it: its configuration names a tokenizer's class to import."""
_ACTIVATIONS: Final = "torch.nn.modules."
_ARGUMENTS: Final = (
    *("model_args", "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args"),
    "config_kwargs",
)
_PLAIN_ARGUMENTS: Final = (
    *("dtype", "torch_dtype", "model_max_length", "max_length", "padding_side", "use_fast"),
    *("truncation_side", "do_lower_case", "add_pooling_layer", "attn_implementation"),
)


def why_code(folder: VerifiedFolder, name: str) -> tuple[str, str] | None:
    """The file of the model `name` that would run code when it is loaded, and why; or None."""
    names = files_in(folder, name)
    check_shards(folder, names)
    reason = _why_weights(names) or _why_modules(folder, name, names)
    if reason is not None:
        return reason
    for each in names:
        file = each.rpartition("/")[2]
        if not file.endswith(".json") or "config" not in file or "tokenizer" in file:
            continue
        config = config_in(folder, each)
        why = why_config(config) or _why_settings(config)
        if why is None and file == "config.json":
            why = _why_own_class(config)
        if why is not None:
            return each, why
    return None


def _why_weights(names: Iterable[str]) -> tuple[str, str] | None:
    """A pickle in a folder that has no weights in safetensors; or an adapter for another model."""
    safe = {each.rpartition("/")[0] for each in names if each.endswith(WEIGHTS)}
    for each in names:
        above, _, file = each.rpartition("/")
        if file == "adapter_config.json":
            return each, "an adapter for another model, which would be fetched"
        if file.endswith(PICKLED_WEIGHTS) and above not in safe and file != "training_args.bin":
            return each, "weights that are a pickle, and there are none in safetensors"
    return None


def _why_modules(folder: VerifiedFolder, name: str, names: Iterable[str]) -> tuple[str, str] | None:
    file = within(name, MODULES)
    for kind, place in _kinds(folder, file):
        _check_inside(file, place)
        if not is_reviewed(kind):
            return file, f"naming the class {kind!r}, which has not been reviewed"
    for each in names:
        if each.endswith(("router_config.json", "/config.json")):
            kinds = config_in(folder, each).get("types")
            for place, kind in kinds.items() if isinstance(kinds, dict) else ():
                _check_inside(each, place)
                if not is_reviewed(kind):
                    return each, f"naming the class {kind!r}, which has not been reviewed"
    return None


def is_reviewed(kind: Any) -> bool:
    """Whether a class, by its dotted name, is one of the library's that load nothing but data."""
    if not isinstance(kind, str) or not kind.startswith(_PACKAGE):
        return False
    return kind.rpartition(".")[2] in _REVIEWED


def _kinds(folder: VerifiedFolder, file: str) -> list[tuple[Any, Any]]:
    """The class of each part of a model, and the folder that it lies in."""
    if not folder.has(file):
        raise InvalidModel(f"The model has no {MODULES}, which says what it is made of.")
    try:
        found = json.loads(folder.read(file, 1 << 20))
        return [(module["type"], module["path"]) for module in found]
    except (ValueError, RecursionError, LookupError, TypeError) as error:
        raise InvalidModel(f"'{file}' is no list of modules with types: {error}") from error


def _check_inside(file: str, place: Any) -> None:
    """Raise InvalidModel where a part of the model does not lie in the model's folder."""
    try:
        if not isinstance(place, str):
            raise InvalidRequest(f"{place!r} is no path")
        safe_path(place, "part of the model", allow_root=True)
    except InvalidRequest as error:
        raise InvalidModel(f"'{file}' names a part of the model elsewhere: {error}") from error


def _why_settings(config: Mapping[str, Any]) -> str | None:
    """What a module's settings pass on to loaders that is more than numbers and names."""
    activation = config.get("activation_function")
    if activation is not None and not str(activation).startswith(_ACTIVATIONS):
        return f"naming the activation function {activation!r}, which would be imported"
    for key in _ARGUMENTS:
        given = config.get(key)
        unknown = sorted(set(given) - set(_PLAIN_ARGUMENTS)) if isinstance(given, dict) else []
        if unknown:
            return f"passing '{unknown[0]}' on to what loads the model"
    return None


def _why_own_class(config: Mapping[str, Any]) -> str | None:
    """Whether a transformer is of a kind that only its own code knows."""
    if "auto_map" not in config:
        return None
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    kind = config.get("model_type")
    if kind in CONFIG_MAPPING_NAMES:
        return None
    return f"a model of the kind {kind!r}, which transformers does not have"
