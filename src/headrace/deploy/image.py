"""What an image that serves a model consists of, settled before anything is written."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from headrace.client.model_loading import local_model
from headrace.client.model_source import default_name
from headrace.errors import InvalidRequest
from headrace.models.environment.prepare import check_python, check_sources
from headrace.models.environment.requirement_files import name_of
from headrace.models.environment.wanted import Wanted, wanted_by
from headrace.models.loading import open_model
from headrace.models.trust import VerifiedFolder
from headrace.models.trust.signers import OWN, trusted_signers

_SYSTEM_PACKAGES: Final = {
    # What these packages need of Debian and the slim images of Python do not have.
    "lightgbm": ("libgomp1",),
    "opencv-python": ("libgl1", "libglib2.0-0"),
}
_BASE_IMAGE: Final = re.compile(r"[A-Za-z0-9][\w.:/@-]*")
_SERVED_NAME: Final = re.compile(r"[\w.@ -]{1,200}")


@dataclass(frozen=True)
class ImagePlan:
    """An image: its base, the model, and how that is served."""

    base_image: str
    python: str
    """The minor version: 3.11."""
    name: str = "model"
    """What the server calls the model."""
    model: VerifiedFolder | None = None
    """None for one that is mounted and not known yet."""
    is_baked: bool = False
    """Whether the model's files are in the image; otherwise they are mounted."""
    wanted: Wanted | None = None
    """What the model's environment has; None where that is made when the container starts."""
    signers: tuple[str, ...] = ()
    """Who is trusted in the image, as lines of the file `trusted_signers`."""
    system_packages: tuple[str, ...] = ()

    @property
    def tag(self) -> str:
        """A name for the image, of letters that Docker takes."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-") or "model"

    @property
    def is_vouched_for(self) -> bool:
        """Whether the model may run code on the builder's word alone."""
        return self.model is not None and self.model.is_vouched_for and not self.signers

    @property
    def signed_by(self) -> str:
        """What there is to say of the model's signature, in a few words."""
        if self.model is None:
            return "nobody is trusted in the image"
        if self.model.signer is None:
            return "not signed"
        trusted = "who is trusted in the image" if self.signers else "whom nobody has trusted"
        return f"signed by {self.model.signer}, {trusted}"


def plan_image(
    model_uri: str | Path | None,
    *,
    mount: bool = False,
    trust: bool = False,
    base_image: str | None = None,
) -> ImagePlan:
    """The image that serves the model at `model_uri`; without one, any that is mounted.

    The model's own environment is part of it, and so are its files unless with `mount`. Who signed
    it is trusted in the image if this user trusts them. Raises NotFound; InvalidModel for a model
    that was changed; NotTrusted for one whose signer is not trusted, unless with `trust`, which
    then holds in the image too; InvalidRequest where it does not say what it needs.
    """
    if base_image is not None and not _BASE_IMAGE.fullmatch(base_image):
        raise InvalidRequest(f"'{base_image}' names no image; expected such as python:3.11-slim.")
    if model_uri is None:
        python = ".".join(map(str, sys.version_info[:2]))
        return ImagePlan(base_image or _slim(python), python)
    uri = str(model_uri)
    folder, _ = open_model(local_model(uri), trust=trust)
    wanted = wanted_by(folder.path)
    check_python(wanted)
    check_sources(wanted, folder)
    name = default_name(uri)
    packages = {name_of(line) for line in wanted.requirements}
    return ImagePlan(
        base_image or _slim(wanted.minor),
        wanted.minor,
        name=name if _SERVED_NAME.fullmatch(name) else "model",
        model=folder,
        is_baked=not mount,
        wanted=wanted,
        signers=_signers_of(folder),
        system_packages=tuple(
            each for name, needs in _SYSTEM_PACKAGES.items() if name in packages for each in needs
        ),
    )


def _slim(python: str) -> str:
    return f"python:{python}-slim"


def _signers_of(folder: VerifiedFolder) -> tuple[str, ...]:
    """The model's signer as a line of trusted signers, if this user trusts them."""
    for signer in trusted_signers():
        if signer.key == folder.signer_key:
            name = "builder" if signer.name == OWN else signer.name
            return (f"{signer.key.text} {signer.since or '-'} {name}",)
    return ()
