"""What the folder of a model for ONNX Runtime GenAI may say: `genai_config.json` is not trusted.

It names files, execution providers and their options, among them libraries to load. Files must lie
in the folder, providers be on the list, and nothing else may name a path.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidModel, InvalidRequest
from headrace.models.flavors.transformers_files import config_in, files_in, show

if TYPE_CHECKING:
    from headrace.models.trust import VerifiedFolder

CONFIG: Final = "genai_config.json"
PROVIDERS: Final = ("cpu", "cuda", "dml", "webgpu", "rocm")
"""Those whose options name no libraries."""
_LIBRARIES: Final = (".so", ".dll", ".dylib", ".pyd")
_LINKED: Final = (".onnx", ".data", ".bin", ".onnx_data")
"""The graph and its weights. ONNX Runtime reads all of them as numbers, whatever they are."""
_TENSORS: Final = ("inputs", "outputs")
"""What lies directly below them are names in the graph, which may look like paths."""
_OPTIONS: Final = frozenset(
    {
        *("device_id", "enableGraphCapture", "enable_cuda_graph", "gpu_mem_limit", "use_tf32"),
        *("arena_extend_strategy", "cudnn_conv_algo_search", "enable_skip_layer_norm_strict_mode"),
        "multiRotaryCacheConcatOffset",
    }
)
"""Of providers. Others take addresses of functions and memory, or name files."""


class View:
    """A private folder with the weights (links) and verified descriptions; keep it while in use."""

    def __init__(self, folder: VerifiedFolder, name: str, config: Mapping[str, Any]) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="headrace-view-")
        self.path = Path(self._home.name) / PurePosixPath(name).name
        show(folder, name, self.path, _LINKED)
        # What was checked, written anew: of a key that is there twice the library follows both.
        (self.path / CONFIG).write_text(json.dumps(config), encoding="utf-8")


def check_provider(name: str | None) -> None:
    """Raise InvalidRequest for an execution provider that is not on the list."""
    if name is not None and name not in PROVIDERS:
        raise InvalidRequest(
            f"'{name}' is no execution provider known here; expected: {', '.join(PROVIDERS)}."
        )


def check_config(folder: VerifiedFolder, name: str) -> dict[str, Any]:
    """The configuration of the model in the folder `name`.

    Raises InvalidModel where it names files elsewhere, and NotTrusted where it names libraries.
    """
    file = f"{name}/{CONFIG}"
    if not folder.has(file):
        raise InvalidModel(f"The model has no {CONFIG} in its folder '{name}'.")
    config = config_in(folder, file)
    names = set(files_in(folder, name))
    for keys, value in _leaves(config):
        key = next((each for each in reversed(keys) if isinstance(each, str)), "")
        if "provider_options" in keys and (wrong := _provider(keys)) is not None:
            folder.require_trust(file, f"naming {wrong} of an execution provider")
        if _is_library(key, value):
            folder.require_trust(file, f"naming a library to load in '{key}' ({value!r})")
        elif _is_path(keys, key, value) and f"{name}/{value}" not in names:
            raise InvalidModel(
                f"'{file}' of the model names a file that is not in its folder: '{key}' is "
                f"{value!r}."
            )
    return config


def _leaves(config: Any) -> Iterator[tuple[list[Any], Any]]:
    """Each value that is no table or list, with the keys that lead to it."""
    open_ones: list[tuple[list[Any], Any]] = [([], config)]
    while open_ones:
        keys, each = open_ones.pop()
        if isinstance(each, dict):
            open_ones.extend(([*keys, key], value) for key, value in each.items())
            if not each:
                yield keys, None
        elif isinstance(each, list):
            open_ones.extend(([*keys, place], value) for place, value in enumerate(each))
        else:
            yield keys, each


def _provider(keys: list[Any]) -> str | None:
    """What a value under `provider_options` sets, where provider or option is not on the list."""
    below = [each for each in keys[keys.index("provider_options") + 1 :] if isinstance(each, str)]
    if below and below[0].lower() not in PROVIDERS:
        return f"'{below[0]}'"
    return next((f"the option '{each}'" for each in below[1:] if each not in _OPTIONS), None)


def _is_library(key: str, value: Any) -> bool:
    named = "library" in key.lower() or key in ("enable_profiling", "backend_path")
    ends = isinstance(value, str) and value.lower().endswith(_LIBRARIES)
    return (named and bool(value)) or ends


def _is_path(keys: list[Any], key: str, value: Any) -> bool:
    if not isinstance(value, str) or not value:
        return False
    if "filename" in key:
        return True
    is_tensor = len(keys) > 1 and keys[-2] in _TENSORS
    return not is_tensor and ("/" in value or "\\" in value or value in (".", ".."))
