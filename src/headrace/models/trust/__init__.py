"""Who made a model, and whether it is still what they made: signatures, and whom one trusts.

`sign_folder` writes a signature over every file; `open_folder` checks it and hands out files by
what they can do: data to anybody, code only from trusted signers.
`docs/explanation/model-safety.md` says what this protects against.

What reads and writes signatures is loaded when it is first used: a worker in a model's own
environment, which takes a folder over, may not have the packages for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from headrace.models.trust.covered import SIGNATURE_FILE
from headrace.models.trust.folder import VerifiedFolder

if TYPE_CHECKING:
    from headrace.models.trust.opening import open_folder
    from headrace.models.trust.signing import sign_folder, signature_over

__all__ = ["SIGNATURE_FILE", "VerifiedFolder", "open_folder", "sign_folder", "signature_over"]

_HOME: Final = {
    "open_folder": "headrace.models.trust.opening",
    "sign_folder": "headrace.models.trust.signing",
    "signature_over": "headrace.models.trust.signing",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOME:
        raise AttributeError(f"module 'headrace.models.trust' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
