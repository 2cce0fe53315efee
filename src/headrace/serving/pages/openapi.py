"""The OpenAPI 3.1 document of a scoring server, made from the signatures of its models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from headrace.models.flavors.openai_requests import CHAT, COMPLETIONS, EMBEDDINGS
from headrace.serving.invocations import CONTENT_TYPES, invocations_path
from headrace.serving.openai import PATHS
from headrace.serving.pages.schemas import request_schema
from headrace.serving.served import ServedModel
from headrace.serving.signature_specs import Json
from headrace.serving.worker.calls import JSON
from headrace.version import VERSION

_ERRORS: Final = {
    "400": "The request does not fit the model, or the model could not predict for it.",
    "413": "The body is too large.",
    "415": "The body is of a kind that is not read here.",
    "429": "Too many requests wait; Retry-After says when to try again.",
    "504": "The prediction took too long.",
}
_MLFLOW, _INFERENCE, _OPENAI = "Error", "InferenceError", "OpenAIError"
_TEXT: Final = {"type": "string"}
_ERROR_SHAPES: Final[Json] = {
    _MLFLOW: {
        "type": "object",
        "properties": {"error_code": _TEXT, "message": _TEXT},
        "required": ["error_code", "message"],
    },
    _INFERENCE: {"type": "object", "properties": {"error": _TEXT}, "required": ["error"]},
    _OPENAI: {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {"message": _TEXT, "type": _TEXT, "param": {}, "code": _TEXT},
                "required": ["message", "type", "param", "code"],
            }
        },
        "required": ["error"],
    },
}
"""How each API tells an error."""
_TEXT_ROUTES: Final = {
    CHAT: ("Answer a conversation", "messages", {"type": "array"}),
    COMPLETIONS: ("Go on from a text", "prompt", {"type": "string"}),
    EMBEDDINGS: ("Embed texts", "input", {}),
}


def openapi_document(models: Sequence[ServedModel], asks_for_key: bool) -> Json:
    """The document for these models as they are now."""
    paths: dict[str, Json] = {}
    for model in models:
        operation = _invocation(model)
        if len(models) == 1:
            paths["/invocations"] = {"post": operation}
        paths[invocations_path(model.name)] = {
            "post": {**operation, "operationId": f"invoke-{model.name}"}
        }
        paths |= _inference(model.name)
        if model.current.task in _TEXT_ROUTES:
            path, route = _text(model.current.task, [each.name for each in models])
            paths[path] = route
    paths |= _about_the_server()
    document: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "Headrace model server",
            "version": VERSION,
            "description": "Models behind MLflow's scoring protocol, the Open Inference Protocol "
            "and, for language models, OpenAI's API.",
        },
        "paths": paths,
        "components": {"schemas": _ERROR_SHAPES},
    }
    if asks_for_key:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}]
    return document


def _invocation(model: ServedModel) -> Json:
    current = model.current
    body: Json = {"schema": request_schema(current.description)}
    if current.example is not None:
        body["example"] = json.loads(current.example)
    others = {
        kind: {"schema": {"type": "string", "format": "binary"}} for kind in CONTENT_TYPES[1:]
    }
    return {
        "operationId": "invoke",
        "summary": f"Predict with {model.name}, version {current.version.label}",
        "tags": [model.name],
        "requestBody": {"required": True, "content": {JSON: body, **others}},
        "responses": {
            "200": _answer({"type": "object", "properties": {"predictions": {}}}, "Predictions."),
            **_errors(_MLFLOW),
        },
    }


def _inference(name: str) -> dict[str, Json]:
    """The Open Inference Protocol, version 2."""
    root = f"/v2/models/{quote(name, safe='')}"
    anything: Json = {"type": "object"}
    infer = {
        "operationId": f"infer-{name}",
        "summary": f"Predict with {name}, tensors in and out",
        "tags": [name],
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": {"type": "object", "required": ["inputs"]}}},
        },
        "responses": {"200": _answer(anything, "Tensors."), **_errors(_INFERENCE)},
    }
    return {
        root: {"get": _read(f"metadata-{name}", f"Inputs and outputs of {name}", anything)},
        f"{root}/ready": {"get": _read(f"ready-{name}", f"Whether {name} can answer", {})},
        f"{root}/infer": {"post": infer},
    }


def _text(task: str, names: Sequence[str]) -> tuple[str, Json]:
    path = PATHS[task]
    summary, field, kind = _TEXT_ROUTES[task]
    properties: dict[str, Any] = {"model": {"enum": list(names)}, field: kind}
    if task != EMBEDDINGS:
        properties["stream"] = {"type": "boolean"}
        properties["max_tokens"] = {"type": "integer", "minimum": 1}
        properties["temperature"] = {"type": "number", "minimum": 0}
    schema = {"type": "object", "properties": properties, "required": ["model", field]}
    route = {
        "operationId": path.removeprefix("/v1/").replace("/", "-"),
        "summary": summary,
        "tags": ["OpenAI's API"],
        "requestBody": {"required": True, "content": {JSON: {"schema": schema}}},
        "responses": {
            "200": _answer({"type": "object"}, "As OpenAI's API answers."),
            **_errors(_OPENAI),
        },
    }
    return path, {"post": route}


def _about_the_server() -> dict[str, Json]:
    anything: Json = {"type": "object"}
    return {
        "/ping": {"get": _read("ping", "Whether the models can answer", None)},
        "/health": {"get": _read("health", "Whether the models can answer", None)},
        "/version": {"get": _read("version", "The version of MLflow's protocol", None)},
        "/models": {"get": _read("models", "Which versions answer, and how they are", anything)},
        "/v2": {"get": _read("server-metadata", "The server, as the protocol has it", anything)},
        "/v2/health/live": {"get": _read("live", "Whether the server runs", {})},
        "/v2/health/ready": {"get": _read("ready", "Whether the models can answer", {})},
    }


def _read(name: str, summary: str, schema: Json | None) -> Json:
    kind = "text/plain" if schema is None else JSON
    answer = {"description": summary + ".", "content": {kind: {"schema": schema or {}}}}
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["server"],
        "responses": {"200": answer},
    }


def _answer(schema: Json, description: str) -> Json:
    return {"description": description, "content": {JSON: {"schema": schema}}}


def _errors(shape: str) -> Json:
    error = {JSON: {"schema": {"$ref": f"#/components/schemas/{shape}"}}}
    return {status: {"description": text, "content": error} for status, text in _ERRORS.items()}
