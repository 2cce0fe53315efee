"""The classes of a classification, and values as numbers of classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from headrace.errors import InvalidRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Codes = NDArray[np.int64]


def sorted_classes(values: Iterable[Any]) -> list[Any]:
    """Each value once, in order. InvalidRequest when they cannot be ordered, as 1 and "1"."""
    distinct = set(values)
    try:
        return sorted(distinct)
    except TypeError:
        kinds = ", ".join(sorted({type(value).__name__ for value in distinct}))
        raise InvalidRequest(
            f"The labels are of different types ({kinds}): expected targets, predictions and "
            "'label_list' of one type. Convert one of them, say with .astype(str)."
        ) from None


def known_classes(
    targets: Sequence[Any],
    predictions: Sequence[Any] | None,
    of_model: Sequence[Any] | None,
    given: Sequence[Any] | None,
) -> list[Any]:
    """The classes: those given, else those of the model, the targets and the predictions.

    InvalidRequest for a label that is not among those given, and for predictions with fractions
    that are no label: they are probabilities, or a regression.
    """
    seen = set(targets)
    predicted = set(predictions) if predictions is not None else set()
    if given is not None:
        strange = sorted_classes((seen | predicted) - set(given))
        if strange:
            raise InvalidRequest(
                f"'label_list' has no {strange[0]!r}, which is among the targets or predictions: "
                "expected a list of all labels."
            )
        return sorted_classes(given)
    known = seen | set(of_model or ())
    for label in predicted - known:
        if isinstance(label, float) and not label.is_integer():
            raise InvalidRequest(
                f"The predictions hold {label!r}, which is no label of the targets: expected "
                "labels. Give probabilities as 'probabilities'; for numbers say "
                "model_type='regressor'."
            )
    return sorted_classes(known | predicted)


def codes_of(values: Sequence[Any], classes: Sequence[Any]) -> Codes:
    """The place of each value among `classes`."""
    import numpy as np

    places = {label: place for place, label in enumerate(classes)}
    return np.fromiter(map(places.__getitem__, values), np.int64, len(values))
