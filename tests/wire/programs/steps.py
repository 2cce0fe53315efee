"""Steps of a program that uses the real MLflow client, and what each of them sent.

A program is a module of functions marked `@step`, in the order in which a user would call them.
`main` runs them and prints a line of JSON for each: did it hold, how long it took, and which
requests left the process. A step that fails does not end the program.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

STEPS: list[Callable[[], None]] = []

_seen: list[dict[str, Any]] = []
_lock = threading.Lock()


def step(function: Callable[[], None]) -> Callable[[], None]:
    """Add `function` to the program."""
    STEPS.append(function)
    return function


def requests_sent() -> list[dict[str, Any]]:
    """The requests of the step that is running."""
    with _lock:
        return list(_seen)


def main(prepare: Callable[[str], None]) -> None:
    """Run the steps against the server named on the command line."""
    report, sys.stdout = sys.stdout, sys.stderr  # MLflow prints where a run can be viewed
    _watch_requests()
    url = sys.argv[1]
    wanted = sys.argv[2:]
    prepare(url)
    for function in STEPS:
        if wanted and function.__name__ not in wanted:
            continue
        _seen.clear()
        began = time.monotonic()
        failure = ""
        try:
            function()
        except Exception:  # noqa: BLE001 - the next step is to run; the test shows this one's end
            failure = traceback.format_exc()
        line = {
            "step": function.__name__,
            "failure": failure,
            "seconds": round(time.monotonic() - began, 2),
            "requests": requests_sent(),
        }
        report.write(json.dumps(line) + "\n")
        report.flush()


def _watch_requests() -> None:
    import requests

    send = requests.Session.send

    def watched(self: Any, request: Any, **options: Any) -> Any:
        began = time.monotonic()
        answer = send(self, request, **options)
        address = urlsplit(request.url)
        entry = {
            "method": request.method,
            "path": address.path,
            "query": sorted(parse_qs(address.query, keep_blank_values=True)),
            "body": _keys(request.body),
            "status": answer.status_code,
            "answer": _shape_of_answer(answer, streamed=bool(options.get("stream"))),
            "headers": dict(request.headers),
            "seconds": round(time.monotonic() - began, 3),
        }
        with _lock:
            _seen.append(entry)
        return answer

    # Watched, not replaced: every request goes out as it would.
    setattr(requests.Session, "send", watched)  # noqa: B010 - mypy knows that it is a method


def _keys(body: Any) -> list[str] | None:
    if not isinstance(body, (str, bytes)):
        return None
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return sorted(document) if isinstance(document, dict) else None


def _shape_of_answer(answer: Any, *, streamed: bool) -> Any:
    if streamed and "json" not in answer.headers.get("Content-Type", ""):
        return None
    try:
        return shape(answer.json())
    except ValueError:
        return None


def shape(value: Any) -> Any:
    """The keys and types of a JSON value: {"a": [1]} has the shape {"a": ["number"]}."""
    if isinstance(value, dict):
        return {name: shape(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        merged: Any = {}
        kinds = []
        for item in value:
            found = shape(item)
            if isinstance(found, dict):
                merged = {**merged, **found}
            elif found not in kinds:
                kinds.append(found)
        return [merged] if merged else kinds
    names = {str: "text", bool: "truth", int: "number", float: "number", type(None): "null"}
    return names[type(value)]
