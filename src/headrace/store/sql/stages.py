"""The two stages of life of what can be deleted and restored."""

from __future__ import annotations

import sqlalchemy as sa

from headrace.protocol.wire import ViewType

ACTIVE = "active"
DELETED = "deleted"


def in_view(table: sa.Table, view: ViewType) -> list[sa.ColumnElement[bool]]:
    """The conditions that a row is in the stage that a search wants to see."""
    stage = {ViewType.ACTIVE_ONLY: ACTIVE, ViewType.DELETED_ONLY: DELETED}.get(view)
    return [] if stage is None else [table.c.lifecycle_stage == stage]
