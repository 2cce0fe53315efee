"""Host and Origin: pages of strangers can't use somebody's server."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headrace.errors import InvalidRequest, PermissionDenied
from headrace.http.guard import HostGuard
from headrace.server.settings import ServerSettings
from tests.server.live import API, JSON, Live


def guard(**options: object) -> HostGuard:
    return HostGuard(ServerSettings(**options))  # type: ignore[arg-type]  # each test's own


def accepts_host(sent: bytes, **options: object) -> bool:
    try:
        guard(**options).check_host(sent)
    except PermissionDenied:
        return False
    return True


@pytest.mark.parametrize(
    "host",
    [
        b"localhost",
        b"LOCALHOST:5000",
        b"127.0.0.1:5000",
        b"[::1]:5000",
        b"0.0.0.0:1",
        b"10.1.2.3",
        b"192.168.0.9:5000",
        b"172.16.0.1:80",
        b"[fd00::1]:5000",
    ],
)
def test_local_and_private_hosts_are_ours(host: bytes) -> None:
    assert accepts_host(host)


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example",
        b"localhost.evil.example",
        b"evil.example:5000",
        b"127.0.0.1.evil.example",
        b"8.8.8.8",
        b"172.32.0.1",
    ],
)
def test_other_hosts_are_not(host: bytes) -> None:
    assert not accepts_host(host)


@pytest.mark.parametrize("allowed", [(), ("*",)])
@pytest.mark.parametrize(
    "host",
    [
        b"localhost:5000@evil.example",
        b"local host",
        b"localhost:port",
        b"[::1",
        b"\xff\xfe",
        b"192.168.0.9, evil.example",
        b"a\\b",
        b"a/b",
        b'"a"',
    ],
)
def test_what_is_no_host_is_a_mistake_whatever_is_allowed(
    host: bytes, allowed: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidRequest, match="expected a name or an address"):
        guard(allowed_hosts=allowed).check_host(host)


def test_a_missing_host_is_named() -> None:
    with pytest.raises(InvalidRequest, match="'Host' is missing"):
        guard().check_host(None)


def test_allowed_hosts_the_bound_one_and_the_public_one_are_ours() -> None:
    assert accepts_host(b"runs.example.org:443", allowed_hosts=("runs.example.org",))
    assert accepts_host(b"a.example.org", allowed_hosts=("*.example.org",))
    assert not accepts_host(b"a.example.org.evil", allowed_hosts=("*.example.org",))
    assert not accepts_host(b"aXexample.org", allowed_hosts=("a.example.org",))
    assert accepts_host(b"anything.at.all", allowed_hosts=("*",))
    assert accepts_host(b"box.lan:5000", host="box.lan")
    assert accepts_host(b"runs.example.org", public_url="https://runs.example.org/base")


def test_remembered_hosts_are_bounded() -> None:
    guarding = guard(allowed_hosts=("*",))
    for n in range(5000):
        guarding.check_host(b"h%d" % n)
    assert len(guarding._good_hosts) <= 1024


@pytest.mark.parametrize(
    ("origin", "good"),
    [
        (b"http://localhost:3000", True),
        (b"https://127.0.0.1", True),
        (b"http://[::1]:8080", True),
        (b"http://runs.lan:5000", True),  # the Host of the request: the server's own page
        (b"http://runs.lan:5001", False),
        (b"https://evil.example", False),
        (b"http://localhost.evil.example", False),
        (b"null", False),
        (b"file://", False),
        (b"", False),
        (b"https://good.example", True),
        (b"https://good.example:444", False),
        (b"https://sub.wild.example", True),
    ],
)
def test_origins(origin: bytes, good: bool) -> None:
    guarding = guard(allowed_origins=("https://good.example", "https://*.wild.example"))
    assert guarding.is_good_origin(origin, b"runs.lan:5000") is good


def test_a_foreign_host_is_refused_but_for_health_and_version(live: Live) -> None:
    evil = {"Host": "evil.example"}
    for path in (f"{API}/experiments/get?experiment_id=0", "/", "/openapi.json", "/nothing"):
        assert live.send("GET", path, headers=evil).error()[:2] == (403, "PERMISSION_DENIED")
    assert live.send("GET", "/health", headers=evil).body == b"OK"
    assert live.send("GET", "/version", headers=evil).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_changes_from_foreign_pages_are_refused(live: Live, method: str) -> None:
    headers = {**JSON, "Origin": "https://evil.example"}
    for path in (f"{API}/runs/create", "/api/2.0/mlflow-artifacts/artifacts/x"):
        status, code, message = live.send(method, path, b"{}", headers).error()
        assert (status, code) == (403, "PERMISSION_DENIED")
        assert "Cross-origin" in message


def test_a_foreign_page_may_ask_but_not_read(live: Live) -> None:
    reply = live.get("/experiments/get?experiment_id=0", Origin="https://evil.example")
    assert reply.status == 200
    assert "access-control-allow-origin" not in reply.headers


def test_an_allowed_page_may_change_and_read(start_live: Callable[..., Live]) -> None:
    live = start_live(allowed_origins=("https://good.example",))
    origin = {"Origin": "https://good.example"}
    asked = live.send(
        "OPTIONS",
        f"{API}/runs/create",
        headers={
            **origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        },
    )
    assert asked.status == 200
    assert asked.headers["access-control-allow-origin"] == "https://good.example"
    assert asked.headers["access-control-allow-headers"] == "content-type"
    made = live.send("POST", f"{API}/runs/create", b"{}", {**JSON, **origin})
    assert made.status == 200
    assert made.headers["access-control-allow-origin"] == "https://good.example"
    assert made.headers["vary"] == "Origin"


def test_every_answer_forbids_guessing_and_framing(live: Live) -> None:
    replies = [
        live.get("/experiments/get?experiment_id=0"),
        live.call("/runs/create", {}),
        live.call("/runs/log-metric", {}),
        live.send("GET", "/"),
        live.send("GET", "/health"),
        live.send("GET", "/nothing"),
        live.send("GET", "/api/2.0/mlflow-artifacts/artifacts/none"),
    ]
    for reply in replies:
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["x-frame-options"] == "SAMEORIGIN"
