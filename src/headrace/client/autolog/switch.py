"""Switching autologging of all libraries on and off."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Final

from headrace.client.autolog.imports import forget, when_imported
from headrace.client.autolog.libraries import LIBRARIES
from headrace.errors import InvalidRequest
from headrace.forks import undivided


def autolog(  # noqa: PLR0913, PLR0917 - MLflow's signature
    log_input_examples: bool = False,
    log_model_signatures: bool = True,
    log_models: bool = True,
    log_datasets: bool = True,
    log_traces: bool = True,
    disable: bool = False,
    exclusive: bool = False,
    disable_for_unsupported_versions: bool = False,
    silent: bool = False,
    extra_tags: dict[str, str] | None = None,
    exclude_flavors: list[str] | None = None,
) -> None:
    """Have the training calls of every library that is known here log themselves.

    What is imported already is switched on now, all else when it is imported; nothing is loaded.
    A library whose own `autolog` has been called keeps the options given there. `disable` takes
    everything back, for all libraries. `exclude_flavors` names flavors (`"sklearn"`) to leave as
    they are. `exclusive` logs nothing to a run that was started with `start_run`, `extra_tags` go
    to the runs that autologging starts, `silent` hides its warnings.
    `disable_for_unsupported_versions` leaves a library alone whose version was not tried.
    `log_models` logs what was trained (of transformers only where `headrace.transformers.autolog`
    asks for it), with a signature and, for `log_input_examples`, the first rows of the training
    data. `log_traces` is taken and has no effect yet. Raises InvalidRequest for `extra_tags` or
    `exclude_flavors` of another type.
    """
    given = dict(locals())
    del given["exclude_flavors"], given["log_traces"]
    if extra_tags is not None and not isinstance(extra_tags, Mapping):
        raise InvalidRequest(
            f"'extra_tags' is of type {type(extra_tags).__name__}; expected a dictionary of names "
            "and values."
        )
    left_out = _flavors(exclude_flavors)
    for name, entry in LIBRARIES.items():
        if entry.flavor in left_out:
            continue
        with undivided():
            old = _hooks.pop(name, None)
            hook = _hook(name, entry.module, given)
            if not disable:
                _hooks[name] = hook
        # Not under the lock: this may wait for an import in another thread.
        if old is not None:
            forget(name, old)
        if disable:
            _switch_off(entry.module)
        else:
            when_imported(name, hook)


def _flavors(names: Sequence[str] | None) -> set[str]:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names or ()):
        raise InvalidRequest(
            f"'exclude_flavors' is {names!r}; expected a list of names such as ['sklearn']."
        )
    return set(names or ())


def _hook(name: str, module: str, given: Mapping[str, Any]) -> Callable[[ModuleType], None]:
    """What switches one library on, with as many of the options as it has."""

    def switch_on(_imported: ModuleType) -> None:
        if _hooks.get(name) is not switch_on:
            return  # switched off, while another thread was importing
        ours = importlib.import_module(module)
        if ours.LIBRARY.chosen:
            return
        known = inspect.signature(ours.autolog).parameters
        ours.autolog(**{option: value for option, value in given.items() if option in known})
        ours.LIBRARY.chosen = False

    return switch_on


def _switch_off(module: str) -> None:
    """Switch a library off; what has never been switched on has not been loaded either."""
    ours = sys.modules.get(module)
    if ours is not None:
        ours.autolog(disable=True)
        ours.LIBRARY.chosen = False


_hooks: Final[dict[str, Callable[[ModuleType], None]]] = {}
