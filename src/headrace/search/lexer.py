"""Text to tokens with positions, in one pass, in time linear in the text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from headrace.errors import FilterSyntaxError

MAX_TEXT_LENGTH: Final = 200_000
"""Characters in a filter or order_by item; enough for 5,000 run ids in an IN list."""

_SHOWN = 40


class TokenKind(Enum):
    """What a token is; the value is what messages call it."""

    WORD = "a name"
    NUMBER = "a number"
    STRING = "a text in single quotes"
    DOUBLE_QUOTED = "a text in double quotes"
    BACKTICKED = "a name in backticks"
    OPERATOR = "an operator"
    OPEN = "'('"
    CLOSE = "')'"
    COMMA = "','"
    END = "the end"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text: `text` as written, `position` its first character, 0-based."""

    kind: TokenKind
    text: str
    position: int

    @property
    def end(self) -> int:
        """The position after the last character."""
        return self.position + len(self.text)

    @property
    def unquoted(self) -> str:
        """The text between the quotes. There is no escaping: what stands there is what is meant."""
        return self.text[1:-1]

    @property
    def keyword(self) -> str:
        """The word in capitals, or "" where the token is no word."""
        return self.text.upper() if self.kind is TokenKind.WORD else ""

    def __str__(self) -> str:
        if self.kind is TokenKind.END:
            return "the end"
        return shorten(self.text)


def shorten(text: str) -> str:
    """The text for a message: quoted, on one line and cut where it is long."""
    cut = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in cut)
    return f"'{printable}'" if "'" not in printable else printable


def tokenize(text: str, noun: str) -> Iterator[Token]:
    """The tokens of a text, read as they are asked for; END, behind the text, is the last.

    Raises FilterSyntaxError (which calls the text by `noun`) for what cannot be part of any filter.
    """
    refuse_unstorable(text, noun)
    position = 0
    after_backtick = False
    while position < len(text):
        # `metrics`.loss: behind a prefix in backticks, the dot starts the rest of the name.
        pattern = _REST_OF_NAME if after_backtick and text[position] == "." else _TOKEN
        match = pattern.match(text, position)
        if match is None:
            raise FilterSyntaxError(_complaint(text, position, noun), text, position)
        position = match.end()
        after_backtick = match.lastgroup == "BACKTICKED"
        if match.lastgroup != "SPACE":
            token = Token(TokenKind[match.lastgroup or "END"], match[0], match.start())
            _refuse_bad_number(token, text)
            yield token
    yield Token(TokenKind.END, "", len(text))


# The alternatives start with different characters, so no text is scanned twice; the quantifiers
# that could backtrack are possessive. In single and double quotes a doubled quote is two quotes
# of the value, as MLflow reads it.
_TOKEN = re.compile(
    r"""
    (?P<SPACE>\s++)
  | (?P<NUMBER>[+-]?+(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][+-]?+[0-9]++)?+)
  | (?P<WORD>[^\W\d][\w./:\-]*+)
  | (?P<STRING>'(?:[^']++|'')*+')
  | (?P<DOUBLE_QUOTED>"(?:[^"]++|"")*+")
  | (?P<BACKTICKED>`[^`]*+`)
  | (?P<OPERATOR>[<>=!]++)
  | (?P<OPEN>\()
  | (?P<CLOSE>\))
  | (?P<COMMA>,)
    """,
    re.VERBOSE,
)
_REST_OF_NAME = re.compile(r"(?P<WORD>\.[\w./:\-]*+)")
_NUL_OR_SURROGATE = re.compile("[\x00\ud800-\udfff]")
_NAME_CHARACTER = re.compile(r"[\w.]")
_QUOTES = {"'": "single quote", '"': "double quote", "`": "backtick"}
_HINTS = {
    ";": "A {noun} is one expression: remove the semicolon.",
    "&": "Join comparisons with AND.",
    "|": "OR is not supported: comparisons are joined with AND only.",
}


def refuse_unstorable(text: str, noun: str) -> None:
    """Raise FilterSyntaxError for a text that is too long or holds what a database cannot."""
    if len(text) > MAX_TEXT_LENGTH:
        raise FilterSyntaxError(
            f"The {noun} has {len(text)} characters; at most {MAX_TEXT_LENGTH} are allowed."
        )
    match = _NUL_OR_SURROGATE.search(text)
    if match:
        name = "a NUL character" if match[0] == "\x00" else "half of a surrogate pair"
        raise FilterSyntaxError(
            f"The {noun} holds {name}, which no stored text can hold; remove it.",
            text,
            match.start(),
        )


def _refuse_bad_number(token: Token, text: str) -> None:
    if token.kind is TokenKind.NUMBER and _NAME_CHARACTER.match(text, token.end):
        raise FilterSyntaxError(
            "This is neither a number (such as 1, -0.5 or 1e-3) nor a name; a name that starts "
            "with a digit is written in backticks, a text in quotes.",
            text,
            token.position,
        )


def _complaint(text: str, position: int, noun: str) -> str:
    character = text[position]
    if character in _QUOTES:
        return f"This {_QUOTES[character]} is never closed; add another one where the text ends."
    shown = f"'{character}'" if character.isprintable() else f"U+{ord(character):04X}"
    hint = _HINTS.get(
        character,
        "A name with unusual characters is written in backticks, a text value in quotes.",
    )
    return f"Unexpected character {shown}. " + hint.format(noun=noun)
