"""Pages of other origins: allowed ones use the server as programs do, strangers cannot."""

from __future__ import annotations

import http.client
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.serving.conversing import CHAT, save_chatty, saying
from tests.serving.served import HttpAnswer, ServingLauncher, ServingProcess

KEY = "open-sesame"
FRIEND = "https://friend.example"
STRANGER = "https://stranger.example"
ASKED = "authorization,content-type,x-stainless-lang,x-stainless-os"
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # Else people are asked whether a page of the internet may talk to their own machine.
    "--disable-features=LocalNetworkAccessChecks",
)
FETCH = """
async ([url, key, body]) => {
    const headers = {
        "content-type": "application/json",
        "authorization": "Bearer " + key,
        "x-stainless-lang": "js",
    };
    try {
        const answer = await fetch(url, {method: "POST", headers, body});
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        const pieces = [];
        for (let next = await reader.read(); !next.done; next = await reader.read())
            pieces.push(next.value);
        return [answer.status, pieces.join(""), answer.headers.get("x-request-id")];
    } catch (error) {
        return [0, String(error), null];
    }
}
"""


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, shared_serving_process: ServingLauncher
) -> ServingProcess:
    folder = save_chatty(tmp_path_factory.mktemp("chatty") / "chatty")
    return shared_serving_process(folder, api_key=KEY, allowed_origins=[FRIEND])


def preflight(server: ServingProcess, origin: str, **more: str) -> HttpAnswer:
    """What a browser asks before it sends the page's request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        asked = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": ASKED,
            **more,
        }
        connection.request("OPTIONS", CHAT, headers=asked)
        answer = connection.getresponse()
        return HttpAnswer(answer.status, _lower(dict(answer.getheaders())), answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize("origin", [FRIEND, "http://localhost:3000", "http://127.0.0.1:8"])
def test_a_browser_may_ask_for_allowed_pages_without_a_key(
    server: ServingProcess, origin: str
) -> None:
    answer = preflight(server, origin)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["access-control-allow-headers"] == ASKED
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert int(answer.headers["access-control-max-age"]) > 0
    assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", [STRANGER, "https://localhost.stranger.example", "null"])
def test_strangers_get_no_permission(server: ServingProcess, origin: str) -> None:
    assert _permissions(preflight(server, origin)) == []
    refused = server.ask(saying("say hi"), path=CHAT, Origin=origin, Authorization=f"Bearer {KEY}")
    assert refused.status == 403
    assert _permissions(refused) == []
    read = server.ask(path="/models", Origin=origin, Authorization=f"Bearer {KEY}")
    assert _permissions(read) == []


def test_a_name_that_was_pointed_at_us_gets_no_permission(server: ServingProcess) -> None:
    """A page of that name is of the server's own origin, as far as the browser knows."""
    answer = preflight(server, "http://stranger.example", Host="stranger.example")
    assert _permissions(answer) == []


@pytest.mark.parametrize(
    ("key", "path", "body", "status"),
    [
        (KEY, CHAT, saying("say hi"), 200),
        (KEY, CHAT, saying("say hi", stream=True), 200),
        (KEY, CHAT, b"{", 400),
        (KEY, "/invocations", b"{", 400),
        ("wrong", CHAT, saying("say hi"), 401),
        (KEY, "/nothing", b"{}", 404),
    ],
)
def test_answers_errors_and_streams_can_be_read(
    server: ServingProcess, key: str, path: str, body: bytes, status: int
) -> None:
    answer = server.ask(body, path=path, Origin=FRIEND, Authorization=f"Bearer {key}")
    headers = _lower(answer.headers)
    assert answer.status == status
    assert headers["access-control-allow-origin"] == FRIEND
    assert headers["access-control-expose-headers"] == "*"
    assert headers["vary"] == "Origin"


def test_programs_are_told_nothing_of_it(server: ServingProcess) -> None:
    answer = server.ask(saying("say hi"), path=CHAT, Authorization=f"Bearer {KEY}")
    assert answer.status == 200
    assert _permissions(answer) == []


class Page(BaseHTTPRequestHandler):
    """An empty page."""

    def do_GET(self) -> None:
        """Send it."""
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>page</title>")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def neighbour() -> Iterator[str]:
    """The address of a page on another port of this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as pages:
        thread = threading.Thread(target=pages.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{pages.server_port}"
        pages.shutdown()
        thread.join()


@pytest.fixture
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium: make system")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.mark.heavy
def test_a_local_page_asks_and_streams_in_a_browser(
    server: ServingProcess, neighbour: str, browser: Any
) -> None:
    page = browser.new_page()
    page.goto(neighbour)

    def fetched(path: str, body: bytes, key: str = KEY) -> list[Any]:
        found: list[Any] = page.evaluate(FETCH, [server.address + path, key, body.decode()])
        return found

    status, body, _ = fetched("/invocations", saying("say hello"))
    assert (status, "hello" in body) == (200, True), body
    status, body, request_id = fetched(CHAT, saying("say good morning", stream=True))
    assert (status, "[DONE]" in body) == (200, True), body
    assert request_id.startswith("req-")
    status, body, _ = fetched(CHAT, saying("say hello"), key="wrong")
    assert (status, "not the key" in body) == (401, True), body


@pytest.mark.heavy
@pytest.mark.parametrize(("origin", "status"), [(FRIEND, 200), (STRANGER, 0)])
def test_only_allowed_pages_of_others_can_ask_in_a_browser(
    server: ServingProcess, browser: Any, origin: str, status: int
) -> None:
    page = browser.new_page()
    page.route(
        f"{origin}/**",
        lambda route: route.fulfill(content_type="text/html", body="<!doctype html>"),
    )
    page.goto(f"{origin}/")
    found = page.evaluate(FETCH, [server.address + CHAT, KEY, saying("say hello").decode()])
    assert found[0] == status, found
    assert ("hello" in found[1]) == (status == 200)


def _lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _permissions(answer: HttpAnswer) -> list[str]:
    return [name for name in _lower(answer.headers) if name.startswith("access-control-")]
