"""A file of an evaluation, and what is in it."""

from __future__ import annotations

import io
import json
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote, urlparse

from headrace.errors import InvalidRequest

if TYPE_CHECKING:
    import pandas as pd

# By suffix: the class by which MLflow reads such a file when it loads what we saved.
_CLASSES: Final = {
    ".png": "Image",
    ".jpg": "Image",
    ".jpeg": "Image",
    ".json": "Json",
    ".npy": "Numpy",
    ".csv": "Csv",
    ".parquet": "Parquet",
    ".txt": "Text",
}
SUFFIXES: Final = frozenset(_CLASSES)
"""What a file of an evaluation may end in."""


class EvaluationArtifact:
    """A file: the `uri` where the run has it, and its bytes as `data`."""

    def __init__(self, uri: str, data: bytes) -> None:
        self.uri = uri
        self.data = data

    @classmethod
    def read(cls, uri: str, folder: Path) -> EvaluationArtifact:
        """The copy, in `folder`, of the file at `uri`. InvalidRequest for no plain file name."""
        name = PurePosixPath(unquote(urlparse(uri).path)).name
        path = folder / name
        if name in ("", ".", "..") or "\\" in name or path.is_symlink():
            raise InvalidRequest(f"Invalid value {uri!r}: it names no file of this folder.")
        return cls(uri, path.read_bytes())

    @property
    def file_name(self) -> str:
        """The last part of the URI."""
        return PurePosixPath(unquote(urlparse(self.uri).path)).name

    @property
    def suffix(self) -> str:
        """What the name ends in, in small letters."""
        return PurePosixPath(self.file_name).suffix.lower()

    @property
    def is_table(self) -> bool:
        """Whether it holds rows and columns."""
        return self.suffix in (".csv", ".parquet") or self._is_json_table

    @property
    def _is_json_table(self) -> bool:
        """Whether it is a table as `log_table` writes them."""
        if self.suffix != ".json" or not self.data.startswith(b'{"columns"'):
            return False
        return isinstance(self.content, dict) and set(self.content) == {"columns", "data"}

    def frame(self) -> pd.DataFrame:
        """A table as a DataFrame. InvalidRequest without pandas."""
        from headrace.client.frames import pandas_library

        if self._is_json_table:
            frame: pd.DataFrame = pandas_library().DataFrame(**self.content)
            return frame
        return cast("pd.DataFrame", self.content)

    @property
    def class_name(self) -> str:
        """The class that stands for such a file in MLflow."""
        kind = _CLASSES.get(self.suffix, "Text")
        return f"mlflow.models.evaluation.artifacts.{kind}EvaluationArtifact"

    @cached_property
    def content(self) -> Any:
        """A DataFrame, PIL image, array, text, or what the JSON says; by the suffix.

        InvalidRequest for another suffix, or without the library that reads it.
        """
        stream = io.BytesIO(self.data)
        if self.suffix == ".json":
            return json.loads(self.data)
        if self.suffix == ".txt":
            return self.data.decode("utf-8", "replace")
        if self.suffix == ".npy":
            import numpy as np

            return np.load(stream, allow_pickle=False)
        if self.suffix in (".csv", ".parquet"):
            from headrace.client.frames import pandas_library

            pandas = pandas_library()
            return pandas.read_csv(stream) if self.suffix == ".csv" else pandas.read_parquet(stream)
        if _CLASSES.get(self.suffix) == "Image":
            return _image(stream)
        raise InvalidRequest(f"'{self.file_name}' is of no kind that can be read: see its 'data'.")

    def __repr__(self) -> str:
        return f"EvaluationArtifact(uri={self.uri!r})"


def _image(stream: io.BytesIO) -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise InvalidRequest(
            "Images need Pillow, which is not installed: pip install pillow."
        ) from None
    image = Image.open(stream)
    image.load()
    return image
