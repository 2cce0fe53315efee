"""Where the files behind the artifact URIs of MLflow's own stores lie."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from headrace.artifacts.open import local_path
from headrace.artifacts.paths import safe_path
from headrace.artifacts.read_only import ReadOnlyFolder
from headrace.errors import InvalidRequest
from headrace.protocol.uris import (
    LoggedModelUri,
    join,
    parse_models_uri,
    parse_proxy_uri,
    parse_run_uri,
    scheme_of,
)
from headrace.sync.source import Files

USUAL_DESTINATION: Final = "mlartifacts"
"""The folder where `mlflow server` keeps artifacts unless it is told another."""

_MAX_HOPS: Final = 5
_OWNER: Final = re.compile(r"/((?:m-)?[0-9a-f]{32})/artifacts(?:/|$)")


class RecordedPlaces(Protocol):
    """What a source knows of the places of its runs and models; None for what is not there."""

    def run_place(self, run_id: str) -> str | None:
        """The artifact URI of a run."""
        ...

    def logged_model_place(self, model_id: str) -> str | None:
        """The artifact URI of a logged model."""
        ...

    def version_place(self, name: str, version: str) -> str | None:
        """Where the files of a model version lie, which may be a `runs:/` URI again."""
        ...


class ArtifactPlaces:
    """Finds the files of one source.

    `home` is the folder that the source itself lies in, to which relative paths are taken and
    where folders that were moved along with it are looked for. `destination` is where the server
    in front of it keeps what it calls `mlflow-artifacts:/`. A local path is followed wherever it
    leads: the runs were written by processes that could have written there.
    """

    def __init__(
        self,
        home: Path | None,
        destination: Path | None,
        *,
        complain: Callable[[str], None],
        note: Callable[[str], None],
    ) -> None:
        self._home = home
        self._complain = complain
        self._note = note
        usual = home / USUAL_DESTINATION if home is not None else None
        if destination is None and usual is not None and usual.is_dir():
            destination = usual
        self._destination = destination

    def find(self, uri: str, recorded: RecordedPlaces) -> Files | None:
        """The files behind any URI that MLflow notes; None, and said once, where out of reach."""
        try:
            place = _followed(uri, recorded)
            if not place:
                # An empty one would be read as the folder that we are in.
                self._complain(f"No place of files is noted for {uri!r}: none are copied.")
                return None
            return self._files(place)
        except InvalidRequest as error:
            self._complain(f"The files at {uri!r} are not copied: {error.message}")
            return None

    def _files(self, uri: str) -> Files | None:
        scheme = scheme_of(uri)
        if scheme == "mlflow-artifacts":
            return self._behind_server(uri)
        if scheme in ("", "file"):
            return self._local(uri)
        self._complain(
            f"Files at '{scheme}:' cannot be read from here, so they are not copied; their runs "
            "and models are."
        )
        return None

    def _behind_server(self, uri: str) -> Files | None:
        path = safe_path(parse_proxy_uri(uri).path, "artifact URI", allow_root=True)
        if self._destination is None:
            self._complain(
                "Files at 'mlflow-artifacts:' lie with MLflow's server, so they are not copied. "
                "Name the folder that it was started with as --artifacts-destination: "
                "--source-artifacts FOLDER."
            )
            return None
        return Files(ReadOnlyFolder(self._destination), path)

    def _local(self, uri: str) -> Files:
        recorded = self._absolute(uri)
        if not recorded.is_dir():
            moved = self._moved(recorded)
            if moved is not None:
                return Files(ReadOnlyFolder(moved), "")
            self._note_missing(recorded)
        return Files(ReadOnlyFolder(recorded), "")

    def _absolute(self, uri: str) -> Path:
        """A relative path means the folder that MLflow ran in: most likely the source's own."""
        if scheme_of(uri) == "" and self._home is not None and not Path(uri).is_absolute():
            beside = self._home / uri
            if beside.exists() or not Path(uri).exists():
                return local_path(str(beside))
        return local_path(uri)

    def _moved(self, recorded: Path) -> Path | None:
        """The folder that was moved here along with the source, known by the end of its path.

        The end holds the id of a run or logged model, so it fits nothing else.
        """
        for root in (self._home, self._destination):
            if root is None:
                continue
            for length in range(_tail_length(recorded), 6):
                candidate = root.joinpath(*recorded.parts[-length:])
                if len(recorded.parts) > length and candidate.is_dir():
                    return candidate
        return None

    def _note_missing(self, recorded: Path) -> None:
        """Say so where not even the root of the artifacts is here; a run without files is fine."""
        above = recorded.parents
        depth = _tail_length(recorded) - 1
        if len(above) > depth and not above[depth].exists():
            self._note(
                f"There is no folder {above[depth]}, so no files of runs or models were found "
                "there. If they lie elsewhere now, name the folder: --source-artifacts FOLDER."
            )


def owners(
    source: str, run_id: str | None, model_id: str | None, recorded: RecordedPlaces
) -> tuple[str, str | None]:
    """The run and the logged model that the files of a model version belong to.

    MLflow takes a version without them; then they are read from the place of the files, because
    a path is a version's source only as part of what it came from.
    """
    if not model_id and scheme_of(source) == "models":
        try:
            named = parse_models_uri(source)
        except InvalidRequest:
            return run_id or "", None
        model_id = named.model_id if isinstance(named, LoggedModelUri) else None
    owner = _OWNER.search(source)
    if owner is not None and not run_id and not model_id:
        found = owner.group(1)
        if found.startswith("m-"):
            model_id = found if recorded.logged_model_place(found) else None
        else:
            run_id = found if recorded.run_place(found) else None
    return run_id or "", model_id or None


def _tail_length(recorded: Path) -> int:
    """How many names at the end of a path belong to one run or logged model.

    `<experiment>/<run>/artifacts`, or `<experiment>/models/<model>/artifacts`.
    """
    return 4 if recorded.parent.parent.name == "models" else 3


def _followed(uri: str, recorded: RecordedPlaces) -> str | None:
    """The place that a `runs:/` or `models:/` URI leads to in the end."""
    place: str | None = uri
    for _ in range(_MAX_HOPS):
        scheme = scheme_of(place or "")
        if place is None or scheme not in ("runs", "models"):
            return place
        if scheme == "runs":
            run = parse_run_uri(place)
            above = recorded.run_place(run.run_id)
            place = join(above, run.path) if above else None
            continue
        model = parse_models_uri(place)
        if isinstance(model, LoggedModelUri):
            place = recorded.logged_model_place(model.model_id)
        elif model.version:
            place = recorded.version_place(model.name, model.version)
        else:
            return None
    return None
