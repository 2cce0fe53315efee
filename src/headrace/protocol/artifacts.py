"""Artifacts: files of runs and models. Bytes travel outside these calls; see server/artifacts."""

from __future__ import annotations

from msgspec import Struct

from headrace.errors import InvalidRequest
from headrace.protocol import names
from headrace.protocol.endpoint import Endpoint
from headrace.protocol.runs import RunRef
from headrace.protocol.wire import Answer, Empty, Entity, Int64, Request


class FileInfo(Entity, Struct, omit_defaults=True):
    """A file or folder; `file_size` in bytes, absent for a folder."""

    path: str
    is_dir: bool
    file_size: Int64 | None = None


class ListRunArtifacts(RunRef):
    """The files of a run directly under `path` (its root, if absent)."""

    path: str | None = None
    page_token: str | None = None


class ArtifactListing(Answer):
    """Files with paths relative to `root_uri`."""

    root_uri: str
    files: list[FileInfo] = []


class ListArtifacts(Request):
    """The files directly under `path` of the server's artifact root."""

    path: str | None = None


class ProxyListing(Answer):
    """Files by their last name."""

    files: list[FileInfo] = []


class ReadSmallFiles(Request):
    """Asks for the small files below the folder `path`, all at once. Headrace's own."""

    path: str | None = None


class SmallFile(Answer):
    """A file by its path below the folder, and its bytes (in base64)."""

    path: str
    content: bytes


class SmallFiles(Answer):
    """At most 64 files and 4 MiB; `is_all` says whether there are no others."""

    is_all: bool
    files: list[SmallFile] = []


class CreateMultipartUpload(Request):
    """Starts an upload in parts; only the last name in `path` counts (clients send local paths)."""

    path: str = ""
    num_parts: Int64 = 1

    def __post_init__(self) -> None:
        names.check_required("path", self.path)
        if not 1 <= self.num_parts <= 10_000:
            raise InvalidRequest(
                f"Invalid value {self.num_parts} for 'num_parts': expected 1 to 10000."
            )


class PartCredential(Answer):
    """Where to PUT one part, with which headers."""

    url: str
    part_number: Int64
    headers: dict[str, str] = {}


class MultipartUpload(Answer):
    """An upload under way."""

    upload_id: str
    credentials: list[PartCredential] = []


class PartDone(Answer):
    """A part that was sent, with the ETag its PUT answered."""

    part_number: Int64 = 0
    etag: str = ""
    url: str | None = None


class ListUploadedParts(Request):
    """Asks which parts of an upload have arrived, so that a client can go on with it."""

    upload_id: str = ""

    def __post_init__(self) -> None:
        names.check_required("upload_id", self.upload_id)


class UploadedParts(Answer):
    """The parts of an upload that have arrived, by number."""

    upload_id: str
    parts: list[PartDone] = []


class CompleteMultipartUpload(Request):
    """Makes one file of all parts."""

    path: str = ""
    upload_id: str = ""
    parts: list[PartDone] = []

    def __post_init__(self) -> None:
        names.check_required("path", self.path)
        names.check_required("upload_id", self.upload_id)


class AbortMultipartUpload(Request):
    """Drops an upload and its parts."""

    path: str = ""
    upload_id: str = ""

    def __post_init__(self) -> None:
        names.check_required("path", self.path)
        names.check_required("upload_id", self.upload_id)


class PresignedDownload(Answer):
    """A URL that may be read without credentials until it expires."""

    url: str
    file_size: Int64
    headers: dict[str, str] = {}


LIST_RUN = Endpoint(
    "GET", "/2.0/mlflow/artifacts/list", ListRunArtifacts, ArtifactListing, "List a run's files."
)
_PROXY = "/2.0/mlflow-artifacts"
LIST = Endpoint(
    "GET", f"{_PROXY}/artifacts", ListArtifacts, ProxyListing, "List files of the artifact root."
)
READ_SMALL = Endpoint(
    "GET",
    "/2.0/headrace/artifacts/small-files",
    ReadSmallFiles,
    SmallFiles,
    "Read the small files of a folder, such as a model's, at once.",
)
CREATE_UPLOAD = Endpoint(
    "POST",
    f"{_PROXY}/mpu/create/{{artifact_path}}",
    CreateMultipartUpload,
    MultipartUpload,
    "Start an upload in parts.",
)
LIST_PARTS = Endpoint(
    "GET",
    f"{_PROXY}/mpu/parts/{{artifact_path}}",
    ListUploadedParts,
    UploadedParts,
    "List the parts of an upload that have arrived.",
)
COMPLETE_UPLOAD = Endpoint(
    "POST",
    f"{_PROXY}/mpu/complete/{{artifact_path}}",
    CompleteMultipartUpload,
    Empty,
    "Complete an upload in parts.",
)
ABORT_UPLOAD = Endpoint(
    "POST",
    f"{_PROXY}/mpu/abort/{{artifact_path}}",
    AbortMultipartUpload,
    Empty,
    "Abort an upload in parts.",
)
