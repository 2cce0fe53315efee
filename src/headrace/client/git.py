"""The git checkout that a program lies in: what is committed, what is not, where it came from.

Commit, branch and remote are read from git's files. Only the uncommitted changes take git itself,
and a repository is data, not something to trust: no hook, filter, pager, monitor, converter or
transport that it configures is run, and nothing in it is written.
"""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from headrace.forks import undivided

MAX_DIFF_BYTES: Final = 1_000_000
MAX_NAMES_BYTES: Final = 100_000
GIT_SECONDS: Final = 20.0
"""How long git may take for the changes of one checkout."""

_MAX_FILE: Final = 16 << 20
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REMOTE_HEADING: Final = re.compile(r'\[\s*remote\s+"((?:[^"\\]|\\.)*)"\s*\]', re.IGNORECASE)
_URL_LINE: Final = re.compile(r'\s*url\s*=\s*"?([^"\s]+)"?', re.IGNORECASE)
SECRET_FILES: Final = (
    *("**/.env*", "**/*.env", "**/.netrc", "**/.pypirc", "**/.pgpass", "**/credentials*"),
    *("**/secrets.json", "**/secrets.toml", "**/secrets.y*ml", "**/*.pem", "**/*.key"),
    *("**/*.p12", "**/*.pfx", "**/id_rsa*", "**/id_ecdsa*", "**/id_ed25519*"),
)
"""Changed files with such names are listed, not shown (git's glob patterns, case ignored)."""

_SAFE_OPTIONS: Final = (
    "--no-pager",
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.untrackedCache=false"),
    *("-c", f"core.hooksPath={os.devnull}"),
)
_SAFE_ENVIRONMENT: Final = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    # A partial clone would fetch what it lacks, by a program of the repository's choice.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "LC_ALL": "C",
}
_DIFF: Final = (
    *("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--no-relative"),
    # "dirty" and "short": git does not look, and runs nothing, inside submodules.
    *("--ignore-submodules=dirty", "--submodule=short"),
    *("--src-prefix=a/", "--dst-prefix=b/"),
)


class Checkout(NamedTuple):
    """A working tree and what its HEAD says; None for what it does not say."""

    root: Path
    commit: str | None
    branch: str | None
    remote_url: str | None
    """Where `origin`, or else the first remote, is; without user names and passwords."""


class Uncommitted(NamedTuple):
    """What differs from the commit: whether tracked files do, and a text that shows it."""

    dirty: bool
    text: str
    """Names of untracked files as comments, then a patch; "" when there is neither."""


def find_checkout(folder: Path) -> Checkout | None:
    """The checkout around `folder`; None when there is none, or none that can be read."""
    try:
        folder = folder.resolve()
        for root in (folder, *folder.parents):
            if (root / ".git").exists():
                return _read(root)
    except (OSError, ValueError):
        pass  # an unreadable checkout is none
    return None


def without_credentials(url: str) -> str | None:
    """A remote's URL without the user and password in it; None for one that cannot be read."""
    if "://" not in url:
        return url  # a path, or host:path, in which nobody can put a password
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    user, _, host = parts.netloc.rpartition("@")
    if parts.scheme.endswith("ssh") and user:
        # A login name such as "git" is no secret there, and the URL is nothing without it.
        host = f"{user.partition(':')[0]}@{host}"
    return parts._replace(netloc=host, query="", fragment="").geturl()


def uncommitted(checkout: Checkout, cancelled: threading.Event) -> Uncommitted | None:
    """What is not committed; None when git is not there, fails, is slow, or was cancelled.

    Untracked files are named, never read. The patch is cut after MAX_DIFF_BYTES, with a mark;
    binary files and those whose names say that they hold secrets are in it by name only.
    """
    with undivided():
        import shutil
        import tempfile

    program = shutil.which("git")
    if program is None or checkout.commit is None:
        return None
    with tempfile.TemporaryDirectory(prefix="headrace-") as folder:
        # Git notes in the index what it has looked at, and locks it for that: in a copy.
        index = Path(folder, "index")
        try:
            shutil.copy2(_git_folder(checkout.root) / "index", index)
        except OSError:
            return None
        return _uncommitted(_Git(program, checkout.root, index, cancelled), checkout.commit)


def _uncommitted(git: _Git, commit: str) -> Uncommitted | None:
    if not git.switch_filters_off():
        return None
    shown = [":/", *(f":(top,exclude,icase,glob){pattern}" for pattern in SECRET_FILES)]
    hidden = [f":(top,icase,glob){pattern}" for pattern in SECRET_FILES]
    patch = git.read([*_DIFF, commit, "--", *shown], MAX_DIFF_BYTES)
    secret = git.read([*_DIFF, "--name-only", "-z", commit, "--", *hidden])
    untracked = git.read(
        ["ls-files", "--others", "--exclude-standard", "--directory", "--no-empty-directory", "-z"]
    )
    if patch is None or secret is None or untracked is None:
        return None
    heading = _names("Untracked, not shown", untracked) + _names("Changed, not shown", secret)
    if heading:
        heading = f"# Commit: {commit}\n{heading}\n"
    return Uncommitted(bool(patch or secret), heading + _cut(patch))


def _read(root: Path) -> Checkout:
    git = _git_folder(root)
    common = git
    if (git / "commondir").exists():
        common = (git / _text(git / "commondir").strip()).resolve()
    remote = _remote(_text(common / "config"))
    head = _text(git / "HEAD").strip()
    if not head.startswith("ref: "):
        return Checkout(root, _commit(head), None, remote)
    reference = head.removeprefix("ref: ")
    commit = _commit_of(common, reference)
    branch = reference.removeprefix("refs/heads/") if commit else None
    return Checkout(root, commit, branch, remote)


def _git_folder(root: Path) -> Path:
    git = root / ".git"
    if git.is_dir():
        return git
    # A work tree or a submodule: the file says where the folder is.
    return (root / _text(git).strip().removeprefix("gitdir: ")).resolve()


def _text(file: Path) -> str:
    """A file of git's; "" for what is no file, is not there, or is far too large for one."""
    if not file.is_file() or file.stat().st_size > _MAX_FILE:
        return ""
    return file.read_text(encoding="utf-8", errors="replace")


def _commit(text: str) -> str | None:
    return text if _COMMIT.fullmatch(text) else None


def _commit_of(git: Path, reference: str) -> str | None:
    if not reference.startswith("refs/") or ".." in reference:
        return None
    loose = _commit(_text(git / reference).strip())
    if loose:
        return loose
    for line in _text(git / "packed-refs").splitlines():
        commit, _, name = line.partition(" ")
        if name == reference:
            return _commit(commit)
    return None


def _remote(config: str) -> str | None:
    """The URL of `origin`, or else of the first remote, in the text of git's `config`."""
    found: dict[str, str] = {}
    remote = None
    for line in config.splitlines():
        if line.lstrip().startswith("["):
            heading = _REMOTE_HEADING.match(line.strip())
            remote = heading[1] if heading else None
        elif remote is not None and (url := _URL_LINE.match(line)):
            found.setdefault(remote, url[1])
    url_text = found.get("origin") or next(iter(found.values()), None)
    return without_credentials(url_text) if url_text else None


def _names(title: str, listed: bytes) -> str:
    """File names, separated by NUL, as lines of a comment."""
    whole = listed[:MAX_NAMES_BYTES].decode("utf-8", "backslashreplace").split("\0")
    names = [name for name in whole if name]
    if not names:
        return ""
    cut = len(listed) > MAX_NAMES_BYTES
    lines = [f"#   {name if name.isprintable() else ascii(name)}\n" for name in names]
    return f"# {title}:\n{''.join(lines)}" + ("#   … and more\n" if cut else "")


def _cut(patch: bytes) -> str:
    if len(patch) <= MAX_DIFF_BYTES:
        return patch.decode("utf-8", "backslashreplace")
    kept = patch[: patch.rfind(b"\n", 0, MAX_DIFF_BYTES) + 1]
    mark = f"# Cut here: the changes take more than {MAX_DIFF_BYTES:,} bytes.\n"
    return kept.decode("utf-8", "backslashreplace") + mark


class _Git:
    """Runs git in one checkout, with a time limit for all its calls together."""

    def __init__(self, program: str, root: Path, index: Path, cancelled: threading.Event) -> None:
        self._program = program
        self._root = root
        self._cancelled = cancelled
        self._until = time.monotonic() + GIT_SECONDS
        self._filters_off: list[str] = []
        own = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
        # The work tree is the one we found, whatever the repository's configuration says.
        places = {"GIT_WORK_TREE": str(root), "GIT_INDEX_FILE": str(index)}
        self._environment = {**own, **_SAFE_ENVIRONMENT, **places}

    def switch_filters_off(self) -> bool:
        """Override every filter that is configured; False when that cannot be done."""
        wanted = r"^filter\..*\.(clean|smudge|process|required)$"
        found = self.read(["config", "--null", "--name-only", "--get-regexp", wanted], status=1)
        if found is None:
            return False
        for key in found.decode("utf-8", "surrogateescape").split("\0"):
            if not key:
                continue
            name = key.rpartition(".")[0]
            if "=" in name or "\n" in name:
                return False  # no option can name it
            for part in ("clean=", "smudge=", "process=", "required=false"):
                self._filters_off += ["-c", f"{name}.{part}"]
        return True

    def read(
        self, words: list[str], limit: int = MAX_NAMES_BYTES, *, status: int = 0
    ) -> bytes | None:
        """What git prints, and one byte more than `limit` at most; None when it did not work.

        `status` is an exit status that is as good as 0.
        """
        import subprocess

        if self._cancelled.is_set():
            return None
        # A worker that is forked meanwhile would hold on to the pipe, and it would never end.
        with undivided():
            process = subprocess.Popen(  # noqa: S603  (a fixed program and options, and no shell)
                [self._program, *_SAFE_OPTIONS, *self._filters_off, *words],
                cwd=self._root,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        assert process.stdout is not None
        with process, process.stdout as pipe:
            found = self._drain(pipe.fileno(), limit + 1)
            if found is None or len(found) > limit:
                process.kill()
                return found
        return found if process.returncode in {0, status} else None

    def _drain(self, pipe: int, limit: int) -> bytes | None:
        """What comes out of a pipe, up to its end or `limit` bytes; None when it takes too long."""
        import selectors

        found = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while len(found) < limit:
                if self._cancelled.is_set() or time.monotonic() > self._until:
                    return None
                if not selector.select(0.1):
                    continue
                piece = os.read(pipe, min(1 << 16, limit - len(found)))
                if not piece:
                    break
                found += piece
        return bytes(found)
