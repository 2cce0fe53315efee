"""The configuration of a model, and how a model's own code asks for it: `ModelConfig`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

from headrace.errors import InvalidRequest

_MAX_BYTES: Final = 8 << 20
_loading: ContextVar[Mapping[str, Any] | None] = ContextVar("headrace-model-config", default=None)
"""The configuration of the model whose code is run; empty for one that has none."""
_MLFLOW: Final = "mlflow.models.model_config"


class ModelConfig:
    """The configuration that a model is logged or loaded with; MLflow's class.

    `development_config`, a dictionary or the path of a YAML file, stands in for it while the
    model's code is run by itself. InvalidRequest where there is neither.
    """

    def __init__(self, *, development_config: str | Path | Mapping[str, Any] | None = None) -> None:
        current = _current()
        given = development_config if current is None else current
        if not given:
            raise InvalidRequest(
                "The model's code asks for its configuration, and it has none: give model_config "
                "when the model is saved, or development_config where its code is run by itself."
            )
        self.config = given
        """What was given: a dictionary, or the path of a file."""
        self._values = config_of(given)

    def to_dict(self) -> dict[str, Any]:
        """The whole configuration."""
        return dict(self._values)

    def get(self, key: str) -> Any:
        """One value. KeyError where there is none, as MLflow has it."""
        if key not in self._values:
            raise KeyError(
                f"The model's configuration has no '{key}', but: {', '.join(self._values)}."
            )
        return self._values[key]


def config_of(given: str | Path | Mapping[str, Any] | None) -> dict[str, Any]:
    """A configuration as a dictionary: itself, or what a YAML file says; empty for None.

    Raises InvalidRequest where it has keys that are no texts or values that JSON cannot say.
    """
    if given is None:
        return {}
    values = _read(Path(given)) if isinstance(given, str | Path) else given
    if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
        raise InvalidRequest(
            f"'model_config' is {type(values).__name__}; expected a dictionary whose keys are "
            "texts, or the path of a YAML file with one."
        )
    try:
        json.dumps(values)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(
            f"'model_config' has a value that JSON cannot say: {error}. Expected texts, numbers, "
            "true, false, null, and lists and dictionaries of them."
        ) from None
    return dict(values)


@contextmanager
def asked_for(config: Mapping[str, Any] | None) -> Iterator[None]:
    """Have a ModelConfig that is made meanwhile, ours or MLflow's, hold this configuration."""
    token = _loading.set(config or {})
    theirs = sys.modules.get(_MLFLOW)
    tell = getattr(theirs, "_set_model_config", None)
    if tell is not None:
        tell(dict(config) if config else "")
    try:
        yield
    finally:
        _loading.reset(token)
        if tell is not None:
            tell(None)


def _current() -> Any:
    """The configuration of the model whose code is run, by us or by MLflow; None outside."""
    own = _loading.get()
    if own is not None:
        return own
    return getattr(sys.modules.get(_MLFLOW), "__mlflow_model_config__", None)


def _read(path: Path) -> Any:
    from headrace.protocol.yaml_text import load_yaml

    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InvalidRequest(f"The configuration '{path}' is too large.")
        return load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidRequest(
            f"The configuration '{path}' cannot be read: {error.strerror}."
        ) from None
    except ValueError as error:
        raise InvalidRequest(f"The configuration '{path}' is no YAML: {error}.") from None
