"""The model that an observed call has trained, logged as the user would."""

from __future__ import annotations

from typing import Any, Final

from headrace.client.autolog.library import Library
from headrace.client.autolog.recording import Recorder
from headrace.errors import Unavailable

EXAMPLE_ROWS: Final = 5
"""Rows of the training data that show what a model takes."""


def log_model(
    log: Recorder,
    library: Library[Any],
    model: Any,
    flavor: str,
    *,
    data: Any = None,
    name: str = "model",
    step: int = 0,
    register: bool = True,
    **options: Any,
) -> str | None:
    """Log a model that was trained on `data`, with what the library's options ask for; its id.

    None where models are not to be logged, and where it did not work, which is a warning. A server
    that is away is not waited for. `step` is that of the metrics which are the model's.
    """
    wanted = library.options
    made: str | None = None
    if not wanted.log_models:
        return made
    with library.guard("the model"):
        from headrace.client import model_logging
        from headrace.models.saving import request_for

        if log.client._outbox.is_server_away:
            raise Unavailable("The tracking server is away, and a model cannot wait for it.")
        shows = wanted.log_input_examples or wanted.log_model_signatures
        request = request_for(
            model,
            flavor,
            input_example=first_rows(data) if shows else None,
            keeps_example=wanted.log_input_examples,
            signature=None if wanted.log_model_signatures else False,
            **options,
        )
        registered = wanted.registered_model_name if register else None
        how = model_logging.LogRequest(name=name, step=step, registered_model_name=registered)
        made = model_logging.log(request, how, (log.client, log.run_id)).model_id
    return made  # noqa: RET504 - a guard may end the block above before it is set


def first_rows(data: Any) -> Any:
    """A few rows of a table, an array, a matrix or a list; None where there are none to take."""
    if data is None or isinstance(data, str | bytes):
        return None
    if hasattr(data, "iloc"):
        return data.iloc[:EXAMPLE_ROWS]
    if isinstance(data, dict) or (not hasattr(data, "shape") and not isinstance(data, list)):
        return None
    return data[:EXAMPLE_ROWS]
