"""Versions of registered models on SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam, select

from headrace.errors import AlreadyExists, NotFound
from headrace.protocol import model_versions
from headrace.protocol.registered_models import PROMPT_TAG
from headrace.protocol.wire import Empty, Tag
from headrace.search import Dialect, parse_filter, parse_order_by
from headrace.store.sql import tables as t
from headrace.store.sql.clock import now_ms
from headrace.store.sql.database import Database
from headrace.store.sql.logged_model_reader import (
    VERSIONS_TAG,
    find_model_to_write,
    versions_tag,
)
from headrace.store.sql.model_sources import Lineage, resolve_source
from headrace.store.sql.paging import Search
from headrace.store.sql.registry_reader import (
    VERSION_COLUMNS,
    find_registered_model,
    find_version,
    lock_registered_model,
    whole_versions,
)
from headrace.store.sql.statements import insert_ignoring, upsert
from headrace.store.sql.transaction import Transaction
from headrace.store.sql.writer import Writer, write


def _later(column: Any, given: Any) -> Any:
    return sa.case((column < given, given), else_=column)


_v = t.model_versions.c
_NEXT_VERSION = (
    t.registered_models.update()
    .where(t.registered_models.c.id == bindparam("model"))
    .values(
        last_version=t.registered_models.c.last_version + 1,
        last_updated_timestamp=bindparam("now"),
    )
    .returning(t.registered_models.c.last_version)
)
_m = t.registered_models.c
_COUNT_GIVEN_VERSION = (
    t.registered_models.update()
    .where(_m.id == bindparam("model"))
    .values(
        last_version=_later(_m.last_version, bindparam("number", type_=sa.Integer)),
        last_updated_timestamp=_later(
            _m.last_updated_timestamp, bindparam("now", type_=sa.BigInteger)
        ),
    )
)
_TOUCH_MODEL = (
    t.registered_models.update()
    .where(t.registered_models.c.id == bindparam("of_model"))
    .values(last_updated_timestamp=bindparam("now"))
)
_THIS = t.model_versions.update().where(
    _v.model == bindparam("of_model"), _v.version == bindparam("of_version")
)
_DESCRIBE = _THIS.values(
    description=bindparam("new_description"), last_updated_timestamp=bindparam("now")
)
_SET_STAGE = _THIS.values(current_stage=bindparam("stage"), last_updated_timestamp=bindparam("now"))
_ARCHIVE_OTHERS = (
    t.model_versions.update()
    .where(
        _v.model == bindparam("of_model"),
        _v.version != bindparam("of_version"),
        _v.current_stage == bindparam("in_stage"),
    )
    .values(current_stage=bindparam("stage"), last_updated_timestamp=bindparam("now"))
)
_DELETE_ALL = tuple(
    table.delete().where(
        table.c.model == bindparam("of_model"), table.c.version == bindparam("of_version")
    )
    for table in (t.model_version_tags, t.registered_model_aliases, t.model_versions)
)
_DELETE_TAG = t.model_version_tags.delete().where(
    t.model_version_tags.c.model == bindparam("of_model"),
    t.model_version_tags.c.version == bindparam("of_version"),
    t.model_version_tags.c.key == bindparam("of_key"),
)
_LOGGED_MODEL_TAG = select(t.logged_model_tags.c.value).where(
    t.logged_model_tags.c.model == bindparam("model"),
    t.logged_model_tags.c.key == bindparam("key"),
)
_ARCHIVED = "Archived"


class SqlModelVersions:
    """`ModelVersionStore` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def writer(self) -> Writer:
        """Where writes go."""
        return self._database.writer

    @write
    def create(
        self, transaction: Transaction, request: model_versions.CreateModelVersion
    ) -> model_versions.ModelVersionAnswer:
        """Make the next version, or the one asked for, READY at once."""
        model = lock_registered_model(transaction, request.name)
        known = _known_version(transaction, model, request)
        if known is not None:
            return known
        tags = {tag.key: tag.value for tag in request.tags}
        is_prompt = tags.get(PROMPT_TAG, "").lower() == "true"
        lineage = resolve_source(transaction, request, is_prompt=is_prompt)
        now = now_ms()
        updated = now if request.last_updated_timestamp is None else request.last_updated_timestamp
        version = _take_number(transaction, model[0], request, updated)
        transaction.run(
            insert_ignoring(transaction.dialect, t.model_versions),
            model=model[0],
            version=version,
            creation_timestamp=(
                now if request.creation_timestamp is None else request.creation_timestamp
            ),
            last_updated_timestamp=updated,
            current_stage=request.current_stage or model_versions.STAGES[0],
            description=request.description or "",
            source=request.source,
            storage_location=lineage.storage_location,
            run_id=lineage.run_id,
            model_id=lineage.model_id,
            status=model_versions.READY,
            status_message=None,
            run_link=request.run_link or "",
        )
        _put_tags(transaction, model[0], version, request.tags)
        _note_on_logged_model(transaction, lineage, request.name, version)
        return _answer(transaction, model, version)

    def get(self, request: model_versions.ModelVersionRef, /) -> model_versions.ModelVersionAnswer:
        """Return a version."""
        with self._database.reading() as connection:
            model = find_registered_model(connection, request.name)
            row = find_version(connection, model, int(request.version))
            return model_versions.ModelVersionAnswer(whole_versions(connection, [row])[0])

    @write
    def update(
        self, transaction: Transaction, request: model_versions.UpdateModelVersion
    ) -> model_versions.ModelVersionAnswer:
        """Write the description."""
        model, version = _lock(transaction, request)
        transaction.run(
            _DESCRIBE,
            of_model=model[0],
            of_version=version,
            new_description=request.description or "",
            now=now_ms(),
        )
        return _answer(transaction, model, version)

    @write
    def delete(self, transaction: Transaction, request: model_versions.ModelVersionRef) -> Empty:
        """Delete a version and its aliases."""
        model, version = _lock(transaction, request)
        for statement in _DELETE_ALL:
            transaction.run(statement, of_model=model[0], of_version=version)
        transaction.run(_TOUCH_MODEL, of_model=model[0], now=now_ms())
        return Empty()

    def search(
        self, request: model_versions.SearchModelVersions, /
    ) -> model_versions.ModelVersionPage:
        """Return a page of versions."""
        parsed = parse_filter(request.filter, Dialect.MODEL_VERSIONS)
        order = parse_order_by(request.order_by, Dialect.MODEL_VERSIONS)
        search = Search(Dialect.MODEL_VERSIONS, parsed, order)
        size = request.max_results
        with self._database.reading() as connection:
            statement = search.statement(
                connection.dialect, VERSION_COLUMNS, [], size, request.page_token
            )
            page, token = search.cut(connection.sql.execute(statement).all(), size)
            return model_versions.ModelVersionPage(whole_versions(connection, page), token)

    def download_uri(
        self, request: model_versions.ModelVersionRef, /
    ) -> model_versions.DownloadUri:
        """Return where a version's files lie."""
        with self._database.reading() as connection:
            model = find_registered_model(connection, request.name)
            row = find_version(connection, model, int(request.version))
            return model_versions.DownloadUri(row[-1])

    @write
    def transition_stage(
        self, transaction: Transaction, request: model_versions.TransitionStage
    ) -> model_versions.ModelVersionAnswer:
        """Move a version to a stage, archiving others if asked."""
        model, version = _lock(transaction, request)
        place = {"of_model": model[0], "of_version": version, "now": now_ms()}
        if request.archive_existing_versions:
            transaction.run(_ARCHIVE_OTHERS, in_stage=request.stage, stage=_ARCHIVED, **place)
        transaction.run(_SET_STAGE, stage=request.stage, **place)
        transaction.run(_TOUCH_MODEL, of_model=model[0], now=place["now"])
        return _answer(transaction, model, version)

    @write
    def set_tag(
        self, transaction: Transaction, request: model_versions.SetModelVersionTag
    ) -> Empty:
        """Write a tag."""
        model, version = _lock(transaction, request)
        _put_tags(transaction, model[0], version, [Tag(request.key, request.value)])
        return Empty()

    @write
    def delete_tag(
        self, transaction: Transaction, request: model_versions.DeleteModelVersionTag
    ) -> Empty:
        """Remove a tag; harmless if it is not there."""
        model, version = _lock(transaction, request)
        transaction.run(_DELETE_TAG, of_model=model[0], of_version=version, of_key=request.key)
        return Empty()


def _take_number(
    transaction: Transaction, model: int, request: model_versions.CreateModelVersion, now: int
) -> int:
    """The number asked for, or the next one; later ones come after it either way."""
    if request.version is None:
        number: int = transaction.run_returning(_NEXT_VERSION, model=model, now=now)[0]
        return number
    number = int(request.version)
    transaction.run(_COUNT_GIVEN_VERSION, model=model, number=number, now=now)
    return number


def _known_version(
    transaction: Transaction, model: Any, request: model_versions.CreateModelVersion
) -> model_versions.ModelVersionAnswer | None:
    """The version asked for, if it is there. Raises AlreadyExists if it has another source."""
    if request.version is None:
        return None
    try:
        row = find_version(transaction, model, int(request.version))
    except NotFound:
        return None
    known = whole_versions(transaction.connection, [row])[0]
    if known.source != request.source:
        raise AlreadyExists(
            f"Version {request.version} of the registered model {request.name!r} exists already, "
            f"from {known.source!r}, not from {request.source!r}."
        )
    return model_versions.ModelVersionAnswer(known)


def _lock(transaction: Transaction, request: model_versions.ModelVersionRef) -> tuple[Any, int]:
    """The row of the model, held for this transaction, and the number of the version."""
    model = lock_registered_model(transaction, request.name)
    return model, find_version(transaction, model, int(request.version))[1]


def _answer(
    transaction: Transaction, model: Any, version: int
) -> model_versions.ModelVersionAnswer:
    row = find_version(transaction, model, version)
    return model_versions.ModelVersionAnswer(whole_versions(transaction.connection, [row])[0])


def _put_tags(transaction: Transaction, model: int, version: int, tags: Sequence[Tag]) -> None:
    values = {tag.key: tag.value for tag in tags}
    transaction.put(
        t.model_version_tags,
        [
            {"model": model, "version": version, "key": key, "value": values[key]}
            for key in sorted(values)
        ],
    )


def _note_on_logged_model(
    transaction: Transaction, lineage: Lineage, name: str, version: int
) -> None:
    """Add the version to the list that its logged model carries as a tag."""
    if lineage.model_id is None:
        return
    try:
        number = find_model_to_write(transaction, lineage.model_id)[0]
    except NotFound:
        return  # a copy of a version whose logged model was deleted since
    row = transaction.one(_LOGGED_MODEL_TAG, model=number, key=VERSIONS_TAG)
    transaction.run(
        upsert(transaction.dialect, t.logged_model_tags),
        model=number,
        key=VERSIONS_TAG,
        value=versions_tag(row[0] if row else "", (name, version)),
    )
