"""To a live server of MLflow's and back: it gives ids of its own, and all of it is found again."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from headrace.protocol import runs
from headrace.protocol.wire import Param
from headrace.store.open import open_store
from headrace.sync.between import Addresses, copy_between
from headrace.sync.plan import Choice
from headrace.testing.store_builders import as_dict
from tests.sync.content import content_of, fill, log, open_database, sync_uri
from tests.sync.test_copying import changes, whole_run

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

_TIMES = ("creation_time", "last_update_time", "creation_timestamp", "last_updated_timestamp")


def comparable(thing: Any) -> Any:
    """Content without the times that MLflow gives anew, and with infinity as it keeps it."""
    if isinstance(thing, dict):
        return {
            key: comparable(value)
            for key, value in thing.items()
            if not str(key).removesuffix("_ms").startswith(_TIMES)
        }
    if isinstance(thing, list | tuple):
        return [comparable(item) for item in thing]
    return "inf" if thing == "1.7976931348623157e+308" else thing


def test_there_and_back(tmp_path: Path, mlflow_python: Path) -> None:
    from tests.wire.mlflow_server import running_mlflow

    here, back = sync_uri(tmp_path, "here"), sync_uri(tmp_path, "back")
    with running_mlflow(tmp_path, mlflow_python) as url, closing(open_database(here)) as source:
        fill(source, here)
        outcome = copy_between(Addresses(here, url), Choice())
        assert (outcome.problems, outcome.files) == ([], 3)
        check_ids(source, url)
        assert changes(copy_between(Addresses(here, url), Choice())) == {}
        assert copy_between(Addresses(url, back), Choice()).problems == []
        assert changes(copy_between(Addresses(url, back), Choice())) == {}
        with closing(open_database(back)) as store:
            assert comparable(content_of(store, back)) == comparable(content_of(source, here))
        # What MLflow has no room for is named.
        child = whole_run(source, "child").info.run_id
        log(source, child, params=[Param("long", "x" * 50_000), Param("short", "y")])
        outcome = copy_between(Addresses(here, url), Choice())
        assert outcome.problems == []
        (note,) = outcome.notes
        assert f"the parameter 'long' of the run 'child' ({child})" in note
        with closing(open_store(url)) as server:
            params = as_dict(whole_run(server, "child").data.params)
        assert (params["short"], len(params["long"])) == ("y", 6000)


def check_ids(source: Any, url: str) -> None:
    """Ids are MLflow's, and those in tags, models and versions are too."""
    with closing(open_store(url)) as server:
        parent, child = whole_run(server, "parent"), whole_run(server, "child")
        origin = whole_run(source, "parent").info.run_id
        assert parent.info.run_id != origin
        tags = as_dict(parent.data.tags)
        assert tags[runs.RUN_ID_TAG] == origin
        assert as_dict(child.data.tags)[runs.PARENT_RUN_TAG] == parent.info.run_id
        found = content_of(server, url)
    versions = found["registry"]["wine"][1]
    assert {version["run_id"] for version in versions} == {parent.info.run_id}
    assert found["first"]["model forest"][0]["info"]["source_run_id"] == parent.info.run_id
