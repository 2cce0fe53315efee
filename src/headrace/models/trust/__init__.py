"""Who made a model, and whether it is still what they made: signatures, and whom one trusts.

`sign_folder` writes a signature over every file; `open_folder` checks it and hands out files by
what they can do: data to anybody, code only from trusted signers.
`docs/explanation/model-safety.md` says what this protects against.
"""

from headrace.models.trust.folder import VerifiedFolder, open_folder
from headrace.models.trust.manifest import SIGNATURE_FILE
from headrace.models.trust.signing import sign_folder, signature_over

__all__ = ["SIGNATURE_FILE", "VerifiedFolder", "open_folder", "sign_folder", "signature_over"]
