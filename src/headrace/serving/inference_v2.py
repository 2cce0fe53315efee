"""The Open Inference Protocol, version 2, over REST: `/v2/…`, as KServe, Triton and MLServer speak
(github.com/kserve/open-inference-protocol).

Tensors are decoded by the worker; here are the routes, and what a model says of itself, which comes
from its signature.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from headrace.errors import InvalidRequest, NotFound
from headrace.http.answers import told_of
from headrace.serving.requests import Reply, Request, Route, UnsupportedContentType, failure
from headrace.serving.served import ServedModel, ServedModels
from headrace.serving.signature_specs import Json, specs_of
from headrace.serving.worker.calls import BINARY, JSON, Call
from headrace.serving.worker.tensors import BYTES, DATATYPE_OF
from headrace.version import VERSION

_LENGTH: Final = b"inference-header-content-length"
_DIGITS: Final = 12
"""Of the longest length that is read at all."""
_COLUMNS: Final = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
}
"""The datatypes of columns, by their types in the signature; BYTES for those that are not here."""


def inference_error(error: BaseException) -> Reply:
    """An error as the protocol has it: `{"error": "…"}`."""
    known = told_of(error)
    return failure(known, json.dumps({"error": known.message}).encode())


class InferenceV2:
    """Answers the protocol's requests."""

    def __init__(self, models: ServedModels) -> None:
        self._models = models

    def routes(self) -> list[Route]:
        """What this format adds to the server."""
        found = [
            Route("GET", "/v2", self.server, inference_error),
            Route("GET", "/v2/health/live", self.live, inference_error, is_open=True),
            Route("GET", "/v2/health/ready", self.ready, inference_error, is_open=True),
        ]
        for root in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            found += [
                Route("GET", root, self.model, inference_error),
                Route("GET", f"{root}/ready", self.model_ready, inference_error),
                Route("POST", f"{root}/infer", self.infer, inference_error),
            ]
        return found

    async def server(self, _request: Request) -> Reply:
        """What this server is, and which extensions of the protocol it has."""
        return _reply(
            {"name": "headrace", "version": VERSION, "extensions": ["binary_tensor_data"]}
        )

    async def live(self, _request: Request) -> Reply:
        """200 while the server answers at all."""
        return _reply({"live": True})

    async def ready(self, _request: Request) -> Reply:
        """200 while every model has a worker that can answer, else 503."""
        for model in self._models:
            model.check_ready()
        return _reply({"ready": True})

    async def model(self, request: Request) -> Reply:
        """A model's inputs and outputs."""
        model = self._named(request)
        current = model.current
        return _reply(
            {
                "name": model.name,
                "versions": [current.version.label],
                "platform": _platform(current.description),
                "inputs": _tensors(specs_of(current.description, "inputs"), "input"),
                "outputs": _tensors(specs_of(current.description, "outputs"), "output"),
            }
        )

    async def model_ready(self, request: Request) -> Reply:
        """200 while the model has a worker that can answer, else 503."""
        model = self._named(request)
        model.check_ready()
        return _reply({"name": model.name, "ready": True})

    async def infer(self, request: Request) -> Reply:
        """Predict: tensors in, tensors out, in JSON or as binary data behind it."""
        model = self._named(request)
        header = _json_length(request)
        _check_content(request, has_length=header is not None)
        body = await request.body()
        label = model.current.version.label  # of now: while the body came it may have moved on
        options = {"model": model.name, "version": label, "header": header}
        answered = await model.predict(Call("infer", body, JSON, options), request.is_gone)
        return Reply(answered.body, content_type=answered.content_type, headers=answered.headers)

    def _named(self, request: Request) -> ServedModel:
        """The model, and the version if one is named, that the path names. Raises NotFound."""
        model = self._models.named(request.fields["model"])
        version = request.fields.get("version")
        served = model.current.version.label
        if version is not None and version != served:
            raise NotFound(
                f"This server has version '{served}' of the model '{model.name}', not "
                f"'{version[:100]}'."
            )
        return model


def _reply(told: Json) -> Reply:
    return Reply(json.dumps(told).encode())


def _json_length(request: Request) -> int | None:
    given = request.headers.get(_LENGTH)
    if given is None:
        return None
    if not given.isdigit() or len(given) > _DIGITS:
        raise InvalidRequest(
            f"The header 'Inference-Header-Content-Length' is {given[:100].decode('latin-1')!r}; "
            "expected how many bytes of the body are JSON."
        )
    return int(given)


def _check_content(request: Request, *, has_length: bool) -> None:
    """Raise UnsupportedContentType for a body that is not what the protocol has."""
    kind = request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind not in (b"", JSON.encode()) and (not has_length or kind != BINARY.encode()):
        raise UnsupportedContentType(
            f"The header 'Content-Type' is {kind[:100].decode('latin-1')!r}; expected {JSON}, "
            f"or {BINARY} with the header 'Inference-Header-Content-Length'."
        )


def _platform(description: Mapping[str, Any]) -> str:
    """The library that the model is of: the flavor beside `python_function`."""
    flavors = description.get("flavors")
    names: Iterable[Any] = flavors if isinstance(flavors, Mapping) else ()
    return next((str(name) for name in names if name != "python_function"), "python_function")


def _tensors(specs: list[Json], what: str) -> list[Json]:
    return [_tensor(spec, f"{what}-{place}") for place, spec in enumerate(specs)]


def _tensor(spec: Json, unnamed: str) -> Json:
    """A tensor, or a column as a tensor with a row for each of its values."""
    name = spec.get("name")
    about = {"name": unnamed if name is None else str(name)}
    tensor = spec.get("tensor-spec")
    if spec.get("type") == "tensor" and isinstance(tensor, Mapping):
        datatype = DATATYPE_OF.get(str(tensor.get("dtype")), BYTES)
        return {**about, "datatype": datatype, "shape": tensor.get("shape")}
    return {**about, "datatype": _COLUMNS.get(str(spec.get("type")), BYTES), "shape": [-1, 1]}
