"""Where a data set came from: a path, a URL, the Hugging Face hub, or the code that made it.

A source is written as MLflow writes it: a type, and a JSON document with what that type needs.
Passwords and signatures in a URL are not written.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import unquote, urlsplit

from headrace.data.urls import without_secrets
from headrace.errors import InvalidRequest
from headrace.protocol.runs import SOURCE_NAME_TAG, SOURCE_TYPE_TAG
from headrace.protocol.uris import scheme_of


class DatasetSource:
    """The source of a data set: `source_type`, and the fields that say where it is."""

    source_type: ClassVar[str] = ""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = dict(fields)

    def to_dict(self) -> dict[str, Any]:
        """The fields of the source's JSON document."""
        return dict(self._fields)

    def to_json(self) -> str:
        """The source as the JSON document that a run keeps."""
        return json.dumps(self._fields)

    def load(self, dst_path: str | None = None) -> Any:
        """Fetch what the source names; a downloaded file goes into the folder `dst_path`.

        Raises InvalidRequest where we cannot fetch it.
        """
        raise InvalidRequest(
            f"A source of type '{self._get_source_type()}' cannot be loaded; fetch it with the "
            f"tool that knows it: {self.to_json()}"
        )

    def _get_source_type(self) -> str:
        """MLflow's name for `source_type`; its consumers call it."""
        return self.source_type

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DatasetSource):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.to_json()})"

    def _key(self) -> tuple[str, str]:
        return self._get_source_type(), self.to_json()


class LocalSource(DatasetSource):
    """A file or folder of this machine, or of a disk that several share."""

    source_type = "local"

    @property
    def uri(self) -> str:
        """The path, or `file:` URI."""
        return str(self._fields.get("uri", ""))

    def load(self, dst_path: str | None = None) -> str:
        """The path, which must be there; nothing is copied. Raises InvalidRequest."""
        path = unquote(urlsplit(self.uri).path) if scheme_of(self.uri) == "file" else self.uri
        if not os.path.exists(path):
            raise InvalidRequest(f"{path!r} is not on this machine.")
        return path


class HttpSource(DatasetSource):
    """A file behind an http or https URL."""

    source_type = "http"

    @property
    def url(self) -> str:
        """The URL, without credentials."""
        return str(self._fields.get("url", ""))

    def load(self, dst_path: str | None = None) -> str:
        """Download the file into `dst_path`, or a new folder, and give its path."""
        from headrace.data.download import download_into

        return download_into(self.url, dst_path)


class HuggingFaceSource(DatasetSource):
    """A data set on the Hugging Face hub, as `datasets.load_dataset` names it."""

    source_type = "hugging_face"

    @property
    def path(self) -> str:
        """The data set's name on the hub, such as `rajpurkar/squad`."""
        return str(self._fields.get("path", ""))

    def load(self, dst_path: str | None = None) -> Any:
        """The `datasets.Dataset`, cached in `dst_path`. No code of the data set's own is run."""
        import datasets

        fields = self.to_dict()
        split = fields.get("split")
        return datasets.load_dataset(
            self.path,
            name=fields.get("config_name"),
            data_dir=fields.get("data_dir"),
            data_files=fields.get("data_files"),
            split=None if split == "None" else split,
            revision=fields.get("revision"),
            cache_dir=dst_path,
        )


class CodeSource(DatasetSource):
    """The program that made the data."""

    source_type = "code"


class UriSource(DatasetSource):
    """A URI that we keep but do not read, such as `s3://…`; its scheme is the source's type."""

    def __init__(self, fields: Mapping[str, Any], scheme: str) -> None:
        super().__init__(fields)
        self._scheme = scheme

    @property
    def uri(self) -> str:
        """The URI, without credentials."""
        return str(self._fields.get("uri", ""))

    def _get_source_type(self) -> str:
        return self._scheme


_FAMILIES: Final = (LocalSource, HttpSource, HuggingFaceSource, CodeSource)
_BY_TYPE: Final[dict[str, type[DatasetSource]]] = {f.source_type: f for f in _FAMILIES}


def source_type_of(source: Any) -> str:
    """The type of a source, ours or MLflow's."""
    return str(source._get_source_type())


def resolve_source(source: Any) -> Any:
    """The source that a caller's path, URI or source object stands for; None: the calling code.

    Raises InvalidRequest for anything else.
    """
    if source is None:
        return calling_code()
    if hasattr(source, "_get_source_type") and hasattr(source, "to_json"):
        return source
    if isinstance(source, os.PathLike):
        source = os.fspath(source)
    if not isinstance(source, str) or not source:
        raise InvalidRequest(
            f"'source' is of type {type(source).__name__}: expected a path, a URI such as "
            "'https://…' or 's3://…', or a data set source."
        )
    scheme = scheme_of(source)
    if scheme in ("http", "https"):
        return HttpSource({"url": without_secrets(source)})
    if scheme in ("", "file") or len(scheme) == 1 or "://" not in source:
        return LocalSource({"uri": source})
    return UriSource({"uri": without_secrets(source)}, scheme)


def calling_code() -> CodeSource:
    """The file of the nearest caller outside this package, as a source."""
    frame = sys._getframe(1)  # the public ways read every source line; this costs microseconds
    while frame.f_back and _is_ours(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    name = frame.f_globals.get("__file__") or frame.f_code.co_filename
    return CodeSource({"tags": {SOURCE_NAME_TAG: str(name), SOURCE_TYPE_TAG: "LOCAL"}})


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == __name__.partition(".")[0]


def get_source(dataset: Any) -> Any:
    """The source of a data set: ours, or one that a run noted (`run.inputs.dataset_inputs`).

    Raises InvalidRequest for anything else, and for a source that cannot be read.
    """
    dataset = getattr(dataset, "dataset", dataset)
    source = getattr(dataset, "source", None)
    if source is not None and hasattr(source, "to_json"):
        return source
    kind = getattr(dataset, "source_type", None)
    if not isinstance(source, str) or not isinstance(kind, str):
        raise InvalidRequest(
            f"{type(dataset).__name__} is no data set: expected one from headrace.data, or an "
            "input of a run."
        )
    try:
        fields = json.loads(source)
    except ValueError as error:
        raise InvalidRequest(f"The source of {dataset.name!r} is not JSON: {error}.") from None
    if not isinstance(fields, dict):
        raise InvalidRequest(f"The source of {dataset.name!r} is not a JSON object.")
    family = _BY_TYPE.get(kind)
    return UriSource(fields, kind) if family is None else family(fields)
