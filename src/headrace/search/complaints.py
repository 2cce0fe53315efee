"""What the parser says when the text is wrong: what was found, what was expected, what to write."""

from __future__ import annotations

from headrace.search import fields
from headrace.search.fields import Dialect, Field
from headrace.search.lexer import Token, TokenKind, shorten
from headrace.search.tree import Kind

_WRONG_SYMBOLS = {
    "==": "Equality is written with one '='.",
    "===": "Equality is written with one '='.",
    "<>": "Inequality is written '!='.",
    "=<": "'Less or equal' is written '<='.",
    "=>": "'Greater or equal' is written '>='.",
    "!": "There is no negation with '!'; inequality is written '!='.",
}
_WRONG_WORDS = {
    "BETWEEN": "BETWEEN is not supported: write two comparisons with >= and <=, joined with AND.",
    "RLIKE": "RLIKE is not supported; LIKE and ILIKE are, with the wildcards % and _.",
    "OR": "OR is not supported: comparisons are joined with AND only. Several values of one field "
    "can be asked for with IN where the field allows it.",
    "NOT": "NOT is supported only in NOT IN and IS NOT NULL; to exclude a value, write '!='.",
}
_OPERATORS = "=, !=, <, <=, >, >=, LIKE, ILIKE, IN, NOT IN, IS NULL or IS NOT NULL"


def unknown_prefix(dialect: Dialect, name: str) -> str:
    """For what stands before a dot and is none of the prefixes."""
    known = fields.prefixes(dialect)
    return (
        f"A search of {dialect.value} knows no prefix {shorten(name)}.{_suggest(name, known)} "
        f"Expected one of {', '.join(known)}, or a bare attribute."
    )


def unknown_field(dialect: Dialect, kind: Kind, key: str, *, for_order: bool) -> str:
    """For a name that this search does not know, or cannot sort by."""
    rows = fields.FIELDS[dialect][kind]
    usable = [row for row in rows if row.orderable or not for_order]
    names = tuple(row.name for row in usable if row.name)
    aliases = tuple(alias for row in usable for alias in row.aliases)
    what = f"{dialect.value.capitalize()}"
    if not usable:
        attributes = _valid_names(fields.FIELDS[dialect][Kind.ATTRIBUTE])
        return f"{what} cannot be sorted by a {kind.value}; valid attributes: {attributes}."
    if not key:
        return f"Expected the name of the {kind.value} here, found none."
    where = " to sort by" if for_order else ""
    said = f"{what} have no {kind.value} {shorten(key)}{where}.{_suggest(key, names + aliases)}"
    said += f" Valid: {', '.join(names)}."
    open_kinds = [
        f"{kind.value}s.{key}"
        for kind, rows in fields.FIELDS[dialect].items()
        if not rows[0].name and (rows[0].orderable or not for_order)
    ]
    if kind is Kind.ATTRIBUTE and open_kinds and len(key) <= 40:
        said += f" What was logged is written with its prefix: {', '.join(open_kinds)}."
    return said


def wrong_operator(kind: Kind, key: str, field: Field, found: str) -> str:
    """For an operator that the field does not allow."""
    written = ", ".join(known.value for known in field.operators)
    name = shorten(field.name or f"{kind.value}s.{key}")
    return f"{name} cannot be compared with {found}; use one of {written}."


def no_identifier(token: Token, noun: str) -> str:
    """For what stands where a field should."""
    if token.kind is TokenKind.OPEN:
        return "Parentheses stand only around the list after IN; comparisons cannot be grouped."
    if token.keyword in ("NOT", "OR"):
        return _WRONG_WORDS[token.keyword]
    expected = "an attribute or prefix.key, such as metrics.loss"
    return f"Expected the name of a field ({expected}), found {_at(token, noun)}."


def no_operator(token: Token, noun: str) -> str:
    """For what stands where an operator should."""
    hint = _WRONG_SYMBOLS.get(token.text) or _WRONG_WORDS.get(token.keyword)
    if hint:
        return hint
    return f"Expected an operator ({_OPERATORS}), found {_at(token, noun)}."


def not_after_comparison(token: Token, noun: str) -> str:
    """For what stands behind a whole comparison and is not AND."""
    if token.keyword in ("OR", "NOT"):
        return _WRONG_WORDS[token.keyword]
    if token.kind in (TokenKind.OPEN, TokenKind.CLOSE):
        return "Parentheses stand only around the list after IN; comparisons cannot be grouped."
    return f"Expected AND or the end of the {noun}, found {_at(token, noun)}."


def not_after_order(token: Token, noun: str) -> str:
    """For what stands behind the field of an order_by item."""
    return (
        f"Expected ASC, DESC or the end of the {noun}, found {_at(token, noun)}. Each item of "
        "order_by names one field; a name with spaces is written in backticks."
    )


def _at(token: Token, noun: str) -> str:
    return f"the end of the {noun}" if token.kind is TokenKind.END else str(token)


def _suggest(name: str, candidates: tuple[str, ...]) -> str:
    suggestion = fields.nearest(name, candidates)
    return f" Did you mean '{suggestion}'?" if suggestion else ""


def _valid_names(rows: tuple[Field, ...]) -> str:
    return ", ".join(row.name for row in rows if row.orderable)
