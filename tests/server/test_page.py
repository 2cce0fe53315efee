"""The page at `/`, and the other answers for people and balancers."""

from __future__ import annotations

import base64
import hashlib
import json
import re

from headrace.protocol.codec import encode
from headrace.protocol.openapi import openapi_document
from headrace.version import MLFLOW_VERSION, VERSION
from tests.server.live import Live

NASTY = "<script>alert('x')</script>&\"'"


def test_the_page_shows_experiments_runs_and_how_to_log(live: Live) -> None:
    experiment = live.call("/experiments/create", {"name": "rivers"}).json["experiment_id"]
    run = live.call("/runs/create", {"experiment_id": experiment, "run_name": "first try"}).json
    run_id = run["run"]["info"]["run_id"]
    for n in range(6):
        point = {"run_id": run_id, "key": f"m{n}", "value": 0.125, "timestamp": 1}
        live.call("/runs/log-metric", point)
    reply = live.send("GET", "/")
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    text = reply.body.decode()
    for expected in ("rivers", "first try", run_id, "0.125", "and 2 more", "set_tracking_uri"):
        assert expected in text
    assert f"http://127.0.0.1:{live.port}" in text
    assert len(reply.body) < 100_000


def test_values_on_the_page_are_text(live: Live) -> None:
    live.call("/experiments/create", {"name": NASTY})
    experiment = live.get(
        "/experiments/get-by-name?experiment_name=%3Cscript%3Ealert(%27x%27)%3C/script%3E%26%22%27"
    ).json["experiment"]["experiment_id"]
    made = live.call("/runs/create", {"experiment_id": experiment, "run_name": NASTY}).json
    run_id = made["run"]["info"]["run_id"]
    for value in ("NaN", "Infinity", 1e308):
        point = {"run_id": run_id, "key": f"m {value}", "value": value, "timestamp": 1}
        live.call("/runs/log-metric", point)
    text = live.send("GET", "/", headers={"Host": f"localhost:{live.port}"}).body.decode()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "src=" not in text
    assert re.findall(r'href="([^"]*)"', text) == ["openapi.json"]


def test_the_page_lets_nothing_run_and_its_own_style_apply(live: Live) -> None:
    reply = live.send("GET", "/")
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    found = re.search(rb"<style>(.*?)</style>", reply.body, re.DOTALL)
    assert found
    digest = base64.b64encode(hashlib.sha256(found[1]).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy


def test_run_with_a_time_beyond_the_calendar_is_shown(live: Live) -> None:
    live.call("/runs/create", {"experiment_id": "0", "start_time": 2**62})
    assert live.send("GET", "/").status == 200


def test_version_is_one_that_mlflow_can_compare(live: Live) -> None:
    reply = live.send("GET", "/version")
    assert reply.body.decode() == f"{MLFLOW_VERSION}+headrace.{VERSION}"
    # PEP 440: release, then a local part of letters, digits and dots
    assert re.fullmatch(r"\d+(\.\d+)*\+[a-z0-9]+(\.[a-z0-9]+)*", reply.body.decode())


def test_server_info_says_what_clients_choose_by(live: Live) -> None:
    info = live.send("GET", "/api/3.0/mlflow/server-info").json
    assert info["multipart_uploads_enabled"] is True
    assert info["multipart_downloads_enabled"] is True
    assert info["store_type"] == "SqlStore"
    assert info["workspaces_enabled"] is False
    assert info["headrace_version"] == VERSION


def test_the_description_is_served_as_it_is_made(live: Live) -> None:
    for _ in range(2):
        reply = live.send("GET", "/openapi.json")
        assert reply.headers["content-type"] == "application/json"
        assert reply.json == json.loads(encode(openapi_document()))


def test_head_is_answered_without_a_body(live: Live) -> None:
    for path in ("/", "/health", "/version", "/openapi.json"):
        reply = live.send("HEAD", path)
        assert (reply.status, reply.body) == (200, b"")
