"""The real MLflow client against the artifact routes: whole files, parts, ranges, folders."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.server.artifact_server import FILES, serving

pytestmark = pytest.mark.heavy

PROGRAM = """
import filecmp, os, sys
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository
server, local = sys.argv[1:]
repo = MlflowArtifactsRepository("mlflow-artifacts:/1/r/artifacts", tracking_uri=server)
parts = 0
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository
upload_part = HttpArtifactRepository._upload_part
def counted(*args, **kwargs):
    global parts
    parts += 1
    return upload_part(*args, **kwargs)
HttpArtifactRepository._upload_part = staticmethod(counted)
repo.log_artifacts(os.path.join(local, "in"))
assert parts == 3, parts
found = sorted((f.path, f.is_dir, f.file_size) for f in repo.list_artifacts())
assert found == [
    ("big.bin", False, 25_000_000), ("empty", False, 0), ("one", False, 1), ("sub", True, None),
], found
assert repo.list_artifacts("one") == []
out = os.path.join(local, "out")
os.mkdir(out)
repo.download_artifacts("", out)
for name in ("big.bin", "empty", "one", "sub/x.txt"):
    assert filecmp.cmp(os.path.join(local, "in", name), os.path.join(out, name), shallow=False)
repo.delete_artifacts("sub")
repo.delete_artifacts()
assert repo.list_artifacts() == []
print("done")
"""


def test_files_of_every_size(tmp_path: Path, mlflow_python: Path) -> None:
    inside = tmp_path / "in"
    (inside / "sub").mkdir(parents=True)
    (inside / "big.bin").write_bytes(os.urandom(25_000_000))
    (inside / "empty").write_bytes(b"")
    (inside / "one").write_bytes(b"1")
    (inside / "sub" / "x.txt").write_text("text")
    environment = os.environ | {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",
        "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "true",
        "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": "20000000",
        "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": "10000000",
        "MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE": "7000000",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    }
    with serving(tmp_path / "root") as server:
        done = subprocess.run(
            [str(mlflow_python), "-c", PROGRAM, f"http://127.0.0.1:{server.port}", str(tmp_path)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.stdout == "done\n", done.stderr
        assert server.call("GET", f"{FILES}?path=1/r/artifacts").json == {}
