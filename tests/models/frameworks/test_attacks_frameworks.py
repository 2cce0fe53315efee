"""What an independent reviewer tried on the formats of large libraries: none of it runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import HeadraceError, NotTrusted
from headrace.models.loading import load_pyfunc
from headrace.models.trust import SIGNATURE_FILE
from tests.fixtures.tiny_language import tiny_phi3

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]
BOTH_WAYS_OUT = r"trust=True.*headrace trust"


def _unsigned(folder: Path) -> Path:
    (folder / SIGNATURE_FILE).unlink()
    return folder


def _is_mapped(name: str) -> bool:
    """Whether a file of this name was opened as a library by this process."""
    return name in Path("/proc/self/maps").read_text()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Phi-3 for ONNX Runtime GenAI (some seconds)."""
    pytest.importorskip("onnxruntime_genai")
    base = tmp_path_factory.getbasetemp()
    made = tmp_path_factory.mktemp("genai") / "tiny-phi3-genai"
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
    command += ["-i", str(tiny_phi3(base / "tiny-phi3")), "-o", str(made), "-p", "int4"]
    subprocess.run([*command, "-e", "cpu"], check=True, capture_output=True, timeout=110)
    return made


@pytest.fixture
def genai(built: Path, tmp_path: Path) -> Path:
    """A model for ONNX Runtime GenAI that nobody has signed, with a library called a text."""
    import headrace.onnxruntime_genai as door

    door.save_model(str(built), tmp_path / "m")
    import numpy.random.mtrand as any_library

    shutil.copyfile(any_library.__file__, tmp_path / "m" / "model" / "evil.txt")
    return _unsigned(tmp_path / "m")


def test_a_key_that_is_there_twice_is_the_one_that_was_checked(genai: Path) -> None:
    # Python takes the last of two keys; the library follows both, and opened the first's library.
    file = genai / "model" / "genai_config.json"
    plain, evil = json.loads(file.read_text()), json.loads(file.read_text())
    evil["model"]["decoder"]["session_options"]["custom_ops_library"] = "evil.txt"
    others = ", ".join(f"{json.dumps(k)}: {json.dumps(plain[k])}" for k in plain if k != "model")
    both = f'"model": {json.dumps(evil["model"])}, "model": {json.dumps(plain["model"])}'
    file.write_text(f"{{{both}, {others}}}")
    load_pyfunc(genai)
    assert not _is_mapped("evil.txt")


@pytest.mark.parametrize(
    "decoder",
    [
        {"pipeline": [{"inputs": {"session_options": {"custom_ops_library": "evil.txt"}}}]},
        {"session_options": {"provider_options": [{"cuda": {"gpu_external_alloc": "4096"}}]}},
        {"session_options": {"provider_options": [{"cuda": {"user_compute_stream": "4096"}}]}},
    ],
)
def test_no_name_of_a_part_hides_a_library(genai: Path, decoder: dict[str, Any]) -> None:
    file = genai / "model" / "genai_config.json"
    config = json.loads(file.read_text())
    config["model"]["decoder"].update(decoder)
    file.write_text(json.dumps(config))
    with pytest.raises(NotTrusted, match=BOTH_WAYS_OUT):
        load_pyfunc(genai)
    assert not _is_mapped("evil.txt")


def test_a_part_named_like_tensors_reads_no_file_elsewhere(genai: Path) -> None:
    file = genai / "model" / "genai_config.json"
    config = json.loads(file.read_text())
    config["model"]["decoder"]["pipeline"] = [{"outputs": {"filename": "../../other.onnx"}}]
    file.write_text(json.dumps(config))
    with pytest.raises(HeadraceError, match="not in its folder"):
        load_pyfunc(genai)
