"""Logged models on SQL."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, select

from headrace.errors import AlreadyExists, InvalidRequest, NotFound
from headrace.protocol import logged_models, uris
from headrace.protocol.random_names import random_name
from headrace.protocol.wire import Empty, Param, Tag, as_enum
from headrace.search import Dialect, order_term, parse_filter
from headrace.store.sql import tables as t
from headrace.store.sql.clock import now_ms
from headrace.store.sql.database import Database
from headrace.store.sql.logged_model_reader import (
    MODEL_COLUMNS,
    VERSIONS_TAG,
    find_model,
    find_model_to_write,
    versions_tag,
    whole_models,
)
from headrace.store.sql.paging import Search
from headrace.store.sql.stages import ACTIVE, DELETED
from headrace.store.sql.statements import insert_returning_id
from headrace.store.sql.transaction import Transaction
from headrace.store.sql.writer import Writer, write

_EXPERIMENT = select(
    t.experiments.c.id, t.experiments.c.artifact_location, t.experiments.c.lifecycle_stage
).where(t.experiments.c.id == bindparam("id"))
_THIS = t.logged_models.update().where(t.logged_models.c.id == bindparam("model"))
_SET_STATUS = _THIS.values(
    status=bindparam("new_status"), last_updated_timestamp_ms=bindparam("now")
)
_DELETE = _THIS.values(
    lifecycle_stage=bindparam("stage"),
    deleted_time=bindparam("now"),
    last_updated_timestamp_ms=bindparam("now"),
)
_PARAM = select(t.logged_model_params.c.value).where(
    t.logged_model_params.c.model == bindparam("model"),
    t.logged_model_params.c.key == bindparam("key"),
)
_DELETE_TAG = t.logged_model_tags.delete().where(
    t.logged_model_tags.c.model == bindparam("of_model"),
    t.logged_model_tags.c.key == bindparam("of_key"),
)


class SqlLoggedModels:
    """`LoggedModelStore` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def writer(self) -> Writer:
        """Where writes go."""
        return self._database.writer

    @write
    def create(
        self, transaction: Transaction, request: logged_models.CreateLoggedModel
    ) -> logged_models.LoggedModelAnswer:
        """Make a logged model, PENDING, or return the one with `request.model_id`."""
        if request.model_id is not None:
            known = _known_model(transaction, request.model_id, int(request.experiment_id))
            if known is not None:
                return known
        experiment = transaction.one(_EXPERIMENT, id=int(request.experiment_id))
        if experiment is None:
            raise NotFound(f"No experiment with id '{request.experiment_id}' exists.")
        if experiment[2] != ACTIVE:
            raise InvalidRequest(
                f"The experiment '{request.experiment_id}' is deleted; restore it before "
                "logging models to it."
            )
        model_id = request.model_id or f"m-{uuid.uuid4().hex}"
        given = request.creation_timestamp_ms
        now = now_ms() if given is None else given
        number = transaction.run_returning(
            insert_returning_id(t.logged_models),
            model_id=model_id,
            experiment=experiment[0],
            name=request.name or random_name(),
            artifact_uri=uris.join(experiment[1], "models", model_id, "artifacts"),
            creation_timestamp_ms=now,
            last_updated_timestamp_ms=now,
            status=logged_models.LoggedModelStatus.LOGGED_MODEL_PENDING.value,
            lifecycle_stage=ACTIVE,
            model_type=request.model_type,
            source_run_id=request.source_run_id or None,
            status_message=None,
            deleted_time=None,
        )[0]
        _put_params(transaction, number, model_id, request.params)
        _put_tags(transaction, number, request.tags)
        return _answer(transaction, model_id)

    def get(self, request: logged_models.GetLoggedModel, /) -> logged_models.LoggedModelAnswer:
        """Return a logged model; deleted ones only if asked for."""
        with self._database.reading() as connection:
            row = find_model(connection, request.model_id, deleted_too=request.allow_deleted)
            return logged_models.LoggedModelAnswer(whole_models(connection, [row])[0])

    @write
    def finalize(
        self, transaction: Transaction, request: logged_models.FinalizeLoggedModel
    ) -> logged_models.LoggedModelAnswer:
        """Set the status."""
        number = find_model_to_write(transaction, request.model_id)[0]
        status = as_enum(logged_models.LoggedModelStatus, request.status or "", "status")
        given = request.last_updated_timestamp_ms
        now = now_ms() if given is None else given
        transaction.run(_SET_STATUS, model=number, new_status=status.value, now=now)
        return _answer(transaction, request.model_id)

    @write
    def delete(self, transaction: Transaction, request: logged_models.LoggedModelRef) -> Empty:
        """Delete softly."""
        number = find_model_to_write(transaction, request.model_id)[0]
        transaction.run(_DELETE, model=number, stage=DELETED, now=now_ms())
        return Empty()

    def search(self, request: logged_models.SearchLoggedModels, /) -> logged_models.LoggedModelPage:
        """Return a page of logged models of the named experiments; none named, an empty page."""
        parsed = parse_filter(request.filter, Dialect.LOGGED_MODELS)
        order = [
            order_term(
                by.field_name,
                by.ascending,
                Dialect.LOGGED_MODELS,
                by.dataset_name,
                by.dataset_digest,
            )
            for by in request.order_by
        ]
        measured_on = [(d.dataset_name, d.dataset_digest) for d in request.datasets]
        ids = sorted({int(experiment_id) for experiment_id in request.experiment_ids})
        if not ids:
            return logged_models.LoggedModelPage()
        search = Search(
            Dialect.LOGGED_MODELS, parsed, order, scope=tuple(ids), datasets=measured_on
        )
        with self._database.reading() as connection:
            statement = search.statement(
                connection.dialect,
                MODEL_COLUMNS,
                [
                    t.logged_models.c.experiment.in_(ids),
                    t.logged_models.c.lifecycle_stage == ACTIVE,
                ],
                request.max_results,
                request.page_token,
            )
            found = connection.sql.execute(statement).all()
            page, token = search.cut(found, request.max_results)
            rows = [row[: len(MODEL_COLUMNS)] for row in page]
            return logged_models.LoggedModelPage(whole_models(connection, rows), token)

    @write
    def set_tags(
        self, transaction: Transaction, request: logged_models.SetLoggedModelTags
    ) -> Empty:
        """Write tags."""
        number = find_model_to_write(transaction, request.model_id)[0]
        _put_tags(transaction, number, request.tags)
        return Empty()

    @write
    def delete_tag(
        self, transaction: Transaction, request: logged_models.DeleteLoggedModelTag
    ) -> Empty:
        """Remove a tag."""
        number = find_model_to_write(transaction, request.model_id)[0]
        if not transaction.run(_DELETE_TAG, of_model=number, of_key=request.tag_key):
            raise NotFound(f"The logged model '{request.model_id}' has no tag {request.tag_key!r}.")
        return Empty()

    @write
    def log_params(
        self, transaction: Transaction, request: logged_models.LogLoggedModelParams
    ) -> Empty:
        """Write parameters, each once."""
        number = find_model_to_write(transaction, request.model_id)[0]
        _put_params(transaction, number, request.model_id, request.params)
        return Empty()


def _known_model(
    transaction: Transaction, model_id: str, experiment: int
) -> logged_models.LoggedModelAnswer | None:
    """The model that is there already. Raises AlreadyExists if it is deleted or elsewhere."""
    try:
        row = find_model(transaction, model_id, deleted_too=True)
    except NotFound:
        return None
    if row[-1] != ACTIVE:
        raise AlreadyExists(f"The logged model '{model_id}' exists already, and is deleted.")
    if row[2] != experiment:
        raise AlreadyExists(
            f"The logged model '{model_id}' exists already, in the experiment '{row[2]}', not in "
            f"'{experiment}'. Ask for it there, or choose another id."
        )
    return _answer(transaction, model_id)


def _answer(transaction: Transaction, model_id: str) -> logged_models.LoggedModelAnswer:
    connection = transaction.connection
    row = find_model(connection, model_id)
    return logged_models.LoggedModelAnswer(whole_models(connection, [row])[0])


def _put_tags(transaction: Transaction, number: int, tags: Sequence[Tag]) -> None:
    values = {
        tag.key: versions_tag(tag.value) if tag.key == VERSIONS_TAG else tag.value for tag in tags
    }
    transaction.put(
        t.logged_model_tags,
        [{"model": number, "key": key, "value": values[key]} for key in sorted(values)],
    )


def _put_params(
    transaction: Transaction, number: int, model_id: str, params: Sequence[Param]
) -> None:
    """Write parameters; refuse, before anything is written, one that has another value."""
    new: list[dict[str, Any]] = []
    for param in params:
        row = transaction.one(_PARAM, model=number, key=param.key)
        if row is None:
            new.append({"model": number, "key": param.key, "value": param.value})
        elif row[0] != param.value:
            raise InvalidRequest(
                f"The parameter {param.key!r} of the logged model '{model_id}' is {row[0]!r} "
                f"already and cannot become {param.value!r}: a parameter is written once."
            )
    transaction.put_new(t.logged_model_params, new)
