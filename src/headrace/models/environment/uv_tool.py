"""uv, which makes environments: found, set up as the user has set up pip, and run.

uv does not read pip's configuration. What pip is told there about places for packages is told to
uv here, unless the user has told uv itself: by its variables or its configuration file.
https://docs.astral.sh/uv/reference/environment/
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from headrace import settings
from headrace.errors import InvalidRequest, Unavailable

_SHOWN_LINES: Final = 25
_HOST: Final = re.compile(r"://[^\s/`'\")\]]+")
_LABEL: Final = re.compile(r"^[\w.-]+=(?=[a-z]+:)")
"""uv lets an index have a name: name=https://…"""
_NETWORK: Final = re.compile(
    r"dns error|failed to lookup|error sending request|connection refused|network is unreachable"
    r"|tcp connect|timed out|network was disabled|error trying to connect|operation timed out",
    re.IGNORECASE,
)
_NOT_PASSED: Final = frozenset(
    {
        *("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "CONDA_PREFIX"),
        # uv runs what packages are built by, which has no business with these.
        *settings.SIGNING_KEY.names,
        *settings.TRACKING_TOKEN.names,
        *settings.TRACKING_PASSWORD.names,
    }
)
_INDEX: Final = re.compile(r"UV_(DEFAULT_|EXTRA_)?INDEX(_URL)?")
_PIP_SETTINGS: Final = ("find-links", "index-url", "extra-index-url")


def find_uv() -> str:
    """The uv that came with Headrace, else one on the PATH. InvalidRequest where there is none."""
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        raise InvalidRequest(
            "uv, which makes environments, is not installed. Install it: pip install uv."
        )
    return found


def run_uv(arguments: Sequence[str | Path], folder: Path, failure: str) -> str:
    """What uv prints on stdout, run in `folder`.

    Where it fails, an error that begins with `failure` and ends with what uv said, without the
    addresses of indexes: Unavailable where packages could not be reached, else InvalidRequest.
    """
    environment = uv_environment()
    ended = subprocess.run(  # noqa: S603 - our own command, no shell
        [find_uv(), *map(str, arguments)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if ended.returncode == 0:
        return ended.stdout.decode(errors="replace")
    said = _cleaned(ended.stderr.decode(errors="replace"), environment)
    if _NETWORK.search(said):
        raise Unavailable(
            f"{failure}, because packages could not be reached. Try again with a network, or name "
            f"a folder of wheels in UV_FIND_LINKS. uv said:\n{said}"
        )
    raise InvalidRequest(f"{failure}. uv said:\n{said}")


def uv_environment() -> dict[str, str]:
    """The variables for uv: those of this process, and what pip's configuration has for them."""
    variables = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED}
    variables.update(NO_COLOR="1", UV_NO_PROGRESS="1")
    pip = _pip_settings()
    links = pip["find-links"]
    if links and "UV_FIND_LINKS" not in variables:
        variables["UV_FIND_LINKS"] = ",".join(links)
    if not any(map(_INDEX.fullmatch, variables)) and not _has_uv_configuration(variables):
        if pip["index-url"]:
            variables["UV_DEFAULT_INDEX"] = pip["index-url"][-1]
        if pip["extra-index-url"]:
            variables["UV_EXTRA_INDEX_URL"] = " ".join(pip["extra-index-url"])
            # pip takes the best version of all its indexes; uv otherwise that of the first.
            variables.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return variables


def _has_uv_configuration(variables: Mapping[str, str]) -> bool:
    home = Path(variables.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"))
    files = (home / "uv" / "uv.toml", Path("/etc/uv/uv.toml"))
    return "UV_CONFIG_FILE" in variables or any(file.is_file() for file in files)


def _pip_settings() -> dict[str, list[str]]:
    """pip's settings of places for packages: its variables, else its files, the later ones first.

    https://pip.pypa.io/en/stable/topics/configuration/
    """
    import configparser

    found: dict[str, list[str]] = {name: [] for name in _PIP_SETTINGS}
    for path in _pip_files():
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError):
            continue  # pip says what is wrong with it, when it is used
        for section in ("global", "install"):
            for name in _PIP_SETTINGS:
                if parser.has_option(section, name):
                    found[name] = parser.get(section, name).split()
    for name in _PIP_SETTINGS:
        value = os.environ.get(f"PIP_{name.upper().replace('-', '_')}")
        if value:
            found[name] = value.split()
    return found


def _pip_files() -> list[str]:
    chosen = os.environ.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:
        return []
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    shared = os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    files = [os.path.join(folder, "pip", "pip.conf") for folder in shared.split(":")]
    files += ["/etc/pip.conf", os.path.expanduser("~/.pip/pip.conf")]
    files += [os.path.join(config, "pip", "pip.conf"), os.path.join(sys.prefix, "pip.conf")]
    return [*files, chosen] if chosen else files


def _cleaned(text: str, variables: Mapping[str, str]) -> str:
    """The end of what uv said, without the hosts of indexes, which may be private."""
    text = _HOST.sub("://…", text)
    for name in filter(_INDEX.fullmatch, variables):
        for url in variables[name].split():
            host = urlsplit(_LABEL.sub("", url)).hostname
            text = text.replace(host, "…") if host else text
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(f"  {line}" for line in lines[-_SHOWN_LINES:])
