"""Tokens to meaning: one method per rule of the grammar, the rule as its docstring.

Words in capitals are case-insensitive keywords. There is no OR, no NOT before a comparison and no
grouping, so nothing nests and the parser never recurses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from headrace.errors import FilterSyntaxError, InvalidRequest
from headrace.search import complaints, fields
from headrace.search.fields import Dialect, Field
from headrace.search.lexer import Token, TokenKind, refuse_unstorable, shorten, tokenize
from headrace.search.tree import Comparison, Filter, Kind, Operator, OrderTerm, Value
from headrace.search.values import ValueReader

MAX_COMPARISONS: Final = 40
"""Comparisons in a filter: each may cost a join, and SQLite joins at most 64 tables."""

MAX_ORDER_TERMS: Final = 16
"""Fields to sort by."""

MAX_LIST_LENGTH: Final = 5_000
"""Values in an IN list."""

_SYMBOLS = {operator.value: operator for operator in fields.NUMERIC_OPERATORS}
_RESERVED = frozenset({"AND", "OR", "NOT", "IN", "IS", "NULL", "LIKE", "ILIKE", "BETWEEN"})
_NAME_QUOTES = (TokenKind.BACKTICKED, TokenKind.DOUBLE_QUOTED)


def parse_filter(text: str | None, dialect: Dialect) -> Filter:
    """The meaning of a filter; None, "" and white space match everything.

    Raises FilterSyntaxError, which points at the character, for all that is not in the language.
    """
    if not text or text.isspace():
        return Filter()
    return _Parser(text, dialect, "filter").start().whole_filter()


def parse_order_by(items: Sequence[str], dialect: Dialect) -> tuple[OrderTerm, ...]:
    """The meaning of an order_by list, such as `["metrics.loss ASC", "start_time DESC"]`.

    Raises FilterSyntaxError for an item that is not in the language or sorts by the same field
    as one before it, InvalidRequest for too many items.
    """
    if len(items) > MAX_ORDER_TERMS:
        raise InvalidRequest(
            f"'order_by' has {len(items)} items; at most {MAX_ORDER_TERMS} are allowed."
        )
    terms: list[OrderTerm] = []
    for item in items:
        term = _Parser(item, dialect, "order_by item").start().order_item()
        if any((term.kind, term.key) == (other.kind, other.key) for other in terms):
            raise FilterSyntaxError(
                f"'order_by' sorts by the {term.kind.value} {shorten(term.key)} twice; "
                "keep one of the two.",
                item,
                len(item) - len(item.lstrip()),
            )
        terms.append(term)
    return tuple(terms)


def order_term(
    field_name: str,
    ascending: bool,
    dialect: Dialect,
    dataset_name: str | None = None,
    dataset_digest: str | None = None,
) -> OrderTerm:
    """The meaning of one order_by struct: a bare attribute, or a prefix, a dot and any key.

    What follows the dot is the key as it was logged; backticks around it are taken off. A data
    set narrows a metric and means nothing for attributes. Raises FilterSyntaxError as
    parse_order_by does.
    """
    refuse_unstorable(field_name, "field_name")
    parser = _Parser(field_name, dialect, "field_name")
    prefix, dot, key = field_name.partition(".")
    if not dot:
        kind, key, position = Kind.ATTRIBUTE, field_name.strip(), 0
    else:
        kind, position = parser.prefix(prefix, 0), len(prefix) + 1
    if len(key) > 1 and key[0] == key[-1] == "`":
        key = key[1:-1]
    field = parser.field(kind, key, position, for_order=True)
    if kind is not Kind.METRIC:
        return OrderTerm(kind, field.name or key, ascending)
    return OrderTerm(kind, key, ascending, dataset_name, dataset_digest)


class _Parser:
    """A cursor over the tokens of one text; `start` sets it on the first."""

    def __init__(self, text: str, dialect: Dialect, noun: str) -> None:
        self._text = text
        self._dialect = dialect
        self._noun = noun
        self._values = ValueReader(text, dialect, noun)
        self._tokens = tokenize(text, noun)
        self._before = self._current = Token(TokenKind.END, "", 0)

    def start(self) -> _Parser:
        """Read the first token."""
        self._step()
        return self

    # ---------------------------------------------------------------------------- grammar

    def whole_filter(self) -> Filter:
        """whole_filter = comparison { AND comparison } END."""
        comparisons = [self.comparison()]
        while self._accept("AND"):
            if len(comparisons) == MAX_COMPARISONS:
                raise self._error(f"A filter may have at most {MAX_COMPARISONS} comparisons.")
            comparisons.append(self.comparison())
        if self._peek().kind is not TokenKind.END:
            raise self._error(complaints.not_after_comparison(self._peek(), self._noun))
        return Filter(tuple(comparisons))

    def comparison(self) -> Comparison:
        """comparison = identifier predicate."""
        start = self._peek().position
        kind, key, field = self.identifier()
        operator, value = self.predicate(kind, key, field)
        return Comparison(kind, key, operator, value, start)

    def identifier(self, *, for_order: bool = False) -> tuple[Kind, str, Field]:
        """identifier = [prefix "."] key; the key may be in ` or " quotes, the prefix in `."""
        start = self._peek()
        name, rest = self.name()
        if not rest:
            kind, key, position = Kind.ATTRIBUTE, name, start.position
        else:
            kind = self.prefix(name, start.position)
            key, position = self.key(rest[1:])
        field = self.field(kind, key, position, for_order=for_order)
        return kind, field.name or key, field

    def name(self) -> tuple[str, str]:
        """name = WORD | `text` [WORD]; what stands before the first dot, and the rest with it."""
        token = self._peek()
        if token.kind not in _NAME_QUOTES and (
            token.kind is not TokenKind.WORD or token.keyword in _RESERVED
        ):
            raise self._error(complaints.no_identifier(token, self._noun))
        self._step()
        written = token.text if token.kind is TokenKind.WORD else token.unquoted
        follower = self._peek()
        if (
            token.kind in _NAME_QUOTES
            and follower.text[:1] == "."
            and follower.position == token.end
        ):
            self._step()
            return written, follower.text
        before, dot, after = written.partition(".")
        return before, dot + after

    def key(self, written: str) -> tuple[str, int]:
        """key = the rest of the name | `text` | "text", with nothing between it and the dot."""
        before = self._before
        if written:
            return written, before.end - len(written)
        token = self._peek()
        if token.kind not in _NAME_QUOTES or token.position != before.end or not token.unquoted:
            raise self._error(f"Expected a name right after {before}, found {token}.")
        self._step()
        return token.unquoted, token.position

    def predicate(self, kind: Kind, key: str, field: Field) -> tuple[Operator, Value]:
        """predicate = operator value | ( IN | NOT IN ) in_list | ( IS NULL | IS NOT NULL )."""
        at = self._peek()
        operator = self.operator()
        if operator not in field.operators:
            message = complaints.wrong_operator(kind, key, field, operator.value)
            raise self._error_at(message, at.position)
        if operator in fields.NULL_OPERATORS:
            return operator, None
        if operator in fields.LIST_OPERATORS:
            return operator, self.in_list(field)
        shown = field.name or f"{kind.value}s.{key}"
        return operator, self._values.read(self._next(), field, operator, shown)

    def operator(self) -> Operator:
        """operator = "=" | "!=" | "<" | "<=" | ">" | ">=" | [I]LIKE | [NOT] IN | IS [NOT] NULL."""
        token = self._peek()
        if token.kind is TokenKind.OPERATOR and token.text in _SYMBOLS:
            self._step()
            return _SYMBOLS[token.text]
        for word in ("LIKE", "ILIKE", "IN"):
            if self._accept(word):
                return Operator(word)
        if self._accept("NOT"):
            self._expect("IN", "NOT IN")
            return Operator.NOT_IN
        if self._accept("IS"):
            negated = self._accept("NOT")
            self._expect("NULL", "IS NULL or IS NOT NULL")
            return Operator.IS_NOT_NULL if negated else Operator.IS_NULL
        raise self._error(complaints.no_operator(token, self._noun))

    def in_list(self, field: Field) -> tuple[str, ...]:
        """in_list = "(" value { "," value } [","] ")"."""
        start = self._peek()
        if start.kind is not TokenKind.OPEN:
            raise self._error(f"Expected a list of texts, such as ('a', 'b'), found {start}.")
        self._step()
        found: list[str] = []
        while self._peek().kind is not TokenKind.CLOSE:
            if len(found) == MAX_LIST_LENGTH:
                raise self._error(f"A list may have at most {MAX_LIST_LENGTH} values.")
            value = self._values.read(self._next(), field, Operator.IN, field.name)
            found.append(str(value))
            if self._peek().kind is TokenKind.COMMA:
                self._step()
            elif self._peek().kind is not TokenKind.CLOSE:
                raise self._error(f"Expected ',' or ')' in the list, found {self._peek()}.")
        if not found:
            raise self._error_at(
                "The list is empty; it needs a text, such as ('a').", start.position
            )
        self._step()
        return tuple(found)

    def order_item(self) -> OrderTerm:
        """order_item = identifier [ ASC | DESC ] END."""
        kind, key, _ = self.identifier(for_order=True)
        descending = self._accept("DESC")
        if not descending:
            self._accept("ASC")
        if self._peek().kind is not TokenKind.END:
            raise self._error(complaints.not_after_order(self._peek(), self._noun))
        return OrderTerm(kind, key, not descending)

    # ----------------------------------------------------------------------- fields table

    def prefix(self, name: str, position: int) -> Kind:
        """The kind that a prefix stands for, or an error at its position."""
        kind = fields.prefix_kind(self._dialect, name)
        if kind is None:
            raise self._error_at(complaints.unknown_prefix(self._dialect, name), position)
        return kind

    def field(self, kind: Kind, key: str, position: int, *, for_order: bool) -> Field:
        """The row of the fields table, or an error at the name's position."""
        found = fields.find_field(self._dialect, kind, key)
        if found is None or not key or (for_order and not found.orderable):
            message = complaints.unknown_field(self._dialect, kind, key, for_order=for_order)
            raise self._error_at(message, position)
        return found

    # ----------------------------------------------------------------------------- cursor

    def _peek(self) -> Token:
        return self._current

    def _step(self) -> None:
        """One token on; the cursor stays at the end."""
        self._before = self._current
        self._current = next(self._tokens, self._current)

    def _next(self) -> Token:
        """The token under the cursor, and one step on."""
        token = self._current
        self._step()
        return token

    def _accept(self, keyword: str) -> bool:
        if self._peek().keyword != keyword:
            return False
        self._step()
        return True

    def _expect(self, keyword: str, whole: str) -> None:
        if not self._accept(keyword):
            raise self._error(f"Expected {keyword}, as in {whole}, found {self._peek()}.")

    def _error(self, message: str) -> FilterSyntaxError:
        return self._error_at(message, self._peek().position)

    def _error_at(self, message: str, position: int) -> FilterSyntaxError:
        return FilterSyntaxError(message, self._text, position)
