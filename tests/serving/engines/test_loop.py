from __future__ import annotations

from collections.abc import Mapping

import pytest

from headrace.serving.engines.base import GenerationEngine
from headrace.serving.engines.loop import ContinuousLoop
from headrace.testing.generation import GenerationEngineContract
from tests.serving.engines.made_decoder import KNOWN, MadeDecoder


class TestContinuousLoop(GenerationEngineContract):
    @pytest.fixture
    def engine(self) -> GenerationEngine:
        return ContinuousLoop(MadeDecoder())

    @pytest.fixture
    def known(self) -> Mapping[str, str]:
        return KNOWN
