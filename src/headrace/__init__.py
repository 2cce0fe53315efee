"""Track machine-learning runs, register models, serve them: the front door.

`import headrace as mlflow` works for what is named here; each name is loaded when it is first
used, so the import itself costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace import artifacts, models, version

if TYPE_CHECKING:
    from headrace import (  # noqa: F401 - for readers of types; at run time see _DOORS
        config,
        data,
        entities,
        exceptions,
        pyfunc,
        system_metrics,
        tracking,
        utils,
    )
    from headrace.client.active import (
        ActiveRun,
        active_run,
        end_run,
        last_active_run,
        start_run,
    )
    from headrace.client.active_model import ActiveModel, clear_active_model, get_active_model_id
    from headrace.client.autolog.switch import autolog
    from headrace.client.client import Client
    from headrace.client.client import Client as MlflowClient
    from headrace.client.compare import RunComparison, compare_runs
    from headrace.client.doctor import doctor
    from headrace.client.experiment import (
        create_experiment,
        delete_experiment,
        delete_experiment_tag,
        get_experiment,
        get_experiment_by_name,
        restore_experiment,
        search_experiments,
        set_experiment,
        set_experiment_tag,
        set_experiment_tags,
    )
    from headrace.client.fluent import (
        delete_tag,
        flush,
        flush_artifact_async_logging,
        flush_async_logging,
        get_artifact_uri,
        load_table,
        log_artifact,
        log_artifacts,
        log_dict,
        log_figure,
        log_image,
        log_input,
        log_inputs,
        log_metric,
        log_metrics,
        log_outputs,
        log_param,
        log_params,
        log_stream,
        log_table,
        log_text,
        set_tag,
        set_tags,
    )
    from headrace.client.history import get_metric_history
    from headrace.client.images import Image
    from headrace.client.model_loading import load_model
    from headrace.client.model_logging import log_model, save_model
    from headrace.client.models import (
        create_external_model,
        delete_logged_model_tag,
        finalize_logged_model,
        get_logged_model,
        initialize_logged_model,
        last_logged_model,
        log_model_params,
        register_model,
        search_logged_models,
        search_model_versions,
        search_registered_models,
        set_active_model,
        set_logged_model_tags,
        set_model_version_tag,
    )
    from headrace.client.reading import (
        delete_run,
        get_parent_run,
        get_run,
        restore_run,
        search_runs,
    )
    from headrace.client.switches import set_capture
    from headrace.client.system_metrics import (
        disable_system_metrics_logging,
        enable_system_metrics_logging,
        set_system_metrics_node_id,
        set_system_metrics_samples_before_logging,
        set_system_metrics_sampling_interval,
    )
    from headrace.client.tracking import (
        get_registry_uri,
        get_tracking_uri,
        is_tracking_uri_set,
        set_registry_uri,
        set_tracking_uri,
    )
    from headrace.errors import HeadraceError
    from headrace.errors import HeadraceError as MlflowException
    from headrace.evaluation.evaluate import evaluate
    from headrace.evaluation.thresholds import validate_evaluation_results

__version__ = version.VERSION

__all__ = [
    "ActiveModel",
    "ActiveRun",
    "Client",
    "HeadraceError",
    "Image",
    "MlflowClient",
    "MlflowException",
    "RunComparison",
    "__version__",
    "active_run",
    "autolog",
    "clear_active_model",
    "compare_runs",
    "create_experiment",
    "create_external_model",
    "delete_experiment",
    "delete_experiment_tag",
    "delete_logged_model_tag",
    "delete_run",
    "delete_tag",
    "disable_system_metrics_logging",
    "doctor",
    "enable_system_metrics_logging",
    "end_run",
    "evaluate",
    "finalize_logged_model",
    "flush",
    "flush_artifact_async_logging",
    "flush_async_logging",
    "get_active_model_id",
    "get_artifact_uri",
    "get_experiment",
    "get_experiment_by_name",
    "get_logged_model",
    "get_metric_history",
    "get_parent_run",
    "get_registry_uri",
    "get_run",
    "get_tracking_uri",
    "initialize_logged_model",
    "is_tracking_uri_set",
    "last_active_run",
    "last_logged_model",
    "load_model",
    "load_table",
    "log_artifact",
    "log_artifacts",
    "log_dict",
    "log_figure",
    "log_image",
    "log_input",
    "log_inputs",
    "log_metric",
    "log_metrics",
    "log_model",
    "log_model_params",
    "log_outputs",
    "log_param",
    "log_params",
    "log_stream",
    "log_table",
    "log_text",
    "register_model",
    "restore_experiment",
    "restore_run",
    "save_model",
    "search_experiments",
    "search_logged_models",
    "search_model_versions",
    "search_registered_models",
    "search_runs",
    "set_active_model",
    "set_capture",
    "set_experiment",
    "set_experiment_tag",
    "set_experiment_tags",
    "set_logged_model_tags",
    "set_model_version_tag",
    "set_registry_uri",
    "set_system_metrics_node_id",
    "set_system_metrics_samples_before_logging",
    "set_system_metrics_sampling_interval",
    "set_tag",
    "set_tags",
    "set_tracking_uri",
    "start_run",
    "validate_evaluation_results",
]

# Where each name lives; what a name is called there, if not the same.
_HOMES = {
    "headrace.client.active": (
        *("ActiveRun", "active_run", "end_run", "last_active_run", "start_run"),
    ),
    "headrace.client.active_model": (
        *("ActiveModel", "clear_active_model", "get_active_model_id"),
    ),
    "headrace.client.autolog.switch": ("autolog",),
    "headrace.client.client": ("Client", "MlflowClient"),
    "headrace.client.compare": ("RunComparison", "compare_runs"),
    "headrace.client.doctor": ("doctor",),
    "headrace.client.experiment": (
        *("create_experiment", "delete_experiment", "delete_experiment_tag", "get_experiment"),
        *("get_experiment_by_name", "restore_experiment", "search_experiments", "set_experiment"),
        *("set_experiment_tag", "set_experiment_tags"),
    ),
    "headrace.client.fluent": (
        *("delete_tag", "flush", "flush_artifact_async_logging", "flush_async_logging"),
        *("get_artifact_uri", "load_table", "log_artifact", "log_artifacts", "log_dict"),
        *("log_figure", "log_image", "log_input", "log_inputs", "log_metric", "log_metrics"),
        *("log_outputs", "log_param", "log_params", "log_stream", "log_table", "log_text"),
        *("set_tag", "set_tags"),
    ),
    "headrace.client.history": ("get_metric_history",),
    "headrace.client.images": ("Image",),
    "headrace.client.model_loading": ("load_model",),
    "headrace.client.model_logging": ("log_model", "save_model"),
    "headrace.client.models": (
        *("create_external_model", "delete_logged_model_tag", "finalize_logged_model"),
        *("get_logged_model", "initialize_logged_model", "last_logged_model", "log_model_params"),
        *("register_model", "search_logged_models", "search_model_versions"),
        *("search_registered_models", "set_active_model", "set_logged_model_tags"),
        *("set_model_version_tag",),
    ),
    "headrace.client.reading": (
        *("delete_run", "get_parent_run", "get_run", "restore_run", "search_runs"),
    ),
    "headrace.client.switches": ("set_capture",),
    "headrace.client.system_metrics": (
        *("disable_system_metrics_logging", "enable_system_metrics_logging"),
        *("set_system_metrics_node_id", "set_system_metrics_samples_before_logging"),
        *("set_system_metrics_sampling_interval",),
    ),
    "headrace.client.tracking": (
        *("get_registry_uri", "get_tracking_uri", "is_tracking_uri_set", "set_registry_uri"),
        *("set_tracking_uri",),
    ),
    "headrace.errors": ("HeadraceError", "MlflowException"),
    "headrace.evaluation.evaluate": ("evaluate",),
    "headrace.evaluation.thresholds": ("validate_evaluation_results",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
_OTHER_NAMES = {"MlflowClient": "Client", "MlflowException": "HeadraceError"}
# Modules that are found as attributes too, as MLflow's are: headrace.sklearn.autolog().
_DOORS = (
    *("catboost", "config", "data", "entities", "exceptions", "keras", "lightgbm", "lightning"),
    *("onnx", "onnxruntime_genai", "pyfunc", "pytorch", "sentence_transformers", "sklearn"),
    *("statsmodels", "system_metrics", "tensorflow", "tracking", "transformers", "types", "utils"),
    "xgboost",
)
# Names that are looked for in a module which stands below what they need: the front door adds them.
_ABOVE = {
    artifacts: dict.fromkeys(
        ("download_artifacts", "list_artifacts", "load_dict", "load_image", "load_text"),
        "headrace.client.artifacts",
    ),
    models: {
        "build_docker": "headrace.deploy.docker",
        "get_model_info": "headrace.client.model_loading",
        "load_serving_example": "headrace.predicting",
        "local_model": "headrace.client.model_loading",
        "predict": "headrace.predicting",
        "validate_serving_input": "headrace.predicting",
        "infer_pip_requirements": "headrace.client.model_requirements",
        "set_signature": "headrace.client.model_changes",
        "update_model_requirements": "headrace.client.model_requirements",
        "EvaluationArtifact": "headrace.evaluation.artifact",
        "EvaluationMetric": "headrace.evaluation.extra_metrics",
        "EvaluationResult": "headrace.evaluation.result",
        "MetricThreshold": "headrace.evaluation.thresholds",
        "evaluate": "headrace.evaluation.evaluate",
        "list_evaluators": "headrace.evaluation.options",
        "make_metric": "headrace.evaluation.extra_metrics",
    },
}


def _add_names(module: Any, homes: dict[str, str]) -> None:
    own = vars(module).get("__getattr__")

    def find(name: str) -> Any:
        import importlib

        if name in homes:
            return getattr(importlib.import_module(homes[name]), name)
        if own is not None:
            return own(name)
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    vars(module)["__getattr__"] = find


for _module, _homes in _ABOVE.items():
    _add_names(_module, _homes)


def _missing(name: str) -> AttributeError:
    from headrace.client.later import TO_COME, message

    said = message(name) if name in TO_COME else f"module 'headrace' has no attribute {name!r}"
    return AttributeError(said)


def __getattr__(name: str) -> Any:
    import importlib

    if name in _DOORS:
        return importlib.import_module(f"headrace.{name}")
    home = _HOME.get(name)
    if home is None:
        raise _missing(name)
    value = getattr(importlib.import_module(home), _OTHER_NAMES.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_DOORS})
