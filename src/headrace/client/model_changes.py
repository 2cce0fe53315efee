"""Changes to models that are saved already, wherever they lie: new files, and a new signature."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headrace.artifacts import transfer
from headrace.artifacts.open import ArtifactPlace, local_path
from headrace.artifacts.tree import Tree
from headrace.client.client import current_client
from headrace.errors import InvalidModel, InvalidRequest, NotFound
from headrace.models.model import MODEL_FILE, Model, no_model
from headrace.models.trust.changes import Reads, changed_files
from headrace.models.trust.hashing import problem_of
from headrace.models.trust.own_key import replace_file
from headrace.protocol.uris import LoggedModelUri, parse_models_uri, scheme_of

if TYPE_CHECKING:
    from headrace.models.signature import ModelSignature

_MAX_BYTES: Final = 64 << 20
"""Of a file that is changed: a signature over 100,000 files has half of it."""


def set_signature(model_uri: str | Path, signature: ModelSignature, *, trust: bool = False) -> None:
    """Give a model a signature, over one that it has (MLflow's name); it is signed anew.

    `model_uri` as of `change_model`. Errors as of `changed_files`; NotFound.
    """
    from headrace.models.signature import ModelSignature as Signature

    if not isinstance(signature, Signature):
        raise InvalidRequest(
            f"'signature' is {type(signature).__name__}; expected a ModelSignature, as "
            "infer_signature makes one."
        )

    def described(data: bytes) -> bytes:
        model = Model.from_bytes(data)
        model.signature = signature
        model.is_signature_from_type_hint = False
        return model.to_yaml().encode()

    def changed(read: Reads, name: str) -> dict[str, bytes]:
        files = changed_files(read, {MODEL_FILE: described}, name=name, trust=trust)
        if not files:
            raise no_model(model_uri)
        return files

    change_model(model_uri, changed)


def change_model(model_uri: str | Path, change: Callable[[Reads, str], dict[str, bytes]]) -> None:
    """Write the files that `change` makes of a model's, given a way to read those and its name.

    `model_uri` names a folder, an artifact URI, `runs:/…` or `models:/m-…`. InvalidRequest for a
    model by its registered name: those are read-only.
    """
    uri = str(model_uri)
    if scheme_of(uri) == "models" and not isinstance(parse_models_uri(uri), LoggedModelUri):
        raise InvalidRequest(
            f"'{uri}' names a registered version, which is read-only. Change the logged model it "
            "was made from (models:/m-…), and register it anew."
        )
    name = uri.rstrip("/").rpartition("/")[2] or "model"
    if scheme_of(uri) in ("", "file"):
        folder = local_path(uri)
        tree = Tree(folder, only_read=True)
        _write_folder(folder, change(lambda file: _read_file(tree, file), name))
    else:
        place = current_client()._locate(uri)
        _upload(place, change(lambda file: _read_place(place.below(file)), name))


def _read_file(tree: Tree, name: str) -> bytes | None:
    """A file of a folder; no link is followed, else what it leads to would be written there."""
    try:
        with open(tree.open_file(name), "rb") as file:
            return _bounded(file.read(_MAX_BYTES + 1), name)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidModel(f"'{name}' of the model {problem_of(error)}.") from error


def _read_place(place: ArtifactPlace) -> bytes | None:
    try:
        with place.store.read(place.path) as reader:
            return _bounded(b"".join(reader.chunks(0, _MAX_BYTES + 1)), place.path)
    except NotFound:
        return None


def _bounded(data: bytes, name: str) -> bytes:
    if len(data) > _MAX_BYTES:
        raise InvalidRequest(f"'{name}' of the model has more than {_MAX_BYTES} bytes.")
    return data


def _write_folder(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        replace_file(folder / name, data, 0o666)


def _upload(place: ArtifactPlace, files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory(prefix="headrace-") as temporary:
        for name, data in files.items():
            source = Path(temporary, name)
            source.write_bytes(data)
            target = place.below(name)
            transfer.upload_file(target.store, source, target.path)
