"""Models of Hugging Face's transformers: pipelines, components, and checkpoints as folders."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest
from headrace.models.flavor import Flavor, Predictor, Saved, Target, comes_from
from headrace.models.flavors.openai_requests import EMBEDDINGS, TASKS
from headrace.models.flavors.openai_signatures import check_no_other_signature, signature_of_task
from headrace.models.flavors.transformers_files import offline
from headrace.models.flavors.transformers_loading import dtype_named, load_components
from headrace.models.flavors.transformers_predicting import (
    AnswersPredictor,
    EmbeddingsPredictor,
    PipelinePredictor,
)
from headrace.models.flavors.transformers_saving import (
    Options,
    as_pipeline,
    check_task,
    check_template,
    write_checkpoint,
    write_pipeline,
)
from headrace.models.flavors.transformers_signatures import default_signature

if TYPE_CHECKING:
    from headrace.models.trust import VerifiedFolder

_WITHOUT_PREDICT: Final = (
    *("DocumentQuestionAnsweringPipeline", "ImageToTextPipeline", "VideoClassificationPipeline"),
    *("VisualQuestionAnsweringPipeline", "ImageSegmentationPipeline", "DepthEstimationPipeline"),
    *("ObjectDetectionPipeline", "ZeroShotImageClassificationPipeline"),
    *("ZeroShotObjectDetectionPipeline", "ZeroShotAudioClassificationPipeline"),
)


class TransformersFlavor(Flavor):
    """See the module."""

    name = "transformers"
    loader_module = "mlflow.transformers"
    package = "transformers"
    install = "transformers torch"

    def handles(self, model: Any) -> bool:
        """See Flavor. A pipeline, or a dictionary of components with a 'model'."""
        if isinstance(model, dict):
            inner = model.get("model")
            return comes_from(inner, "transformers") or comes_from(inner, "peft")
        return comes_from(model, "transformers") and any(
            kind.__name__ == "Pipeline" for kind in type(model).__mro__
        )

    def save(  # noqa: PLR0913 - the options are MLflow's
        self,
        model: Any,
        target: Target,
        *,
        processor: Any = None,
        task: str | None = None,
        torch_dtype: Any = None,
        model_card: Any = None,
        prompt_template: str | None = None,
        save_pretrained: bool = True,
        base_model_path: str | None = None,
    ) -> Saved:
        """See Flavor. The options are MLflow's."""
        options = Options(
            processor, task, torch_dtype, model_card, save_pretrained, base_model_path
        )
        if task in TASKS:
            check_no_other_signature(task, target.signature)
        is_folder = isinstance(model, str | os.PathLike)
        pipeline: Any = None
        if is_folder:
            written = write_checkpoint(os.fspath(model), target, options)
        else:
            pipeline = as_pipeline(model, task)
            if not self.handles(pipeline):
                raise InvalidRequest(
                    "A model of transformers is saved as a pipeline, a dictionary of its "
                    "components ('model', 'tokenizer' …) or the path of a checkpoint's folder, "
                    f"not as a {type(model).__name__}."
                )
            with offline():
                written = write_pipeline(pipeline, target, options)
        check_task(task, written.task)
        check_template(prompt_template, written.task)
        metadata: dict[str, Any] = {}
        if prompt_template is not None:
            metadata["prompt_template"] = prompt_template
        if task in TASKS:
            written.facts["inference_task"] = metadata["task"] = task
        can_predict = processor is None and written.facts["instance_type"] not in _WITHOUT_PREDICT
        return Saved(
            {**written.facts, **_version()},
            _pyfunc(target, written.task, prompt_template) if can_predict else None,
            packages=written.packages,
            modules=written.modules,
            pickled=written.pickled,
            metadata=metadata,
            signature=_signature(task, written.task, target, is_folder) if can_predict else None,
        )

    def load(
        self,
        folder: VerifiedFolder,
        facts: Mapping[str, Any],
        *,
        return_type: str = "pipeline",
        device: Any = None,
        base_model_path: str | None = None,
        torch_dtype: Any = None,
        dtype: Any = None,
        **options: Any,
    ) -> Any:
        """See Flavor. `return_type` is "pipeline" or "components"; other options are for the
        pipeline.
        """
        if return_type not in ("pipeline", "components"):
            raise InvalidRequest(
                f"'return_type' is {return_type!r}; expected 'pipeline' or 'components'."
            )
        if return_type == "pipeline" and facts.get("processor_type"):
            raise InvalidRequest(
                "This model was saved with a processor, which pipelines do not take; load it with "
                "return_type='components'."
            )
        wanted = dtype or torch_dtype or facts.get("torch_dtype")
        chosen = None if wanted is None else dtype_named(wanted)
        base = _base_folder(folder, facts, base_model_path)
        components = load_components(folder, facts, chosen, base)
        place = _default_device() if device is None else device
        if return_type == "components":
            if place is not None:
                components["model"].to(place)
            return {"task": facts.get("task"), **components}
        return _pipeline(str(facts.get("task")), components, place, options)

    def predictor(
        self, native: Any, facts: Mapping[str, Any], config: Mapping[str, Any]
    ) -> Predictor:
        """See Flavor."""
        from headrace.models.flavors.transformers_generation import PipelineEngine

        task = facts.get("inference_task")
        pipeline = as_pipeline(native, facts.get("task"))
        if task == EMBEDDINGS:
            return EmbeddingsPredictor(pipeline, config)
        if task is not None:
            name = str(facts.get("source_model_name", ""))
            return AnswersPredictor(PipelineEngine(pipeline, config, name), str(task))
        metadata = facts.get("metadata") or {}
        template = metadata.get("prompt_template")
        return PipelinePredictor(
            pipeline, str(pipeline.task), config, None if template is None else str(template)
        )


def _version() -> dict[str, str]:
    import transformers

    return {"transformers_version": transformers.__version__}


def _pyfunc(target: Target, task: str, template: str | None) -> dict[str, Any]:
    if template is None or task != "text-generation":
        return {}
    # The prompt that the template makes is none of the user's, so it isn't given back.
    return {"config": {"return_full_text": False, **target.model_config}}


def _signature(task: str | None, pipeline_task: str, target: Target, is_folder: bool) -> Any:
    if task in TASKS:
        return signature_of_task(str(task))
    if target.example is not None and not is_folder:
        return None  # the example shows it
    return default_signature(pipeline_task)


def _base_folder(
    folder: VerifiedFolder, facts: Mapping[str, Any], given: str | None
) -> VerifiedFolder | None:
    """The folder of the model that an adapter is for, where that is another one."""
    from headrace.models.trust import open_folder

    named = facts.get("local_base_model_path")
    if named is None:
        if given is not None:
            raise InvalidRequest("'base_model_path' is for models that were saved with one.")
        return None
    place = Path(str(given or named)).expanduser()
    if not (place / "config.json").is_file():
        raise InvalidRequest(
            f"The model is an adapter for the one at '{place}', which is not there; say where it "
            "lies, with base_model_path=."
        )
    if given is None:
        folder.require_trust("MLmodel", f"naming another model, at '{place}', to be loaded")
    # Who signed the adapter has not signed the other model; the caller's word goes for both.
    return open_folder(place, trust=folder.is_vouched_for)


def _default_device() -> Any:
    import torch

    return 0 if torch.cuda.is_available() else None


def _pipeline(
    task: str, components: Mapping[str, Any], device: Any, options: Mapping[str, Any]
) -> Any:
    import transformers

    try:
        with offline():
            return transformers.pipeline(
                task=task,
                device=device,
                trust_remote_code=False,
                dtype=components["model"].dtype,
                **components,
                **options,
            )
    except KeyError as error:
        raise InvalidRequest(
            f"The transformers installed here ({transformers.__version__}) make no pipeline for "
            f"the task '{task}'; load the model with return_type='components', or install the "
            f"version that it was saved with: {error}"
        ) from error
