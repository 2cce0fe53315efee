"""Whom this user trusts: keys of their own, a file, and `HEADRACE_TRUSTED_SIGNERS`.

The file `trusted_signers` has a line for each signer: the public key, the day it was added, a name.
It lies beside the user's own key and can be written by hand and copied into images.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from headrace import settings
from headrace.errors import AlreadyExists, InvalidRequest, NotFound
from headrace.models.trust.keys import PREFIX, PUBLIC_PEM, PublicKey, parse_public_key, shown
from headrace.models.trust.own_key import own_public_keys, private_folder, keys_folder

SIGNERS_FILE: Final = "trusted_signers"
OWN: Final = "you"
_MAX_NAME: Final = 200
_LARGEST: Final = 1 << 20


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
    return [*own, *_in_file(signers_file()), *_in_environment()]


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
    name = name.strip()
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        raise InvalidRequest(
            f"A signer's name is {shown(name)}; expected 1 to {_MAX_NAME} letters in one line."
        )
    with _changing_the_file() as signers:
        for other in signers:
            if name == other.name or key == other.key:
                raise AlreadyExists(
                    f"{shown(other.name)} is trusted already, with the key "
                    f"{other.key.fingerprint}; to replace it: headrace trust remove NAME"
                )
        added = Signer(key, name, date.today().isoformat(), "file")  # noqa: DTZ011  (the user's day)
        signers.append(added)
    return added


def remove_signer(name: str) -> Signer:
    """No longer trust a signer of the file, by name or fingerprint. Raises NotFound."""
    with _changing_the_file() as signers:
        for signer in signers:
            if name in (signer.name, signer.key.fingerprint, signer.key.text):
                signers.remove(signer)
                return signer
        raise NotFound(
            f"No trusted signer is called {shown(name)} in {signers_file()}; headrace trust list "
            "shows them. Those of HEADRACE_TRUSTED_SIGNERS are removed there."
        )


def _in_file(path: Path) -> list[Signer]:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_LARGEST)
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The trusted signers in {path} cannot be read: {error}.") from error
    return _signers_in(text, "file", str(path))


def _in_environment() -> list[Signer]:
    given = settings.TRUSTED_SIGNERS.get()
    if not given:
        return []
    name = settings.TRUSTED_SIGNERS.names[0]
    found = [_named(key, "environment", name) for key in PUBLIC_PEM.findall(given)]
    for word in re.split(r"[,\n]", PUBLIC_PEM.sub(",", given.replace("\\n", "\n"))):
        if word := word.strip():
            found += _in_word(word, name)
    return found


def _in_word(word: str, variable: str) -> Sequence[Signer]:
    """The signers that one part of the setting names: a key, or a file of keys."""
    path = Path(os.path.expanduser(word))
    if not word.startswith(PREFIX):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError, ValueError):
            pass
        else:
            return _signers_in(text, "environment", str(path))
    try:
        return [Signer(parse_public_key(word), variable, "", "environment")]
    except InvalidRequest as error:
        raise InvalidRequest(
            f"{variable}: {shown(word)} is neither a public key nor a file that can be read."
        ) from error


def _signers_in(text: str, source: str, where: str) -> list[Signer]:
    """The signers of a file: PEM blocks, and lines `ed25519:KEY [DAY] [NAME]`."""
    found = [_named(body, source, where) for body in PUBLIC_PEM.findall(text)]
    for number, line in enumerate(PUBLIC_PEM.sub("", text).splitlines(), start=1):
        words = line.split(maxsplit=2)
        if not words or words[0].startswith("#"):
            continue
        try:
            key = parse_public_key(words[0])
        except InvalidRequest as error:
            raise InvalidRequest(f"{where}, line {number}: {error.message}") from error
        name = words[2] if len(words) > 2 else Path(where).name
        found.append(Signer(key, name, words[1] if len(words) > 1 else "", source))
    return found


def _named(body: str, source: str, where: str) -> Signer:
    try:
        return Signer(parse_public_key("".join(body.split())), Path(where).name, "", source)
    except InvalidRequest as error:
        raise InvalidRequest(f"{where}: {error.message}") from error


@contextmanager
def _changing_the_file() -> Iterator[list[Signer]]:
    """The signers of the file, written back when the block ends well; one process at a time."""
    path = signers_file()
    try:
        private_folder(path.parent)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidRequest(
            f"{path.parent} cannot be written: {error.strerror}. Name the key in "
            "HEADRACE_TRUSTED_SIGNERS instead."
        ) from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        signers = _in_file(path)
        yield signers
        _write(path, signers)
    finally:
        os.close(folder)


def _write(path: Path, signers: Sequence[Signer]) -> None:
    lines = [f"{signer.key.text} {signer.since or '-'} {signer.name}\n" for signer in signers]
    temp = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(fd)
        os.replace(temp, path)
    except BaseException:
        os.unlink(temp)
        raise
