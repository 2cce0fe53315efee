"""What a Keras model says of itself: the tensors that it takes and gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.models.signature import ModelSignature


def signature_of(model: Any) -> ModelSignature | None:
    """The signature of a built model; None of one that does not say what it takes.

    As MLflow's of the same model, where it has one input; several have their names. A model with
    several outputs says nothing of them.
    """
    from headrace.models.schema import Schema
    from headrace.models.signature import ModelSignature

    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs:
        return None
    names = [None] if len(inputs) == 1 else [each.name for each in inputs]
    takes = [_spec(each, name) for each, name in zip(inputs, names, strict=True)]
    gives = [_spec(each, None) for each in outputs or ()]
    return ModelSignature(Schema(takes), Schema(gives) if len(gives) == 1 else None)


def as_taken(model: Any, rows: Any) -> Any:
    """Rows of the training data in the type that the model takes them; None for several inputs."""
    import numpy as np

    if rows is None or len(model.inputs) != 1:
        return None
    if hasattr(rows, "detach"):
        rows = rows.detach().cpu()
    return np.asarray(rows, dtype=np.dtype(model.inputs[0].dtype))


def _spec(tensor: Any, name: str | None) -> Any:
    import numpy as np

    from headrace.models.schema import TensorSpec

    # A model that was built by its first batch has the size of that: any number of rows will do.
    sizes = [-1 if size is None else size for size in tensor.shape[1:]]
    return TensorSpec(np.dtype(tensor.dtype), [-1, *sizes], name)
