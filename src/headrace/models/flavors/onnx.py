"""ONNX models: graphs of operators, which run nothing on load; ONNX Runtime predicts with them.

A model is data as long as it, and how it is to be run, name no code and no files but its own:
`onnx_checks` and `onnx_session` see to that.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest
from headrace.models.flavor import Flavor, Predictor, Saved, Target, comes_from, require

if TYPE_CHECKING:
    from headrace.models.trust import VerifiedFolder

MODEL_FILE: Final = "model.onnx"
EXTERNAL_FILE: Final = "model.onnx.data"
DEFAULT_PROVIDERS: Final = ("CUDAExecutionProvider", "CPUExecutionProvider")


class OnnxFlavor(Flavor):
    """See the module."""

    name = "onnx"
    loader_module = "mlflow.onnx"
    package = "onnx"
    install = "onnx onnxruntime"

    def handles(self, model: Any) -> bool:
        """See Flavor."""
        return comes_from(model, "onnx") and type(model).__name__ == "ModelProto"

    def save(
        self,
        model: Any,
        target: Target,
        *,
        onnx_execution_providers: list[Any] | None = None,
        onnx_session_options: dict[str, Any] | None = None,
        save_as_external_data: bool = True,
    ) -> Saved:
        """See Flavor. `model` is a ModelProto, or the path of an `.onnx` file.

        A file is taken as it is, with the files of weights beside it that it names.
        """
        import onnx

        from headrace.models.flavors.onnx_session import check_options

        providers = list(onnx_execution_providers or DEFAULT_PROVIDERS)
        check_options(providers, onnx_session_options)
        if isinstance(model, str | Path):
            _take(Path(model).expanduser(), target)
        else:
            _check_kind(model)
            _write(model, target, external=save_as_external_data)
        _check(target.folder / MODEL_FILE)
        facts = {
            "onnx_version": onnx.__version__,
            "data": MODEL_FILE,
            "providers": [list(each) if isinstance(each, tuple) else each for each in providers],
            "onnx_session_options": onnx_session_options,
        }
        return Saved(facts, {"data": MODEL_FILE}, packages=("onnx", "onnxruntime"))

    def load(self, folder: VerifiedFolder, facts: Mapping[str, Any]) -> Any:
        """See Flavor. A ModelProto; for `pyfunc`, the session that predicts, so that weights are
        in memory once.
        """
        from headrace.models.flavors.onnx_checks import checked_model

        model, files = checked_model(folder, str(facts.get("data") or MODEL_FILE))
        if "loader_module" in facts:  # the entry of `python_function` is there as well
            from headrace.models.flavors.onnx_session import session_for

            return session_for(model, files, facts, folder)
        if files:
            from onnx.external_data_helper import load_external_data_for_model

            load_external_data_for_model(model, str(files[0].base))
        return model

    def predictor(
        self, native: Any, facts: Mapping[str, Any], config: Mapping[str, Any]
    ) -> Predictor:
        """See Flavor."""
        from headrace.models.flavors.onnx_session import OnnxPredictor, open_session

        require("onnxruntime", "onnxruntime", "Predicting with an ONNX model")
        if isinstance(native, str | Path):
            return OnnxPredictor(open_session(str(native), facts))
        if comes_from(native, "onnxruntime"):
            return OnnxPredictor(native)
        return OnnxPredictor(open_session(native.SerializeToString(), facts))


def _check_kind(model: Any) -> None:
    import onnx

    if not isinstance(model, onnx.ModelProto):
        raise InvalidRequest(
            f"An ONNX model is an onnx.ModelProto or the path of an .onnx file; this is a "
            f"{type(model).__qualname__}. A model of another library is converted first, by "
            "skl2onnx or torch.onnx for example."
        )


def _write(model: Any, target: Target, *, external: bool) -> None:
    """Write a model from memory. ONNX moves the weights out of the object: they are put back."""
    import onnx
    from onnx.external_data_helper import load_external_data_for_model

    from headrace.models.flavors.onnx_checks import tensors_of

    file = target.folder / MODEL_FILE
    if not external:
        onnx.save_model(model, file)
        return
    try:
        onnx.save_model(model, file, save_as_external_data=True, location=EXTERNAL_FILE)
    finally:
        if (target.folder / EXTERNAL_FILE).exists():
            load_external_data_for_model(model, str(target.folder))
            for tensor in tensors_of(model):
                if tensor.data_location == onnx.TensorProto.DEFAULT:
                    tensor.ClearField("data_location")


def _take(source: Path, target: Target) -> None:
    import onnx

    from headrace.models.flavors.onnx_checks import external_files

    if not source.is_file():
        raise InvalidRequest(f"There is no ONNX file '{source}'.")
    try:
        model = onnx.load(str(source), load_external_data=False)
    # protobuf's own error for bytes that are none; its class moves between releases.
    except Exception as error:
        raise InvalidRequest(f"'{source}' is no ONNX model: {error}") from error
    target.take(source, MODEL_FILE)
    for name in external_files(model):
        target.take(source.parent / name, name)


def _check(file: Path) -> None:
    import onnx

    try:
        onnx.checker.check_model(str(file.resolve()))
    except onnx.checker.ValidationError as error:
        raise InvalidRequest(f"This is no valid ONNX model: {error}") from error
