"""A model that always says the same.

Its configuration says what, and which file, once it is there, breaks or kills it, or keeps it from
being loaded.
"""

from __future__ import annotations

import os
import time
from typing import Any

import headrace.pyfunc as pyfunc  # noqa: PLR0402 - mypy: the facade finds it at run time
from headrace.models.model import set_model


class Constant(pyfunc.PythonModel):
    """See the module."""

    def load_context(self, context: Any) -> None:
        """Take the configuration."""
        self._config = context.model_config
        while os.path.exists(self._config.get("stalls_with", "")):
            time.sleep(0.05)

    def predict(self, context: Any, model_input: Any, params: Any = None) -> list[Any]:
        """The constant for each row."""
        if os.path.exists(self._config.get("breaks_with", "")):
            raise RuntimeError("this version is broken")
        if os.path.exists(self._config.get("dies_with", "")):
            os._exit(7)
        return [self._config["value"]] * len(model_input)


set_model(Constant())
