"""Registered models to the destination: versions by rising number, then what points at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from headrace.errors import InvalidRequest, NotFound
from headrace.protocol import model_versions, registered_models, runs, uris
from headrace.protocol.logged_models import GetLoggedModel
from headrace.protocol.model_versions import ModelVersion
from headrace.protocol.registered_models import RegisteredModel
from headrace.protocol.wire import Tag
from headrace.sync import marks
from headrace.sync.destination import Destination
from headrace.sync.ids import Ids
from headrace.sync.outcome import Outcome
from headrace.sync.source import Source

Wanted = Callable[[ModelVersion], bool]


class RegistryCopier:
    """Copies registered models. With `dry` it only counts what it would do."""

    def __init__(
        self, source: Source, destination: Destination, ids: Ids, outcome: Outcome, *, dry: bool
    ) -> None:
        self._source = source
        self._destination = destination
        self._models = destination.store.registered_models
        self._versions = destination.store.model_versions
        self._ids = ids
        self._outcome = outcome
        self._dry = dry
        self._later: list[ModelVersion] = []

    def copy(self, wanted: Wanted | None) -> None:
        """Copy all registered models, or those with versions that are `wanted`, and these."""
        changed = []
        for model in self._source.registered_models():
            what = f"the registered model '{model.name}'"
            if self._outcome.attempt(what, partial(self._model, model, wanted)):
                changed.append(model)
        self._make_later(changed)
        if not self._dry:
            for model in changed:
                what = f"the registered model '{model.name}'"
                self._outcome.attempt(what, partial(self._finish, model))

    def _make_later(self, models: list[RegisteredModel]) -> None:
        """Versions made from others, which may have been copied by now, or have their alias."""
        progress = True
        while self._later and progress:
            waiting, self._later = self._later, []
            for model in models:
                self._set_aliases(model, Outcome())
            for version in waiting:
                self._outcome.attempt(_named(version), partial(self._make_or_wait, version))
            progress = len(self._later) < len(waiting)
        for version in self._later:
            if self._outcome.attempt(_named(version), partial(self._make, version)) is None:
                self._outcome.count("model_versions", "incomplete")

    def _make_or_wait(self, version: ModelVersion) -> bool:
        try:
            return self._make(version)
        except (NotFound, InvalidRequest):
            if uris.scheme_of(version.source) != "models":
                raise
            self._later.append(version)
            return False

    def _model(self, model: RegisteredModel, wanted: Wanted | None) -> bool:
        """The model and its versions; whether there is more to do to it."""
        versions = self._source.model_versions(model.name)
        if wanted is not None:
            listed = [version for version in versions if wanted(version)]
            if not listed:
                return False
            versions = iter(listed)
        there = self._there(model.name)
        state = marks.value_of(there.tags, marks.STATE_TAG) if there else ""
        changed = state != marks.registered_model_state(model)
        how = "new" if there is None else "updated" if changed else "unchanged"
        self._outcome.count("registered_models", how)
        if there is None and not self._dry:
            keeps = self._destination.keeps_ids
            self._models.create(
                registered_models.CreateRegisteredModel(
                    model.name,
                    marks.copied_tags(model.tags),
                    model.description,
                    creation_timestamp=model.creation_timestamp if keeps else None,
                    last_updated_timestamp=model.last_updated_timestamp if keeps else None,
                )
            )
        self._all_versions(model.name, versions, known=there is not None)
        return changed

    def _all_versions(self, name: str, versions: Iterator[ModelVersion], *, known: bool) -> None:
        there = {}
        if known:
            found = self._destination.contents.model_versions(name)
            there = {marks.version_origin(version): version for version in found}
        for version in versions:
            origin = marks.version_origin(version)
            attempt = partial(self._version, version, there.get(origin))
            if self._outcome.attempt(_named(version), attempt) is None:
                self._outcome.count("model_versions", "incomplete")

    def _version(self, version: ModelVersion, there: ModelVersion | None) -> bool:
        if there is None:
            if self._dry:
                self._outcome.count("model_versions", "new")
                return True
            return self._make_or_wait(version)
        self._ids.note_version(version.name, version.version, there.version)
        state = marks.value_of(there.tags, marks.STATE_TAG)
        if state == marks.version_state(version):
            self._outcome.count("model_versions", "unchanged")
            return True
        if not state and there.source != self._translated(version):
            self._outcome.count("model_versions", "incomplete")
            self._outcome.problem(
                _named(version),
                f"the destination has a version {there.version} of its own, made from "
                f"'{there.source}'. It was left as it is.",
            )
            return False
        self._outcome.count("model_versions", "updated")
        return self._dry or self._fill(version, there)

    def _make(self, version: ModelVersion) -> bool:
        keeps = self._destination.keeps_ids
        origin = marks.version_origin(version)
        tags = marks.copied_tags(version.tags)
        # MLflow's server takes run and logged model from a registered version by itself.
        lineage = keeps or not self._is_registered(version.source)
        request = model_versions.CreateModelVersion(
            name=version.name,
            source=self._translated(version),
            run_id=self._ids.run(version.run_id) if version.run_id and lineage else None,
            tags=tags if keeps else [*tags, Tag(marks.VERSION_TAG, origin)],
            run_link=version.run_link or None,
            description=version.description or None,
            model_id=self._ids.model_there(version.model_id) if lineage else None,
            version=origin if keeps else None,
            current_stage=version.current_stage if keeps else None,
            creation_timestamp=version.creation_timestamp if keeps else None,
            last_updated_timestamp=version.last_updated_timestamp if keeps else None,
        )
        made = self._versions.create(request).model_version
        self._ids.note_version(version.name, version.version, made.version)
        self._fill(version, made)
        self._outcome.count("model_versions", "new")
        return True

    def _is_registered(self, source: str) -> bool:
        """Whether the source is a version of a registered model."""
        if uris.scheme_of(source) != "models":
            return False
        return isinstance(uris.parse_models_uri(source), uris.RegistryUri)

    def _fill(self, version: ModelVersion, there: ModelVersion) -> bool:
        """What differs from `there`, then the mark."""
        name, number = there.name, there.version
        if there.current_stage != version.current_stage:
            self._versions.transition_stage(
                model_versions.TransitionStage(name, number, version.current_stage)
            )
        if there.description != version.description:
            self._versions.update(
                model_versions.UpdateModelVersion(name, number, version.description)
            )
        known = {tag.key: tag.value for tag in there.tags}
        mark = Tag(marks.STATE_TAG, marks.version_state(version))
        for tag in (*marks.copied_tags(version.tags), mark):
            if known.get(tag.key) != tag.value:
                self._versions.set_tag(
                    model_versions.SetModelVersionTag(name, number, tag.key, tag.value)
                )
        return True

    def _finish(self, model: RegisteredModel) -> bool:
        """Description, tags and aliases, if they differ, then the mark."""
        there = self._there(model.name)
        if there is None:
            raise NotFound(f"'{model.name}' was deleted at the destination meanwhile.")
        name = model.name
        if (there.description or "") != (model.description or ""):
            self._models.update(registered_models.UpdateRegisteredModel(name, model.description))
        complete = self._set_aliases(model, self._outcome)
        known = {tag.key: tag.value for tag in there.tags}
        tags = marks.copied_tags(model.tags)
        if complete:
            tags.append(Tag(marks.STATE_TAG, marks.registered_model_state(model)))
        for tag in tags:
            if known.get(tag.key) != tag.value:
                request_tag = registered_models.SetRegisteredModelTag(name, tag.key, tag.value)
                self._models.set_tag(request_tag)
        return complete

    def _set_aliases(self, model: RegisteredModel, outcome: Outcome) -> bool:
        """Point the aliases where the source has them; whether all could be."""
        there = self._there(model.name)
        known = {alias.alias: alias.version for alias in there.aliases} if there else {}
        complete = True
        for alias in model.aliases:
            number = self._ids.version(model.name, alias.version)
            if known.get(alias.alias) != number:
                request = registered_models.SetAlias(model.name, alias.alias, number)
                what = f"the alias '{alias.alias}' of the registered model '{model.name}'"
                done = outcome.attempt(what, partial(self._models.set_alias, request))
                complete = complete and done is not None
        return complete

    def _there(self, name: str) -> RegisteredModel | None:
        try:
            ref = registered_models.RegisteredModelRef(name)
            return self._models.get(ref).registered_model
        except NotFound:
            return None

    def _translated(self, version: ModelVersion) -> str:
        """The version's source as the destination can follow it.

        A place inside the files of the version's run or logged model becomes the same place in
        theirs at the destination; any other address stays as it is.
        """
        source = version.source
        if uris.scheme_of(source) in ("runs", "models"):
            return self._ids.model_source(source)
        for owner, root in (
            (version.model_id, self._model_root),
            (version.run_id, self._run_root),
        ):
            _, inside, path = source.partition(f"/{owner}/artifacts")
            if owner and inside and path[:1] in ("", "/"):
                return uris.join(root(owner), path)
        return source

    def _run_root(self, run_id: str) -> str:
        here = self._ids.run(run_id)
        return self._destination.store.runs.get(runs.RunRef(here)).run.info.artifact_uri

    def _model_root(self, model_id: str) -> str:
        request = GetLoggedModel(self._ids.model(model_id))
        return self._destination.store.logged_models.get(request).model.info.artifact_uri


def _named(version: ModelVersion) -> str:
    return f"version {version.version} of the registered model '{version.name}'"
