"""ONNX Runtime: sessions with the providers and options that a model asks for, and predictions."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest
from headrace.models.data_kinds import is_pandas_frame
from headrace.models.flavor import Predictor, require
from headrace.models.flavors.onnx_checks import ExternalFile

if TYPE_CHECKING:
    from headrace.models.trust import VerifiedFolder

_log: Final = logging.getLogger("headrace")
_CPU: Final = "CPUExecutionProvider"
_MODES: Final = {"SEQUENTIAL": "ORT_SEQUENTIAL", "PARALLEL": "ORT_PARALLEL"}
_LEVELS: Final = (0, 1, 2, 3, 99)
_OPTIONS: Final = frozenset(
    {
        *("inter_op_num_threads", "intra_op_num_threads", "execution_mode"),
        *("graph_optimization_level", "extra_session_config"),
    }
)
_PLAIN_PROVIDERS: Final = frozenset(
    {
        *(_CPU, "CUDAExecutionProvider", "ROCMExecutionProvider", "CoreMLExecutionProvider"),
        *("DmlExecutionProvider", "XnnpackExecutionProvider"),
    }
)
_PLAIN_PROVIDER_OPTIONS: Final = frozenset(
    {
        *("arena_extend_strategy", "cudnn_conv_algo_search", "cudnn_conv_use_max_workspace"),
        *("device_id", "do_copy_in_default_stream", "enable_cuda_graph", "gpu_mem_limit"),
        *("prefer_nhwc", "use_arena", "use_tf32", "intra_op_num_threads"),
    }
)
_PLAIN_CONFIG: Final = frozenset(
    {
        *("session.disable_prepacking", "session.dynamic_block_base"),
        *("session.force_spinning_stop", "session.inter_op.allow_spinning"),
        *("session.intra_op.allow_spinning", "session.set_denormal_as_zero"),
        *("session.intra_op_thread_affinities", "session.use_env_allocators"),
        "session.use_device_allocator_for_initializers",
    }
)
"""What changes speed and memory alone. Others name libraries or files, or may with a release."""
_WEIGHTS_FOLDER: Final = "session.model_external_initializers_file_folder_path"


def check_options(providers: Sequence[Any], options: Mapping[str, Any] | None) -> None:
    """Raise InvalidRequest unless these can be a session's providers and options."""
    for provider in providers:
        _named(provider)
    if options is None:
        return
    if not isinstance(options, Mapping):
        raise InvalidRequest("'onnx_session_options' is no dictionary.")
    unknown = sorted(set(map(str, options)) - _OPTIONS)
    if unknown:
        raise InvalidRequest(
            f"'onnx_session_options' has the key '{unknown[0]}'; known are: "
            f"{', '.join(sorted(_OPTIONS))}."
        )
    for name in ("inter_op_num_threads", "intra_op_num_threads"):
        if not isinstance(options.get(name, 0), int):
            raise InvalidRequest(f"'{name}' is {options[name]!r}; expected a whole number.")
    mode = options.get("execution_mode") or "SEQUENTIAL"
    if str(mode).upper() not in _MODES:
        raise InvalidRequest(f"'execution_mode' is {mode!r}; expected 'sequential' or 'parallel'.")
    level = options.get("graph_optimization_level") or 0
    if level not in _LEVELS:
        raise InvalidRequest(f"'graph_optimization_level' is {level!r}; expected one of {_LEVELS}.")
    if not isinstance(options.get("extra_session_config") or {}, Mapping):
        raise InvalidRequest("'extra_session_config' is no dictionary.")


def session_for(
    model: Any, files: Sequence[ExternalFile], facts: Mapping[str, Any], folder: VerifiedFolder
) -> Any:
    """A session of a model that was checked, as its entry in the `MLmodel` asks for.

    Raises NotTrusted where that names more than what changes speed and memory: a provider or an
    option can open a library. InvalidRequest where ONNX Runtime is missing or takes the model not.
    """
    require("onnxruntime", "onnxruntime", "Predicting with an ONNX model")
    _check_plain(_providers(facts), facts.get("onnx_session_options"), folder)
    base = str(files[0].base) if files else None
    return open_session(model.SerializeToString(), facts, base)


def open_session(model: bytes | str, facts: Mapping[str, Any], weights: str | None = None) -> Any:
    """A session of a model that is trusted or was checked: its bytes, or where it lies.

    `weights` is the folder that its external weights are in. Providers that this ONNX Runtime has
    not are left out, with a warning; the CPU is always there. Raises InvalidRequest.
    """
    import onnxruntime

    wanted, options = _providers(facts), facts.get("onnx_session_options")
    check_options(wanted, options)
    settings = _settings(options or {})
    if weights is not None:
        settings.add_session_config_entry(_WEIGHTS_FOLDER, weights)
    available = set(onnxruntime.get_available_providers())
    usable = [each for each in wanted if _named(each)[0] in available]
    missing = {_named(each)[0] for each in wanted} - available - {"CUDAExecutionProvider"}
    if missing:
        _log.warning("This ONNX Runtime has no %s; it uses others.", ", ".join(sorted(missing)))
    try:
        return onnxruntime.InferenceSession(
            model, sess_options=settings, providers=usable or [_CPU]
        )
    # Its errors are of a dozen classes without a common one; the text says what is wrong.
    except Exception as error:
        raise InvalidRequest(
            f"ONNX Runtime {onnxruntime.__version__} cannot open the model: {error}"
        ) from error


def _providers(facts: Mapping[str, Any]) -> list[Any]:
    given = facts.get("providers") or ["CUDAExecutionProvider", _CPU]
    listed = [given] if isinstance(given, str) else given
    if not isinstance(listed, list):
        raise InvalidRequest(f"'providers' is {given!r}; expected a list of names.")
    return [tuple(each) if isinstance(each, list) else each for each in listed]


def _named(provider: Any) -> tuple[str, Mapping[str, Any]]:
    """A provider's name and options. InvalidRequest for what is neither."""
    if isinstance(provider, str):
        return provider, {}
    if isinstance(provider, list | tuple) and len(provider) == 2:
        name, options = provider
        if isinstance(name, str) and isinstance(options, Mapping):
            return name, options
    raise InvalidRequest(
        f"{provider!r} is no execution provider; expected a name, or a name and its options."
    )


def _check_plain(providers: Sequence[Any], options: Any, folder: VerifiedFolder) -> None:
    for provider in providers:
        name, given = _named(provider)
        special = name not in _PLAIN_PROVIDERS or not set(given) <= _PLAIN_PROVIDER_OPTIONS
        if special and name not in _PLAIN_PROVIDERS and not given and not _has(name):
            continue  # it is left out anyway
        if special:
            folder.require_trust(f"the provider {provider!r}", "able to open libraries and files")
    check_options(providers, options)
    for key in (options or {}).get("extra_session_config") or {}:
        if key not in _PLAIN_CONFIG:
            folder.require_trust(f"the session option '{key}'", "able to name libraries and files")


def _has(provider: str) -> bool:
    import onnxruntime

    return provider in onnxruntime.get_available_providers()


def _settings(options: Mapping[str, Any]) -> Any:
    import onnxruntime

    made = onnxruntime.SessionOptions()
    for name in ("inter_op_num_threads", "intra_op_num_threads"):
        if options.get(name):
            setattr(made, name, options[name])
    if mode := options.get("execution_mode"):
        made.execution_mode = getattr(onnxruntime.ExecutionMode, _MODES[str(mode).upper()])
    if level := options.get("graph_optimization_level"):
        made.graph_optimization_level = onnxruntime.GraphOptimizationLevel(level)
    for key, value in (options.get("extra_session_config") or {}).items():
        made.add_session_config_entry(str(key), str(value))
    return made


class OnnxPredictor(Predictor):
    """Runs a session: arrays by the names of the model's inputs in, by those of outputs out."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._inputs = {each.name: each.type for each in session.get_inputs()}
        self._outputs = [each.name for each in session.get_outputs()]

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """See Predictor. A dictionary of outputs; for a table one with a column each, as MLflow
        makes it: flat, or a list in each row where outputs are of different lengths.
        """
        import numpy as np

        feeds = {name: self._typed(name, value) for name, value in self._feeds(data).items()}
        try:
            found = self._session.run(self._outputs, feeds)
        # As above: a dozen classes, and the text names the input that does not fit.
        except Exception as error:
            raise InvalidRequest(f"The ONNX model does not take this input: {error}") from error
        results = dict(zip(self._outputs, found, strict=True))
        if not is_pandas_frame(data):
            return results
        import pandas as pd

        arrays = {name: np.asarray(each) for name, each in results.items()}
        if len({array.size for array in arrays.values()}) == 1:
            return pd.DataFrame({name: array.reshape(-1) for name, array in arrays.items()})
        if {array.shape[:1] for array in arrays.values()} == {(len(data),)}:
            return pd.DataFrame({name: list(array) for name, array in arrays.items()}, data.index)
        return results

    def _feeds(self, data: Any) -> dict[str, Any]:
        import numpy as np

        if isinstance(data, Mapping):
            unknown = sorted(set(map(str, data)) - set(self._inputs))
            if unknown:
                raise InvalidRequest(
                    f"The ONNX model has no input '{unknown[0]}', but: {', '.join(self._inputs)}."
                )
            return dict(data)
        if len(self._inputs) == 1:
            values = data.to_numpy() if is_pandas_frame(data) else np.asarray(data)
            return {next(iter(self._inputs)): values}
        if not is_pandas_frame(data):
            raise InvalidRequest(
                f"The ONNX model has {len(self._inputs)} inputs; give a dictionary or a table "
                f"with: {', '.join(self._inputs)}."
            )
        missing = [name for name in self._inputs if name not in data.columns]
        if missing:
            raise InvalidRequest(f"The table has no column '{missing[0]}', an input of the model.")
        return {name: data[name].to_numpy() for name in self._inputs}

    def _typed(self, name: str, value: Any) -> Any:
        """Decimal numbers in the precision that the input has."""
        import numpy as np

        array = np.asarray(value)
        wanted = _DECIMALS.get(self._inputs.get(name, ""))
        if wanted and (np.issubdtype(array.dtype, np.floating) or array.dtype == object):
            return array.astype(wanted)
        return array


_DECIMALS: Final = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
}
