"""Model versions: numbered entries of a registered model, each pointing at a model's files."""

from __future__ import annotations

from typing import Final

from msgspec import field

from headrace.errors import InvalidRequest
from headrace.protocol import limits, names
from headrace.protocol.endpoint import Endpoint
from headrace.protocol.wire import Answer, Empty, Int64, Request, Tag

STAGES: Final = ("None", "Staging", "Production", "Archived")
READY: Final = "READY"


class ModelVersion(Answer, kw_only=True):
    """A version of a registered model; times are milliseconds since 1970."""

    name: str
    version: str
    creation_timestamp: Int64
    last_updated_timestamp: Int64
    current_stage: str
    description: str = field(default_factory=str)
    source: str
    run_id: str = field(default_factory=str)
    status: str
    status_message: str | None = None
    run_link: str = field(default_factory=str)
    model_id: str | None = None
    tags: list[Tag] = []
    aliases: list[str] = []


class ModelVersionAnswer(Answer):
    """One model version."""

    model_version: ModelVersion


class ModelVersionList(Answer):
    """Model versions."""

    model_versions: list[ModelVersion] = []


class ModelVersionRef(Request):
    """Names a version of a registered model."""

    name: str = ""
    version: str | int = ""

    def __post_init__(self) -> None:
        names.check_required("name", self.name)
        names.check_text("name", self.name, limits.MAX_MODEL_NAME_LENGTH)
        self.version = str(names.check_model_version("version", str(self.version)))


class CreateModelVersion(Request):
    """The next version of a registered model, from the files at `source`, READY at once.

    `version`, `current_stage`, `creation_timestamp` and `last_updated_timestamp` are Headrace's
    own additions, for copies that keep them. Sending the same version again answers the one that
    is there; one that is there with another source is AlreadyExists.
    """

    name: str = ""
    source: str = ""
    run_id: str | None = None
    tags: list[Tag] = []
    run_link: str | None = None
    description: str | None = None
    model_id: str | None = None
    version: str | int | None = None
    current_stage: str | None = None
    creation_timestamp: Int64 | None = None
    last_updated_timestamp: Int64 | None = None

    def __post_init__(self) -> None:
        names.check_required("name", self.name)
        names.check_text("name", self.name, limits.MAX_MODEL_NAME_LENGTH)
        names.check_required("source", self.source)
        names.check_text("source", self.source, limits.MAX_URI_LENGTH)
        if self.run_id:
            names.check_run_id("run_id", self.run_id)
        if self.model_id:
            names.check_run_id("model_id", self.model_id)
        names.check_tags(self.tags)
        names.check_text("run_link", self.run_link, limits.MAX_URI_LENGTH)
        names.check_text("description", self.description, limits.MAX_DESCRIPTION_LENGTH)
        self._check_what_copies_keep()

    def _check_what_copies_keep(self) -> None:
        if self.version is not None:
            number = names.check_model_version("version", str(self.version))
            if number > limits.MAX_GIVEN_VERSION:
                raise InvalidRequest(
                    f"Invalid value {number} for 'version': at most {limits.MAX_GIVEN_VERSION} "
                    "may be asked for."
                )
            self.version = str(number)
        if self.current_stage is not None:
            self.current_stage = canonical_stage("current_stage", self.current_stage)
        names.check_time("creation_timestamp", self.creation_timestamp)
        names.check_time("last_updated_timestamp", self.last_updated_timestamp)


class UpdateModelVersion(ModelVersionRef):
    """Writes the description, over what was there."""

    description: str | None = None

    def __post_init__(self) -> None:
        ModelVersionRef.__post_init__(self)
        names.check_text("description", self.description, limits.MAX_DESCRIPTION_LENGTH)


class TransitionStage(ModelVersionRef):
    """Moves a version to a stage; may archive what is in that stage now."""

    stage: str = ""
    archive_existing_versions: bool = False

    def __post_init__(self) -> None:
        ModelVersionRef.__post_init__(self)
        names.check_required("stage", self.stage)
        self.stage = canonical_stage("stage", self.stage)
        if self.archive_existing_versions and self.stage not in ("Staging", "Production"):
            raise InvalidRequest(
                "'archive_existing_versions' only goes with the stages Staging and Production, "
                f"not with {self.stage}."
            )


def canonical_stage(field_name: str, stage: str) -> str:
    """A stage's name as it is stored, from any mix of capitals. Raises InvalidRequest."""
    for known in STAGES:
        if known.lower() == stage.lower():
            return known
    raise InvalidRequest(
        f"Invalid value {stage!r} for '{field_name}': expected one of {', '.join(STAGES)}."
    )


class SetModelVersionTag(ModelVersionRef):
    """Writes a tag of a version, over what was there."""

    key: str = ""
    value: str = field(default_factory=str)

    def __post_init__(self) -> None:
        ModelVersionRef.__post_init__(self)
        names.check_key("key", self.key)
        names.check_text("value", self.value, limits.MAX_VALUE_LENGTH)


class DeleteModelVersionTag(ModelVersionRef):
    """Removes a tag of a version; a tag that is not there is no error."""

    key: str = ""

    def __post_init__(self) -> None:
        ModelVersionRef.__post_init__(self)
        names.check_required("key", self.key)


class SearchModelVersions(Request):
    """A page of versions that a filter accepts, last updated first unless `order_by` says else."""

    filter: str | None = None
    max_results: Int64 = limits.MAX_SEARCH_MODEL_VERSIONS
    order_by: list[str] = []
    page_token: str | None = None

    def __post_init__(self) -> None:
        names.check_page_size("max_results", self.max_results, limits.MAX_SEARCH_MODEL_VERSIONS)


class ModelVersionPage(Answer):
    """A page of model versions; without `next_page_token` it is the last."""

    model_versions: list[ModelVersion] = []
    next_page_token: str | None = None


class DownloadUri(Answer):
    """Where a version's files lie."""

    artifact_uri: str


_AT = "/2.0/mlflow/model-versions"
CREATE = Endpoint(
    "POST", f"{_AT}/create", CreateModelVersion, ModelVersionAnswer, "Create the next version."
)
GET = Endpoint("GET", f"{_AT}/get", ModelVersionRef, ModelVersionAnswer, "Get a model version.")
UPDATE = Endpoint(
    "PATCH", f"{_AT}/update", UpdateModelVersion, ModelVersionAnswer, "Describe a model version."
)
DELETE = Endpoint("DELETE", f"{_AT}/delete", ModelVersionRef, Empty, "Delete a model version.")
SEARCH = Endpoint(
    "GET", f"{_AT}/search", SearchModelVersions, ModelVersionPage, "Search model versions."
)
GET_DOWNLOAD_URI = Endpoint(
    "GET", f"{_AT}/get-download-uri", ModelVersionRef, DownloadUri, "Get where the files lie."
)
TRANSITION_STAGE = Endpoint(
    "POST",
    f"{_AT}/transition-stage",
    TransitionStage,
    ModelVersionAnswer,
    "Move a version to a stage.",
)
SET_TAG = Endpoint(
    "POST", f"{_AT}/set-tag", SetModelVersionTag, Empty, "Set a tag of a model version."
)
DELETE_TAG = Endpoint("DELETE", f"{_AT}/delete-tag", DeleteModelVersionTag, Empty, "Delete a tag.")
