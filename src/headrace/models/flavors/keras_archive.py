"""`.keras` archives, checked before Keras sees them: what they name must be Keras's own.

A `.keras` file is a zip with `config.json`, which says of every layer by which class it is made.
Keras's safe mode refuses Python code in there, and was led round it more than once (CVE-2025-1550:
any module and function; CVE-2025-8747: Keras's own that fetch files; CVE-2025-9906: a config that
turns safe mode off; CVE-2025-49655: pickles in a layer; CVE-2025-12058: paths as vocabularies). So
each class that a config names is looked up here, in the lists that Keras publishes for models, and
those that wrap code or read files are not among them.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Collection, Iterator
from functools import cache
from types import ModuleType
from typing import Any, Final

CONFIG: Final = "config.json"
_RECORDS: Final = frozenset({CONFIG, "metadata.json", "model.weights.h5"})
_ASSETS: Final = re.compile(r"assets(/[A-Za-z0-9_][A-Za-z0-9_.\-]*)*/?", re.ASCII)
_VALUES: Final = frozenset(
    {"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"}
)
"""Plain values that Keras writes as if they were objects."""
_REFUSED: Final = frozenset(
    {
        # They hold code, or models of other libraries, which hold code.
        *("Lambda", "TorchModuleWrapper", "FlaxLayer", "JaxLayer", "NnxLayer", "TFSMLayer"),
        # They call functions, which no plain model hands to a layer.
        *("AssociativeScan", "Cond", "ForiLoop", "JVP", "Map", "Scan", "Switch", "VectorizedMap"),
        "WhileLoop",
    }
)
_FUNCTIONS: Final = ("activations", "losses", "metrics")
_CLASSES: Final = (
    *("layers", "models", "optimizers", "optimizers.schedules", "losses", "metrics"),
    *("initializers", "regularizers", "constraints", "dtype_policies", "quantizers"),
)
_MODULE: Final = re.compile(r"keras(\.[a-z0-9_]+)*", re.ASCII)
_READS: Final = frozenset({"vocabulary", "idf_weights", "filepath", "file_path", "filename"})
"""Arguments that take a path as well, to a file that would be read."""
_UNSAFE_KEYS: Final = frozenset({"safe_mode", "custom_objects"})
_MAX_CONFIG: Final = 64 << 20
_MAX_DEPTH: Final = 200


class UnsafeArchive(ValueError):
    """Loading this could run code, or read files that are not its own."""


def check_archive(data: bytes, custom: Collection[str] = (), *, is_compiled: bool = True) -> None:
    """Raise UnsafeArchive unless Keras can load these bytes without running code of theirs.

    `custom` are names of classes and functions that the caller brings: the archive may use them.
    What the archive says of training does not count where the model is not compiled.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_records(archive)
            config = json.loads(archive.read(CONFIG))
            weights = archive.read("model.weights.h5")
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, EOFError) as error:
        raise UnsafeArchive(f"it is no archive of Keras: {error}") from None
    except (ValueError, RecursionError) as error:
        raise UnsafeArchive(f"its {CONFIG} cannot be read: {error}") from error
    if not is_compiled and isinstance(config, dict):
        config.pop("compile_config", None)
    _check(config, frozenset(custom), 0)
    _check_weights(weights)


def _check_records(archive: zipfile.ZipFile) -> None:
    seen: set[str] = set()
    for info in archive.infolist():
        name = info.filename
        if name in seen:
            raise UnsafeArchive(f"the record '{name}' is there twice")
        if name not in _RECORDS and not _ASSETS.fullmatch(name):
            raise UnsafeArchive(f"it holds '{name[:100]}', which is no part of a Keras model")
        if info.external_attr >> 16 & 0o170000 == 0o120000:
            raise UnsafeArchive(f"the record '{name}' is a symbolic link")
        if name == CONFIG and info.file_size > _MAX_CONFIG:
            raise UnsafeArchive(f"its {CONFIG} is longer than {_MAX_CONFIG} bytes")
        seen.add(name)


def _check(value: Any, custom: frozenset[str], depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise UnsafeArchive("its layers are nested too deeply")
    if isinstance(value, list):
        for each in value:
            _check(each, custom, depth + 1)
    elif isinstance(value, dict):
        if "class_name" in value:
            _check_object(value, custom)
        for key, each in value.items():
            if key in _UNSAFE_KEYS:
                raise UnsafeArchive(f"a config sets '{key}'")
            if key in _READS and isinstance(each, str):
                raise UnsafeArchive(f"a layer's '{key}' is the path of a file, '{each[:100]}'")
            _check(each, custom, depth + 1)


def _check_object(entry: dict[str, Any], custom: frozenset[str]) -> None:
    """One object: `module`, `class_name`, `config` and `registered_name`."""
    name, module = entry["class_name"], entry.get("module")
    registered = entry.get("registered_name")
    if not isinstance(name, str):
        raise UnsafeArchive("an object's class has no name")
    if name in _VALUES:
        return
    if name == "function":
        _check_function(entry.get("config"), module, registered, custom)
        return
    if name in custom and (
        registered in (None, name, *custom) or str(registered).endswith(f">{name}")
    ):
        return
    known = isinstance(module, str) and _MODULE.fullmatch(module) and name in _classes()
    if not known and not (module is None and name in _classes() and registered is None):
        raise UnsafeArchive(f"it names the class '{_full(module, name)}', which is not Keras's own")
    if name in _REFUSED:
        raise UnsafeArchive(f"it has a layer '{name}', which runs code")
    if registered not in (None, name):
        raise UnsafeArchive(f"it names the registered class '{str(registered)[:100]}'")


def _check_function(name: Any, module: Any, registered: Any, custom: frozenset[str]) -> None:
    if name in custom and registered in (None, "function", *custom):
        return
    known = module == "builtins" or (isinstance(module, str) and _MODULE.fullmatch(module))
    if known and name in _functions() and registered in (None, "function", name):
        return
    raise UnsafeArchive(f"it names the function '{_full(module, name)}', which is not Keras's own")


def _full(module: Any, name: Any) -> str:
    return f"{module}.{name}"[:100] if module else str(name)[:100]


@cache
def _classes() -> frozenset[str]:
    """The names of classes that a model may be made of."""
    import keras

    found = {"DTypePolicy", "Function", "Functional", "Model", "Sequential"}
    for path in _CLASSES:
        module: Any = keras
        for part in path.split("."):
            module = getattr(module, part, None)
        found |= set(_public(module, type)) if module is not None else set()
    return frozenset(found | _operations(keras))


def _operations(keras: ModuleType) -> set[str]:
    """The names of operations, such as `Add`, that a model of functions is made of."""
    from keras.src import ops

    base = keras.Operation
    found: set[str] = set()
    for part in ("core", "einops", "fft", "image", "linalg", "math", "nn", "numpy"):
        module = getattr(ops, part, None)
        found |= {
            name
            for name, each in vars(module or ops).items()
            if isinstance(each, type) and issubclass(each, base)
        }
    return found


@cache
def _functions() -> frozenset[str]:
    import keras

    return frozenset(
        name
        for path in _FUNCTIONS
        for name in _public(getattr(keras, path), object)
        if name not in ("deserialize", "get", "serialize")
    )


def _public(module: Any, kind: type) -> Iterator[str]:
    for name, each in vars(module).items():
        if not name.startswith("_") and callable(each) and isinstance(each, kind):
            yield name


def _check_weights(data: bytes) -> None:
    """Raise UnsafeArchive for weights (HDF5) that lie in other files."""
    import h5py

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            _check_group(file, 0)
    except (OSError, RuntimeError, KeyError) as error:
        raise UnsafeArchive(f"its weights cannot be read: {error}") from None


def _check_group(group: Any, depth: int) -> None:
    import h5py

    if depth > _MAX_DEPTH:
        raise UnsafeArchive("its weights are nested too deeply")
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise UnsafeArchive(f"its weights '{name[:100]}' are a link to elsewhere")
        item = group[name]
        if isinstance(item, h5py.Group):
            _check_group(item, depth + 1)
        elif isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
            raise UnsafeArchive(f"its weights '{name[:100]}' lie in another file")
