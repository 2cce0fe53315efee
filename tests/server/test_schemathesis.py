"""Requests that a machine makes up from the OpenAPI document never meet a 5xx."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.core.transport import Response as SchemathesisResponse

from tests.server.live import Live, live_server

EXAMPLES = 5
"""Requests for each operation in the quick tests."""
MANY_EXAMPLES = 60


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live_server(tmp_path_factory.mktemp("schemathesis")) as live:
        yield live


def attack(live: Live, examples: int) -> None:
    """Send made-up requests, right and wrong ones, to every operation."""
    document = live.send("GET", "/openapi.json").json
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=f"http://127.0.0.1:{live.port}")
    wrong: list[str] = []
    seen: Counter[int] = Counter()
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        right = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
        wrong_ones = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

        @given(case=right | wrong_ones)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def send(case: Any) -> None:
            response: SchemathesisResponse = case.call()
            seen[response.status_code] += 1
            if response.status_code >= 500:
                wrong.append(
                    f"{case.method} {case.path}: {case.as_curl_command()}\n{response.text}"
                )
            elif response.status_code >= 400 and case.method != "HEAD":
                error = json.loads(response.text)
                assert set(error) == {"error_code", "message"}

        send()
    assert wrong == []
    assert seen[200] > 20, seen  # else it only knocked at closed doors
    assert seen[400] > 20, seen


def test_made_up_requests_never_meet_a_5xx(target: Live) -> None:
    attack(target, EXAMPLES)


@pytest.mark.heavy
def test_many_made_up_requests_never_meet_a_5xx(target: Live) -> None:
    attack(target, MANY_EXAMPLES)
