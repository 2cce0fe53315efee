"""Loading a model from a folder, as its library's own object or as a predictor.

Nothing of the folder runs unless its signer is trusted or the caller says so; see `trust`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.errors import InvalidModel, InvalidRequest
from headrace.models.flavor import FLAVORS, Flavor, flavor_in, flavor_named
from headrace.models.model import MODEL_FILE, PYFUNC, Model
from headrace.models.pyfunc import PyFuncModel
from headrace.models.shipped_code import import_from
from headrace.models.trust import VerifiedFolder


def load_model(
    path: str | Path, flavor: str | None = None, *, trust: bool = False, **options: Any
) -> Any:
    """The library's own object that lies in a model folder; a PyFuncModel where there is none.

    `flavor` names one of those that the model has, by default its library's; `options` are the
    flavor's own. NotTrusted for what can run code and is signed by nobody who is trusted;
    InvalidRequest for a flavor that the model has not, or a library that is missing.
    """
    folder, model = open_model(path, trust=trust)
    chosen = flavor_named(flavor) if flavor else _native_flavor(model)
    if chosen.name not in model.flavors:
        raise InvalidRequest(
            f"The model at '{path}' has no flavor '{chosen.name}', but: "
            f"{', '.join(model.flavors) or 'none'}."
        )
    if chosen.name == PYFUNC:
        return load_opened(folder, model, **options)
    return load_native(folder, chosen, _table(model, chosen.name), **options)


def load_pyfunc(
    path: str | Path,
    model_config: Mapping[str, Any] | None = None,
    *,
    trust: bool = False,
    **options: Any,
) -> PyFuncModel:
    """The model in a folder as something that predicts, whatever its flavor.

    `model_config` goes over the configuration that was saved. Errors as of `load_model`.
    """
    return load_opened(*open_model(path, trust=trust), model_config, **options)


def load_opened(
    folder: VerifiedFolder,
    model: Model,
    model_config: Mapping[str, Any] | None = None,
    **options: Any,
) -> PyFuncModel:
    """As `load_pyfunc`, of a folder that is open already, or was handed over by who opened it."""
    path = folder.path
    entry = model.flavors.get(PYFUNC)
    if not isinstance(entry, dict):
        raise InvalidRequest(
            f"The model at '{path}' does not predict by itself: it has no flavor '{PYFUNC}', but: "
            f"{', '.join(model.flavors) or 'none'}."
        )
    others = {name: facts for name, facts in model.flavors.items() if name != PYFUNC}
    flavor = flavor_in(others, entry.get("loader_module")) or flavor_named(PYFUNC)
    facts = {"metadata": model.metadata or {}, **entry, **_table(model, flavor.name)}
    saved = entry.get("config") or {}
    if not isinstance(saved, dict) or not all(isinstance(key, str) for key in saved):
        raise InvalidModel(f"The 'config' of the model at '{path}' is no table of texts.")
    config = {**saved, **(model_config or {})}
    if flavor.name == PYFUNC:
        facts["config"] = config  # a model's own code may ask for it while it is loaded
    native = load_native(folder, flavor, facts, **options)
    predictor = flavor.predictor(native, facts, config)
    return PyFuncModel(model, predictor, native, folder, config)


def open_model(path: str | Path, *, trust: bool = False) -> tuple[VerifiedFolder, Model]:
    """A model folder, checked against its manifest, and its description. NotFound."""
    # Here, because a worker without the packages that read signatures loads from this module too.
    from headrace.models.trust import open_folder

    place = Path(path).expanduser()
    if not (place / MODEL_FILE).is_file():
        Model.load(place)  # says what is missing
    folder = open_folder(place, trust=trust)
    return folder, Model.from_bytes(folder.read(MODEL_FILE), str(place / MODEL_FILE))


def load_native(
    folder: VerifiedFolder, flavor: Flavor, facts: Mapping[str, Any], **options: Any
) -> Any:
    """The object of one flavor, after the code that was shipped with it can be imported."""
    flavor.require_library()
    code = facts.get("code")
    if code:
        if not isinstance(code, str):
            raise InvalidModel(f"The model's 'code' is {code!r}; expected the name of a folder.")
        import_from(folder.code_path(code, "code that the model ships", lasting=True))
    return flavor.load(folder, facts, **options)


def _table(model: Model, flavor: str) -> dict[str, Any]:
    """What the description says of a flavor. InvalidModel where that is no table."""
    facts = model.flavors[flavor]
    if not isinstance(facts, dict):
        raise InvalidModel(f"What the model says of its flavor '{flavor}' is no table: {facts!r}.")
    return facts


def _native_flavor(model: Model) -> Flavor:
    for name in model.flavors:
        flavor: Flavor | None = FLAVORS.get(name) if name != PYFUNC else None
        if flavor is not None:
            return flavor
    if PYFUNC in model.flavors:
        return flavor_named(PYFUNC)
    raise InvalidRequest(
        f"None of the model's flavors is known here: {', '.join(model.flavors) or 'it has none'}. "
        f"Known are: {', '.join(FLAVORS.names())}."
    )
