"""What of a checkpoint's folder the library is shown, so that loading it can run no code.

`reviewed` gives it a private folder with the weights in safetensors (links) and the descriptions
in JSON and text (copies of verified bytes), and nothing else: no pickle, no Python, no adapter that
names another model. What asks for code by its description is found before, and needs trust.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidModel

if TYPE_CHECKING:
    from headrace.models.trust import VerifiedFolder

WEIGHTS: Final = ".safetensors"
DESCRIPTIONS: Final[tuple[str, ...]] = (
    *(".json", ".txt", ".jinja", ".model", ".tiktoken", ".spm", ".bpe", ".vocab"),
    ".md",
)
PICKLED_WEIGHTS: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack", ".distcp")
_NEVER_SHOWN: Final = ("adapter_config.json",)
_OF_TOKENIZERS: Final = (
    *("tokenizer_config.json", "preprocessor_config.json", "processor_config.json"),
)
_FILES: Final = ("source_spm", "target_spm", "vocab", "merges")
"""What tokenizers call their files, beside names that end in `_file`."""
_MAX_DESCRIPTION: Final = 256 << 20
_MAX_CONFIG: Final = 32 << 20
_KERNEL_KEYS: Final = (
    *("_attn_implementation", "attn_implementation", "_experts_implementation"),
    *("experts_implementation", "kernel_config", "use_kernels"),
)
_ELSEWHERE: Final = ("audio_tokenizer", "checkpoint_path", "pretrained_cfg_overlay")
"""What names weights that are not in the folder, for processors and for backbones of timm."""


@contextmanager
def reviewed(folder: VerifiedFolder, name: str) -> Iterator[Path]:
    """A private folder with what cannot run code of the folder `name`; it goes at the end.

    Raises InvalidModel for a file that is changed, missing, or too large to be a description.
    """
    with tempfile.TemporaryDirectory(prefix="headrace-view-") as made:
        view = Path(made)
        show(folder, name, view)
        yield view


def show(
    folder: VerifiedFolder,
    name: str,
    view: Path,
    linked: tuple[str, ...] = (WEIGHTS,),
    copied: tuple[str, ...] = DESCRIPTIONS,
) -> None:
    """Put into `view` what cannot run code of the folder `name` of a model.

    That is what its ending tells: weights are `linked`, descriptions `copied` once verified.
    """
    for each in files_in(folder, name):
        below = PurePosixPath(each).relative_to(name or ".")
        if below.name in _NEVER_SHOWN or below.suffix not in (*linked, *copied):
            continue
        target = view / below
        target.parent.mkdir(parents=True, exist_ok=True)
        if below.suffix in linked:
            target.symlink_to(folder.file(each).resolve())
        else:
            target.write_bytes(_plain(below.name, folder.read(each, _MAX_DESCRIPTION)))


def files_in(folder: VerifiedFolder, name: str) -> list[str]:
    """The files of the model below the folder `name` ("" for all). InvalidModel for none."""
    found = [each for each in folder.names if each.startswith(within(name, ""))]
    if not found:
        raise InvalidModel(f"The model's folder '{name}' is missing, or empty.")
    return found


def within(name: str, file: str) -> str:
    """The name of a file in the folder `name` ("" for the model's own)."""
    return f"{name}/{file}" if name else file


def config_in(folder: VerifiedFolder, name: str) -> dict[str, Any]:
    """The object in a JSON file of the model. InvalidModel for anything else."""
    try:
        found = json.loads(folder.read(name, _MAX_CONFIG))
    except (ValueError, RecursionError) as error:
        raise InvalidModel(f"'{name}' of the model is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidModel(f"'{name}' of the model holds no JSON object.")
    return found


def why_code(folder: VerifiedFolder, name: str) -> tuple[str, str] | None:
    """What in the checkpoint `name` would run code when it is loaded: the file, and why.

    None where nothing does. Code that is only on offer (`auto_map` beside a class that the library
    has itself, a pickle beside the same weights in safetensors) is not asked for, and never runs.
    """
    names = files_in(folder, name)
    weights = [each for each in names if each.endswith(WEIGHTS)]
    pickles = [each for each in names if each.endswith(PICKLED_WEIGHTS)]
    if not weights and pickles:
        return pickles[0], "weights that are a pickle, and there are none in safetensors"
    adapter = within(name, "adapter_config.json")
    if adapter in names:
        base = config_in(folder, adapter).get("base_model_name_or_path")
        return adapter, f"an adapter for another model ({base!r}), which would be fetched"
    config = within(name, "config.json")
    if config not in names:
        raise InvalidModel(f"The model's folder '{name}' has no config.json.")
    check_shards(folder, names)
    why = why_config(config_in(folder, config))
    return (config, why) if why else None


def why_config(config: Mapping[str, Any]) -> str | None:
    """What a checkpoint's `config.json` asks for that is code, or another model's."""
    open_ones: list[Any] = [config]
    while open_ones:
        each = open_ones.pop()
        if isinstance(each, list):
            open_ones.extend(each)
        if not isinstance(each, dict):
            continue
        open_ones.extend(each.values())
        why = _why_entry(each)
        if why is not None:
            return why
    return None


def _why_entry(entry: Mapping[str, Any]) -> str | None:
    if entry.get("quantization_config"):
        return "a quantized model, whose loaders have not been reviewed"
    for key in _KERNEL_KEYS:
        if _names_a_kernel(key, entry.get(key)):
            return f"asking in '{key}' for compiled code from a hub"
    weights = entry.get("transformers_weights")
    if weights is not None and not str(weights).endswith((WEIGHTS, f"{WEIGHTS}.index.json")):
        return f"naming weights that are no safetensors ({weights!r})"
    backbone = entry.get("backbone")
    if entry.get("use_pretrained_backbone") or (isinstance(backbone, str) and ":" in backbone):
        return "asking for a backbone that would be fetched"
    return next(
        (f"naming a model elsewhere in '{key}'" for key in _ELSEWHERE if entry.get(key)), None
    )


def _names_a_kernel(key: str, value: Any) -> bool:
    if key in ("kernel_config", "use_kernels"):
        return bool(value)
    texts = value.values() if isinstance(value, dict) else [value]
    return any(isinstance(text, str) and "/" in text for text in texts)


def check_shards(folder: VerifiedFolder, names: list[str]) -> None:
    """Raise InvalidModel where an index of shards names files elsewhere, or of another kind."""
    for name in names:
        if not name.endswith(f"{WEIGHTS}.index.json"):
            continue
        shards = config_in(folder, name).get("weight_map")
        here = name.rpartition("/")[0]
        for shard in shards.values() if isinstance(shards, dict) else ():
            if not str(shard).endswith(WEIGHTS) or within(here, str(shard)) not in names:
                raise InvalidModel(f"'{name}' names weights that are not beside it: {shard!r}.")


def _plain(name: str, data: bytes) -> bytes:
    """A description; a configuration without what leads out of the folder.

    `auto_map` offers code: a part of a model that the library has not itself would have it ask on
    the terminal whether to run it. Tokenizers of old name files in caches that were their author's.
    """
    if not name.endswith("config.json"):
        return data
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidModel(f"'{name}' of the model is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidModel(f"'{name}' of the model holds no JSON object.")
    if name in _OF_TOKENIZERS:
        found = {key: value for key, value in found.items() if not _is_file(key, value)}
    open_ones: list[Any] = [found]
    while open_ones:
        each = open_ones.pop()
        if isinstance(each, dict):
            each.pop("auto_map", None)
            open_ones.extend(each.values())
        elif isinstance(each, list):
            open_ones.extend(each)
    return json.dumps(found).encode()


def _is_file(key: str, value: Any) -> bool:
    return key.endswith("_file") or (key in _FILES and isinstance(value, str))


_OFFLINE: Final = threading.RLock()


@contextmanager
def offline() -> Iterator[None]:
    """The hub's client goes to no network meanwhile, whatever asks it to."""
    from huggingface_hub import constants

    with _OFFLINE:
        before = constants.HF_HUB_OFFLINE
        constants.HF_HUB_OFFLINE = True
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = before
