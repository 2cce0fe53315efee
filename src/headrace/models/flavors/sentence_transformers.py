"""Models of sentence-transformers: texts in, vectors out."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import HeadraceError, InvalidModel, InvalidRequest
from headrace.models.flavor import Flavor, Predictor, Saved, Target, comes_from
from headrace.models.flavors.openai_answers import embeddings_answer
from headrace.models.flavors.openai_requests import EMBEDDINGS, rows_of, texts_of
from headrace.models.flavors.openai_signatures import check_no_other_signature, signature_of_task
from headrace.models.flavors.sentence_transformers_files import MODULES, why_code
from headrace.models.flavors.transformers_files import offline, reviewed

if TYPE_CHECKING:
    from headrace.models.signature import ModelSignature
    from headrace.models.trust import VerifiedFolder

DATA: Final = "model.sentence_transformer"
_INFERENCE_CONFIG: Final = "inference_config"
_FOR_MODEL: Final = "task"


class SentenceTransformersFlavor(Flavor):
    """See the module."""

    name = "sentence_transformers"
    loader_module = "mlflow.sentence_transformers"
    package = "sentence_transformers"
    install = "sentence-transformers"

    def handles(self, model: Any) -> bool:
        """See Flavor. A `SentenceTransformer`."""
        kinds = type(model).__mro__
        return comes_from(model, "sentence_transformers") and any(
            kind.__name__ == "SentenceTransformer" for kind in kinds
        )

    def save(
        self,
        model: Any,
        target: Target,
        *,
        task: str | None = None,
        inference_config: dict[str, Any] | None = None,
    ) -> Saved:
        """See Flavor. A folder with a `modules.json` is taken as it is."""
        if task not in (None, EMBEDDINGS):
            raise InvalidRequest(f"'task' is {task!r}; expected '{EMBEDDINGS}' or None.")
        if task is not None:
            check_no_other_signature(task, target.signature)
        is_folder = isinstance(model, str | os.PathLike)
        if is_folder:
            facts = _take(Path(os.fspath(model)), target)
        elif self.handles(model):
            facts = _write(model, target)
        else:
            raise InvalidRequest(
                "A model of sentence-transformers is a SentenceTransformer, or the folder that "
                f"one was saved to; not a {type(model).__name__}."
            )
        if inference_config:
            text = json.dumps(inference_config)
            (target.folder / _INFERENCE_CONFIG).write_text(text, encoding="utf-8")
        config = {
            **target.model_config,
            **(inference_config or {}),
            **({_FOR_MODEL: task} if task else {}),
        }
        shows = target.example is not None and not is_folder
        signature = signature_of_task(task) if task else None if shows else _default()
        return Saved(
            {**facts, "sentence_transformers_version": _version()},
            {"data": DATA, **({"config": config} if config else {})},
            packages=("sentence-transformers", "transformers", "torch"),
            modules=frozenset() if is_folder else _modules(model),
            metadata={"task": task} if task else {},
            signature=signature,
        )

    def load(self, folder: VerifiedFolder, facts: Mapping[str, Any], *, device: Any = None) -> Any:
        """See Flavor."""
        from sentence_transformers import SentenceTransformer

        name = str(facts.get("data", DATA))
        code = why_code(folder, name)
        with offline():
            if code is not None:
                folder.require_trust(*code)
                place = folder.code_path(name, code[1], lasting=True)
                return SentenceTransformer(
                    str(place), device=device, local_files_only=True, trust_remote_code=True
                )
            try:
                with reviewed(folder, name) as view:
                    loaded = SentenceTransformer(
                        str(view), device=device, local_files_only=True, trust_remote_code=False
                    )
            except HeadraceError:
                raise
            # Files that are damaged, and settings that no class takes: errors of all kinds.
            except Exception as error:
                raise InvalidModel(
                    f"The model in '{name}' cannot be loaded: {type(error).__name__}: {error}"
                ) from error
        for module in loaded.modules():
            config: Any = getattr(module, "config", None)
            if hasattr(config, "_name_or_path"):
                config._name_or_path = str(folder.path / name)
        return loaded

    def predictor(
        self, native: Any, facts: Mapping[str, Any], config: Mapping[str, Any]
    ) -> Predictor:
        """See Flavor."""
        options = {key: value for key, value in config.items() if key != _FOR_MODEL}
        return _SentencePredictor(native, config.get(_FOR_MODEL) == EMBEDDINGS, options)


class _SentencePredictor(Predictor):
    def __init__(self, model: Any, is_task: bool, options: Mapping[str, Any]) -> None:
        self._model = model
        self._is_task = is_task
        self._options = dict(options)

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """See Predictor."""
        if not self._is_task:
            return self._encode(_sentences(data), params)
        texts = [text for row in rows_of(data, "input") for text in texts_of(row)]
        tokens = sum(len(self._model.tokenizer(text)["input_ids"]) for text in texts)
        return embeddings_answer(self._encode(texts, params), tokens)

    def _encode(self, texts: Any, params: Mapping[str, Any] | None) -> Any:
        options = {"show_progress_bar": False, **self._options, **(params or {})}
        try:
            return self._model.encode(texts, **options)
        except TypeError as error:
            raise InvalidRequest(f"The model does not take these params: {error}") from error


def _sentences(data: Any) -> Any:
    """A text or a list of texts: the first column of a table."""
    if hasattr(data, "columns"):
        texts = data.iloc[:, 0].tolist()
        return texts[0] if texts and isinstance(texts[0], list) else texts
    return data.tolist() if hasattr(data, "tolist") else data


def _write(model: Any, target: Target) -> dict[str, Any]:
    with offline():
        model.save(str(target.folder / DATA), create_model_card=False, safe_serialization=True)
    for module in model.modules():
        inner = getattr(module, "auto_model", None)
        if inner is not None:
            return {
                "source_model_name": inner.name_or_path,
                "pipeline_model_type": type(inner).__name__,
            }
    return {}


def _take(source: Path, target: Target) -> dict[str, Any]:
    if not (source / MODULES).is_file():
        raise InvalidRequest(
            f"'{source}' is no folder of a model of sentence-transformers: it has no {MODULES}."
        )
    target.take(source, DATA)
    for config in (source / "config.json", source / "0_Transformer" / "config.json"):
        if config.is_file():
            kinds = json.loads(config.read_text(encoding="utf-8")).get("architectures") or []
            more = {"pipeline_model_type": str(kinds[0])} if kinds else {}
            return {"source_model_name": str(source), **more}
    return {}


def _modules(model: Any) -> frozenset[str]:
    found = {type(each).__module__ for each in model.children()}
    return frozenset(name for name in found if not name.startswith("transformers_modules"))


def _version() -> str:
    import sentence_transformers

    return str(sentence_transformers.__version__)


def _default() -> ModelSignature:
    import numpy as np

    from headrace.models.schema import ColSpec, Schema, TensorSpec
    from headrace.models.signature import ModelSignature

    vector = TensorSpec(np.dtype("float64"), [-1])
    return ModelSignature(Schema([ColSpec("string")]), Schema([vector]))
