"""Requirements tried before they are written: installed into a clean environment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headrace.errors import InvalidRequest


def verify_requirements(
    requirements: Sequence[str], constraints: Sequence[str], modules: Iterable[str]
) -> None:
    """Install requirements into a new environment and import `modules` there.

    InvalidRequest says what conflicts or is missing.
    """
    raise InvalidRequest("'verify' is not there yet.")
