from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from headrace.serving.engines.base import GenerationEngine
from headrace.serving.engines.loop import ContinuousLoop
from headrace.testing.generation import GenerationEngineContract
from tests.fixtures.tiny_language import ANSWERS, tiny_phi3

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]

from headrace.serving.engines.torch_engine import torch_engine  # noqa: E402 - needs them


@pytest.fixture(scope="session")
def phi3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_phi3(tmp_path_factory.getbasetemp() / "tiny-phi3")


@pytest.fixture(scope="session")
def pipeline(phi3: Path) -> Any:
    return transformers.pipeline("text-generation", model=str(phi3), device="cpu")


class TestTorchEngine(GenerationEngineContract):
    @pytest.fixture
    def engine(self, pipeline: Any) -> GenerationEngine:
        engine = torch_engine(pipeline, {}, "tiny", slots=4, threads=1)
        assert isinstance(engine, ContinuousLoop)
        return engine

    @pytest.fixture
    def known(self) -> Mapping[str, str]:
        return ANSWERS
