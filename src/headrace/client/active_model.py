"""The logged model that is being worked on: what is measured without a model's name is its."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Self

from headrace import settings
from headrace.client.entities import LoggedModel


class _Active(threading.local):
    """Each thread's own; a new thread begins with what the environment says."""

    def __init__(self) -> None:
        self.model_id = settings.ACTIVE_MODEL_ID.get()


_active = _Active()


class ActiveModel(LoggedModel, dict=True):
    """A logged model that is active; as a context manager it gives way to the one before it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _active.model_id = self.__dict__["before"]


def get_active_model_id() -> str | None:
    """The id of this thread's active model; None when there is none."""
    return _active.model_id


def clear_active_model() -> None:
    """Have no active model in this thread, nor in threads and processes that it starts."""
    for name in settings.ACTIVE_MODEL_ID.names:
        os.environ.pop(name, None)
    _active.model_id = None


def activate(model: LoggedModel) -> ActiveModel:
    """Make `model` the active one of this thread."""
    active = ActiveModel(**{name: getattr(model, name) for name in model.__struct_fields__})
    active.__dict__["before"] = _active.model_id
    _active.model_id = model.model_id
    return active
