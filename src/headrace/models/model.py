"""The `MLmodel` file: what a model folder says of itself, in MLflow's format.

Keys that Headrace does not know stay as they are, through any number of loads and saves.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest, NotFound
from headrace.models import also_here
from headrace.protocol.uris import scheme_of
from headrace.version import MLFLOW_VERSION

if TYPE_CHECKING:
    from headrace.models.schema import ParamSchema, Schema
    from headrace.models.signature import ModelSignature

MODEL_FILE: Final = "MLmodel"
PYFUNC: Final = "python_function"
__getattr__ = also_here("get_model_info", "set_model", "update_model_requirements")

_MAX_BYTES: Final = 32 << 20
_FIELDS: Final = (
    *("artifact_path", "auth_policy", "env_vars", "flavors", "is_signature_from_type_hint"),
    *("metadata", "mlflow_version", "model_id", "model_size_bytes", "model_uuid", "prompts"),
    *("resources", "run_id", "saved_input_example_info", "signature", "type_hint_from_example"),
    "utc_time_created",
)
_ALWAYS: Final = frozenset(
    {
        *("flavors", "is_signature_from_type_hint", "mlflow_version", "model_id"),
        *("model_size_bytes", "model_uuid", "prompts", "type_hint_from_example"),
        "utc_time_created",
    }
)
"""What is written even where it is null, as MLflow does."""


class Model:
    """What a model folder says of itself: its flavors, signature, example, and where it is from."""

    def __init__(  # noqa: PLR0913, PLR0917 - MLflow's signature
        self,
        artifact_path: str | None = None,
        run_id: str | None = None,
        utc_time_created: str | dt.datetime | None = None,
        flavors: Mapping[str, Any] | None = None,
        signature: ModelSignature | None = None,
        saved_input_example_info: dict[str, Any] | None = None,
        model_uuid: str | None = None,
        mlflow_version: str | None = MLFLOW_VERSION,
        metadata: dict[str, Any] | None = None,
        model_size_bytes: int | None = None,
        resources: Any = None,
        env_vars: list[str] | None = None,
        auth_policy: Any = None,
        model_id: str | None = None,
        prompts: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        self.artifact_path = artifact_path
        self.run_id = run_id
        self.utc_time_created = str(
            utc_time_created or dt.datetime.now(dt.UTC).replace(tzinfo=None)
        )
        self.flavors: dict[str, Any] = dict(flavors or {})
        self.signature = signature
        self.saved_input_example_info = saved_input_example_info
        self.model_uuid = model_uuid
        self.mlflow_version = mlflow_version
        self.metadata = metadata
        self.model_size_bytes = model_size_bytes
        self.resources = resources
        self.env_vars = env_vars
        self.auth_policy = auth_policy
        self.model_id = model_id
        self.prompts = prompts
        self.is_signature_from_type_hint = bool(kwargs.pop("is_signature_from_type_hint", False))
        self.type_hint_from_example = bool(kwargs.pop("type_hint_from_example", False))
        self.unknown: dict[str, Any] = kwargs
        """Keys of the file that have no meaning here; they are written back."""

    def add_flavor(self, name: str, **params: Any) -> Model:
        """Say that the model can be loaded as the flavor `name`, with these facts."""
        self.flavors[name] = params
        return self

    def get_input_schema(self) -> Schema | None:
        """The schema of what the model takes; None where it is not known."""
        return self.signature.inputs if self.signature else None

    def get_output_schema(self) -> Schema | None:
        """The schema of what the model gives; None where it is not known."""
        return self.signature.outputs if self.signature else None

    def get_params_schema(self) -> ParamSchema | None:
        """The schema of the parameters of predictions; None where there are none."""
        return self.signature.params if self.signature else None

    def load_input_example(self, path: str | Path | None = None) -> Any:
        """The data of the example that was saved with the model; None without one.

        `path` is the model's folder or a URI, by default the one by which it was logged.
        """
        from headrace.models.examples import load_example

        info = self.saved_input_example_info
        return info and load_example(_on_disk(path or self._uri()), info, self.signature)

    def load_input_example_params(self, path: str | Path) -> dict[str, Any] | None:
        """The parameters of the example, as `load_input_example`; None where there are none."""
        from headrace.models.examples import load_example_params

        info = self.saved_input_example_info
        return info and load_example_params(_on_disk(path), info)

    def get_serving_input(self, path: str | Path) -> str | None:
        """The request that the example makes, as JSON text, as `load_input_example`."""
        from headrace import models

        has_one = (self.saved_input_example_info or {}).get("serving_input_path") is not None
        return models.load_serving_example(path) if has_one else None

    def get_model_info(self, logged_model: Any = None) -> ModelInfo:
        """What there is to say of the model; `logged_model` adds its name, params and metrics."""
        more = {} if logged_model is None else facts_of(logged_model)
        return info_of(self, self._uri(), **more)

    def get_tags_dict(self) -> dict[str, Any]:
        """Where the model is from, and its flavors without their configuration."""
        names = ("artifact_path", "model_uuid", "run_id", "utc_time_created")
        flavors = {
            name: {key: value for key, value in facts.items() if key != "config"}
            for name, facts in self.flavors.items()
        }
        found = self.to_dict()
        return {**{name: found[name] for name in names if name in found}, "flavors": flavors}

    def _uri(self) -> str:
        if self.model_id:
            return f"models:/{self.model_id}"
        return f"runs:/{self.run_id}/{self.artifact_path}"

    def to_dict(self) -> dict[str, Any]:
        """The file's content, keys in order; the signature's parts are JSON texts."""
        found = {name: getattr(self, name) for name in _FIELDS}
        if self.signature is not None:
            found["signature"] = self.signature.to_dict()
        known = {
            name: found[name] for name in _FIELDS if name in _ALWAYS or found[name] is not None
        }
        return dict(sorted({**self.unknown, **known}.items()))

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), default=str)

    def to_yaml(self, stream: IO[str] | None = None) -> str:
        """`to_dict` as the text of the file, which is also written to `stream`."""
        from headrace.protocol.yaml_text import dump_yaml

        try:
            text = dump_yaml(self.to_dict())
        except ValueError as error:
            raise InvalidRequest(
                f"The model's description cannot be written as YAML: {error}. Metadata may hold "
                "texts, numbers, lists and dictionaries."
            ) from error
        if stream is not None:
            stream.write(text)
        return text

    def save(self, path: str | Path) -> None:
        """Write the file to `path`, in place of an older one."""
        Path(path).write_text(self.to_yaml())

    @classmethod
    def from_dict(cls, model_dict: Mapping[str, Any]) -> Model:
        """The model that a file's content describes. Raises InvalidRequest."""
        from headrace.models.signature import ModelSignature

        content: dict[Any, Any] = dict(model_dict)
        if not isinstance(content.get("flavors"), dict):
            raise InvalidRequest("it has no table 'flavors', so nothing says how to load the model")
        example = content.get("saved_input_example_info")
        if not isinstance(example, dict | None):
            raise InvalidRequest("its 'saved_input_example_info' is no table")
        signature = content.pop("signature", None)
        if signature is not None:
            content["signature"] = ModelSignature.from_dict(signature)
        wrong = [name for name in content if not isinstance(name, str) or name == "self"]
        wrong += [name for name in content["flavors"] if not isinstance(name, str)]
        if wrong:
            raise InvalidRequest(f"it has the key {wrong[0]!r}; expected texts")
        return cls(**content)

    @classmethod
    def load(cls, path: str | Path) -> Model:
        """Read the file in a folder, or the file itself; `path` may be the URI of a model.

        NotFound where there is none; InvalidRequest for what is no model's description.
        """
        file = _on_disk(path)
        if file.is_dir():
            file = file / MODEL_FILE
        try:
            with open(file, "rb") as opened:
                data = opened.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            raise no_model(path) from None
        return cls.from_bytes(data, str(file))

    @classmethod
    def from_bytes(cls, data: bytes, name: str = MODEL_FILE) -> Model:
        """As `load`, of the file's bytes; `name` is for the error."""
        from headrace.protocol.yaml_text import load_yaml

        try:
            if len(data) > _MAX_BYTES:
                raise ValueError(f"it is longer than {_MAX_BYTES} bytes")
            content = load_yaml(data.decode())
            if not isinstance(content, dict):
                raise ValueError("it is no table of keys and values")
            return cls.from_dict(content)
        except (ValueError, InvalidRequest) as error:
            raise InvalidRequest(f"'{name}' does not describe a model: {error}") from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # it can change

    def __repr__(self) -> str:
        return f"Model(flavors={sorted(self.flavors)}, model_id={self.model_id!r})"


@dataclass(frozen=True)
class ModelInfo:
    """A model that was logged: its URI, ids and description. The names are MLflow's."""

    artifact_path: str | None
    flavors: dict[str, Any]
    model_uri: str
    model_uuid: str | None
    run_id: str | None
    saved_input_example_info: dict[str, Any] | None
    signature: ModelSignature | None
    utc_time_created: str
    mlflow_version: str | None
    metadata: dict[str, Any] | None = None
    registered_model_version: int | None = None
    env_vars: list[str] | None = None
    prompts: list[str] | None = None
    model_id: str | None = None
    name: str | None = None
    params: dict[str, str] | None = None
    tags: dict[str, str] | None = None
    metrics: list[Any] | None = None
    creation_timestamp: int | None = None

    def __repr__(self) -> str:
        shown = {
            "name": self.name,
            "model_uri": self.model_uri,
            "run_id": self.run_id,
            "registered_model_version": self.registered_model_version,
            "flavors": sorted(self.flavors),
        }
        return f"ModelInfo({', '.join(f'{key}={value!r}' for key, value in shown.items())})"


def no_model(where: str | Path) -> NotFound:
    """The error for a place where there is no model."""
    return NotFound(f"There is no model at '{where}': the file {MODEL_FILE} is missing.")


def facts_of(logged: Any) -> dict[str, Any]:
    """What a logged model knows that its files do not, for `info_of`."""
    names = ("name", "params", "tags", "metrics", "creation_timestamp")
    return {name: getattr(logged, name) for name in names}


def _on_disk(path: str | Path) -> Path:
    """A path as it is; for a URI the folder where the model lies, or where it is fetched to."""
    from headrace import models

    # What fetches models stands above this layer; the front door says where.
    return Path(models.local_model(path)) if scheme_of(str(path)) else Path(path)


def info_of(model: Model, uri: str, **more: Any) -> ModelInfo:
    """What to say of a model that lies at `uri`; `more` is what its file does not know."""
    return ModelInfo(
        artifact_path=model.artifact_path,
        flavors=model.flavors,
        model_uri=uri,
        model_uuid=model.model_uuid,
        run_id=model.run_id,
        saved_input_example_info=model.saved_input_example_info,
        signature=model.signature,
        utc_time_created=model.utc_time_created,
        mlflow_version=model.mlflow_version,
        metadata=model.metadata,
        env_vars=model.env_vars,
        prompts=model.prompts,
        **{"model_id": model.model_id, **more},
    )
