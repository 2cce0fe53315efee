"""Asking a server what `cases` lists, over plain HTTP, and noting how it answers."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.wire.cases import CASES, TRACKING, WORLD, Case
from tests.wire.programs.steps import shape


class Asker:
    """One connection to one server, and the ids of what `WORLD` made there."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(
            address.hostname or "", address.port, timeout=60
        )
        self.names: dict[str, str] = {}

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def ask(
        self, method: str, path: str, sent: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """The status and the document that answer a request; None where it is no JSON."""
        path = self._filled(path)
        sent = self._filled(sent)
        body = None
        headers = dict(headers or {})
        if method == "GET":
            path += "?" + urlencode(sent, doseq=True) if sent else ""
        elif sent is not None:
            body = json.dumps(sent)
            headers.setdefault("Content-Type", "application/json")
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, None

    def make_world(self) -> None:
        """Ask for everything that the cases name."""
        for name, method, path, sent, field in WORLD:
            status, found = self.ask(method, TRACKING + path, sent)
            assert status == 200, (path, found)
            for part in field.split(".") if field else []:
                found = found[part]
            if name:
                self.names[name] = found

    def answer(self, case: Case) -> dict[str, Any]:
        """What the server says to `case`: the facts that `answers.json` holds."""
        status, found = self.ask(case.method, case.path, case.sent)
        if status < 400:
            return {"status": status, "answer": shape(found) if found is not None else None}
        code = found.get("error_code") if isinstance(found, dict) else None
        return {"status": status, "error_code": code}

    def _filled(self, value: Any) -> Any:
        if isinstance(value, str):
            for name, found in self.names.items():
                value = value.replace("{" + name + "}", found)
            return value
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        if isinstance(value, dict):
            return {name: self._filled(item) for name, item in value.items()}
        return value


def all_answers(url: str) -> dict[str, dict[str, Any]]:
    """The answers of a new server to all cases, in order."""
    asker = Asker(url)
    try:
        asker.make_world()
        return {case.name: asker.answer(case) for case in CASES}
    finally:
        asker.close()
