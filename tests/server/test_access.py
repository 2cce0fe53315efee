"""Every route there is refuses those who may not use it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.http.guard import OPEN_PATHS
from headrace.server.access import needed_role
from headrace.store.users import Role
from tests.server.live import JSON, Live, live_server
from tests.server.test_auth import PASSWORD, basic

ADMIN_ONLY = {
    "/2.0/mlflow/registered-models/delete",
    "/2.0/mlflow/model-versions/delete",
    "/2.0/mlflow-artifacts/artifacts/{path}",
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder: Path = tmp_path_factory.mktemp("guarded")
    with live_server(folder) as live:
        assert live.store.users is not None
        for role in Role:
            live.store.users.create(role.value, PASSWORD, role)
        yield live


def every_route(live: Live) -> list[tuple[str, str, Role | None]]:
    """(method, path, role) of all that the application answers, from its own tables."""
    found: list[tuple[str, str, Role | None]] = []
    for path, methods in live.app._exact.items():
        found += [(method, path, call.role) for method, call in methods.items()]
    for pattern, methods in live.app._patterns:
        path = re.sub(r"\(\?P<\w+>.*?\)", "x1", pattern.pattern).replace("\\", "")
        found += [(method, path, call.role) for method, call in methods.items()]
    for route in live.app.routes:
        path = re.sub(r"\{\w+(:path)?\}", "x1", route.path)
        found += [(m, path, needed_role(m, path)) for m in sorted(route.methods or ())]
    return found


def test_the_walk_sees_everything(guarded: Live) -> None:
    routes = every_route(guarded)
    assert len(routes) > 130
    assert {path for _, path, role in routes if role is None} == {
        *OPEN_PATHS,
        "/artifacts/signed/file/x1",
        "/artifacts/signed/part/x1",
    }
    assert not any("{" in path or "(" in path for _, path, _ in routes)


def test_every_route_refuses_strangers_and_lower_roles(guarded: Live) -> None:
    connection = guarded.connect()
    ranks = {Role.READ: 1, Role.WRITE: 2, Role.ADMIN: 3}
    wrong: list[object] = []
    for method, path, needed in every_route(guarded):
        if needed is None:
            continue
        body = None if method in ("GET", "HEAD") else b"{}"
        for caller in (None, *Role):
            headers = dict(JSON) | (
                {"Authorization": basic(caller.value, PASSWORD)} if caller else {}
            )
            status = guarded.send(method, path, body, headers, connection).status
            if caller is None:
                good = status == 401
            elif ranks[caller] < ranks[needed]:
                good = status == 403
            else:
                good = status not in (401, 403) and status < 500
            if not good:
                wrong.append((method, path, caller, status))
    connection.close()
    assert wrong == []


def test_what_cannot_be_undone_needs_an_admin_and_nothing_that_changes_is_for_readers(
    guarded: Live,
) -> None:
    searches = re.compile(r"/(search|search-datasets|get-latest-versions)$")
    for method, path, role in every_route(guarded):
        short = re.sub("^/(ajax-)?api", "", path).replace("artifacts/x1", "artifacts/{path}")
        if role is None:
            continue
        if method == "DELETE" and short in ADMIN_ONLY:
            assert role is Role.ADMIN, path
        elif method in ("GET", "HEAD") or searches.search(path):
            assert role is Role.READ, path
        else:
            assert role is Role.WRITE, path


def test_a_signed_url_needs_no_credentials_but_its_own(guarded: Live) -> None:
    connection = guarded.connect()
    admin = {"Authorization": basic("admin", PASSWORD)}
    at = "/api/2.0/mlflow-artifacts"
    put = guarded.send("PUT", f"{at}/artifacts/a.txt", b"text", admin, connection)
    assert put.status == 200
    signed = guarded.send("GET", f"{at}/presigned/a.txt", None, admin, connection).json["url"]
    path = signed[signed.index("/artifacts/signed") :]
    assert guarded.send("GET", path, None, {}, connection).body == b"text"
    assert guarded.send("GET", path + "0", None, {}, connection).status == 403
    assert guarded.send("GET", path.split("?")[0], None, {}, connection).status == 400
    connection.close()


def test_unknown_paths_tell_strangers_nothing(guarded: Live) -> None:
    assert guarded.send("GET", "/nothing").status == 401
    assert guarded.send("GET", "/").status == 401
    assert guarded.send("GET", "/openapi.json").status == 401
    assert guarded.send("GET", "/version").status == 200
