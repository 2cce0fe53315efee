"""From the URIs that name things (`runs:/`, `models:/`) to where their files lie."""

from __future__ import annotations

from headrace.artifacts.open import ArtifactPlace
from headrace.client.connection import Connection
from headrace.client.values import checked
from headrace.errors import InvalidRequest
from headrace.protocol.logged_models import GetLoggedModel, LoggedModel, SearchLoggedModels
from headrace.protocol.model_versions import ModelVersionRef
from headrace.protocol.registered_models import AliasRef, GetLatestVersions
from headrace.protocol.runs import RunRef
from headrace.protocol.uris import (
    LoggedModelUri,
    RegistryUri,
    parse_models_uri,
    parse_run_uri,
    scheme_of,
)

_MAX_STEPS = 10


class Locations(Connection):
    """Finds the place of an artifact URI. All of it raises NotFound for what is not there."""

    def _locate(self, uri: str) -> ArtifactPlace:
        """The place of any URI, followed to the files."""
        for _ in range(_MAX_STEPS):
            scheme = scheme_of(uri)
            if scheme == "runs":
                named = parse_run_uri(uri)
                return self._run_file(named.run_id, named.path)
            if scheme != "models":
                return self._place(uri)
            # A version's source may itself be a model's URI.
            uri = self._model_uri(uri)
        raise InvalidRequest(f"'{uri}' leads from one model's URI to the next without an end.")

    def _run_file(self, run_id: str, path: str) -> ArtifactPlace:
        """A file or folder of a run; a model that the run logged counts as a folder of it."""
        place = self._run_place(run_id).below(path)
        if not path or _exists(place):
            return place
        name, _, rest = path.partition("/")
        models = self._models_of_run(run_id, name)
        return self._place(models[0].info.artifact_uri).below(rest) if models else place

    def _model_place(self, model_id: str) -> ArtifactPlace:
        request = checked(GetLoggedModel, model_id=model_id)
        return self._place(self._store.logged_models.get(request).model.info.artifact_uri)

    def _models_of_run(self, run_id: str, name: str) -> list[LoggedModel]:
        """The logged models of this name that a run made, newest first."""
        if not name or any(character in name for character in "/:.%\"'"):
            return []
        run = self._store.runs.get(checked(RunRef, run_id=run_id)).run
        request = checked(
            SearchLoggedModels,
            experiment_ids=[run.info.experiment_id],
            filter=f"name = '{name}' AND source_run_id = '{run_id}'",
        )
        return self._store.logged_models.search(request).models

    def _model_uri(self, uri: str) -> str:
        named = parse_models_uri(uri)
        if isinstance(named, LoggedModelUri):
            request = checked(GetLoggedModel, model_id=named.model_id)
            return self._store.logged_models.get(request).model.info.artifact_uri
        version = checked(ModelVersionRef, name=named.name, version=self._version_number(named))
        return self._registry.model_versions.download_uri(version).artifact_uri

    def _version_number(self, named: RegistryUri) -> str | int:
        if named.version is not None:
            return named.version
        models = self._registry.registered_models
        if named.alias is not None:
            alias = checked(AliasRef, name=named.name, alias=named.alias)
            return models.get_by_alias(alias).model_version.version
        stage = checked(GetLatestVersions, name=named.name, stages=[named.stage or ""])
        found = models.latest_versions(stage).model_versions
        if not found:
            raise InvalidRequest(
                f"No version of the model '{named.name}' is in the stage '{named.stage}'."
            )
        return found[0].version


def _exists(place: ArtifactPlace) -> bool:
    folder, _, name = place.path.rpartition("/")
    return any(entry.path == name for entry in place.store.list(folder))
