"""A server that is started on MLflow's database names the command to type and touches nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.fixtures.servers import ServerLauncher


def test_a_server_on_mlflows_database(tmp_path: Path, start_server: ServerLauncher) -> None:
    folder = tmp_path / "mlflow"
    folder.mkdir()
    file = folder / "mlflow.db"
    with closing(sqlite3.connect(file)) as connection:
        for table in ("alembic_version", "experiments", "runs"):
            connection.execute(f"CREATE TABLE {table} (id INTEGER)")
        connection.commit()
    before = file.read_bytes()
    uri = f"sqlite:///{file}"
    server = start_server(backend_store_uri=uri, artifacts=folder / "files", wait=False)
    assert server.process.wait() == 4
    assert f"  headrace sync {uri} sqlite:///headrace.db\n" in server.log
    assert "Traceback" not in server.log
    assert file.read_bytes() == before
    assert [entry.name for entry in folder.iterdir()] == ["mlflow.db"]
