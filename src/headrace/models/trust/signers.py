"""Whom this user trusts: keys of their own, a file, and `HEADRACE_TRUSTED_SIGNERS`.

The file `trusted_signers` has a line for each signer: the public key, the day it was added, a name.
It lies beside the user's own key and can be written by hand and copied into images.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from headrace import settings
from headrace.errors import AlreadyExists, InvalidRequest, NotFound
from headrace.models.trust.keys import PUBLIC_PEM, PublicKey, parse_public_key, shown
from headrace.models.trust.own_key import keys_folder, own_public_keys, private_folder, replace_file

SIGNERS_FILE: Final = "trusted_signers"
OWN: Final = "you"
_MAX_NAME: Final = 200
_LARGEST: Final = 1 << 20
_ENVIRONMENT: Final = "environment"


@dataclass(frozen=True)
class Signer:
    """Somebody whose models may run code here: a key, a name, and since when ('' if not known).

    `source` says where the trust comes from: "key", "file" or "environment".
    """

    key: PublicKey
    name: str
    since: str
    source: str


def trusted_signers() -> list[Signer]:
    """All of them: one's own keys, those of the file, those of the environment.

    Raises InvalidRequest for a line or a setting that is not understood: silently trusting fewer
    or more than was written down would be worse.
    """
    own = [Signer(key, OWN, "", "key") for key in own_public_keys()]
    path = signers_file()
    return [*own, *_signers_in(_lines_of(path), "file", str(path)), *_in_environment()]


def is_trusted(key: PublicKey) -> bool:
    """Whether models signed with this key may run code here."""
    return any(signer.key == key for signer in trusted_signers())


def signers_file() -> Path:
    """The file of trusted signers."""
    return keys_folder() / SIGNERS_FILE


def add_signer(name: str, key: PublicKey) -> Signer:
    """Trust a key from now on, under a name.

    Raises InvalidRequest for a name that is empty, long or does not print, and AlreadyExists when
    the name or the key is there.
    """
    name = " ".join(name.split())
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        raise InvalidRequest(
            f"A signer's name is {shown(name)}; expected 1 to {_MAX_NAME} letters in one line."
        )
    with _lines_to_change() as lines:
        for other in _signers_in(lines, "file", str(signers_file())):
            if name == other.name or key == other.key:
                raise AlreadyExists(
                    f"{shown(other.name)} is trusted already, with the key "
                    f"{other.key.fingerprint}; to replace it, first: headrace trust remove"
                )
        added = Signer(key, name, date.today().isoformat(), "file")  # noqa: DTZ011 - the user's day
        lines.append(f"{key.text} {added.since} {name}")
    return added


def remove_signer(name: str) -> Signer:
    """No longer trust a signer of the file, by name, fingerprint or key. Raises NotFound."""
    with _lines_to_change() as lines:
        for number, line in enumerate(lines):
            for signer in _signers_in([line], "file", str(signers_file())):
                if name in (signer.name, signer.key.fingerprint, signer.key.text):
                    del lines[number]
                    return signer
        raise NotFound(
            f"No trusted signer is called {shown(name)} in {signers_file()}; headrace trust list "
            "shows them. Those of HEADRACE_TRUSTED_SIGNERS are removed there."
        )


def _lines_of(path: Path) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(_LARGEST).rstrip("\n").split("\n")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The trusted signers in {path} cannot be read: {error}.") from error


def _signers_in(lines: Sequence[str], source: str, where: str) -> list[Signer]:
    """The signers in lines `ed25519:KEY [DAY [NAME]]`; empty lines and `#` lines are none."""
    found = []
    for number, line in enumerate(lines, start=1):
        words = [*line.split(maxsplit=2), "", ""]
        if not words[0] or words[0].startswith("#"):
            continue
        try:
            key = parse_public_key(words[0])
        except InvalidRequest as error:
            raise InvalidRequest(f"{where}, line {number}: {error.message}") from error
        found.append(Signer(key, words[2].strip() or Path(where).name, words[1], source))
    return found


def _in_environment() -> list[Signer]:
    given = settings.TRUSTED_SIGNERS.get()
    if not given:
        return []
    given = given.replace("\\n", "\n")  # as some build systems keep a text of several lines
    variable = settings.TRUSTED_SIGNERS.names[0]
    found = _in_pem(given, variable)
    for part in re.split(r"[,\n]", PUBLIC_PEM.sub(",", given)):
        if word := part.strip():
            found += _in_word(word, variable)
    return found


def _in_word(word: str, variable: str) -> list[Signer]:
    """The signers that one part of the setting names: a key, or a file of keys."""
    with suppress(InvalidRequest):
        return [Signer(parse_public_key(word), variable, "", _ENVIRONMENT)]
    path = Path(os.path.expanduser(word))
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_LARGEST)
    except (OSError, ValueError) as error:
        raise InvalidRequest(
            f"{variable}: {shown(word)} is neither a public key nor a file that can be read."
        ) from error
    lines = PUBLIC_PEM.sub("", text).split("\n")
    return _in_pem(text, str(path)) + _signers_in(lines, _ENVIRONMENT, str(path))


def _in_pem(text: str, where: str) -> list[Signer]:
    found = []
    for block in PUBLIC_PEM.finditer(text):
        try:
            found.append(Signer(parse_public_key(block[0]), Path(where).name, "", _ENVIRONMENT))
        except InvalidRequest as error:
            raise InvalidRequest(f"{where}: {error.message}") from error
    return found


@contextmanager
def _lines_to_change() -> Iterator[list[str]]:
    """The lines of the file, written back when the block ends well; one process at a time."""
    path = signers_file()
    try:
        private_folder(path.parent)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            lines = _lines_of(path)
            yield lines
            replace_file(path, "".join(f"{line}\n" for line in lines).encode(), 0o600)
        finally:
            os.close(folder)
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be written: {error.strerror}. Name the key in HEADRACE_TRUSTED_SIGNERS "
            "instead, or a folder that can be written in HEADRACE_KEYS."
        ) from error
