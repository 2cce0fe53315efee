"""Images of NumPy and PIL as files, and the names they have in a run."""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image

SMALL: Final = 256
"""Pixels of the longer side of the small copy that pages show first."""

_log: Final = logging.getLogger("headrace")
_KEY: Final = re.compile(r"[a-zA-Z0-9_\-./ ]+")


class Image:
    """A picture, from a PIL image, a NumPy array, a list of pixels, or a file's path.

    Arrays are (height, width), or (height, width, channels) with 1, 3 or 4 channels; whole
    numbers from 0 to 255, floats from 0 to 1, or booleans.
    """

    def __init__(self, image: Any) -> None:
        self._image = _as_pil(image)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._image.size

    def to_pil(self) -> PIL.Image.Image:
        """The picture as PIL holds it."""
        return self._image

    def to_array(self) -> np.ndarray[Any, Any]:
        """The picture's pixels."""
        import numpy as np

        return np.array(self._image)

    def to_list(self) -> list[Any]:
        """The picture's pixels, as nested lists."""
        pixels: list[Any] = self.to_array().tolist()
        return pixels

    def save(self, path: str) -> None:
        """Write a file in the format that its name says. InvalidRequest for an unknown one."""
        try:
            self._image.save(path)
        except (ValueError, OSError, KeyError) as error:
            raise InvalidRequest(
                f"Cannot write an image as '{os.path.basename(path)}': {error}."
            ) from error

    def resize(self, size: tuple[int, int]) -> Image:
        """A copy, `size` (width, height) pixels large."""
        return Image(self._image.resize(size))

    def small(self) -> Image:
        """A copy whose longer side is 256 pixels."""
        width, height = self.size
        scale = SMALL / max(width, height)
        return self.resize((max(1, int(width * scale)), max(1, int(height * scale))))


def step_name(key: str, step: int, timestamp: int) -> str:
    """The path of an image of a series, without its suffix. Raises InvalidRequest for the key."""
    if not _KEY.fullmatch(key):
        raise InvalidRequest(
            f"Invalid value {key!r} for 'key': expected letters, digits, '_', '-', '.', ' ' and "
            "'/' only."
        )
    import uuid

    # Pages take the name apart again: '+' between the facts, '~' where the key has a slash.
    facts = (key.replace("/", "~"), "step", step, "timestamp", timestamp, uuid.uuid4())
    return "images/" + "+".join(str(fact) for fact in facts)


def table_names(table: str) -> dict[str, str]:
    """What a table's cell holds in place of an image: where it and its small copy lie."""
    import uuid

    stem = f"table_images/{os.path.splitext(table)[0]}/{uuid.uuid4()}"
    return {
        "type": "image",
        "filepath": f"{stem}.png",
        "compressed_filepath": f"{stem}.webp",
    }


def is_image(value: Any) -> bool:
    """Whether a table's cell is an image, ours or PIL's."""
    return isinstance(value, Image) or (
        type(value).__module__.startswith("PIL.") and hasattr(value, "resize")
    )


def open_image(file: Any, name: str) -> PIL.Image.Image:
    """The picture in a file, by its path or open. InvalidRequest when it is none."""
    _need_pillow()
    import PIL.Image

    try:
        return PIL.Image.open(file)
    except OSError as error:
        raise InvalidRequest(f"'{name}' cannot be read as an image: {error}.") from error


def _need_pillow() -> None:
    from importlib.util import find_spec

    if find_spec("PIL") is None:
        raise InvalidRequest("Images need Pillow, which is not installed: pip install pillow.")


def _as_pil(image: Any) -> PIL.Image.Image:
    _need_pillow()
    import PIL.Image

    if isinstance(image, Image):
        return image.to_pil()
    if isinstance(image, PIL.Image.Image):
        return image
    if isinstance(image, str):
        return open_image(image, image)
    if hasattr(image, "to_pil"):  # MLflow's Image
        return _as_pil(image.to_pil())
    return PIL.Image.fromarray(_pixels(image))


def _pixels(image: Any) -> np.ndarray[Any, Any]:
    import numpy as np

    try:
        array = np.asarray(image)
    except ValueError as error:
        raise InvalidRequest(f"'image' is not a picture: {error}.") from error
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise InvalidRequest(
            f"'image' has the shape {array.shape}: expected (height, width), or "
            "(height, width, channels) with 1, 3 or 4 channels."
        )
    if array.size == 0:
        raise InvalidRequest(f"'image' has the shape {array.shape}: there is nothing in it.")
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * 255
    if array.dtype.kind in "iu":
        if array.min() < 0 or array.max() > 255:
            raise InvalidRequest(
                f"'image' holds values from {array.min()} to {array.max()}: expected whole "
                "numbers from 0 to 255."
            )
        return array.astype(np.uint8)
    if array.dtype.kind != "f":
        raise InvalidRequest(
            f"'image' holds values of type {array.dtype}: expected numbers or booleans."
        )
    array = np.nan_to_num(array)
    if array.min() < 0 or array.max() > 1:
        _log.warning("log_image: values outside 0 … 1 are shown as 0 or 1.")
    pixels: np.ndarray[Any, Any] = (np.clip(array, 0, 1) * 255).astype(np.uint8)
    return pixels
