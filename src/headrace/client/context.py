"""What a new run notes of the program that makes it: user, script, commit."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path

from headrace import settings
from headrace.protocol.runs import SOURCE_NAME_TAG, SOURCE_TYPE_TAG, USER_TAG

COMMIT_TAG = "mlflow.source.git.commit"
BRANCH_TAG = "mlflow.source.git.branch"


def context_tags() -> dict[str, str]:
    """The tags of every new run."""
    script = sys.argv[0] if sys.argv and sys.argv[0] else "<console>"
    return {
        USER_TAG: settings.TRACKING_USERNAME.get() or user_name(),
        SOURCE_NAME_TAG: script,
        SOURCE_TYPE_TAG: "LOCAL",
        **_git_tags(script),
    }


def user_name() -> str:
    """Who runs this program, as the system says; "unknown" where it does not say."""
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


@lru_cache(maxsize=8)
def _git_tags(script: str) -> dict[str, str]:
    """Commit and branch of the checkout that the script lies in, read without running git."""
    try:
        start = Path(script).resolve().parent
        for folder in (start, *start.parents):
            if (folder / ".git").exists():
                return _read_head(_git_folder(folder / ".git"))
    except (OSError, ValueError):
        pass  # an unreadable checkout is none
    return {}


def _git_folder(entry: Path) -> Path:
    """`.git` itself, or where a work tree's `.git` file points."""
    if entry.is_dir():
        return entry
    return (entry.parent / entry.read_text().strip().removeprefix("gitdir: ")).resolve()


def _read_head(git: Path) -> dict[str, str]:
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref: "):
        return {COMMIT_TAG: head}
    reference = head.removeprefix("ref: ")
    common = git
    if (git / "commondir").exists():
        common = (git / (git / "commondir").read_text().strip()).resolve()
    commit = _commit_of(common, reference)
    if commit is None:
        return {}
    return {COMMIT_TAG: commit, BRANCH_TAG: os.path.basename(reference)}


def _commit_of(git: Path, reference: str) -> str | None:
    loose = git / reference
    if loose.exists():
        return loose.read_text().strip()
    packed = git / "packed-refs"
    if packed.exists():
        for line in packed.read_text().splitlines():
            commit, _, name = line.partition(" ")
            if name == reference:
                return commit
    return None
