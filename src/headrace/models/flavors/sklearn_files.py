"""Estimators as files: skops, which runs nothing when it is loaded, or a pickle.

What LightGBM's estimators need as well. A skops file is judged by a list of our own
(`skops_reader`); what it names beside that runs somebody's code, and needs trust.
"""

from __future__ import annotations

import logging
import pickle
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidModel, InvalidRequest
from headrace.models.flavor import Target, require
from headrace.models.flavors.skops_checks import NeedsTrust
from headrace.models.flavors.skops_reader import SkopsFile, collecting_later

if TYPE_CHECKING:
    from headrace.models.trust import VerifiedFolder

_log: Final = logging.getLogger("headrace")
SKOPS: Final = "skops"
CLOUDPICKLE: Final = "cloudpickle"
PICKLE: Final = "pickle"
FORMATS: Final = (SKOPS, CLOUDPICKLE, PICKLE)
SKOPS_FILE: Final = "model.skops"
PICKLE_FILE: Final = "model.pkl"
_NAMED: Final = 8
_NOT_LISTED: Final = "not on the list of types that are known to run no code"


@dataclass(frozen=True)
class EstimatorFile:
    """An estimator that was written, in one of the FORMATS."""

    name: str
    format: str
    trusted_types: list[str] | None
    """What MLflow must be told to trust, to load a skops file; None for nothing."""
    modules: frozenset[str]
    """Modules that loading it imports."""

    @property
    def pickled(self) -> tuple[str, ...]:
        """The file, where it can run code."""
        return () if self.format == SKOPS else (self.name,)

    @property
    def packages(self) -> tuple[str, ...]:
        """What reading the format needs."""
        return () if self.format == PICKLE else (self.format,)


def write_estimator(
    model: Any, target: Target, chosen: str | None, trusted_types: Iterable[str] | None = None
) -> EstimatorFile:
    """Write an estimator in the format `chosen`; by default skops, or a pickle where it can't be.

    `trusted_types` are told to MLflow beside those that are needed. InvalidRequest for an unknown
    format, for skops where it was asked for and can't be, and for what no pickle can hold.
    """
    if chosen not in (None, *FORMATS):
        raise InvalidRequest(
            f"serialization_format is {chosen!r}; expected one of: {', '.join(FORMATS)}."
        )
    if chosen in (None, SKOPS):
        require("skops", "skops", "Saving an estimator safely")
        try:
            return _write_skops(model, target, trusted_types)
        # skops calls whatever the estimator consists of, and its errors say what it cannot hold.
        except Exception as error:
            reason = str(error) or type(error).__name__
            if chosen == SKOPS:
                raise InvalidRequest(
                    f"skops cannot hold this {type(model).__name__}: {reason}. Leave "
                    "serialization_format out to have it pickled instead; a pickle loads only "
                    "where the one who signed it is trusted."
                ) from error
            _log.warning(
                "skops cannot hold this %s (%s); it is pickled.", type(model).__name__, reason
            )
    return _write_pickle(model, target, PICKLE if chosen == PICKLE else CLOUDPICKLE)


def read_estimator(folder: VerifiedFolder, name: Any, chosen: Any) -> Any:
    """The estimator in a file of the model, `name` and format as an MLmodel file says them.

    NotTrusted for what may run code, unless the folder is trusted; InvalidModel for a file that is
    not what it should be; InvalidRequest for an unknown format.
    """
    if not isinstance(name, str):
        raise InvalidModel(f"The model in '{folder.path}' does not say which file it is in.")
    if chosen not in FORMATS:
        raise InvalidRequest(
            f"The model in '{folder.path}' says serialization_format: {chosen!r}; expected one of: "
            f"{', '.join(FORMATS)}."
        )
    if chosen == SKOPS:
        return _read_skops(folder, name)
    data = folder.code(name, f"a pickle (serialization_format: {chosen})")
    if chosen == CLOUDPICKLE:
        require("cloudpickle", "cloudpickle", f"'{name}', a pickle,")
    return unpickled(data, name)


def unpickled(data: bytes, name: str) -> Any:
    """The object of a pickle, which may have run any code. InvalidRequest where it cannot be."""
    try:
        return pickle.loads(data)  # noqa: S301 - the caller has asked for trust
    except ModuleNotFoundError as error:
        raise _missing_module(name, error) from None
    # What a pickle calls can fail in any way; most often the versions of a library differ.
    except Exception as error:
        raise InvalidModel(
            f"'{name}' cannot be unpickled: {type(error).__name__}: {error}. Other versions of "
            "libraries than it was made with are the usual cause; see its requirements.txt."
        ) from error


def _missing_module(name: str, error: ModuleNotFoundError) -> InvalidRequest:
    return InvalidRequest(
        f"'{name}' needs the module '{error.name}', which is not here. If it is a package, install "
        "it: the model's requirements.txt says which. If it is a file of whoever saved the model, "
        f"they can ship it, log_model(…, code_paths=['{(error.name or '').split('.')[0]}.py']), or "
        "you can put it on the PYTHONPATH."
    )


def _write_skops(model: Any, target: Target, trusted_types: Iterable[str] | None) -> EstimatorFile:
    import skops.io

    with collecting_later():
        data = skops.io.dumps(model)
        needed = skops.io.get_untrusted_types(data=data)
    file = SkopsFile(data, SKOPS_FILE)
    _check_loads(file, data, needed, target)
    (target.folder / SKOPS_FILE).write_bytes(data)
    told = sorted({*needed, *(trusted_types or ())})
    return EstimatorFile(SKOPS_FILE, SKOPS, told or None, file.modules)


def _check_loads(file: SkopsFile, data: bytes, needed: list[str], target: Target) -> None:
    """Raise where what was written does not load again, or only in this very program."""
    import skops.io

    if not file.unreviewed:
        try:
            file.load()
        except NeedsTrust as reason:
            _log.warning("Loading this model will need trust: %s.", reason)
        return
    if any(name.startswith("__main__.") for name in file.unreviewed):
        raise InvalidRequest(f"{file.unreviewed[0]} can be found in this program only")
    skops.io.loads(data, trusted=needed)
    _log.warning(
        "Loading this model will need trust, and the code of: %s.%s",
        ", ".join(file.unreviewed),
        _to_ship(file.unreviewed, target),
    )


def _to_ship(names: Iterable[str], target: Target) -> str:
    """How to ship those modules that no package has brought, and that are not shipped yet."""
    from headrace.models.environment.owners import owners_of

    shipped = {path.stem for path in target.code_paths}
    tops = {name.partition(".")[0] for name in names} - shipped
    own = sorted(top for top in tops if top in sys.modules and not owners_of([top]))
    files = [getattr(sys.modules[top], "__file__", None) or top for top in own]
    paths = [str(Path(file).parent if Path(file).stem == "__init__" else file) for file in files]
    return f" To ship it with the model: code_paths={paths}." if paths else ""


def _write_pickle(model: Any, target: Target, chosen: str) -> EstimatorFile:
    import cloudpickle

    from headrace.models.environment import modules_in_pickle

    writer = pickle if chosen == PICKLE else cloudpickle
    try:
        data = writer.dumps(model, protocol=pickle.DEFAULT_PROTOCOL)
    # Objects say in their own ways that they cannot be pickled.
    except Exception as error:
        raise InvalidRequest(
            f"This {type(model).__name__} cannot be pickled: {type(error).__name__}: {error}."
        ) from error
    (target.folder / PICKLE_FILE).write_bytes(data)
    return EstimatorFile(PICKLE_FILE, chosen, None, frozenset(modules_in_pickle(data)))


def _read_skops(folder: VerifiedFolder, name: str) -> Any:
    """By our own reader where all is on its list; by skops where the folder is trusted."""
    data = folder.read(name)
    file = SkopsFile(data, name)
    unknown = file.unreviewed
    if unknown:
        listed = ", ".join(unknown[:_NAMED]) + (" and others" if len(unknown) > _NAMED else "")
        folder.require_trust(f"{listed} in {name}", _NOT_LISTED)
    else:
        try:
            return file.load()
        except NeedsTrust as reason:
            folder.require_trust(f"{reason.what} in {name}", reason.why)
    require("skops", "skops", f"'{name}', which names types of its own,")
    return _by_skops(data, name)


def _by_skops(data: bytes, name: str) -> Any:
    import skops.io

    try:
        return skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))
    except ModuleNotFoundError as error:
        raise _missing_module(name, error) from None
    # Trusted classes are made here, with whatever they raise.
    except Exception as error:
        raise InvalidModel(
            f"'{name}' cannot be loaded: {type(error).__name__}: {error}."
        ) from error
