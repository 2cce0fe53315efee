"""The page at `/docs`: each model with its inputs, an example to send, and what comes back.

Every text of a model goes through `html.escape`; what the script needs stands in `data-`
attributes. Nothing is loaded from elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from headrace.models.flavors.openai_requests import CHAT
from headrace.serving.invocations import invocations_path
from headrace.serving.pages.schemas import shown_type
from headrace.serving.served import ServedModel
from headrace.serving.signature_specs import Json, specs_of
from headrace.version import VERSION


def page_for(models: Sequence[ServedModel], style: str, script: str) -> str:
    """The page as HTML."""
    sections = "".join(map(_section, models))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>Headrace models</title><style>{style}</style></head><body><main>
<header><h1>Head<span>race</span></h1>
<p>A model server, version {escape(VERSION)}.</p></header>
{sections}
<footer>Everything that this server answers: <a href="/openapi.json">openapi.json</a>.
How its models are: <a href="/models">models</a>.</footer>
</main><script>{script}</script></body></html>
"""


def _section(model: ServedModel) -> str:
    current = model.current
    is_chat = current.task == CHAT
    task = f' <span class="soft">{escape(current.task)}</span>' if current.task else ""
    tables = "".join(
        _table(title, specs_of(current.description, part))
        for title, part in (("Inputs", "inputs"), ("Params", "params"), ("Outputs", "outputs"))
    )
    body = _chat(model) if is_chat else _form(model)
    signature = f"<details><summary>Signature</summary>{tables}</details>" if is_chat else tables
    return (
        f'<section><h2>{escape(model.name)} <span class="soft">version '
        f"{escape(current.version.label)}</span>{task}</h2>{signature}{body}</section>"
    )


def _form(model: ServedModel) -> str:
    path = invocations_path(model.name)
    example = model.current.example
    text = _readable(json.loads(example)) if example is not None else '{"dataframe_records": [{}]}'
    return (
        f'<form class="try" data-path="{escape(path)}"><h3>Try it</h3>'
        f'<p class="soft">POST <code>{escape(path)}</code></p>'
        f'<textarea spellcheck="false" aria-label="The request">{escape(text)}</textarea>'
        '<p><button>Predict</button> <span class="took soft" role="status"></span></p>'
        '<pre class="answer" hidden></pre></form>'
    )


def _readable(value: Any, indent: str = "") -> str:
    """The value as JSON, with what holds only plain values, such as a row, on one line."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    if not any(isinstance(part, dict | list) for part in parts):
        return json.dumps(value)
    inner = indent + "  "
    if isinstance(value, dict):
        lines = [f"{json.dumps(key)}: {_readable(part, inner)}" for key, part in value.items()]
        begin, end = "{}"
    else:
        lines = [_readable(part, inner) for part in value]
        begin, end = "[]"
    return f"{begin}\n{inner}" + f",\n{inner}".join(lines) + f"\n{indent}{end}"


def _chat(model: ServedModel) -> str:
    return (
        f'<form class="chat" data-model="{escape(model.name)}"><h3>Try it</h3>'
        '<p class="soft">POST <code>/v1/chat/completions</code></p>'
        '<div class="talk" aria-live="polite"></div>'
        '<p class="ask"><input aria-label="Your message" placeholder="Say something"> '
        '<button>Send</button></p><p class="took soft" role="status"></p></form>'
    )


def _table(title: str, specs: Sequence[Json]) -> str:
    if not specs:
        return ""
    if not any("name" in spec for spec in specs):  # tensors and lists have none
        types = ", ".join(escape(shown_type(spec)) for spec in specs)
        return f"<h3>{title}</h3><p>{types}</p>"
    rows = "".join(
        f"<tr><td>{escape(str(spec.get('name', '')))}</td><td>{escape(shown_type(spec))}</td>"
        f"<td>{escape(_remark(spec))}</td></tr>"
        for spec in specs
    )
    head = "<tr><th>Name</th><th>Type</th><th></th></tr>"
    return f"<h3>{title}</h3><table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _remark(spec: Json) -> str:
    if "default" in spec:
        return f"default {json.dumps(spec['default'])}"
    return "optional" if spec.get("required") is False else ""
