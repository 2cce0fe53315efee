"""Registered models, their tags and aliases, on SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam

from headrace.errors import AlreadyExists, NotFound
from headrace.protocol import model_versions, registered_models
from headrace.protocol.wire import Empty, Tag
from headrace.search import Dialect, parse_filter, parse_order_by
from headrace.store.sql import tables as t
from headrace.store.sql.clock import now_ms
from headrace.store.sql.database import Database
from headrace.store.sql.paging import Search
from headrace.store.sql.registry_reader import (
    MODEL_COLUMNS,
    find_alias,
    find_registered_model,
    find_version,
    latest_versions,
    lock_registered_model,
    whole_models,
    whole_versions,
)
from headrace.store.sql.statements import insert_returning_id, upsert
from headrace.store.sql.transaction import Transaction
from headrace.store.sql.writer import Writer, write

_m = t.registered_models.c
_THIS = t.registered_models.update().where(_m.id == bindparam("model"))
_DESCRIBE = _THIS.values(
    description=bindparam("new_description"), last_updated_timestamp=bindparam("now")
)
_RENAME = _THIS.values(name=bindparam("new_name"), last_updated_timestamp=bindparam("now"))
_TOUCH_VERSIONS = (
    t.model_versions.update()
    .where(t.model_versions.c.model == bindparam("of_model"))
    .values(last_updated_timestamp=bindparam("now"))
)
_DELETE_ALL = tuple(
    table.delete().where(column == bindparam("of_model"))
    for table, column in (
        (t.model_version_tags, t.model_version_tags.c.model),
        (t.model_versions, t.model_versions.c.model),
        (t.registered_model_aliases, t.registered_model_aliases.c.model),
        (t.registered_model_tags, t.registered_model_tags.c.model),
        (t.registered_models, t.registered_models.c.id),
    )
)
_DELETE_TAG = t.registered_model_tags.delete().where(
    t.registered_model_tags.c.model == bindparam("of_model"),
    t.registered_model_tags.c.key == bindparam("of_key"),
)
_DELETE_ALIAS = t.registered_model_aliases.delete().where(
    t.registered_model_aliases.c.model == bindparam("of_model"),
    t.registered_model_aliases.c.alias == bindparam("of_alias"),
)


class SqlRegisteredModels:
    """`RegisteredModelStore` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def writer(self) -> Writer:
        """Where writes go."""
        return self._database.writer

    @write
    def create(
        self, transaction: Transaction, request: registered_models.CreateRegisteredModel
    ) -> registered_models.RegisteredModelAnswer:
        """Make a registered model."""
        _refuse_taken_name(transaction, request.name)
        now = now_ms()
        number = transaction.run_returning(
            insert_returning_id(t.registered_models),
            name=request.name,
            creation_timestamp=_given(request.creation_timestamp, now),
            last_updated_timestamp=_given(request.last_updated_timestamp, now),
            description=request.description,
            last_version=0,
        )[0]
        _put_tags(transaction, number, request.tags)
        return _answer(transaction, request.name)

    def get(
        self, request: registered_models.RegisteredModelRef, /
    ) -> registered_models.RegisteredModelAnswer:
        """Return a registered model."""
        with self._database.reading() as connection:
            row = find_registered_model(connection, request.name)
            return registered_models.RegisteredModelAnswer(whole_models(connection, [row])[0])

    @write
    def update(
        self, transaction: Transaction, request: registered_models.UpdateRegisteredModel
    ) -> registered_models.RegisteredModelAnswer:
        """Write the description."""
        number = lock_registered_model(transaction, request.name)[0]
        transaction.run(_DESCRIBE, model=number, new_description=request.description, now=now_ms())
        return _answer(transaction, request.name)

    @write
    def rename(
        self, transaction: Transaction, request: registered_models.RenameRegisteredModel
    ) -> registered_models.RegisteredModelAnswer:
        """Rename it, and its versions with it."""
        number = lock_registered_model(transaction, request.name)[0]
        if request.new_name != request.name:
            _refuse_taken_name(transaction, request.new_name)
            now = now_ms()
            transaction.run(_RENAME, model=number, new_name=request.new_name, now=now)
            transaction.run(_TOUCH_VERSIONS, of_model=number, now=now)
        return _answer(transaction, request.new_name)

    @write
    def delete(
        self, transaction: Transaction, request: registered_models.RegisteredModelRef
    ) -> Empty:
        """Delete it and all its versions for good."""
        number = lock_registered_model(transaction, request.name)[0]
        for statement in _DELETE_ALL:
            transaction.run(statement, of_model=number)
        return Empty()

    def search(
        self, request: registered_models.SearchRegisteredModels, /
    ) -> registered_models.RegisteredModelPage:
        """Return a page of registered models."""
        parsed = parse_filter(request.filter, Dialect.REGISTERED_MODELS)
        order = parse_order_by(request.order_by, Dialect.REGISTERED_MODELS)
        search = Search(Dialect.REGISTERED_MODELS, parsed, order)
        size = request.max_results
        with self._database.reading() as connection:
            statement = search.statement(
                connection.dialect, MODEL_COLUMNS, [], size, request.page_token
            )
            page, token = search.cut(connection.sql.execute(statement).all(), size)
            return registered_models.RegisteredModelPage(whole_models(connection, page), token)

    def latest_versions(
        self, request: registered_models.GetLatestVersions, /
    ) -> model_versions.ModelVersionList:
        """Return the newest version of each stage."""
        wanted = [model_versions.canonical_stage("stages", stage) for stage in request.stages]
        with self._database.reading() as connection:
            number = find_registered_model(connection, request.name)[0]
            found = [version for _, version in latest_versions(connection, [number])]
        if wanted:
            found = [version for version in found if version.current_stage in wanted]
        return model_versions.ModelVersionList(found)

    @write
    def set_tag(
        self, transaction: Transaction, request: registered_models.SetRegisteredModelTag
    ) -> Empty:
        """Write a tag."""
        number = lock_registered_model(transaction, request.name)[0]
        _put_tags(transaction, number, [Tag(request.key, request.value)])
        return Empty()

    @write
    def delete_tag(
        self, transaction: Transaction, request: registered_models.DeleteRegisteredModelTag
    ) -> Empty:
        """Remove a tag; harmless if it is not there."""
        number = lock_registered_model(transaction, request.name)[0]
        transaction.run(_DELETE_TAG, of_model=number, of_key=request.key)
        return Empty()

    @write
    def set_alias(self, transaction: Transaction, request: registered_models.SetAlias) -> Empty:
        """Point an alias at a version."""
        model = lock_registered_model(transaction, request.name)
        version = find_version(transaction, model, int(request.version))[1]
        transaction.run(
            upsert(transaction.dialect, t.registered_model_aliases),
            model=model[0],
            alias=request.alias,
            version=version,
        )
        return Empty()

    @write
    def delete_alias(self, transaction: Transaction, request: registered_models.AliasRef) -> Empty:
        """Remove an alias; harmless if it is not there."""
        number = lock_registered_model(transaction, request.name)[0]
        transaction.run(_DELETE_ALIAS, of_model=number, of_alias=request.alias)
        return Empty()

    def get_by_alias(
        self, request: registered_models.AliasRef, /
    ) -> model_versions.ModelVersionAnswer:
        """Return the version behind an alias, or behind `latest`."""
        with self._database.reading() as connection:
            model = find_registered_model(connection, request.name)
            row = find_alias(connection, model, request.alias)
            return model_versions.ModelVersionAnswer(whole_versions(connection, [row])[0])


def _refuse_taken_name(transaction: Transaction, name: str) -> None:
    try:
        find_registered_model(transaction, name)
    except NotFound:
        return
    raise AlreadyExists(
        f"A registered model named {name!r} exists already. Add a version to it, or choose "
        "another name."
    )


def _given(time: int | None, now: int) -> int:
    return now if time is None else time


def _answer(transaction: Transaction, name: str) -> registered_models.RegisteredModelAnswer:
    row = find_registered_model(transaction, name)
    return registered_models.RegisteredModelAnswer(whole_models(transaction.connection, [row])[0])


def _put_tags(transaction: Transaction, number: int, tags: Sequence[Tag]) -> None:
    values = {tag.key: tag.value for tag in tags}
    transaction.put(
        t.registered_model_tags,
        [{"model": number, "key": key, "value": values[key]} for key in sorted(values)],
    )
