"""The right side of a comparison: a token to the Python value that the field's type asks for."""

from __future__ import annotations

import math
import re
from typing import Final

from headrace.errors import FilterSyntaxError
from headrace.protocol.limits import INT64_MAX, INT64_MIN
from headrace.search.fields import MODEL_STATUSES, UNQUOTED_TEXT, Dialect, Field, ValueType
from headrace.search.lexer import Token, TokenKind, shorten
from headrace.search.tree import Operator

MAX_PATTERN_LENGTH: Final = 10_000
"""Characters in the pattern of a LIKE; SQLite refuses patterns of 50,000 bytes."""

_QUOTED = (TokenKind.STRING, TokenKind.DOUBLE_QUOTED)
_DIGITS = re.compile(r"[0-9]{1,19}")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_STATUS_NAMES = {name.removeprefix("LOGGED_MODEL_"): name for name in MODEL_STATUSES}
_STATUS_NUMBERS = {str(number): name for number, name in enumerate(MODEL_STATUSES, start=1)}


class ValueReader:
    """Reads the values of one text; an error points into that text."""

    def __init__(self, text: str, dialect: Dialect, noun: str) -> None:
        self._text = text
        self._dialect = dialect
        self._noun = noun

    def read(self, token: Token, field: Field, operator: Operator, shown: str) -> str | int | float:
        """The value that a token means for a field, which messages call `shown`.

        Raises FilterSyntaxError at the token where it is not of the field's type.
        """
        if field.value_type is ValueType.NUMBER:
            return self._number(token, shown)
        if field.value_type is ValueType.INTEGER:
            return self._integer(token, shown)
        if field.value_type is ValueType.ID:
            return self._id(token, shown)
        if field.value_type is ValueType.MODEL_STATUS:
            return self._status(token, shown)
        text = self._text_value(token, shown)
        if operator in (Operator.LIKE, Operator.ILIKE) and len(text) > MAX_PATTERN_LENGTH:
            raise self._error(
                f"The pattern has {len(text)} characters; at most {MAX_PATTERN_LENGTH} "
                "are allowed.",
                token,
            )
        return text

    def _number(self, token: Token, shown: str) -> float:
        if token.kind is not TokenKind.NUMBER:
            raise self._expected(token, shown, "a number without quotes, such as 0.5 or -1e-3")
        number = float(token.text)
        if not math.isfinite(number):
            raise self._error(
                "This number is too large for a 64-bit float; the largest is about 1.8e308.", token
            )
        return number

    def _integer(self, token: Token, shown: str) -> int | float:
        if token.kind is not TokenKind.NUMBER:
            raise self._expected(token, shown, "a number without quotes, such as 1700000000000")
        value: int | float
        # int() refuses thousands of digits with an error of its own: look at the length first.
        if len(token.text) <= 40 and _WHOLE.fullmatch(token.text):
            value = int(token.text)
        else:
            value = float(token.text)
        if not INT64_MIN <= value <= INT64_MAX:
            raise self._error(
                f"This number is out of range: expected one between {INT64_MIN} and {INT64_MAX}.",
                token,
            )
        return int(value) if value == int(value) else value

    def _id(self, token: Token, shown: str) -> str:
        written = token.text if token.kind is TokenKind.NUMBER else self._text_value(token, shown)
        if not _DIGITS.fullmatch(written) or int(written) > INT64_MAX:
            raise self._expected(token, shown, "a decimal id in quotes, such as '1'")
        return str(int(written))

    def _status(self, token: Token, shown: str) -> str:
        if token.kind is TokenKind.NUMBER:
            name = _STATUS_NUMBERS.get(token.text)
        else:
            written = self._text_value(token, shown).upper()
            name = _STATUS_NAMES.get(written.removeprefix("LOGGED_MODEL_"))
        if name is None:
            valid = ", ".join(f"'{short}'" for short in _STATUS_NAMES)
            raise self._expected(token, shown, f"one of {valid} (or 1, 2, 3)")
        return name

    def _text_value(self, token: Token, shown: str) -> str:
        if token.kind in _QUOTED:
            return token.unquoted
        if token.kind is TokenKind.NUMBER and self._dialect in UNQUOTED_TEXT:
            return token.text
        raise self._expected(token, shown, "a text in quotes, such as 'value'")

    def _expected(self, token: Token, shown: str, what: str) -> FilterSyntaxError:
        found = f"the end of the {self._noun}" if token.kind is TokenKind.END else str(token)
        return self._error(f"{shorten(shown)} is compared with {what}; found {found}.", token)

    def _error(self, message: str, token: Token) -> FilterSyntaxError:
        return FilterSyntaxError(message, self._text, token.position)
