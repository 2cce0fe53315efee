"""Figures of Matplotlib and Plotly as files."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from headrace.errors import InvalidRequest

_PLOTLY_IMAGES = (".png", ".jpeg", ".webp", ".svg", ".pdf")


def save(figure: Any, path: str, options: Mapping[str, Any] | None) -> None:
    """Write `figure` to `path`; `options` go to the library's own function.

    A library that has not been imported cannot have made the figure, so none is imported here.
    Raises InvalidRequest for another object, or a suffix that the library cannot write.
    """
    given = dict(options or {})
    suffix = os.path.splitext(path)[1].lower()
    if _is_a(figure, "matplotlib.figure", "Figure"):
        try:
            figure.savefig(path, **given)
        except ValueError as error:
            raise InvalidRequest(f"Matplotlib cannot write '*{suffix}': {error}") from error
    elif _is_a(figure, "plotly.graph_objects", "Figure"):
        if suffix == ".html":
            figure.write_html(path, **{"include_plotlyjs": "cdn", "auto_open": False, **given})
        elif suffix in _PLOTLY_IMAGES:
            figure.write_image(path, **given)
        else:
            raise InvalidRequest(
                f"Plotly cannot write '*{suffix}': expected .html or one of "
                f"{', '.join(_PLOTLY_IMAGES)}."
            )
    else:
        raise InvalidRequest(
            f"'figure' is of type {type(figure).__name__}: expected a figure of Matplotlib or "
            "Plotly."
        )


def _is_a(value: Any, module: str, name: str) -> bool:
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(value, getattr(loaded, name))
