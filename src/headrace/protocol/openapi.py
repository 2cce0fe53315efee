"""The OpenAPI 3.1 document, made from the same declarations that the server answers with.

Every `Endpoint` of the protocol becomes an operation and every struct a schema. Routes that carry
bytes have no structs; they are described by hand at the end. `/ajax-api` is left out: it answers
the same calls under a second name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

import msgspec

from headrace.errors import InvalidRequest
from headrace.protocol import (
    artifacts,
    console,
    datasets,
    experiments,
    logged_models,
    metrics,
    model_versions,
    registered_models,
    runs,
    server_info,
)
from headrace.protocol.endpoint import PREFIXES, Endpoint
from headrace.protocol.wire import Request
from headrace.version import VERSION

Json = dict[str, Any]

_SECTIONS: Final[tuple[tuple[str, ModuleType], ...]] = (
    ("experiments", experiments),
    ("runs", runs),
    ("metrics", metrics),
    ("datasets", datasets),
    ("artifacts", artifacts),
    ("console", console),
    ("logged models", logged_models),
    ("registered models", registered_models),
    ("model versions", model_versions),
    ("server", server_info),
)
_SCHEMAS: Final = "#/components/schemas/{name}"
_NUMBER: Final = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}
_FIELD_IN_PATH: Final = re.compile(r"{(\w+)}")
_MISSING: Final = re.compile(
    r"(?:Missing value for required parameter|Invalid value '' for) '(\w+)'"
)


def all_endpoints() -> Iterator[tuple[str, Endpoint[Any, Any]]]:
    """Every call of the protocol with the section it belongs to."""
    for section, module in _SECTIONS:
        for value in vars(module).values():
            if isinstance(value, Endpoint):
                yield section, value


def openapi_document() -> Json:
    """The description of everything that the server answers."""
    endpoints = list(all_endpoints())
    schemas = _schemas([endpoint for _, endpoint in endpoints])
    paths: dict[str, Json] = {}
    for section, endpoint in endpoints:
        path = PREFIXES[0] + endpoint.path
        operation = _operation(section, endpoint, schemas)
        paths.setdefault(path, {})[endpoint.method.lower()] = operation
    for path, operations in _byte_paths().items():
        paths.setdefault(path, {}).update(operations)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headrace",
            "version": VERSION,
            "summary": "A tracking server that speaks MLflow's REST protocol.",
            "description": (
                "Every path under /api answers under /ajax-api too. Fields that are unset are "
                "left out; fields that are not known are ignored. An int64 may be sent as a "
                "string. Credentials are only asked for when the server has users."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}, {"password": []}],
        "tags": [{"name": section} for section, _ in _SECTIONS],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {"Error": _error_response()},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
            },
        },
    }


# ----------------------------------------------------------------------- schemas of structs


def _schemas(endpoints: list[Endpoint[Any, Any]]) -> Json:
    families: list[type[Any]] = []
    for endpoint in endpoints:
        families += [endpoint.request, endpoint.answer]
    families = list(dict.fromkeys(families))
    _, found = msgspec.json.schema_components(families, ref_template=_SCHEMAS)
    schemas = {name: _tidied(schema) for name, schema in found.items()}
    for family in families:
        if issubclass(family, Request):
            schemas[family.__name__]["required"] = required_fields(family)
    schemas["Error"] = {
        "title": "Error",
        "type": "object",
        "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
        "required": ["error_code", "message"],
    }
    return schemas


def _tidied(schema: Any) -> Any:
    """A schema as the wire has it: nothing is null, and a number may be NaN."""
    if isinstance(schema, list):
        return [_tidied(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema == {"type": "number"}:
        return dict(_NUMBER)
    tidy = {key: _tidied(value) for key, value in schema.items()}
    options = [option for option in tidy.get("anyOf", []) if option != {"type": "null"}]
    if len(options) == 1:
        del tidy["anyOf"]
        tidy = {**options[0], **tidy}
    elif options:
        tidy["anyOf"] = options
    # A default of null or "" stands for "not sent", and says nothing to a reader.
    if tidy.get("default", 0) in (None, ""):
        del tidy["default"]
    return tidy


def required_fields(family: type[Request]) -> list[str]:
    """The fields without which a request is refused: found by leaving them out.

    Requests check themselves, so that their messages are ours; the structs' own types do not
    tell which fields are needed.
    """
    types = {field.name: field.type for field in msgspec.structs.fields(family)}
    given: Json = {}
    while True:
        try:
            msgspec.convert(given, family, strict=False)
        except InvalidRequest as error:
            match = _MISSING.search(error.message)
            if match is None or match[1] in given or match[1] not in types:
                return sorted(given)
            given[match[1]] = ["1"] if "list" in str(types[match[1]]) else "1"
        except msgspec.ValidationError:
            return sorted(given)
        else:
            return sorted(given)


# ------------------------------------------------------------------------------ operations


def _operation(section: str, endpoint: Endpoint[Any, Any], schemas: Json) -> Json:
    in_path = _FIELD_IN_PATH.findall(endpoint.path)
    schema = schemas[endpoint.request.__name__]
    operation: Json = {
        "operationId": endpoint.operation_id,
        "summary": endpoint.summary,
        "tags": [section],
        "parameters": [_path_parameter(name) for name in in_path],
        "responses": _responses(
            {"$ref": _SCHEMAS.format(name=endpoint.answer.__name__)}, "application/json"
        ),
    }
    rest = {name: kind for name, kind in schema["properties"].items() if name not in in_path}
    required = [name for name in schema["required"] if name not in in_path]
    if endpoint.method == "GET":
        operation["parameters"] += [
            {"name": name, "in": "query", "required": name in required, "schema": kind}
            for name, kind in rest.items()
        ]
        return operation
    body: Json = {"$ref": _SCHEMAS.format(name=endpoint.request.__name__)}
    if len(rest) < len(schema["properties"]):
        body = {"type": "object", "properties": rest, "required": required}
    operation["requestBody"] = {
        "required": bool(required) or endpoint.method != "DELETE",
        "content": {"application/json": {"schema": body}},
    }
    return operation


def _path_parameter(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _responses(schema: Json, media_type: str) -> Json:
    error = {"$ref": "#/components/responses/Error"}
    return {
        "200": {"description": "Done.", "content": {media_type: {"schema": schema}}},
        "4XX": error,
        "503": error,
    }


def _error_response() -> Json:
    return {
        "description": "What was wrong, in words for the person who asked.",
        "content": {"application/json": {"schema": {"$ref": _SCHEMAS.format(name="Error")}}},
    }


# ----------------------------------------------------------------- bytes, described by hand

_BYTES: Final = "application/octet-stream"


def _byte_paths() -> dict[str, Json]:
    proxy = "/api/2.0/mlflow-artifacts"
    path = _path_parameter("path")
    return {
        f"{proxy}/artifacts/{{path}}": {
            "get": _bytes_out("get_artifact", "Download a file, or a Range of it.", [path]),
            "put": _bytes_in("put_artifact", "Upload a file, whole; replaces an older one.", path),
            "delete": {
                "operationId": "delete_artifact",
                "summary": "Delete a file, or a folder with all in it, for good.",
                "tags": ["artifacts"],
                "parameters": [path],
                "responses": _responses({"type": "object"}, "application/json"),
            },
        },
        f"{proxy}/presigned/{{path}}": {
            "get": {
                "operationId": "presign_artifact",
                "summary": "Get a URL that downloads a file without other credentials.",
                "tags": ["artifacts"],
                "parameters": [path],
                "responses": _responses(
                    {
                        "type": "object",
                        "properties": {
                            "url": {"type": "string"},
                            "headers": {"type": "object"},
                            "file_size": {"type": "integer"},
                        },
                    },
                    "application/json",
                ),
            }
        },
        "/get-artifact": {
            "get": _bytes_out(
                "get_run_artifact", "Download a file of a run.", [_query("run_id"), _query("path")]
            )
        },
        "/model-versions/get-artifact": {
            "get": _bytes_out(
                "get_model_version_artifact",
                "Download a file of a model version.",
                [_query("name"), _query("version"), _query("path")],
            )
        },
        "/health": {"get": _text("get_health", "Ask whether the server and its database answer.")},
        "/version": {"get": _text("get_version", "Get the version, in MLflow's numbering.")},
    }


def _query(name: str) -> Json:
    return {"name": name, "in": "query", "required": True, "schema": {"type": "string"}}


def _bytes_out(operation_id: str, summary: str, parameters: list[Json]) -> Json:
    some = {"schema": {"type": "string", "contentMediaType": _BYTES}}
    responses = _responses({}, _BYTES)
    responses["200"] = {"description": "The bytes.", "content": {"*/*": some}}
    responses["206"] = {"description": "The bytes asked for by Range.", "content": {"*/*": some}}
    responses["304"] = {"description": "The client has them already."}
    return {
        "operationId": operation_id,
        "summary": summary,
        "tags": ["artifacts"],
        "parameters": parameters,
        "responses": responses,
    }


def _bytes_in(operation_id: str, summary: str, path: Json) -> Json:
    return {
        "operationId": operation_id,
        "summary": summary,
        "tags": ["artifacts"],
        "parameters": [path],
        "requestBody": {"content": {_BYTES: {"schema": {"contentMediaType": _BYTES}}}},
        "responses": _responses({"type": "object"}, "application/json"),
    }


def _text(operation_id: str, summary: str) -> Json:
    return {
        "operationId": operation_id,
        "summary": summary,
        "tags": ["server"],
        "parameters": [],
        "security": [{}],
        "responses": _responses({"type": "string"}, "text/plain"),
    }
