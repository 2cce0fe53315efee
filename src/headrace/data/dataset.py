"""What all data sets have in common."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

import msgspec

from headrace.data.dataset_source import source_type_of
from headrace.data.profile import Profile, encode_profile
from headrace.errors import InvalidRequest
from headrace.protocol import limits, names

DEFAULT_NAME = "dataset"


class Dataset:
    """Data with a name, a digest of its content, and a source.

    The digest is computed when the object is made, schema and profile when they are first asked
    for: change nothing in the data between making the object and logging it.
    """

    def __init__(self, source: Any, name: str | None = None, digest: str | None = None) -> None:
        self._name = DEFAULT_NAME if name is None else name
        self._source = source
        _check_text("name", self._name, limits.MAX_DATASET_NAME_LENGTH)
        if digest is not None:
            _check_text("digest", digest, limits.MAX_DATASET_DIGEST_LENGTH)
        self._digest = self._compute_digest() if digest is None else digest

    @property
    def name(self) -> str:
        """The name, by which runs are searched (`dataset.name = …`)."""
        return self._name

    @property
    def digest(self) -> str:
        """The digest of the content, or what the caller gave."""
        return self._digest

    @property
    def source(self) -> Any:
        """Where the data came from."""
        return self._source

    @property
    def source_type(self) -> str:
        """The type of the source: local, http, hugging_face, code, or a URI's scheme."""
        return source_type_of(self._source)

    @cached_property
    def schema(self) -> dict[str, Any] | None:
        """The columns or tensors and their types, in MLflow's form; None where there are none."""
        return self._compute_schema()

    @cached_property
    def profile(self) -> dict[str, Any]:
        """Counts and statistics as plain values; `read_profile` gives them as structs."""
        plain: dict[str, Any] = msgspec.json.decode(self._profile_json)
        return plain

    def to_dict(self) -> dict[str, Any]:
        """What a run keeps: six texts (schema and profile as JSON), the schema perhaps None."""
        schema = None if self.schema is None else json.dumps(self.schema)
        if schema is not None and len(schema) > limits.MAX_DATASET_SCHEMA_LENGTH:
            schema = None  # half a schema would pass for a whole one
        return {
            "name": self.name,
            "digest": self.digest,
            "source": self._source.to_json(),
            "source_type": self.source_type,
            "schema": schema,
            "profile": self._profile_json,
        }

    def to_json(self) -> str:
        """The same as one JSON document."""
        return json.dumps(self.to_dict())

    @cached_property
    def _statistics(self) -> Profile:
        return self._compute_profile()

    @cached_property
    def _profile_json(self) -> str:
        return encode_profile(self._statistics)

    def _compute_digest(self) -> str:
        raise NotImplementedError

    def _compute_schema(self) -> dict[str, Any] | None:
        return None

    def _compute_profile(self) -> Profile:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, digest={self.digest!r})"


def _check_text(field: str, value: Any, limit: int) -> None:
    if not isinstance(value, str):
        raise InvalidRequest(f"{field!r} is of type {type(value).__name__}: expected a text.")
    names.check_required(field, value)
    names.check_text(field, value, limit)


def check_column(role: str, name: Any, columns: Any) -> None:
    """Raise InvalidRequest if `name`, given as `role`, is none of `columns`."""
    if name is not None and name not in columns:
        shown = ", ".join(repr(column) for column in list(columns)[:20])
        raise InvalidRequest(f"'{role}' is {name!r}, which is no column. There are: {shown}.")
