"""What is sent again and what is not, how answers become errors, and that nothing leaks."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable

import pytest

from headrace.errors import (
    EndpointNotFound,
    HeadraceError,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    TooManyRequests,
    Unavailable,
)
from headrace.protocol import experiments, logged_models, metrics, registered_models, runs
from headrace.store.rest import open_rest_store, store_over
from headrace.transport import FIRST_PAUSE, LONGEST_PAUSE, Transport
from tests.fixtures.child_process import unused_port
from tests.store.scripted_server import RESET, ScriptedServer, answer, scripted

RUN = "0" * 32
METRIC = metrics.LogMetric(run_id=RUN, key="loss", value=0.5, timestamp=1, step=2)
EXPERIMENT = experiments.CreateExperiment(name="a")
BUSY = answer(503, b'{"error_code":"TEMPORARILY_UNAVAILABLE","message":"disk full"}')


class Pauses(list[float]):
    """Takes the place of time.sleep."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def transport(server: ScriptedServer, pauses: Pauses | None = None, retries: int = 3) -> Transport:
    return Transport(
        server.url, max_retries=retries, pause=Pauses() if pauses is None else pauses, timeout=5
    )


@pytest.mark.parametrize("fault", [BUSY, answer(502), answer(504), answer(408), RESET])
def test_a_passing_fault_is_met_by_sending_again(fault: bytes) -> None:
    with scripted(fault, fault, answer(200)) as server:
        pauses = Pauses()
        store_over(transport(server, pauses)).metrics.log(METRIC)
        assert len(server.requests) == 3
        assert FIRST_PAUSE / 2 <= pauses[0] <= FIRST_PAUSE
        assert FIRST_PAUSE <= pauses[1] <= 2 * FIRST_PAUSE


@pytest.mark.parametrize("fault", [answer(502), answer(504), answer(408), RESET])
def test_what_makes_something_new_is_not_sent_again_once_it_may_have_arrived(fault: bytes) -> None:
    with scripted(fault, answer(200, b'{"experiment_id":"1"}')) as server:
        with pytest.raises(HeadraceError):
            store_over(transport(server)).experiments.create(EXPERIMENT)
        assert len(server.requests) == 1


def test_what_makes_something_new_is_sent_again_when_the_server_did_nothing() -> None:
    with scripted(BUSY, answer(429), answer(200, b'{"experiment_id":"1"}')) as server:
        made = store_over(transport(server)).experiments.create(EXPERIMENT)
        assert made.experiment_id == "1"


def test_a_new_run_is_sent_again_only_with_an_id_of_its_own() -> None:
    with scripted(RESET) as server:
        store = store_over(transport(server))
        with pytest.raises(Unavailable):
            store.runs.create(runs.CreateRun())
        assert len(server.requests) == 1
        with pytest.raises(Unavailable):
            store.runs.create(runs.CreateRun(run_id=RUN))
        assert len(server.requests) == 1 + 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 500, 501])
def test_what_cannot_change_is_not_sent_again(status: int) -> None:
    with scripted(answer(status)) as server:
        with pytest.raises(HeadraceError) as caught:
            store_over(transport(server)).metrics.log(METRIC)
        assert caught.value.http_status == status
        assert len(server.requests) == 1


def test_it_gives_up_and_says_what_the_server_said() -> None:
    with scripted(BUSY) as server:
        pauses = Pauses()
        with pytest.raises(Unavailable, match="disk full"):
            store_over(transport(server, pauses)).metrics.log(METRIC)
        assert len(server.requests) == 4
        assert len(pauses) == 3


def test_pauses_have_a_ceiling() -> None:
    with scripted(BUSY) as server:
        pauses = Pauses()
        with pytest.raises(Unavailable):
            store_over(transport(server, pauses, retries=12)).metrics.log(METRIC)
        assert max(pauses) <= LONGEST_PAUSE
        assert pauses[-1] >= LONGEST_PAUSE / 2


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("7", 7.0),
        ("86400", 60.0),
        ("Fri, 01 Jan 1999 00:00:00 GMT", None),
        ("soon", None),
    ],
)
def test_retry_after_is_honoured_within_reason(said: str, expected: float | None) -> None:
    with scripted(answer(429, Retry_After=said), answer(200)) as server:
        pauses = Pauses()
        store_over(transport(server, pauses)).metrics.log(METRIC)
        if expected is None:
            assert 0 <= pauses[0] <= FIRST_PAUSE
        else:
            assert pauses == [expected]


def test_a_server_that_is_not_there_is_asked_again_then_reported() -> None:
    pauses = Pauses()
    url = f"http://127.0.0.1:{unused_port()}"
    gone = Transport(url, max_retries=2, pause=pauses, timeout=5)
    with pytest.raises(Unavailable, match=r"refused.*3 attempts") as caught:
        store_over(gone).experiments.create(EXPERIMENT)
    assert len(pauses) == 2
    assert "0x" not in str(caught.value)


def test_silence_ends_with_the_time_limit_and_is_not_repeated() -> None:
    with scripted(b"") as server:
        quiet = Transport(server.url, max_retries=3, pause=Pauses(), timeout=0.2)
        with pytest.raises(Unavailable, match=r"no answer within 0\.2 s"):
            store_over(quiet).metrics.log(METRIC)
        assert len(server.requests) == 1


def test_one_connection_serves_many_calls() -> None:
    with scripted(answer(200)) as server:
        store = store_over(transport(server))
        for _ in range(5):
            store.metrics.log(METRIC)
        assert (len(server.requests), server.connections) == (5, 1)


def test_a_child_after_a_fork_has_a_connection_of_its_own() -> None:
    with scripted(answer(200)) as server:
        store = store_over(transport(server))
        store.metrics.log(METRIC)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                store.metrics.log(METRIC)
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        store.metrics.log(METRIC)
        assert (len(server.requests), server.connections) == (3, 2)


@pytest.mark.parametrize(
    ("status", "body", "family", "message"),
    [
        (404, b'{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"no run"}', NotFound, "no run"),
        (404, b'{"error_code":"ENDPOINT_NOT_FOUND","message":"x"}', EndpointNotFound, "x"),
        (404, b"<h1>Nope</h1>", NotFound, "answered HTTP 404: <h1>Nope</h1>"),
        (403, b"", PermissionDenied, "answered HTTP 403."),
        (429, b"[1]", TooManyRequests, "429"),
        (400, b'{"message":"bad"}', InvalidRequest, "bad"),
        (500, b'{"error_code":"INTERNAL_ERROR","message":"oops"}', HeadraceError, "oops"),
    ],
)
def test_answers_become_errors(
    status: int, body: bytes, family: type[HeadraceError], message: str
) -> None:
    with scripted(answer(status, body)) as server:
        with pytest.raises(family) as caught:
            store_over(transport(server, retries=0)).metrics.log(METRIC)
        assert message in caught.value.message
        assert caught.value.get_http_status_code() == status


def test_a_redirect_is_reported_with_the_address_to_use() -> None:
    moved = answer(302, Location="https://runs.example.org/login?next=/secret")
    expected = r"https://runs\.example\.org/login;"
    with scripted(moved) as server, pytest.raises(HeadraceError, match=expected) as caught:
        store_over(transport(server)).metrics.log(METRIC)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"experiment_id": 5}'])
def test_an_answer_that_is_not_the_protocols_is_not_taken(body: bytes) -> None:
    with scripted(answer(200, body)) as server, pytest.raises(HeadraceError, match="tracking URI"):
        store_over(transport(server)).experiments.create(EXPERIMENT)


@pytest.mark.parametrize("body", [b"", b"{}", b"200 OK", b'{"more": 1}'])
def test_empty_answers_in_any_form_are_fine(body: bytes) -> None:
    with scripted(answer(200, body)) as server:
        store_over(transport(server)).metrics.log(METRIC)


def test_requests_look_as_the_protocol_says() -> None:
    with scripted(
        answer(200),
        answer(200, b'{"registered_models":[]}'),
        answer(200),
        answer(200),
    ) as server:
        store = open_rest_store(server.url + "/")
        store.metrics.log(metrics.LogMetric(run_id=RUN, key="a", value=float("nan"), timestamp=1))
        search = registered_models.SearchRegisteredModels(
            filter="name = 'ä&b'", order_by=["a", "b"]
        )
        store.registered_models.search(search)
        tag = logged_models.DeleteLoggedModelTag(model_id="m-1", tag_key="a/b ?")
        store.logged_models.delete_tag(tag)
        store.registered_models.delete_alias(registered_models.AliasRef(name="m", alias="a"))
    lines = [head.splitlines()[0] for head in server.heads]
    assert lines == [
        "POST /api/2.0/mlflow/runs/log-metric HTTP/1.1",
        "GET /api/2.0/mlflow/registered-models/search"
        "?filter=name+%3D+%27%C3%A4%26b%27&order_by=a&order_by=b HTTP/1.1",
        "DELETE /api/2.0/mlflow/logged-models/m-1/tags/a%2Fb%20%3F HTTP/1.1",
        "DELETE /api/2.0/mlflow/registered-models/alias HTTP/1.1",
    ]
    body = json.loads(server.requests[0].partition(b"\r\n\r\n")[2])
    assert body == {"run_id": RUN, "key": "a", "value": "NaN", "timestamp": 1}
    assert json.loads(server.requests[3].partition(b"\r\n\r\n")[2]) == {"name": "m", "alias": "a"}
    assert "content-type: application/json" in server.heads[3].lower()


def with_token(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "s3cret-token")
    return "Bearer s3cret-token"


def with_password(monkeypatch: pytest.MonkeyPatch) -> str:
    with_token(monkeypatch)
    monkeypatch.setenv("HEADRACE_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("HEADRACE_TRACKING_PASSWORD", "s3cret")
    return "Basic YWRhOnMzY3JldA=="


@pytest.mark.parametrize("configure", [with_token, with_password])
@pytest.mark.parametrize("fault", [answer(401), RESET, answer(200, b"nonsense")])
def test_credentials_are_sent_and_never_shown(
    configure: Callable[[pytest.MonkeyPatch], str], fault: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = configure(monkeypatch)
    with scripted(fault) as server:
        with pytest.raises(HeadraceError) as caught:
            store_over(transport(server)).experiments.create(EXPERIMENT)
        assert f"Authorization: {expected}" in server.heads[0]
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "s3cret" not in shown
    assert expected not in shown


def test_credentials_in_the_url_win_and_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with_token(monkeypatch)
    with scripted(answer(404)) as server:
        url = server.url.replace("://", "://eve:p%40ss-w0rd@")
        with pytest.raises(NotFound) as caught:
            open_rest_store(url).metrics.log(METRIC)
        assert "Authorization: Basic ZXZlOnBAc3MtdzByZA==" in server.heads[0]
    assert "w0rd" not in "".join(traceback.format_exception(caught.value))


def test_a_signed_url_gets_no_credentials_and_is_shown_without_its_signature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_token(monkeypatch)
    with scripted(answer(403)) as server:
        signed = f"{server.url}/artifacts/signed/file/a?signature=abc"
        with pytest.raises(PermissionDenied) as caught, transport(server).open("GET", signed):
            pass
        assert "authorization" not in server.heads[0].lower()
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["ftp://example.org", "file:///etc", "http://", "example.org", "http://h:port", ""]
)
def test_only_urls_of_servers_are_taken(url: str) -> None:
    with pytest.raises(InvalidRequest):
        open_rest_store(url)


def test_a_token_with_a_line_break_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADRACE_TRACKING_TOKEN", "s3cret\n")
    with pytest.raises(InvalidRequest, match="HEADRACE_TRACKING_TOKEN") as caught:
        open_rest_store("http://127.0.0.1:1")
    assert "s3cret" not in str(caught.value)
