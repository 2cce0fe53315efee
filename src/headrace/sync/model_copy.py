"""Logged models to the destination: made before the runs that name them, filled after them."""

from __future__ import annotations

from typing import Final

from headrace.errors import NotFound
from headrace.protocol import logged_models
from headrace.protocol.logged_models import LoggedModel, LoggedModelStatus
from headrace.protocol.metrics import Metric
from headrace.protocol.wire import Tag
from headrace.sync import marks
from headrace.sync.destination import Destination
from headrace.sync.files import FileCopier
from headrace.sync.ids import Ids
from headrace.sync.outcome import Outcome
from headrace.sync.plan import PlannedModel

_PENDING: Final = LoggedModelStatus.LOGGED_MODEL_PENDING


class ModelCopier:
    """Copies logged models. Their points go with the runs that measured them."""

    def __init__(
        self,
        destination: Destination,
        ids: Ids,
        outcome: Outcome,
        files: FileCopier | None,
    ) -> None:
        self._destination = destination
        self._models = destination.store.logged_models
        self._ids = ids
        self._outcome = outcome
        self._files = files

    def make(self, model: LoggedModel, experiment_id: str) -> LoggedModel:
        """The model at the destination, PENDING; one that has its id already is that one."""
        info = model.info
        origin = marks.model_origin(model)
        keeps = self._destination.keeps_ids
        made = self._models.create(
            logged_models.CreateLoggedModel(
                experiment_id=experiment_id,
                name=info.name,
                model_type=info.model_type or None,
                source_run_id=self._ids.run(info.source_run_id) if info.source_run_id else None,
                params=model.data.params,
                tags=[] if keeps else [Tag(marks.MODEL_ID_TAG, origin)],
                model_id=origin if keeps else None,
                creation_timestamp_ms=info.creation_timestamp_ms if keeps else None,
            )
        ).model
        self._ids.note_model(info.model_id, made.info.model_id)
        return made

    def is_deleted_there(self, model: LoggedModel) -> bool:
        """Whether a model with this id was deleted at the destination, where ids are kept."""
        if not self._destination.keeps_ids:
            return False
        request = logged_models.GetLoggedModel(marks.model_origin(model), allow_deleted=True)
        try:
            self._models.get(request)
        except NotFound:
            return False
        try:
            self._models.get(logged_models.GetLoggedModel(request.model_id))
        except NotFound:
            return True
        return False

    def points(self, model: LoggedModel) -> list[tuple[str, Metric]]:
        """The points that are known of the model, each with the run that measured it."""
        found = []
        for point in model.data.metrics:
            point.model_id = model.info.model_id
            if point.run_id:
                found.append((point.run_id, point))
        return found

    def fill(self, model: LoggedModel, planned: PlannedModel) -> bool:
        """Parameters, tags, files and status, then its mark; whether all of it is there now."""
        request = logged_models.GetLoggedModel(self._ids.model(model.info.model_id))
        there = self._models.get(request).model
        model_id = there.info.model_id
        self._params(model, there)
        tags = [*marks.copied_tags(model.info.tags), Tag(marks.STATE_TAG, marks.model_state(model))]
        complete = True
        if self._files is not None:
            uris = (model.info.artifact_uri, there.info.artifact_uri)
            files = self._files.copy(*uris, named_model(model))
            complete = files is not None
            if files or marks.value_of(there.info.tags, marks.FILES_TAG):
                tags.append(Tag(marks.FILES_TAG, files or marks.NO_FILES))
        if model.info.status not in (_PENDING, there.info.status):
            self._finalize(model, model_id)
        known = {tag.key: tag.value for tag in there.info.tags}
        news = [tag for tag in tags if known.get(tag.key) != tag.value]
        if news:
            self._models.set_tags(logged_models.SetLoggedModelTags(model_id, news))
        how = "new" if planned.is_new else "updated"
        self._outcome.count("logged_models", how if complete else "incomplete")
        return complete

    def _params(self, model: LoggedModel, there: LoggedModel) -> None:
        known = {param.key for param in there.data.params}
        params = [param for param in model.data.params if param.key not in known]
        if params:
            request = logged_models.LogLoggedModelParams(there.info.model_id, params)
            self._models.log_params(request)

    def _finalize(self, model: LoggedModel, model_id: str) -> None:
        updated = model.info.last_updated_timestamp_ms if self._destination.keeps_ids else None
        self._models.finalize(
            logged_models.FinalizeLoggedModel(
                model_id, model.info.status, last_updated_timestamp_ms=updated
            )
        )


def named_model(model: LoggedModel) -> str:
    """A logged model, for messages."""
    return f"the logged model '{model.info.name}' ({model.info.model_id})"
