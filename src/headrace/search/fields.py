"""Which fields each search knows, under which names, of which type, with which operators.

A new searchable field is a row here and a column in the store's filters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from headrace.search.tree import Kind, Operator


class Dialect(Enum):
    """The five searches; the value is what messages call the entity."""

    RUNS = "runs"
    EXPERIMENTS = "experiments"
    REGISTERED_MODELS = "registered models"
    MODEL_VERSIONS = "model versions"
    LOGGED_MODELS = "logged models"


class ValueType(Enum):
    """What stands on the right side of a comparison."""

    TEXT = "text"
    NUMBER = "number"
    INTEGER = "integer"
    ID = "decimal id"
    MODEL_STATUS = "logged model's status"


NUMERIC_OPERATORS: Final = (
    Operator.EQ,
    Operator.NE,
    Operator.LT,
    Operator.LE,
    Operator.GT,
    Operator.GE,
)
LIST_OPERATORS: Final = (Operator.IN, Operator.NOT_IN)
NULL_OPERATORS: Final = (Operator.IS_NULL, Operator.IS_NOT_NULL)
EXACT_OPERATORS: Final = (Operator.EQ, Operator.NE, *LIST_OPERATORS)
TEXT_OPERATORS: Final = (
    Operator.EQ,
    Operator.NE,
    Operator.LIKE,
    Operator.ILIKE,
    *LIST_OPERATORS,
)


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to filter or sort by; `name` is that of the wire struct, "" stands for any key."""

    name: str
    value_type: ValueType = ValueType.TEXT
    operators: tuple[Operator, ...] = TEXT_OPERATORS
    aliases: tuple[str, ...] = ()
    orderable: bool = True


def _integer(name: str, *aliases: str) -> Field:
    return Field(name, ValueType.INTEGER, NUMERIC_OPERATORS, aliases)


_METRIC = Field("", ValueType.NUMBER, NUMERIC_OPERATORS)
_TEXT_BY_KEY = Field("", operators=TEXT_OPERATORS + NULL_OPERATORS)
_UNORDERED = Field("", operators=TEXT_OPERATORS + NULL_OPERATORS, orderable=False)

_RUN_ATTRIBUTES = (
    Field("run_id"),
    Field("run_name", aliases=("run name", "Run name", "Run Name")),
    Field("user_id"),
    Field("status"),
    Field("artifact_uri"),
    _integer("start_time", "created", "Created"),
    _integer("end_time"),
)
_EXPERIMENT_ATTRIBUTES = (
    Field("name"),
    Field("experiment_id", ValueType.ID, EXACT_OPERATORS),
    _integer("creation_time"),
    _integer("last_update_time"),
)
_REGISTERED_MODEL_ATTRIBUTES = (
    Field("name"),
    _integer("creation_timestamp"),
    _integer("last_updated_timestamp", "timestamp"),
)
_MODEL_VERSION_ATTRIBUTES = (
    Field("name"),
    Field("run_id", orderable=False),
    Field("source", aliases=("source_path",), orderable=False),
    _integer("version", "version_number"),
    _integer("creation_timestamp"),
    _integer("last_updated_timestamp"),
)
_LOGGED_MODEL_ATTRIBUTES = (
    Field("name"),
    Field("model_id"),
    Field("model_type"),
    Field("source_run_id"),
    Field("status", ValueType.MODEL_STATUS, EXACT_OPERATORS),
    _integer("creation_timestamp_ms", "creation_timestamp", "creation_time"),
    _integer("last_updated_timestamp_ms", "last_updated_timestamp", "last_updated_time"),
)
_RUN_DATASETS = (
    Field("name", orderable=False),
    Field("digest", orderable=False),
    Field("context", orderable=False),
)

FIELDS: Final[Mapping[Dialect, Mapping[Kind, tuple[Field, ...]]]] = {
    Dialect.RUNS: {
        Kind.ATTRIBUTE: _RUN_ATTRIBUTES,
        Kind.METRIC: (_METRIC,),
        Kind.PARAM: (_TEXT_BY_KEY,),
        Kind.TAG: (_TEXT_BY_KEY,),
        Kind.DATASET: _RUN_DATASETS,
    },
    Dialect.EXPERIMENTS: {Kind.ATTRIBUTE: _EXPERIMENT_ATTRIBUTES, Kind.TAG: (_UNORDERED,)},
    Dialect.REGISTERED_MODELS: {
        Kind.ATTRIBUTE: _REGISTERED_MODEL_ATTRIBUTES,
        Kind.TAG: (_UNORDERED,),
    },
    Dialect.MODEL_VERSIONS: {Kind.ATTRIBUTE: _MODEL_VERSION_ATTRIBUTES, Kind.TAG: (_UNORDERED,)},
    Dialect.LOGGED_MODELS: {
        Kind.ATTRIBUTE: _LOGGED_MODEL_ATTRIBUTES,
        Kind.METRIC: (_METRIC,),
        Kind.PARAM: (_UNORDERED,),
        Kind.TAG: (_UNORDERED,),
    },
}

PREFIXES: Final[Mapping[str, Kind]] = {
    "metrics": Kind.METRIC,
    "metric": Kind.METRIC,
    "params": Kind.PARAM,
    "param": Kind.PARAM,
    "parameters": Kind.PARAM,
    "parameter": Kind.PARAM,
    "tags": Kind.TAG,
    "tag": Kind.TAG,
    "attributes": Kind.ATTRIBUTE,
    "attribute": Kind.ATTRIBUTE,
    "attr": Kind.ATTRIBUTE,
    "datasets": Kind.DATASET,
    "dataset": Kind.DATASET,
}
"""What may stand before the dot; the first name of a kind is the one that messages teach."""

RUN_PREFIX: Final = "run"
"""In a search of runs, one more name for an attribute."""

MODEL_STATUSES: Final = (
    "LOGGED_MODEL_PENDING",
    "LOGGED_MODEL_READY",
    "LOGGED_MODEL_UPLOAD_FAILED",
)
"""The wire's names of a logged model's statuses; the protocol numbers them from 1."""

UNQUOTED_TEXT: Final = frozenset({Dialect.LOGGED_MODELS})
"""Where a bare number is read as text beside a text field: `params.lr = 0.01`."""


def prefix_kind(dialect: Dialect, prefix: str) -> Kind | None:
    """The kind that `prefix` stands for; None where this search has no such prefix."""
    if prefix == RUN_PREFIX and dialect is Dialect.RUNS:
        return Kind.ATTRIBUTE
    kind = PREFIXES.get(prefix)
    return kind if kind in FIELDS[dialect] else None


def prefixes(dialect: Dialect) -> tuple[str, ...]:
    """The prefix of each kind that this search knows, as messages teach it."""
    taught: dict[Kind, str] = {}
    for prefix, kind in PREFIXES.items():
        if kind in FIELDS[dialect]:
            taught.setdefault(kind, prefix)
    return tuple(taught.values())


def find_field(dialect: Dialect, kind: Kind, key: str) -> Field | None:
    """The field of this name or alias, or None; any key of a metric, parameter or tag is one."""
    for candidate in FIELDS[dialect].get(kind, ()):
        if candidate.name in ("", key) or key in candidate.aliases:
            return candidate
    return None


def nearest(name: str, candidates: tuple[str, ...]) -> str | None:
    """The candidate that a typo most likely meant, or None."""
    import difflib  # a tenth of the cost of a search; needed only in a message

    by_lower = {candidate.lower(): candidate for candidate in candidates}
    close = difflib.get_close_matches(name[:64].lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None
