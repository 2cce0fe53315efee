"""Errors as answers."""

from __future__ import annotations

import json

from headrace.errors import InvalidRequest
from headrace.http.answers import error_answer


def test_half_characters_of_a_callers_text_are_no_error_of_the_servers() -> None:
    start, body = error_answer(InvalidRequest("There is no column '\ud800'."))
    assert start["status"] == 400
    assert json.loads(body["body"])["message"] == "There is no column '?'."
