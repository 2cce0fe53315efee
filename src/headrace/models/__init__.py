"""Models as folders that say what they are: MLflow's format, read and written.

The names of `mlflow.models` are found here; each is loaded when it is first used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

_HOMES: Final = {
    "headrace.models.model": ("Model", "ModelInfo"),
    "headrace.models.signature": ("ModelSignature", "infer_signature"),
    "headrace.models.enforcement": ("validate_schema",),
    "headrace.models.examples": ("convert_input_example_to_serving_input",),
    "headrace.models.loading": ("load_model", "load_pyfunc"),
    "headrace.models.model_config": ("ModelConfig",),
    "headrace.models.pyfunc": ("PyFuncModel",),
    "headrace.models.python_model": ("PythonModel", "PythonModelContext"),
    "headrace.models.python_model_code": ("set_model",),
    "headrace.models.resources": ("Resource", "ResourceType"),
}
_HOME: Final = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    import importlib

    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'headrace.models' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(home), name)
    return value


def also_here(*names: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module below this one, where MLflow's users look for `names` of this
    one too. They may live above both: see `_ABOVE` in the front door.
    """

    def find(name: str) -> Any:
        if name in names:
            return getattr(sys.modules[__name__], name)
        raise AttributeError(f"there is no {name!r} here")

    return find
