"""Which files of a folder are part of a model, and so covered by its signature."""

from __future__ import annotations

from typing import Final

SIGNATURE_FILE: Final = "model.sig"
"""The file that holds the signature, in the model's folder; it is never part of the model."""

IGNORED: Final = (SIGNATURE_FILE, ".git", ".gitattributes", ".github", ".gitignore")
"""Names at the top of the folder that are not signed: those the model-signing tools leave out.

None of them can be read, opened or run through a VerifiedFolder.
"""


def is_ignored(name: str) -> bool:
    """Whether a path lies where nothing is signed."""
    return name.split("/", 1)[0] in IGNORED
