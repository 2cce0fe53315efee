"""What a model's signature says, without NumPy, which the server does not have.

It is read from the JSON that stands in the model's `MLmodel`, in MLflow's format: a list of specs
each for inputs, outputs and params.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def specs_of(description: Mapping[str, Any], part: str) -> list[Json]:
    """The `inputs`, `outputs` or `params` of a model's signature; empty where it has none that can
    be read. `description`: what its `MLmodel` says, parsed.
    """
    signature = description.get("signature")
    text = signature.get(part) if isinstance(signature, Mapping) else None
    try:
        found = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return []
    return [spec for spec in found if isinstance(spec, dict)] if isinstance(found, list) else []
