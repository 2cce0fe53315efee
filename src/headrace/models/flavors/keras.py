"""Keras 3: its `.keras` archives, which `keras_archive` checks; older forms need trust.

MLflow has two flavors for Keras's models, `keras` for Keras 3 and `tensorflow` for those that
TensorFlow's Keras made. Both load here where Keras alone can load them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidModel, InvalidRequest
from headrace.models.data_kinds import is_pandas_frame
from headrace.models.flavor import Flavor, Predictor, Saved, Target

if TYPE_CHECKING:
    from headrace.models.trust import VerifiedFolder

DATA: Final = "data"
ARCHIVE: Final = "model.keras"
_H5_FILE: Final = "model.h5"
_MODULE_FILE: Final = "keras_module.txt"
_FORMAT_FILE: Final = "save_format.txt"
_SAVED_MODEL: Final = "saved_model.pb"


class KerasFlavor(Flavor):
    """See the module."""

    name = "keras"
    loader_module = "mlflow.keras"
    package = "keras"
    install = "keras"

    def handles(self, model: Any) -> bool:
        """See Flavor."""
        return any(
            kind.__module__.partition(".")[0] == "keras" and kind.__name__ == "Model"
            for kind in type(model).__mro__
        )

    def save(
        self,
        model: Any,
        target: Target,
        *,
        save_exported_model: bool = False,
        save_model_kwargs: dict[str, Any] | None = None,
    ) -> Saved:
        """See Flavor. `model` is a keras.Model, or the path of a `.keras` file.

        `save_model_kwargs` are those of `keras.Model.save`.
        """
        keras = _keras({})
        if save_exported_model:
            raise InvalidRequest(
                "save_exported_model=True writes a SavedModel of TensorFlow, which holds code and "
                "needs TensorFlow to load. Leave it out: the model is saved as a .keras file."
            )
        pickled = _write(model, target, save_model_kwargs or {})
        facts = {
            "data": DATA,
            "keras_version": keras.__version__,
            "keras_backend": keras.backend.backend(),
            "save_exported_model": False,
        }
        return _saved(facts, {}, model, pickled)

    def load(
        self,
        folder: VerifiedFolder,
        facts: Mapping[str, Any],
        *,
        custom_objects: Mapping[str, Any] | None = None,
        load_model_kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """See Flavor. Classes and functions in `custom_objects` are the caller's, and may be used.

        `load_model_kwargs` are those of `keras.saving.load_model`.
        """
        options = dict(load_model_kwargs or {})
        custom = {**(options.pop("custom_objects", None) or {}), **(custom_objects or {})}
        if "loader_module" in facts:  # for `pyfunc`, which does not train
            options.setdefault("compile", False)
        return _load(folder, facts, custom, options)

    def predictor(
        self, native: Any, facts: Mapping[str, Any], config: Mapping[str, Any]
    ) -> Predictor:
        """See Flavor."""
        return _KerasPredictor(native)


class TensorFlowFlavor(KerasFlavor):
    """Keras's models as MLflow's flavor `tensorflow` keeps them."""

    name = "tensorflow"
    loader_module = "mlflow.tensorflow"

    def handles(self, model: Any) -> bool:
        """Never: what Keras 3 can save is the flavor `keras`."""
        return False

    def save(  # type: ignore[override]  # other options: MLflow's of this flavor
        self,
        model: Any,
        target: Target,
        *,
        custom_objects: Mapping[str, Any] | None = None,
        saved_model_kwargs: dict[str, Any] | None = None,
        keras_model_kwargs: dict[str, Any] | None = None,
    ) -> Saved:
        """See Flavor. A keras.Model; a tf.Module is none. MLflow loads it with TensorFlow."""
        keras = _keras({})
        if saved_model_kwargs:
            raise InvalidRequest(
                "'saved_model_kwargs' are for models of TensorFlow itself (tf.Module), which are "
                "saved as SavedModel, a form that holds code; only Keras models are saved here."
            )
        pickled = _write(model, target, keras_model_kwargs or {})
        (target.folder / DATA / _FORMAT_FILE).write_text("tf")
        facts = {
            "data": DATA,
            "model_type": "keras",
            "keras_version": keras.__version__,
            "save_format": "tf",
        }
        return _saved(facts, {"data": DATA}, model, pickled)


def _saved(facts: dict[str, Any], pyfunc: dict[str, Any], model: Any, pickled: bool) -> Saved:
    import keras

    module = type(model).__module__
    own = () if isinstance(model, str | Path) or module.startswith("keras") else (module,)
    backend = {"torch": "torch", "jax": "jax", "tensorflow": "tensorflow", "openvino": "openvino"}
    return Saved(
        facts,
        pyfunc,
        packages=("keras", backend[keras.backend.backend()]),
        modules=frozenset(own) - {"__main__"},
        pickled=(f"{DATA}/{ARCHIVE}",) if pickled else (),
    )


def _keras(facts: Mapping[str, Any]) -> Any:
    """Keras. InvalidRequest where its backend is missing."""
    try:
        import keras
    except ImportError as error:
        saved_with = facts.get("keras_backend")
        backend = saved_with if saved_with in ("torch", "jax", "tensorflow") else "torch"
        raise InvalidRequest(
            f"Keras cannot be imported: {error}. It calculates with another library: install "
            f"that, or set KERAS_BACKEND={backend} for one that is there, before Keras is imported."
        ) from error
    if not keras.__version__.startswith("3."):
        raise InvalidRequest(
            f"Keras is {keras.__version__}; models need Keras 3: pip install 'keras>=3'."
        )
    return keras


def _write(model: Any, target: Target, options: dict[str, Any]) -> bool:
    """Write the archive. True where it needs trust: it has code or classes of its own."""
    from headrace.models.flavors.keras_archive import UnsafeArchive, check_archive

    (target.folder / DATA).mkdir()
    (target.folder / DATA / _MODULE_FILE).write_text("keras")
    name = f"{DATA}/{ARCHIVE}"
    if isinstance(model, str | Path):
        if not str(model).endswith(".keras"):
            raise InvalidRequest(f"'{model}' is no .keras file; expected one, or a keras.Model.")
        target.take(model, name)
    elif not KerasFlavor().handles(model):
        raise InvalidRequest(
            f"A Keras model is a keras.Model or the path of a .keras file; this is a "
            f"{type(model).__module__}.{type(model).__qualname__}."
        )
    else:
        model.save(str(target.folder / name), **options)
    try:
        check_archive((target.folder / name).read_bytes())
    except UnsafeArchive:
        return True
    return False


def _load(
    folder: VerifiedFolder,
    facts: Mapping[str, Any],
    custom: Mapping[str, Any],
    options: dict[str, Any],
) -> Any:
    from headrace.models.flavors.keras_archive import UnsafeArchive, check_archive

    name = _file_of(folder, facts)
    keras = _keras(facts)
    options["safe_mode"] = True
    if name.endswith(".keras"):
        data = folder.read(name)
        try:
            check_archive(data, custom, is_compiled=bool(options.get("compile", True)))
        except UnsafeArchive as error:
            folder.require_trust(name, f"a Keras model that is not plain ({error})")
            options["safe_mode"] = False
    else:
        data = folder.code(name, "a Keras model in the older form (HDF5), which may hold code")
        options["safe_mode"] = False
    with tempfile.TemporaryDirectory(prefix="headrace-keras-") as private:
        # Keras opens files by itself: it gets the bytes that were checked, in a folder of ours.
        file = Path(private) / Path(name).name
        file.write_bytes(data)
        try:
            return keras.saving.load_model(str(file), custom_objects=dict(custom), **options)
        # Keras and its backends have errors of all kinds for what they cannot make.
        except Exception as error:
            raise InvalidRequest(
                f"'{name}' cannot be loaded by Keras {keras.__version__}: "
                f"{type(error).__name__}: {error} Classes and functions of your own are given as "
                "custom_objects={'Name': Name}, or registered before."
            ) from error


def _file_of(folder: VerifiedFolder, facts: Mapping[str, Any]) -> str:
    """The file that holds the model, by MLflow's rules. InvalidRequest for a SavedModel."""
    saved_model = "a SavedModel of TensorFlow, which TensorFlow alone can load"
    if facts.get("save_exported_model") or facts.get("saved_model_dir"):
        raise InvalidRequest(f"The model is {saved_model}: load it with mlflow and tensorflow.")
    data = str(facts.get("data") or DATA)
    for name in (f"{data}/{ARCHIVE}", f"{data}/{_H5_FILE}", f"{data}.keras", f"{data}.h5"):
        if folder.has(name):
            return name
    if folder.has(f"{data}/model/{_SAVED_MODEL}"):
        raise InvalidRequest(f"The model is {saved_model}: load it with mlflow and tensorflow.")
    raise InvalidModel(f"The model has no file '{data}/{ARCHIVE}'.")


class _KerasPredictor(Predictor):
    def __init__(self, model: Any) -> None:
        self._model = (
            _keras({}).saving.load_model(model) if isinstance(model, str | Path) else model
        )

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """See Predictor. Arrays, in the structure of what the model gives; a table for a table."""
        import numpy as np

        is_table = is_pandas_frame(data)
        given = data.to_numpy() if is_table else data
        if isinstance(given, list | tuple) and not any(hasattr(each, "shape") for each in given):
            given = np.asarray(given)
        try:
            found = self._model.predict(given, verbose=0, **(params or {}))
        # The backend's errors are of all kinds; their text says what does not fit.
        except Exception as error:
            raise InvalidRequest(
                f"The Keras model does not take this input: {type(error).__name__}: {error}"
            ) from error
        if is_table and getattr(found, "ndim", 0) in (1, 2):
            import pandas as pd

            return pd.DataFrame(found, index=data.index)
        return found
