"""Where the versions of a model come from, as whoever serves it sees it.

A server of models knows no store: whoever starts it hands it a source for each model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Version:
    """One state of a model, which never changes."""

    uri: str
    """What names exactly this version: models:/churn/3, a folder."""
    label: str
    """The short name that answers carry: "3"."""


class ModelSource(ABC):
    """Says which version of a model is to be served now. Methods may block and are called from
    threads.
    """

    @property
    @abstractmethod
    def uri(self) -> str:
        """What the user asked for: models:/churn@champion."""

    @property
    @abstractmethod
    def can_move(self) -> bool:
        """Whether another version may be wanted later, as with an alias."""

    @abstractmethod
    def current(self) -> Version:
        """The version that is wanted now. Raises NotFound where there is none any more, and
        Unavailable where nobody can say.
        """

    @abstractmethod
    def fetch(self, version: Version) -> Path:
        """The folder of a version on local disk. Errors as of `current`."""
