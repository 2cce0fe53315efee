"""What a new run notes of the program that makes it, in tags: user, script, commit, machine."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Final

from headrace import settings
from headrace.client.git import Checkout, find_checkout
from headrace.client.switches import switches
from headrace.protocol.runs import SOURCE_NAME_TAG, SOURCE_TYPE_TAG, USER_TAG

COMMIT_TAG: Final = "mlflow.source.git.commit"
BRANCH_TAG: Final = "mlflow.source.git.branch"
REMOTE_TAG: Final = "mlflow.source.git.repoURL"
DIRTY_TAG: Final = "mlflow.source.git.dirty"
"""Whether tracked files differ from the commit; set a moment after the run has begun."""
COMMAND_TAG: Final = "headrace.command"
PYTHON_TAG: Final = "headrace.python"
PLATFORM_TAG: Final = "headrace.platform"
HOST_TAG: Final = "headrace.host"
GPU_TAG: Final = "headrace.gpu"
"""The names of the GPUs, where there are some; set a moment after the run has begun."""


def context_tags() -> dict[str, str]:
    """The tags of every new run. InvalidRequest for a switch that is neither true nor false."""
    wanted = switches()
    return {
        USER_TAG: settings.TRACKING_USERNAME.get() or user_name(),
        SOURCE_NAME_TAG: sys.argv[0] if sys.argv and sys.argv[0] else "<console>",
        SOURCE_TYPE_TAG: "LOCAL",
        **(_git_tags() if wanted.git else {}),
        **(_program_tags() if wanted.program else {}),
    }


def user_name() -> str:
    """Who runs this program, as the system says; "unknown" where it does not say."""
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


def checkout() -> Checkout | None:
    """The git checkout of the program: its script's, or the working folder's.

    The latter for what has no script of its own: a notebook, a prompt, an installed command.
    """
    script = sys.argv[0] if sys.argv else ""
    try:
        return _checkout(script, os.getcwd())
    except OSError:  # the working folder is gone
        return None


@lru_cache(maxsize=8)
def _checkout(script: str, working_folder: str) -> Checkout | None:
    folder = Path(script).resolve().parent if script else Path(working_folder)
    if folder.is_relative_to(sys.prefix) or folder.is_relative_to(sys.base_prefix):
        folder = Path(working_folder)
    return find_checkout(folder)


def _git_tags() -> dict[str, str]:
    found = checkout()
    if found is None:
        return {}
    tags = {
        COMMIT_TAG: found.commit,
        BRANCH_TAG: found.branch,
        REMOTE_TAG: found.remote_url,
    }
    return {key: value for key, value in tags.items() if value}


@lru_cache(maxsize=1)
def _program_tags() -> dict[str, str]:
    import platform

    from headrace.client.command_line import command_line

    return {
        COMMAND_TAG: command_line(),
        PYTHON_TAG: platform.python_version(),
        PLATFORM_TAG: f"{platform.system()} {platform.release()} {platform.machine()}",
        HOST_TAG: platform.node(),
    }
