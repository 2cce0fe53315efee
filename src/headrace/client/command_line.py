"""The command line of this program, without what looks like a secret."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from typing import Final

MASK: Final = "***"
MAX_LENGTH: Final = 4_000

_SECRET_WORDS: Final = frozenset(
    "auth credential credentials key passphrase passwd password pw pwd secret secrets token".split()
    + "apikey accesskey secretkey privatekey authtoken accesstoken".split()
)
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_ASSIGNMENT: Final = re.compile(r"([+~]*-{0,2}[A-Za-z_][\w.\-/@]*)=(.+)", re.DOTALL)
_OPTION: Final = re.compile(r"--?[A-Za-z][\w.\-]*")
_USER_IN_URL: Final = re.compile(r"([A-Za-z][\w+.\-]*://)[^/\s@?#]*(?::[^/\s?#]*)?@")
_QUERY: Final = re.compile(r"([?&;])([\w.\-]+)=([^&;\s]+)")
_KNOWN_TOKEN: Final = re.compile(
    # GitHub, GitLab, Hugging Face, OpenAI and others, Slack, AWS, and JSON web tokens.
    r"\b(?:gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w\-]{16,}|hf_\w{16,}|[sr]k-[\w\-]{16,}"
    r"|xox[a-z]-[\w\-]{10,}|A[KS]IA[0-9A-Z]{16}|eyJ[\w\-]{8,}\.[\w\-]{8,}\.[\w\-]*)"
)


def command_line() -> str:
    """The command that started this program, as a shell would take it, secrets masked."""
    words = list(sys.orig_argv)
    if "-c" in words[1:]:
        # Code is no argument: it would be cut anyway, and may hold anything.
        words[words.index("-c", 1) + 1] = "…"
    text = " ".join(_quoted(word) for word in masked(words))
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1] + "…"


def masked(words: Sequence[str]) -> list[str]:
    """The words of a command line with `***` for each value that looks like a secret.

    That is the value of an option or assignment whose name says so (`--token x`, `--password=x`,
    `OPENAI_API_KEY=x`, `db.password=x`), a user and password in a URL, and what has the form of a
    well-known service's token. A name is read word by word: `--max-tokens` is no secret.
    """
    found: list[str] = []
    option_before = False
    for word in words:
        if option_before and not word.startswith("--"):
            found.append(MASK)
            option_before = False
            continue
        option_before = bool(_OPTION.fullmatch(word)) and _sounds_secret(word)
        assignment = _ASSIGNMENT.fullmatch(word)
        if assignment and _sounds_secret(assignment[1]):
            found.append(f"{assignment[1]}={MASK}")
        else:
            found.append(_masked_inside(word))
    return found


def _sounds_secret(name: str) -> bool:
    return not _SECRET_WORDS.isdisjoint(word.lower() for word in _WORDS.findall(name))


def _masked_inside(word: str) -> str:
    word = _USER_IN_URL.sub(rf"\g<1>{MASK}@", word)
    word = _QUERY.sub(
        lambda found: f"{found[1]}{found[2]}={MASK if _sounds_secret(found[2]) else found[3]}", word
    )
    return _KNOWN_TOKEN.sub(MASK, word)


def _quoted(word: str) -> str:
    """As a shell wants it, except that what was masked stays readable."""
    if word == "…" or (MASK in word and not re.search(r"\s", word)):
        return word
    return shlex.quote(word)
