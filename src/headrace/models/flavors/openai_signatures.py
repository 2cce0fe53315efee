"""The signatures of the tasks in OpenAI's shape, which are MLflow 3.17's to the letter."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest
from headrace.models.flavors.openai_requests import CHAT, COMPLETIONS, EMBEDDINGS, TASKS

if TYPE_CHECKING:
    from headrace.models.signature import ModelSignature


def signature_of_task(task: str) -> ModelSignature:
    """The signature of a task. InvalidRequest for one that there is not."""
    from headrace.models.signature import ModelSignature

    if task not in _COLUMNS:
        raise InvalidRequest(f"There is no task '{task}'; expected one of: {', '.join(TASKS)}.")
    inputs, outputs = _COLUMNS[task]
    return ModelSignature.from_dict({"inputs": json.dumps(inputs), "outputs": json.dumps(outputs)})


def check_no_other_signature(task: str, given: ModelSignature | None) -> None:
    """Raise InvalidRequest if a signature was given that is not the task's."""
    if given is not None and given != signature_of_task(task):
        raise InvalidRequest(
            f"A model for the task '{task}' has a signature of its own; leave 'signature' out."
        )


def _field(kind: Any, *, required: bool = False, **named: str) -> dict[str, Any]:
    shape = {"type": kind} if isinstance(kind, str) else kind
    return {**shape, **named, "required": required}


def _array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": {"type": items} if isinstance(items, str) else items}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _column(name: str, kind: Any, *, required: bool = False) -> dict[str, Any]:
    return _field(kind, required=required, name=name)


_MUST: Final = _field("string", required=True)
_MAY: Final = _field("string")
_ANY_MAP: Final = {"type": "map", "values": {"type": "any"}}
_CALL: Final = _object(
    function=_field(_object(arguments=_MUST, name=_MUST), required=True), id=_MUST, type=_MUST
)
_MESSAGE: Final = _object(
    content=_MAY,
    name=_MAY,
    refusal=_MAY,
    role=_MUST,
    tool_call_id=_MAY,
    tool_calls=_field(_array(_CALL)),
)
_ARGUMENT: Final = _object(
    description=_MAY,
    enum=_field(_array("string")),
    items=_field(_object(type=_MUST)),
    type=_MUST,
)
_ARGUMENTS: Final = _object(
    additionalProperties=_field("boolean"),
    properties=_field({"type": "map", "values": _ARGUMENT}, required=True),
    required=_field(_array("string")),
    type=_MAY,
)
_TOOL: Final = _object(
    function=_field(
        _object(
            description=_MAY,
            name=_MUST,
            parameters=_field(_ARGUMENTS, required=True),
            strict=_field("boolean"),
        )
    ),
    type=_MUST,
)
_TOKENS: Final = _object(
    completion_tokens=_field("long", required=True),
    prompt_tokens=_field("long", required=True),
    total_tokens=_field("long", required=True),
)
_SAMPLING: Final = [
    _column("temperature", "double"),
    _column("max_tokens", "long"),
    _column("stop", _array("string")),
    _column("n", "long"),
    _column("stream", "boolean"),
]
_ANSWER: Final = [
    _column("id", "string", required=True),
    _column("object", "string", required=True),
    _column("created", "long", required=True),
    _column("model", "string", required=True),
]


def _choices(**said: Any) -> dict[str, Any]:
    index = _field("long", required=True)
    both = dict(sorted({"finish_reason": _MUST, "index": index, **said}.items()))
    return _column("choices", _array(_object(**both)), required=True)


_COLUMNS: Final[dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]]] = {
    CHAT: (
        [
            _column("messages", _array(_MESSAGE), required=True),
            *_SAMPLING,
            _column("top_p", "double"),
            _column("top_k", "long"),
            _column("frequency_penalty", "double"),
            _column("presence_penalty", "double"),
            _column("tools", _array(_TOOL)),
            _column("custom_inputs", _ANY_MAP),
        ],
        [
            *_ANSWER,
            _choices(message=_field(_MESSAGE, required=True)),
            _column("usage", _TOKENS),
            _column("custom_outputs", _ANY_MAP),
        ],
    ),
    COMPLETIONS: (
        [_column("prompt", "string", required=True), *_SAMPLING],
        [*_ANSWER, _choices(text=_MUST), _column("usage", _TOKENS, required=True)],
    ),
    EMBEDDINGS: (
        [_column("input", "string", required=True)],
        [
            _column("object", "string", required=True),
            _column(
                "data",
                _array(
                    _object(
                        embedding=_field(_array("double"), required=True),
                        index=_field("long", required=True),
                        object=_MUST,
                    )
                ),
                required=True,
            ),
            _column(
                "usage",
                _object(
                    prompt_tokens=_field("long", required=True),
                    total_tokens=_field("long", required=True),
                ),
                required=True,
            ),
        ],
    ),
}
