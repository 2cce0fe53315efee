"""The client's calls about registered models and their versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.client import values
from headrace.client.connection import Connection
from headrace.client.entities import (
    ModelVersion,
    PagedList,
    RegisteredModel,
    registered_model_from_wire,
    version_from_wire,
)
from headrace.client.values import checked
from headrace.errors import InvalidRequest, NotFound
from headrace.protocol import model_versions as versions
from headrace.protocol import registered_models as models
from headrace.protocol.uris import LoggedModelUri, RegistryUri, parse_models_uri


class RegisteredModelCalls(Connection):
    """Registered models. See RegisteredModelStore for what can be raised."""

    def create_registered_model(
        self,
        name: str,
        tags: Mapping[str, Any] | None = None,
        description: str | None = None,
        deployment_job_id: str | None = None,
    ) -> RegisteredModel:
        """Make a registered model. AlreadyExists. `deployment_job_id` must be left out."""
        _refuse("deployment_job_id", deployment_job_id)
        request = checked(
            models.CreateRegisteredModel,
            name=name,
            tags=values.pairs("tags", tags),
            description=description,
        )
        answer = self._registry.registered_models.create(request)
        return registered_model_from_wire(answer.registered_model)

    def get_registered_model(self, name: str) -> RegisteredModel:
        """The registered model with this name. NotFound."""
        request = checked(models.RegisteredModelRef, name=name)
        answer = self._registry.registered_models.get(request)
        return registered_model_from_wire(answer.registered_model)

    def rename_registered_model(self, name: str, new_name: str) -> RegisteredModel:
        """Rename a registered model and its versions. NotFound; AlreadyExists."""
        request = checked(models.RenameRegisteredModel, name=name, new_name=new_name)
        answer = self._registry.registered_models.rename(request)
        return registered_model_from_wire(answer.registered_model)

    def update_registered_model(
        self, name: str, description: str | None = None, deployment_job_id: str | None = None
    ) -> RegisteredModel:
        """Describe a registered model. NotFound. `deployment_job_id` must be left out."""
        _refuse("deployment_job_id", deployment_job_id)
        request = checked(models.UpdateRegisteredModel, name=name, description=description)
        answer = self._registry.registered_models.update(request)
        return registered_model_from_wire(answer.registered_model)

    def delete_registered_model(self, name: str) -> None:
        """Delete a registered model with all its versions, for good. NotFound."""
        self._registry.registered_models.delete(checked(models.RegisteredModelRef, name=name))

    def search_registered_models(
        self,
        filter_string: str | None = None,
        max_results: int = 100,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList[RegisteredModel]:
        """A page of registered models that a filter accepts."""
        request = checked(
            models.SearchRegisteredModels,
            filter=filter_string,
            max_results=max_results,
            order_by=None if order_by is None else list(order_by),
            page_token=page_token,
        )
        page = self._registry.registered_models.search(request)
        found = [registered_model_from_wire(model) for model in page.registered_models]
        return PagedList(found, page.next_page_token)

    def get_latest_versions(
        self, name: str, stages: Sequence[str] | None = None
    ) -> list[ModelVersion]:
        """The newest version of each of `stages` (all stages, for None). NotFound."""
        request = checked(models.GetLatestVersions, name=name, stages=list(stages or ()))
        answer = self._registry.registered_models.latest_versions(request)
        return [version_from_wire(version) for version in answer.model_versions]

    def set_registered_model_tag(self, name: str, key: str, value: Any) -> None:
        """Write a tag of a registered model, over what was there. NotFound."""
        request = checked(models.SetRegisteredModelTag, name=name, key=key, value=str(value))
        self._registry.registered_models.set_tag(request)

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """Remove a tag of a registered model; harmless if it is not there. NotFound."""
        request = checked(models.DeleteRegisteredModelTag, name=name, key=key)
        self._registry.registered_models.delete_tag(request)

    def set_registered_model_alias(self, name: str, alias: str, version: str | int) -> None:
        """Point an alias at a version, away from the one it pointed at. NotFound."""
        request = checked(models.SetAlias, name=name, alias=alias, version=version)
        self._registry.registered_models.set_alias(request)

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Remove an alias; harmless if it is not there. NotFound."""
        request = checked(models.AliasRef, name=name, alias=alias)
        self._registry.registered_models.delete_alias(request)

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """The version behind an alias, or behind `latest`. NotFound; InvalidRequest if none."""
        request = checked(models.AliasRef, name=name, alias=alias)
        answer = self._registry.registered_models.get_by_alias(request)
        return version_from_wire(answer.model_version)


class ModelVersionCalls(RegisteredModelCalls):
    """Versions of registered models. See ModelVersionStore for what can be raised."""

    def create_model_version(
        self,
        name: str,
        source: str,
        run_id: str | None = None,
        tags: Mapping[str, Any] | None = None,
        run_link: str | None = None,
        description: str | None = None,
        await_creation_for: int | None = 300,
        model_id: str | None = None,
    ) -> ModelVersion:
        """Make the next version from the model at `source`. It is ready at once. NotFound."""
        request = checked(
            versions.CreateModelVersion,
            name=name,
            source=source,
            run_id=run_id,
            tags=values.pairs("tags", tags),
            run_link=run_link,
            description=description,
            model_id=model_id,
        )
        return version_from_wire(self._registry.model_versions.create(request).model_version)

    def copy_model_version(self, src_model_uri: str, dst_name: str) -> ModelVersion:
        """Make the next version of `dst_name` from another model's version.

        `src_model_uri` is `models:/<name>/<version>` or `models:/<name>@<alias>`. `dst_name` is
        made when it is not there. NotFound for the source.
        """
        found = self._version_of(src_model_uri)
        if not any(model.name == dst_name for model in self._named(dst_name)):
            self.create_registered_model(dst_name)
        return self.create_model_version(
            dst_name,
            f"models:/{found.name}/{found.version}",
            run_id=found.run_id or None,
            tags=found.tags,
            description=found.description or None,
            model_id=found.model_id,
        )

    def get_model_version(self, name: str, version: str | int) -> ModelVersion:
        """A version of a registered model. NotFound."""
        answer = self._registry.model_versions.get(_ref(name, version))
        return version_from_wire(answer.model_version)

    def update_model_version(
        self, name: str, version: str | int, description: str | None = None
    ) -> ModelVersion:
        """Describe a version. NotFound."""
        request = checked(
            versions.UpdateModelVersion, name=name, version=version, description=description
        )
        return version_from_wire(self._registry.model_versions.update(request).model_version)

    def delete_model_version(self, name: str, version: str | int) -> None:
        """Delete a version and its aliases, for good. NotFound."""
        self._registry.model_versions.delete(_ref(name, version))

    def search_model_versions(
        self,
        filter_string: str | None = None,
        max_results: int = 10_000,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList[ModelVersion]:
        """A page of versions that a filter accepts."""
        request = checked(
            versions.SearchModelVersions,
            filter=filter_string,
            max_results=max_results,
            order_by=None if order_by is None else list(order_by),
            page_token=page_token,
        )
        page = self._registry.model_versions.search(request)
        found = [version_from_wire(version) for version in page.model_versions]
        return PagedList(found, page.next_page_token)

    def get_model_version_download_uri(self, name: str, version: str | int) -> str:
        """The URI of a version's files. NotFound."""
        return self._registry.model_versions.download_uri(_ref(name, version)).artifact_uri

    def get_model_version_stages(self, name: str, version: str | int) -> list[str]:
        """The stages that a version can be in. NotFound."""
        self.get_model_version(name, version)
        return list(versions.STAGES)

    def transition_model_version_stage(
        self, name: str, version: str | int, stage: str, archive_existing_versions: bool = False
    ) -> ModelVersion:
        """Move a version to a stage, archiving what is there now if asked. NotFound."""
        request = checked(
            versions.TransitionStage,
            name=name,
            version=version,
            stage=stage,
            archive_existing_versions=archive_existing_versions,
        )
        answer = self._registry.model_versions.transition_stage(request)
        return version_from_wire(answer.model_version)

    def set_model_version_tag(
        self,
        name: str,
        version: str | int | None = None,
        key: str | None = None,
        value: Any = None,
        stage: str | None = None,
    ) -> None:
        """Write a tag of a version, named by number, or by stage for its newest. NotFound."""
        request = checked(
            versions.SetModelVersionTag,
            name=name,
            version=self._number(name, version, stage),
            key=key,
            value=str(value),
        )
        self._registry.model_versions.set_tag(request)

    def delete_model_version_tag(
        self,
        name: str,
        version: str | int | None = None,
        key: str | None = None,
        stage: str | None = None,
    ) -> None:
        """Remove a tag of a version, named by number, or by stage for its newest. NotFound."""
        request = checked(
            versions.DeleteModelVersionTag,
            name=name,
            version=self._number(name, version, stage),
            key=key,
        )
        self._registry.model_versions.delete_tag(request)

    def _named(self, name: str) -> Sequence[RegisteredModel]:
        try:
            return [self.get_registered_model(name)]
        except NotFound:
            return []

    def _number(self, name: str, version: str | int | None, stage: str | None) -> str | int:
        if (version is None) == (stage is None):
            raise InvalidRequest("Give either 'version' or 'stage', and not both.")
        if version is not None:
            return version
        found = self.get_latest_versions(name, [stage or ""])
        if not found:
            raise NotFound(f"No version of the model '{name}' is in the stage '{stage}'.")
        return found[0].version

    def _version_of(self, uri: str) -> ModelVersion:
        """The version that `models:/name/1`, `/stage`, `/latest` or `@alias` names. NotFound."""
        parsed = parse_models_uri(uri)
        if isinstance(parsed, LoggedModelUri):
            raise InvalidRequest(
                f"'{uri}' is a logged model: expected 'models:/<name>/<version>' or "
                "'models:/<name>@<alias>'."
            )
        return self._registered_version(parsed)

    def _registered_version(self, uri: RegistryUri) -> ModelVersion:
        if uri.alias is not None:
            return self.get_model_version_by_alias(uri.name, uri.alias)
        return self.get_model_version(uri.name, self._number(uri.name, uri.version, uri.stage))


def _ref(name: str, version: str | int) -> versions.ModelVersionRef:
    return checked(versions.ModelVersionRef, name=name, version=version)


def _refuse(name: str, value: object) -> None:
    if value is not None:
        raise InvalidRequest(f"'{name}' is of use on Databricks only; leave it out.")
