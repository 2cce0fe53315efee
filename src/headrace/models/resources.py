"""What a model uses where it is served, as Databricks reads it from an `MLmodel` file.

`Resource` and its kinds have MLflow's names, arguments and JSON:
`{"api_version": "1", "databricks": {"serving_endpoint": [{"name": …}]}}`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Final

from headrace.errors import InvalidRequest

DEFAULT_API_VERSION: Final = "1"
_MAX_BYTES: Final = 1 << 20


class ResourceType(Enum):
    """The kinds of resources, by the names that files have for them."""

    UC_CONNECTION = "uc_connection"
    VECTOR_SEARCH_INDEX = "vector_search_index"
    SERVING_ENDPOINT = "serving_endpoint"
    SQL_WAREHOUSE = "sql_warehouse"
    FUNCTION = "function"
    GENIE_SPACE = "genie_space"
    TABLE = "table"
    APP = "app"
    LAKEBASE = "lakebase"
    UC_MODEL_SERVICE = "uc_model_service"


class Resource(ABC):
    """Something that a served model uses; it lies at `target_uri`."""

    @property
    @abstractmethod
    def type(self) -> ResourceType:
        """Its kind."""

    @property
    @abstractmethod
    def target_uri(self) -> str:
        """Where resources of this sort lie, such as "databricks"."""

    @abstractmethod
    def to_dict(self) -> dict[str, list[dict[str, Any]]]:
        """Its entry in the file, below its kind."""

    @classmethod
    @abstractmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Resource:
        """The resource that an entry in a file names. Raises InvalidRequest."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Resource) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(repr(self.to_dict()))


class DatabricksResource(Resource):
    """A resource in Databricks, by its name there.

    With `on_behalf_of_user` it is used with the rights of who calls the model; otherwise with
    those of who made it.
    """

    _kind: ClassVar[ResourceType]

    def __init__(self, name: str, on_behalf_of_user: bool | None = None) -> None:
        self.name = name
        self.on_behalf_of_user = on_behalf_of_user

    @property
    def type(self) -> ResourceType:
        """See Resource."""
        return self._kind

    @property
    def target_uri(self) -> str:
        """See Resource."""
        return "databricks"

    def to_dict(self) -> dict[str, list[dict[str, Any]]]:
        """See Resource."""
        entry: dict[str, Any] = {"name": self.name}
        if self.on_behalf_of_user is not None:
            entry["on_behalf_of_user"] = self.on_behalf_of_user
        return {self.type.value: [entry]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DatabricksResource:
        """See Resource."""
        if not isinstance(data.get("name"), str):
            raise InvalidRequest(f"A resource needs a text 'name'; this is {data!r}.")
        return cls(data["name"], data.get("on_behalf_of_user"))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class DatabricksUCConnection(DatabricksResource):
    """A connection of Unity Catalog."""

    _kind = ResourceType.UC_CONNECTION

    def __init__(self, connection_name: str, on_behalf_of_user: bool | None = None) -> None:
        super().__init__(connection_name, on_behalf_of_user)


class DatabricksServingEndpoint(DatabricksResource):
    """An endpoint that serves another model."""

    _kind = ResourceType.SERVING_ENDPOINT

    def __init__(self, endpoint_name: str, on_behalf_of_user: bool | None = None) -> None:
        super().__init__(endpoint_name, on_behalf_of_user)


class DatabricksVectorSearchIndex(DatabricksResource):
    """An index for vector search."""

    _kind = ResourceType.VECTOR_SEARCH_INDEX

    def __init__(self, index_name: str, on_behalf_of_user: bool | None = None) -> None:
        super().__init__(index_name, on_behalf_of_user)


class DatabricksSQLWarehouse(DatabricksResource):
    """A SQL warehouse, by its id."""

    _kind = ResourceType.SQL_WAREHOUSE

    def __init__(self, warehouse_id: str, on_behalf_of_user: bool | None = None) -> None:
        super().__init__(warehouse_id, on_behalf_of_user)


class DatabricksFunction(DatabricksResource):
    """A function of Unity Catalog."""

    _kind = ResourceType.FUNCTION

    def __init__(self, function_name: str, on_behalf_of_user: bool | None = None) -> None:
        super().__init__(function_name, on_behalf_of_user)


class DatabricksGenieSpace(DatabricksResource):
    """A Genie space, by its id."""

    _kind = ResourceType.GENIE_SPACE

    def __init__(self, genie_space_id: str, on_behalf_of_user: bool | None = None) -> None:
        super().__init__(genie_space_id, on_behalf_of_user)


class DatabricksTable(DatabricksResource):
    """A table of Unity Catalog."""

    _kind = ResourceType.TABLE

    def __init__(self, table_name: str, on_behalf_of_user: bool | None = None) -> None:
        super().__init__(table_name, on_behalf_of_user)


class DatabricksApp(DatabricksResource):
    """A Databricks app."""

    _kind = ResourceType.APP

    def __init__(self, app_name: str, on_behalf_of_user: bool | None = None) -> None:
        super().__init__(app_name, on_behalf_of_user)


class DatabricksLakebase(DatabricksResource):
    """An instance of a Lakebase database."""

    _kind = ResourceType.LAKEBASE

    def __init__(self, database_instance_name: str, on_behalf_of_user: bool | None = None) -> None:
        super().__init__(database_instance_name, on_behalf_of_user)


class DatabricksUCModelService(DatabricksResource):
    """A model service of Unity Catalog."""

    _kind = ResourceType.UC_MODEL_SERVICE

    def __init__(self, model_service_name: str, on_behalf_of_user: bool | None = None) -> None:
        super().__init__(model_service_name, on_behalf_of_user)


_BY_TARGET: Final[dict[str, dict[str, type[DatabricksResource]]]] = {
    "databricks": {kind._kind.value: kind for kind in DatabricksResource.__subclasses__()}
}


def resources_as_dict(given: Any) -> dict[str, Any]:
    """What stands in `MLmodel` for a list of resources, a YAML file of them, or that itself.

    Raises InvalidRequest where a file or table is none of resources.
    """
    if isinstance(given, str | Path):
        return _merged(resources_in(_read(Path(given))))
    if isinstance(given, Mapping):
        return _merged(resources_in(given))
    if isinstance(given, Sequence) and all(isinstance(each, Resource) for each in given):
        return _merged(given)
    raise InvalidRequest(
        f"'resources' is {type(given).__name__}; expected a list of headrace.models.resources' "
        "objects, or the path of a YAML file."
    )


def resources_in(table: Mapping[str, Any]) -> list[Resource]:
    """The resources in an `MLmodel` or a file. Raises InvalidRequest."""
    version = table.get("api_version")
    if str(version) != DEFAULT_API_VERSION:
        raise InvalidRequest(
            f"Resources of the API version {version!r} are not known; expected "
            f"'{DEFAULT_API_VERSION}'."
        )
    found: list[Resource] = []
    for target, kinds in table.items():
        if target == "api_version":
            continue
        known = _BY_TARGET.get(target)
        if known is None or not isinstance(kinds, Mapping):
            raise InvalidRequest(f"There are no resources of {target!r}; known is 'databricks'.")
        for kind, entries in kinds.items():
            if kind not in known or not _are_tables(entries):
                raise InvalidRequest(
                    f"There is no list of resources of the kind {kind!r}; known kinds are: "
                    f"{', '.join(known)}."
                )
            found.extend(known[kind].from_dict(entry) for entry in entries)
    return found


def auth_policy_as_dict(given: Any) -> dict[str, Any]:
    """What stands in `MLmodel` for an AuthPolicy, or for that itself. Raises InvalidRequest."""
    if isinstance(given, Mapping):
        return dict(given)
    if hasattr(given, "to_dict"):
        return dict(given.to_dict())
    raise InvalidRequest(
        f"'auth_policy' is {type(given).__name__}; expected an AuthPolicy of "
        "headrace.models.auth_policy."
    )


def _are_tables(entries: Any) -> bool:
    return isinstance(entries, list) and all(isinstance(each, Mapping) for each in entries)


def _merged(resources: Sequence[Resource]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for resource in resources:
        kinds = merged.setdefault(resource.target_uri, {})
        for kind, entries in resource.to_dict().items():
            kinds.setdefault(kind, []).extend(entries)
    merged["api_version"] = DEFAULT_API_VERSION
    return merged


def _read(path: Path) -> Mapping[str, Any]:
    from headrace.protocol.yaml_text import load_yaml

    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InvalidRequest(f"'resources' names '{path}', which is too large.")
        document = load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidRequest(
            f"'resources' names '{path}', which cannot be read: {error.strerror}."
        ) from None
    except ValueError as error:
        raise InvalidRequest(f"'resources' names '{path}', which is no YAML: {error}.") from None
    if not isinstance(document, Mapping):
        raise InvalidRequest(f"'resources' names '{path}', which is no table of resources.")
    return document
