"""What an ONNX model may name: files of weights beside it, and operators that only calculate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headrace.artifacts.paths import safe_path
from headrace.errors import InvalidModel, InvalidRequest

if TYPE_CHECKING:
    from headrace.models.trust import VerifiedFolder

_RUNS_CODE: Final = frozenset({"ATen", "EPContext", "PyOp", "PythonOp", "PythonOpGrad"})
"""Operators of ONNX Runtime that call Python, or hold compiled code for a device."""
_MAX_DEPTH: Final = 32


@dataclass(frozen=True)
class ExternalFile:
    """A file of weights: `base` is the folder that the model names it from."""

    base: Path
    name: str


def checked_model(folder: VerifiedFolder, name: str) -> tuple[Any, list[ExternalFile]]:
    """The model in the file `name`, without its external weights, and the files that hold them.

    Each of them is a file of the folder. Raises InvalidModel for one that is not, and for bytes
    that are no model; NotTrusted for an operator that could run code.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(folder.read(name))
    except DecodeError:
        raise InvalidModel(f"'{name}' is no ONNX model.") from None
    for operator in sorted(_operators(model.graph, model.functions)):
        if operator in _RUNS_CODE:
            folder.require_trust(name, f"a graph with the operator '{operator}', which runs code")
    above = name.rpartition("/")[0]
    found = []
    try:
        for each in external_files(model):
            file = folder.file(f"{above}/{each}" if above else each)
            found.append(ExternalFile(file.parents[len(Path(each).parts) - 1], each))
    except InvalidRequest as error:
        raise InvalidModel(f"'{name}' keeps weights where none may be: {error}") from None
    if not found:
        _check_valid(model, name)
    return model, found


def external_files(model: Any) -> list[str]:
    """The files that a model keeps weights in, relative to its own. InvalidRequest for a path
    that leads elsewhere.
    """
    found: dict[str, None] = {}
    for tensor in tensors_of(model):
        if not tensor.external_data:
            continue
        place = {entry.key: entry.value for entry in tensor.external_data}.get("location", "")
        location = place[2:] if place.startswith("./") else place
        safe_path(location, "file of an ONNX model's weights")
        found[location] = None
    return list(found)


def _check_valid(model: Any, name: str) -> None:
    import onnx

    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise InvalidModel(f"'{name}' is no valid ONNX model: {error}") from None
    except ValueError:
        return  # over 2 GiB in memory, which the checker does not take


def tensors_of(model: Any) -> Iterator[Any]:
    """All tensors that a model holds: weights and constants, also in the branches of its graph."""
    for graph in _graphs(model.graph, 0):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        yield from _tensors_in(graph.node)
    for function in model.functions:
        for graph in _graphs_in(function.node, 0):
            yield from graph.initializer
            yield from _tensors_in(graph.node)
        yield from _tensors_in(function.node)
    for training in model.training_info:
        for part in (training.initialization, training.algorithm):
            for graph in _graphs(part, 0):
                yield from graph.initializer
                yield from _tensors_in(graph.node)


def _tensors_in(nodes: Any) -> Iterator[Any]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            own = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
            for sparse in (*own, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)


def _graphs(graph: Any, depth: int) -> Iterator[Any]:
    """A graph and those in its nodes: the branches of an If, the body of a Loop."""
    yield graph
    yield from _graphs_in(graph.node, depth)


def _graphs_in(nodes: Any, depth: int) -> Iterator[Any]:
    if depth > _MAX_DEPTH:
        raise InvalidRequest("its graphs are nested too deeply")
    for node in nodes:
        for attribute in node.attribute:
            inner = [attribute.g] if attribute.HasField("g") else []
            for graph in (*inner, *attribute.graphs):
                yield from _graphs(graph, depth + 1)


def _operators(graph: Any, functions: Any) -> set[str]:
    found = {node.op_type for each in _graphs(graph, 0) for node in each.node}
    for function in functions:
        found |= {node.op_type for node in function.node}
        found |= {n.op_type for each in _graphs_in(function.node, 0) for n in each.node}
    return found
