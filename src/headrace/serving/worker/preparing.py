"""What a worker imports before it is told which model to load.

These names are all that it goes by: nothing that a model's files say is imported before the model
is checked.
"""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

LIBRARIES: Final[Mapping[str, tuple[str, ...]]] = {
    "catboost": ("pandas", "catboost"),
    "lightgbm": ("pandas", "lightgbm"),
    "onnx": ("pandas", "onnxruntime"),
    "pytorch": ("torch",),
    "sentence_transformers": ("torch", "transformers"),
    "sklearn": ("pandas", "sklearn.pipeline", "sklearn.linear_model"),
    "statsmodels": ("pandas", "statsmodels.base.model"),
    "transformers": ("torch", "transformers"),
    "xgboost": ("pandas", "xgboost"),
}
"""By the name of a flavor."""


def import_libraries(flavors: Iterable[str]) -> None:
    """Import NumPy and what these flavors need. What cannot be imported is left to loading the
    model, which says so if it needs it.
    """
    names = ["numpy", *(name for flavor in flavors for name in LIBRARIES[flavor])]
    # Nothing of what imports make is garbage: no need to go through it time and again.
    gc.disable()
    try:
        for name in dict.fromkeys(names):
            with suppress(Exception):
                importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()
