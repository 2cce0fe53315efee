"""The categories that an XGBoost model was trained on, by which it reads those of a table.

The format: `src/data/cat_container.cc` of XGBoost (3.1 on).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from headrace.models.flavors.xgboost_fields import fields, items, whole_numbers


def check_encodings(given: Any, n_features: int) -> None:
    """Raise ValueError unless the categories of every feature are where the model says."""
    what = "cats"
    fields(given, what, ("enc", "feature_segments", "sorted_idx"))
    encodings = given["enc"]
    if not isinstance(encodings, list):
        raise ValueError(f"{what}: 'enc' is no array")
    segments = whole_numbers(given, "feature_segments", what)
    order = whole_numbers(given, "sorted_idx", what)
    if not encodings and not segments and not order:
        return
    if len(encodings) != n_features:
        raise ValueError(f"{what}: 'enc' has {len(encodings)} entries; expected {n_features}")
    counts = [_categories(each, f"{what}, feature {at}") for at, each in enumerate(encodings)]
    if segments[:1] != [0] or [end - start for start, end in pairwise(segments)] != counts:
        raise ValueError(f"{what}: 'feature_segments' are not those of its categories")
    if len(order) != segments[-1]:
        raise ValueError(f"{what}: 'sorted_idx' has {len(order)} entries; expected {segments[-1]}")
    for feature, (start, end) in enumerate(pairwise(segments)):
        if sorted(order[start:end]) != list(range(end - start)):
            raise ValueError(f"{what}, feature {feature}: 'sorted_idx' is no order of them")


def _categories(given: Any, what: str) -> int:
    """How many categories a feature has: none where it is a number."""
    if isinstance(given, dict) and "offsets" in given:
        fields(given, what, ("offsets", "values"))
        offsets = whole_numbers(given, "offsets", what)
        n_bytes = len(whole_numbers(given, "values", what))
        if not offsets and not n_bytes:
            return 0
        if offsets[:1] != [0] or offsets[-1] != n_bytes or sorted(offsets) != offsets:
            raise ValueError(f"{what}: 'offsets' should go up from 0 to {n_bytes}")
        return len(offsets) - 1
    fields(given, what, ("type", "values"))
    if type(given["type"]) is not int:
        raise ValueError(f"{what}: its 'type' is no number")
    return len(items(given, "values", what))
