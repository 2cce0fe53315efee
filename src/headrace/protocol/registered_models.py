"""Registered models: the names under which versions of a model are promoted."""

from __future__ import annotations

from msgspec import field

from headrace.protocol import limits, names
from headrace.protocol.endpoint import Endpoint
from headrace.protocol.model_versions import ModelVersion, ModelVersionAnswer, ModelVersionList
from headrace.protocol.wire import Answer, Empty, Int64, Request, Tag

PROMPT_TAG = "mlflow.prompt.is_prompt"
"""The tag that marks a registered model as a prompt; searches leave those out unless asked."""


class Alias(Answer):
    """A name for one version of a registered model, which may be moved to another."""

    alias: str
    version: str


class RegisteredModel(Answer):
    """A registered model; `latest_versions` holds the newest of each stage."""

    name: str
    creation_timestamp: Int64
    last_updated_timestamp: Int64
    description: str | None = None
    latest_versions: list[ModelVersion] = []
    tags: list[Tag] = []
    aliases: list[Alias] = []


class RegisteredModelAnswer(Answer):
    """One registered model."""

    registered_model: RegisteredModel


class RegisteredModelRef(Request):
    """Names a registered model."""

    name: str = ""

    def __post_init__(self) -> None:
        names.check_required("name", self.name)
        names.check_text("name", self.name, limits.MAX_MODEL_NAME_LENGTH)


class CreateRegisteredModel(Request):
    """A new registered model, without versions.

    `creation_timestamp` and `last_updated_timestamp` (now, if absent) are Headrace's own
    additions, for copies that keep them.
    """

    name: str = ""
    tags: list[Tag] = []
    description: str | None = None
    creation_timestamp: Int64 | None = None
    last_updated_timestamp: Int64 | None = None

    def __post_init__(self) -> None:
        names.check_model_name("name", self.name)
        names.check_tags(self.tags)
        names.check_text("description", self.description, limits.MAX_DESCRIPTION_LENGTH)
        names.check_time("creation_timestamp", self.creation_timestamp)
        names.check_time("last_updated_timestamp", self.last_updated_timestamp)


class UpdateRegisteredModel(RegisteredModelRef):
    """Writes the description, over what was there."""

    description: str | None = None

    def __post_init__(self) -> None:
        RegisteredModelRef.__post_init__(self)
        names.check_text("description", self.description, limits.MAX_DESCRIPTION_LENGTH)


class RenameRegisteredModel(RegisteredModelRef):
    """Gives a registered model, and with it its versions, a new name."""

    new_name: str = ""

    def __post_init__(self) -> None:
        RegisteredModelRef.__post_init__(self)
        names.check_model_name("new_name", self.new_name)


class SearchRegisteredModels(Request):
    """A page of registered models that a filter accepts, by name unless `order_by` says else."""

    filter: str | None = None
    max_results: Int64 = 100
    order_by: list[str] = []
    page_token: str | None = None

    def __post_init__(self) -> None:
        names.check_page_size("max_results", self.max_results, limits.MAX_SEARCH_REGISTERED_MODELS)


class RegisteredModelPage(Answer):
    """A page of registered models; without `next_page_token` it is the last."""

    registered_models: list[RegisteredModel] = []
    next_page_token: str | None = None


class GetLatestVersions(RegisteredModelRef):
    """The newest version of each of `stages` (of all stages, if none is named)."""

    stages: list[str] = []


class SetRegisteredModelTag(RegisteredModelRef):
    """Writes a tag of a registered model, over what was there."""

    key: str = ""
    value: str = field(default_factory=str)

    def __post_init__(self) -> None:
        RegisteredModelRef.__post_init__(self)
        names.check_key("key", self.key)
        names.check_text("value", self.value, limits.MAX_VALUE_LENGTH)


class DeleteRegisteredModelTag(RegisteredModelRef):
    """Removes a tag of a registered model; a tag that is not there is no error."""

    key: str = ""

    def __post_init__(self) -> None:
        RegisteredModelRef.__post_init__(self)
        names.check_required("key", self.key)


class SetAlias(RegisteredModelRef):
    """Points an alias at a version, away from the one it pointed at."""

    alias: str = ""
    version: str | int = ""

    def __post_init__(self) -> None:
        RegisteredModelRef.__post_init__(self)
        names.check_alias("alias", self.alias)
        self.version = str(names.check_model_version("version", str(self.version)))


class AliasRef(RegisteredModelRef):
    """Names an alias; for reading, `latest` is the highest version."""

    alias: str = ""

    def __post_init__(self) -> None:
        RegisteredModelRef.__post_init__(self)
        names.check_required("alias", self.alias)
        names.check_text("alias", self.alias, limits.MAX_ALIAS_LENGTH)


_AT = "/2.0/mlflow/registered-models"
CREATE = Endpoint(
    "POST",
    f"{_AT}/create",
    CreateRegisteredModel,
    RegisteredModelAnswer,
    "Create a registered model.",
)
GET = Endpoint(
    "GET", f"{_AT}/get", RegisteredModelRef, RegisteredModelAnswer, "Get a registered model."
)
UPDATE = Endpoint(
    "PATCH",
    f"{_AT}/update",
    UpdateRegisteredModel,
    RegisteredModelAnswer,
    "Describe a registered model.",
)
RENAME = Endpoint(
    "POST",
    f"{_AT}/rename",
    RenameRegisteredModel,
    RegisteredModelAnswer,
    "Rename a registered model.",
)
DELETE = Endpoint(
    "DELETE",
    f"{_AT}/delete",
    RegisteredModelRef,
    Empty,
    "Delete a registered model with all its versions, for good.",
)
SEARCH = Endpoint(
    "GET",
    f"{_AT}/search",
    SearchRegisteredModels,
    RegisteredModelPage,
    "Search registered models.",
)
GET_LATEST = Endpoint(
    "POST",
    f"{_AT}/get-latest-versions",
    GetLatestVersions,
    ModelVersionList,
    "Get the newest version of each stage.",
)
GET_LATEST_GET = Endpoint(
    "GET",
    f"{_AT}/get-latest-versions",
    GetLatestVersions,
    ModelVersionList,
    "Get the newest version of each stage.",
)
SET_TAG = Endpoint(
    "POST", f"{_AT}/set-tag", SetRegisteredModelTag, Empty, "Set a tag of a registered model."
)
DELETE_TAG = Endpoint(
    "DELETE",
    f"{_AT}/delete-tag",
    DeleteRegisteredModelTag,
    Empty,
    "Delete a tag of a registered model.",
)
SET_ALIAS = Endpoint("POST", f"{_AT}/alias", SetAlias, Empty, "Point an alias at a version.")
DELETE_ALIAS = Endpoint("DELETE", f"{_AT}/alias", AliasRef, Empty, "Delete an alias.")
GET_BY_ALIAS = Endpoint(
    "GET", f"{_AT}/alias", AliasRef, ModelVersionAnswer, "Get the version behind an alias."
)
