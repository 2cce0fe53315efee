"""Text of tokens, piece by piece, with a transformers tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

_BROKEN: Final = "\N{REPLACEMENT CHARACTER}"
_MOST_PARTS: Final = 4
"""A character has no more bytes than this in UTF-8, and a token has at least one."""
_WINDOW: Final = 16
_KEPT: Final = 4


def backend_decode(tokenizer: Any) -> Callable[[list[int]], str]:
    """What makes text of tokens, without special ones; the tokenizer's own library directly where
    it has one, because it is asked for every token.
    """
    decode: Any = getattr(getattr(tokenizer, "backend_tokenizer", None), "decode", None)
    if decode is not None and not getattr(tokenizer, "clean_up_tokenization_spaces", False):

        def decoded(tokens: list[int]) -> str:
            return str(decode(tokens, skip_special_tokens=True))

    else:

        def decoded(tokens: list[int]) -> str:
            return str(tokenizer.decode(tokens, skip_special_tokens=True))

    return decoded


class StreamedText:
    """Decodes the last few tokens each time, and says what is new in them.

    What a tokenizer makes of a token depends on a few tokens before it: spaces, and the bytes of
    one character.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._tokens: list[int] = []
        self._said = 0
        self._parts = 0

    def add(self, token: int) -> str:
        """See TextStream."""
        tokens = self._tokens
        tokens.append(token)
        text = self._decode(tokens)
        if text.endswith(_BROKEN) and self._parts < _MOST_PARTS - 1:
            self._parts += 1
            return ""
        self._parts = 0
        new = text[self._said :]
        self._said = len(text)
        if len(tokens) >= _WINDOW:
            del tokens[:-_KEPT]
            self._said = len(self._decode(tokens))
        return new
