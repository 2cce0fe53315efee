"""Programs of `torch.export` (`.pt2`), checked so that loading one runs nothing.

`torch.export.load` of PyTorch 2.13 trusts the archive: weights and constants may be pickles, shapes
are texts that SymPy evaluates, guards are Python source, an operator is any attribute that can be
reached from `torch`, names go into generated source, libraries beside the program are opened. So a
program is never given to it as it lies. What a program needs is read, checked against what its
format allows, and written to a new archive in memory; PyTorch loads that one.

The format: torch/_export/serde/schema.py (version 8) and torch/export/pt2_archive of PyTorch 2.13.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from headrace.models.flavors.pytorch_names import (
    is_dotted,
    is_identifier,
    is_operator,
    is_symbolic,
    is_tree,
)

_ROOT: Final = "archive"
_MODEL: Final = "models/model.json"
_WEIGHTS: Final = "data/weights/"
_CONSTANTS: Final = "data/constants/"
_CONFIGS: Final = (
    (_WEIGHTS, f"{_WEIGHTS}model_weights_config.json", re.compile(r"weight_\d+")),
    (_CONSTANTS, f"{_CONSTANTS}model_constants_config.json", re.compile(r"tensor_\d+")),
)
_FIXED: Final = {
    "archive_format": b"pt2",
    "archive_version": b"0",
    "byteorder": b"little",
    ".data/version": b"6\n",
    "data/sample_inputs/model.pt": b"",
}
"""Records that are written anew: the archive's own, and the example, which would be a pickle."""
_PIECE: Final = 1 << 20
_MAX_JSON: Final = 256 << 20
_MAX_DEPTH: Final = 40


class UnsafeProgram(ValueError):
    """Loading this could run code, or it is no program of a kind that is known."""


def check_program(source: Path) -> None:
    """Raise UnsafeProgram unless the program in `source` can be loaded without running code."""
    with _opened(source) as archive:
        _parts(archive, _records(archive), None)


def checked_program(source: Path, device: str | None = None) -> io.BytesIO:
    """A new archive with what the program in `source` needs, all of it checked.

    It holds no pickle, no source and no library, and its operators are PyTorch's own (`aten`).
    Tensors are on `device`, if one is given, wherever they were saved. Raises UnsafeProgram.
    """
    made = io.BytesIO()
    with _opened(source) as archive, zipfile.ZipFile(made, "w") as target:
        records = _records(archive)
        texts, tensors = _parts(archive, records, device)
        for name, content in texts.items():
            target.writestr(f"{_ROOT}/{name}", json.dumps(content))
        for name in tensors:
            _copy(archive, records, target, name)
        for name, fixed in _FIXED.items():
            target.writestr(f"{_ROOT}/{name}", fixed)
    made.seek(0)
    return made


@contextmanager
def _opened(source: Path) -> Iterator[zipfile.ZipFile]:
    wrong = (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError)
    try:
        with zipfile.ZipFile(source) as archive:
            yield archive
    except wrong as error:  # RuntimeError: encrypted, or nested too deeply to be read
        raise UnsafeProgram(f"it is no archive of torch.export: {error}") from None


def _parts(
    archive: zipfile.ZipFile, records: dict[str, zipfile.ZipInfo], device: str | None
) -> tuple[dict[str, Any], list[str]]:
    """The program and the tables of its tensors, checked, and the records of the tensors."""
    texts = {_MODEL: _checked(_json(archive, records, _MODEL), device)}
    tensors: list[str] = []
    for folder, config, payload in _CONFIGS:
        table = _payloads(_json(archive, records, config), payload, device)
        texts[config] = {"config": table}
        tensors += [
            f"{folder}{name}" for name in sorted({it["path_name"] for it in table.values()})
        ]
    missing = [name for name in tensors if name not in records]
    if missing:
        raise UnsafeProgram(f"the record '{missing[0]}' is missing")
    return texts, tensors


def _records(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The archive's records by their names below its root."""
    found: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename.partition("/")[2]
        if name in found:
            raise UnsafeProgram(f"the record '{name}' is there twice")
        if info.compress_type != zipfile.ZIP_STORED:
            raise UnsafeProgram(f"the record '{name}' is compressed")
        found[name] = info
    return found


def _json(archive: zipfile.ZipFile, records: dict[str, zipfile.ZipInfo], name: str) -> Any:
    info = records.get(name)
    if info is None or info.file_size > _MAX_JSON:
        raise UnsafeProgram(f"the record '{name}' is missing or too long")
    try:
        return json.loads(archive.read(info))
    except (ValueError, RecursionError):
        raise UnsafeProgram(f"the record '{name}' is no JSON") from None


def _copy(
    archive: zipfile.ZipFile, records: dict[str, zipfile.ZipInfo], to: zipfile.ZipFile, name: str
) -> None:
    """Copy the numbers of a tensor as they are."""
    with (
        archive.open(records[name]) as source,
        to.open(f"{_ROOT}/{name}", "w", force_zip64=True) as target,
    ):
        while piece := source.read(_PIECE):
            target.write(piece)


def _payloads(config: Any, allowed: re.Pattern[str], device: str | None) -> dict[str, Any]:
    """The table of tensors, each of which is raw numbers."""
    table = config.get("config") if isinstance(config, dict) else None
    if not isinstance(table, dict):
        raise UnsafeProgram("the table of its tensors is of no known form")
    for name, entry in table.items():
        if not (is_dotted(name) and isinstance(entry, dict)):
            raise UnsafeProgram(f"{name!r} is no tensor's name")
        if entry.get("use_pickle") is not False:
            raise UnsafeProgram(f"the tensor '{name}' is a pickle")
        if not allowed.fullmatch(str(entry.get("path_name"))):
            raise UnsafeProgram(f"the tensor '{name}' is an object of another kind")
    return dict(_rebuilt(table, "config", device, 0, any_key=True))


def _checked(program: Any, device: str | None) -> dict[str, Any]:
    """The program without what is for people or is Python source, the rest checked."""
    if not isinstance(program, dict) or not isinstance(program.get("graph_module"), dict):
        raise UnsafeProgram("it holds no graph")
    module = {**program["graph_module"], "metadata": {}}
    if module.get("treespec_namedtuple_fields"):
        raise UnsafeProgram("it takes or gives named tuples, whose classes would be imported")
    rebuilt = _rebuilt({**program, "graph_module": module, "guards_code": []}, "", device, 0)
    return dict(rebuilt)


_NAMED: Final = frozenset(
    {
        *("tensor_values", "sym_int_values", "sym_bool_values", "sym_float_values"),
        *("range_constraints", "opset_version"),
    }
)
"""Tables whose keys are names that the program gives; all other keys are the format's."""
_NEVER: Final = frozenset({"as_custom_obj", "as_operator", "as_string_to_argument"})
_TEXTS: Final[dict[str, Callable[[str], bool]]] = {
    "target": is_operator,
    "expr_str": is_symbolic,
    "in_spec": is_tree,
    "out_spec": is_tree,
    "fqn": lambda text: not text or is_dotted(text),
    "name": lambda text: not text or is_identifier(text),
    "torch_version": lambda text: re.fullmatch(r"[0-9A-Za-z.+<=]{0,100}", text) is not None,
    "as_float": lambda text: text in ("Infinity", "-Infinity", "NaN"),
    "as_floats": lambda text: text in ("Infinity", "-Infinity", "NaN"),
    "as_string": lambda text: len(text) <= 1000,
    "as_strings": lambda text: len(text) <= 1000,
    "forward_arg_names": is_identifier,
    "path_name": is_identifier,
    **dict.fromkeys(
        (
            *("parameter_name", "buffer_name", "tensor_constant_name", "user_input_name"),
            *("type", "verifiers"),
        ),
        is_dotted,
    ),
}


def _rebuilt(value: Any, key: str, device: str | None, depth: int, *, any_key: bool = False) -> Any:
    """`value`, which stands under `key`, rebuilt from what passes its check."""
    if depth > _MAX_DEPTH:
        raise UnsafeProgram("it is nested too deeply")
    if isinstance(value, dict):
        return dict(_entries(value, key, device, depth, any_key=any_key))
    if isinstance(value, list):
        return [_rebuilt(each, key, device, depth + 1) for each in value]
    if isinstance(value, str) and not _TEXTS.get(key, is_identifier)(value):
        raise UnsafeProgram(f"its '{key}' is {_shown(value)}, which could run code")
    return value


def _entries(
    table: dict[str, Any], key: str, device: str | None, depth: int, *, any_key: bool
) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if name == "metadata":
            yield name, {}
            continue
        if name in _NEVER and value is not None:
            raise UnsafeProgram(f"it holds '{name}', which is more than operators of PyTorch's own")
        if not (is_identifier(name) or (any_key and is_dotted(name))):
            raise UnsafeProgram(f"it has the name {_shown(name)}, which could run code")
        if device is not None and name in ("device", "as_device") and isinstance(value, dict):
            kind, _, index = device.partition(":")
            yield name, {"type": kind, "index": int(index) if index else None}
            continue
        given = key in _NAMED or any_key
        yield name, _rebuilt(value, "" if given else name, device, depth + 1)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}…")
