"""Saving a model as a folder, whatever its flavor.

What can be wrong is found out before anything is written (`check`); the folder appears whole or
not at all.
"""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from headrace.errors import AlreadyExists, HeadraceError, InvalidRequest
from headrace.models.environment import Requirements, requirements_for, write_environment
from headrace.models.examples import (
    check_example,
    check_signature,
    save_example,
    warn_of_many_rows,
)
from headrace.models.flavor import Flavor, Saved, Target, flavor_named, flavor_of
from headrace.models.model import MODEL_FILE, PYFUNC, Model
from headrace.models.resources import auth_policy_as_dict, resources_as_dict
from headrace.models.trust import sign_folder
from headrace.models.trust.own_key import own_public_keys

if TYPE_CHECKING:
    from headrace.models.signature import ModelSignature

_log: Final = logging.getLogger("headrace")
CODE: Final = "code"
EXTRA_FILES: Final = "extra_files"


@dataclass(frozen=True)
class SaveRequest:
    """A model to save, with all that is said of it. The names are those of MLflow's arguments."""

    model: Any
    flavor: Flavor
    options: Mapping[str, Any] = field(default_factory=dict)
    """The flavor's own."""
    signature: ModelSignature | Literal[False] | None = None
    """False for a model that is to have none, whatever its example shows."""
    input_example: Any = None
    keeps_example: bool = True
    """False for an example that only shows the signature."""
    code_paths: Sequence[str | Path] = ()
    extra_files: Sequence[str | Path] = ()
    metadata: Mapping[str, Any] | None = None
    model_config: Mapping[str, Any] | None = None
    requirements: Requirements = field(default_factory=Requirements)
    resources: Any = None
    auth_policy: Any = None
    prompts: Sequence[str] | None = None
    described: Model | None = None
    """A description to start from; what it says beside the above is kept."""

    def check(self) -> None:
        """Raise InvalidRequest for what can be known to be wrong before anything is written."""
        self.flavor.require_library()
        for name in ("code_paths", "extra_files"):
            for path in getattr(self, name):
                if not Path(path).exists():
                    raise InvalidRequest(f"'{name}' names '{path}', which is not there.")
        self.requirements.check()
        own_public_keys()  # raises for a key to sign with that is none
        if self.metadata is not None and not isinstance(self.metadata, Mapping):
            raise InvalidRequest("'metadata' is no dictionary.")
        check_signature(self.signature)
        warn_of_many_rows(self.input_example)
        if self.signature and self.input_example is not None:
            check_example(self.input_example, self.signature)


def save_model(request: SaveRequest, path: str | Path) -> Model:
    """Save a model as the folder `path`, which must be new or empty, and sign it.

    AlreadyExists for a folder with something in it; InvalidRequest for what cannot be saved. The
    folder appears when all is written, or not at all.
    """
    target = Path(path).expanduser()
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise AlreadyExists(f"'{path}' exists already; give a folder that is new or empty.")
    request.check()
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        model = write_model(request, staged)
        sign_folder(staged, name=target.name)
        staged.chmod(0o755)
        staged.replace(target)  # over an empty folder, if there is one
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    return model


def write_model(
    request: SaveRequest,
    folder: Path,
    identity: Mapping[str, Any] | None = None,
    *,
    by_reference: bool = False,
) -> Model:
    """Write a checked model into an empty folder, unsigned; its description.

    `identity` are `model_id`, `run_id`, `artifact_path` where they are known. With `by_reference`,
    files that were there already are symbolic links, for an upload that follows them.
    """
    model = request.described or Model()
    example, params = _example(request.input_example)
    target = Target(
        folder,
        example=example,
        example_params=params,
        signature=request.signature or None,
        model_config=request.model_config,
        code_paths=tuple(Path(each) for each in request.code_paths),
        by_reference=by_reference,
    )
    saved = _save(request, target)
    if request.signature is None:
        model.signature = saved.signature or model.signature
        model.is_signature_from_type_hint = saved.signature_from_type_hints
    else:
        model.signature = request.signature or None
    model.type_hint_from_example = saved.type_hint_from_example
    if request.input_example is not None:
        _describe_example(request, saved, model, folder)
    code = _ship(target, request.code_paths, CODE)
    _ship(target, request.extra_files, EXTRA_FILES)
    environment = write_environment(
        folder,
        request.requirements,
        lambda: requirements_for(saved.packages, saved.modules, target.code_paths),
        sorted(saved.modules),
    )
    _add_flavors(model, request.flavor, saved, code, environment, request.model_config)
    _describe(model, request, saved)
    for name, value in (identity or {}).items():
        setattr(model, name, value)
    model.model_uuid = model.model_id or uuid.uuid4().hex
    model.model_size_bytes = sum(
        each.stat().st_size for each in folder.rglob("*") if each.is_file()
    )
    model.save(folder / MODEL_FILE)
    return model


def given(arguments: Mapping[str, Any], *others: str) -> dict[str, Any]:
    """The arguments of a function with MLflow's signature (its `locals()`), for `request_for`.

    `others` are the names that are not for it, such as the model's own.
    """
    found = {name: value for name, value in arguments.items() if name not in {*others, "kwargs"}}
    if "mlflow_model" in found:
        found["described"] = found.pop("mlflow_model")
    return {**found, **arguments.get("kwargs", {})}


def request_for(model: Any, flavor: str | None = None, **given: Any) -> SaveRequest:
    """The request that arguments as MLflow's make: `given` holds those of `SaveRequest`, those of
    `Requirements`, and the flavor's own. InvalidRequest for a name that none of them has.
    """
    chosen = flavor_of(model) if flavor is None else flavor_named(flavor)
    requirements = {name: given.pop(name) for name in _of(Requirements) if name in given}
    common = {name: given.pop(name) for name in _of(SaveRequest) if name in given}
    for name in ("code_paths", "extra_files"):
        if isinstance(common.get(name), str | Path):
            raise InvalidRequest(f"'{name}' takes a list: {name}=[{str(common[name])!r}].")
        common[name] = tuple(common.get(name) or ())
    unknown = sorted(set(given) - _options_of(chosen))
    if unknown:
        raise _no_option(unknown[0], chosen)
    made = Requirements(**requirements)
    return SaveRequest(model, chosen, given, requirements=made, **common)


def _no_option(name: str, flavor: Flavor) -> InvalidRequest:
    own = sorted(_options_of(flavor))
    known = [*own, *_of(SaveRequest), *_of(Requirements)]
    meant = get_close_matches(name, known, 1)
    return InvalidRequest(
        f"A model of the flavor '{flavor.name}' has no option '{name}'; "
        + (f"perhaps '{meant[0]}' is meant." if meant else f"its own are: {', '.join(own)}.")
    )


def _of(kind: Any) -> tuple[str, ...]:
    own = {"model", "flavor", "options", "requirements"}
    return tuple(name for name in kind.__dataclass_fields__ if name not in own)


def _options_of(flavor: Flavor) -> set[str]:
    import inspect

    parameters = inspect.signature(flavor.save).parameters
    return {name for name in parameters if name not in ("model", "target")}


def _save(request: SaveRequest, target: Target) -> Saved:
    try:
        return request.flavor.save(request.model, target, **request.options)
    except HeadraceError:
        raise
    # Libraries have errors of all kinds for what they cannot write; their text says the reason.
    except Exception as error:
        raise InvalidRequest(
            f"The {request.flavor.name} model cannot be saved: {type(error).__name__}: {error}"
            f"{_whose(request)}"
        ) from error


def _whose(request: SaveRequest) -> str:
    """Which library's model it is, where it is not that of the flavor which was asked for."""
    if request.flavor.handles(request.model):
        return ""
    with suppress(InvalidRequest):
        name = flavor_of(request.model).name
        if name != PYFUNC:
            kind = type(request.model).__name__
            return f". This {kind} is a model of {name}: headrace.{name}.log_model saves it."
    return ""


def _example(given: Any) -> tuple[Any, Any]:
    """The data of an example and its params: one with params is a pair of both."""
    from headrace.models.examples import split_params

    return (None, None) if given is None else split_params(given)


def _describe_example(request: SaveRequest, saved: Saved, model: Model, folder: Path) -> None:
    """Write the example, and have it say the signature where nobody else does."""
    from headrace.models.example_signature import signature_by_example

    if model.signature is None and request.signature is None:
        predictor = saved.predictor
        if predictor is None and saved.pyfunc is not None:
            facts = {"metadata": saved.metadata, **saved.pyfunc, **saved.facts}
            config = request.model_config or {}

            def predictor_for() -> Any:
                return request.flavor.predictor(request.model, facts, config)

            predictor = predictor_for
        model.signature = signature_by_example(request.input_example, predictor)
    if request.keeps_example:
        model.saved_input_example_info = save_example(request.input_example, folder)


def _ship(target: Target, paths: Sequence[str | Path], name: str) -> str | None:
    """Copy files and folders below the folder `name` of the model; None where there are none."""
    seen: set[str] = set()
    for path in paths:
        last = Path(path).resolve().name
        if last in seen:
            raise InvalidRequest(f"'{last}' stands twice in what is shipped as '{name}'.")
        seen.add(last)
        target.take(path, f"{name}/{last}")
    return name if seen else None


def _add_flavors(
    model: Model,
    flavor: Flavor,
    saved: Saved,
    code: str | None,
    environment: Mapping[str, str],
    model_config: Mapping[str, Any] | None,
) -> None:
    if saved.pyfunc is not None:
        version = ".".join(str(part) for part in sys.version_info[:3])
        entry = {
            "loader_module": flavor.loader_module,
            "python_version": version,
            "env": dict(environment),
            **({"code": code} if code else {}),
            **({"config": dict(model_config)} if model_config else {}),
            **saved.pyfunc,
        }
        model.add_flavor(PYFUNC, **dict(sorted(entry.items())))
    if flavor.name != PYFUNC:
        model.add_flavor(flavor.name, **dict(sorted({**saved.facts, "code": code}.items())))


def _describe(model: Model, request: SaveRequest, saved: Saved) -> None:
    metadata = {**(model.metadata or {}), **saved.metadata, **(request.metadata or {})}
    model.metadata = metadata or None
    if request.resources is not None:
        model.resources = resources_as_dict(request.resources)
    if request.auth_policy is not None:
        model.auth_policy = auth_policy_as_dict(request.auth_policy)
    if request.prompts is not None:
        model.prompts = list(request.prompts)
    if saved.pickled:
        _log.info(
            "%s has no form that is safe to load, so it is a pickle: it loads where your signature "
            "is trusted, or with trust=True.",
            " and ".join(f"'{name}'" for name in saved.pickled),
        )
