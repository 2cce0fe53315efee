"""The signature that an input example shows: what goes in, and what the model makes of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from headrace.models.examples import split_params
from headrace.models.flavor import Predictor

if TYPE_CHECKING:
    from headrace.models.signature import ModelSignature

_log: Final = logging.getLogger("headrace")


def signature_by_example(
    example: Any, predictor_for: Callable[[], Predictor] | None
) -> ModelSignature | None:
    """The signature of `example` and of the model's prediction for it.

    A model that fails on its example is warned of, and its signature has no outputs; None for an
    example that no signature can describe.
    """
    from headrace.errors import InvalidRequest
    from headrace.models.enforcement import enforce_input
    from headrace.models.signature import infer_signature

    data, params = split_params(example)
    try:
        signature = infer_signature(data, None, params)
    except InvalidRequest as error:
        _log.warning("No signature was made from the input example: %s", error)
        return None
    if predictor_for is None:
        return signature
    try:
        output = predictor_for().predict(enforce_input(data, signature), params)
        return infer_signature(data, _as_column(output, signature), params)
    # The user's own code or a library's: a model that can't predict can still be saved.
    except Exception as error:  # noqa: BLE001 - see above
        _log.warning(
            "The model does not predict for its input example (%s: %s), so its signature says "
            "nothing of what it gives.",
            type(error).__name__,
            error,
        )
        return signature


def _as_column(output: Any, signature: ModelSignature) -> Any:
    """What was predicted from columns is a column, as for MLflow, though it be a NumPy array."""
    from_columns = signature.inputs is not None and not signature.inputs.is_tensor_spec()
    if not from_columns or getattr(output, "ndim", 0) != 1 or not hasattr(output, "tolist"):
        return output
    import pandas as pd

    return pd.Series(output)
