"""The signature of a pipeline whose model was saved without an example, by its task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from headrace.models.signature import ModelSignature

_Columns = tuple[tuple[str | None, str], ...]
_TEXT: Final[_Columns] = ((None, "string"),)
_BINARY: Final[_Columns] = ((None, "binary"),)
_LABELLED: Final[_Columns] = (("label", "string"), ("score", "double"))
_COLUMNS: Final[dict[str, tuple[_Columns, _Columns]]] = {
    "token-classification": (_TEXT, _TEXT),
    "translation": (_TEXT, _TEXT),
    "text-generation": (_TEXT, _TEXT),
    "text2text-generation": (_TEXT, _TEXT),
    "fill-mask": (_TEXT, _TEXT),
    "summarization": (_TEXT, _TEXT),
    "text-classification": (_TEXT, _LABELLED),
    "image-classification": (_TEXT, _LABELLED),
    "zero-shot-classification": (
        (
            ("sequences", "string"),
            ("candidate_labels", "string"),
            ("hypothesis_template", "string"),
        ),
        (("sequence", "string"), ("labels", "string"), ("scores", "double")),
    ),
    "automatic-speech-recognition": (_BINARY, _TEXT),
    "audio-classification": (_BINARY, (("score", "double"), ("label", "string"))),
    "table-question-answering": ((("query", "string"), ("table", "string")), _TEXT),
    "question-answering": ((("question", "string"), ("context", "string")), _TEXT),
}


def default_signature(task: str) -> ModelSignature | None:
    """What MLflow writes for a pipeline of this task; None for one that it says nothing of."""
    import numpy as np

    from headrace.models.schema import ColSpec, Schema, TensorSpec
    from headrace.models.signature import ModelSignature

    if task == "feature-extraction":
        vector = TensorSpec(np.dtype("float64"), [-1], "double")
        return ModelSignature(Schema([ColSpec("string")]), Schema([vector]))
    known = _COLUMNS.get("translation" if task.startswith("translation_") else task)
    if known is None:
        return None
    inputs, outputs = ([ColSpec(kind, name) for name, kind in columns] for columns in known)
    return ModelSignature(Schema(inputs), Schema(outputs))
