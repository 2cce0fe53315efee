"""A version of a model that is loaded and answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.models.sources import Version
from headrace.serving.pool import Pool


class ServedVersion:
    """A version that is loaded: what its `MLmodel` says, and the pool that answers."""

    def __init__(
        self,
        version: Version,
        description: Mapping[str, Any],
        pool: Pool,
        folder: Path,
        example: bytes | None = None,
    ) -> None:
        self.version = version
        self.folder = folder
        """Where its files are: a worker that is replaced reads them again."""
        self.description = description
        """What its `MLmodel` says, parsed."""
        self.pool = pool
        self.example = example
        """The request, in JSON, that the model's input example makes; None without one."""

    @property
    def task(self) -> str | None:
        """The task in OpenAI's shape that it answers for."""
        metadata = self.description.get("metadata")
        task = metadata.get("task") if isinstance(metadata, Mapping) else None
        return task if isinstance(task, str) else None
