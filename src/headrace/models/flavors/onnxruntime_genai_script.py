"""The script by which MLflow, which has no flavor for ONNX Runtime GenAI, loads such a model.

It is made of the sources that Headrace itself runs, so that both give the same answers, and needs
nothing but MLflow and onnxruntime-genai.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

from headrace.models.environment.names import SCRIPT_FOR_MLFLOW

FILE: Final = SCRIPT_FOR_MLFLOW
ARTIFACT: Final = "model"
_SOURCES: Final = (
    "openai_requests.py",
    "openai_answers.py",
    "stop_texts.py",
    "openai_engine.py",
    "onnxruntime_genai_engine.py",
)
_OWN_IMPORT: Final = re.compile(
    r"^from headrace[.\w]* import (?:\([^)]*\)|[^\n]*)\n|^from __future__[^\n]*\n", re.MULTILINE
)
_HEAD: Final = '''\
"""Loads this model in MLflow, with onnxruntime-genai; made by Headrace, which does not run it."""

from __future__ import annotations

import mlflow


class InvalidRequest(ValueError):
    """A request that can't be answered; the text says why."""

'''
_DOOR: Final = '''

class GenAIPythonModel(mlflow.pyfunc.PythonModel):
    """The model, as MLflow calls it."""

    def load_context(self, context):
        config = {{**(context.model_config or {{}})}}
        self._model = GenAIModel(context.artifacts[{artifact!r}], model_name={model_name!r})
        self._model = self._model.with_options(config)

    def predict(self, context, model_input, params=None):
        return predicted(self._model, {task!r}, model_input, params)

    def predict_stream(self, context, model_input, params=None):
        return chat_pieces(self._model, model_input, params)


mlflow.models.set_model(GenAIPythonModel())
'''


def script(task: str | None, model_name: str) -> str:
    """The script for a model of this name, that answers for `task` (None: prompts)."""
    home = resources.files("headrace.models.flavors")
    parts = [_OWN_IMPORT.sub("", (home / name).read_text(encoding="utf-8")) for name in _SOURCES]
    door = _DOOR.format(artifact=ARTIFACT, model_name=model_name, task=task)
    return "\n\n".join([_HEAD, *(part.strip() for part in parts)]) + door
