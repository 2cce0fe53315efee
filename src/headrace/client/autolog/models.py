"""The model that an observed call has trained, logged as the user would."""

from __future__ import annotations

import copy
import logging
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from headrace.client.autolog.library import Library
from headrace.client.autolog.recording import Recorder
from headrace.errors import Unavailable

EXAMPLE_ROWS: Final = 5
"""Rows of the training data that show what a model takes."""
_said: Final[set[tuple[str, object]]] = set()
"""Of which library what has been said of its models, in this process."""


def log_model(
    log: Recorder,
    library: Library[Any],
    model: Any,
    flavor: str,
    *,
    data: Any = None,
    signature: Any = None,
    name: str = "model",
    register: bool = True,
    **options: Any,
) -> str | None:
    """Log a model that was trained on `data`, with what the library's options ask for; its id.

    A few rows of `data` show what the model takes, unless its `signature` is known. What `log` has
    measured becomes the model's, as far as it is the latest. None where models are not to be
    logged, and where it did not work, which is a warning. A server that is away is not waited for.
    """
    wanted = library.options
    made: str | None = None
    if not wanted.log_models:
        return made
    with library.guard("the model"), _without_noise(library):
        from headrace.client import model_logging
        from headrace.models.saving import request_for

        if log.client._outbox.is_server_away:
            raise Unavailable("The tracking server is away, and a model cannot wait for it.")
        rows = _described(library, first_rows(data))
        request = request_for(
            model,
            flavor,
            # Also where neither is kept: there are models that only an example makes safe to load.
            input_example=rows,
            keeps_example=wanted.log_input_examples,
            signature=signature if wanted.log_model_signatures else False,
            **options,
        )
        latest = log.latest()
        how = model_logging.LogRequest(
            name=name,
            step=max((point.step for point in latest), default=0),
            metrics=latest,
            registered_model_name=wanted.registered_model_name if register else None,
        )
        made = model_logging.log(request, how, (log.client, log.run_id)).model_id
    return made  # noqa: RET504 - a guard may end the block above before it is set


def first_rows(data: Any) -> Any:
    """A few rows of a table, an array, a matrix or a list; None where there are none to take."""
    if data is None or isinstance(data, str | bytes):
        return None
    if hasattr(data, "iloc"):
        return data.iloc[:EXAMPLE_ROWS]
    if isinstance(data, list):
        # A list of arrays is several inputs, or one in pieces: no rows.
        return None if any(hasattr(each, "shape") for each in data[:1]) else data[:EXAMPLE_ROWS]
    if type(data).__module__.partition(".")[0] == "pyarrow":
        return data.slice(0, EXAMPLE_ROWS).to_pandas() if hasattr(data, "to_pandas") else None
    return data[:EXAMPLE_ROWS] if getattr(data, "shape", None) else None


def copied_rows(data: Any) -> Any:
    """As `first_rows`, as a copy that neither changes with the data nor keeps it in memory."""
    rows = first_rows(data)
    if hasattr(rows, "detach"):  # PyTorch copies the memory that a tensor is a view of, as a whole
        return rows.detach().cpu().clone().numpy()
    return copy.deepcopy(rows)


def _described(library: Library[Any], rows: Any) -> Any:
    """`rows`, if an example can be made of them: what a model cannot show it is logged without."""
    usable = None
    if rows is not None:
        with library.guard("what the model takes"):
            from headrace.models.examples import save_example
            from headrace.models.signature import infer_signature

            infer_signature(rows)
            if library.options.log_input_examples:
                with tempfile.TemporaryDirectory(prefix="headrace-example-") as folder:
                    save_example(rows, Path(folder))
            usable = rows
    return usable


@contextmanager
def _without_noise(library: Library[Any]) -> Iterator[None]:
    """What is said of a library's models in this block, by this thread, is said once a process.

    The user did not ask for a model, so has nothing to do about what Python warns of in it.
    """
    logger = logging.getLogger("headrace")
    only_once = _OnlyOnce(library)
    logger.addFilter(only_once)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeFilter(only_once)


class _OnlyOnce(logging.Filter):
    def __init__(self, library: Library[Any]) -> None:
        super().__init__()
        self._library = library
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a message of this thread is the first of its kind; none where silent."""
        # What `Library.warn` says it says once by itself.
        if record.thread != self._thread or record.funcName == "warn":
            return True
        key = (self._library.flavor, record.msg)
        is_new = key not in _said
        _said.add(key)
        return is_new and not self._library.options.silent
