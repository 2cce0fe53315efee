"""A Dockerfile's steps, done in a folder: what `docker build` and `docker run` would do.

Absolute paths of the image lie below one folder, which all stages share: environments keep the
paths that they were made with. What only a container can do (users, Debian's packages, pip in the
base image) is noted, not done.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from headrace.models.environment.uv_tool import find_uv, uv_environment

_PLACES = re.compile(r"(?<![\w.])/(opt|build|etc/headrace|var/cache/headrace)\b")
_SYSTEM = ("useradd ", "apt-get ", "python -m pip ", "rm -rf /var/lib/apt")


class Image:
    """The folder `root` as an image: built by `build`, then `environment` and `entry_point` say
    how it is started.
    """

    def __init__(self, context: Path, root: Path) -> None:
        self.context = context
        self.root = root
        self.environment: dict[str, str] = {}
        self.skipped: list[str] = []
        self.user = ""
        self.entry_point: list[str] = []
        self.health: list[str] = []
        self.bases: list[str] = []
        self._base_variables: dict[str, dict[str, str]] = {}
        self._arguments: dict[str, str] = {}
        self._stage = ""
        self._work = Path("/")

    def build(self, inherited: Mapping[str, str]) -> None:
        """Do all steps; `inherited` are variables that the base image would have."""
        for word, rest in instructions((self.context / "Dockerfile").read_text()):
            getattr(self, f"_do_{word.lower()}")(rest, inherited)

    def _do_arg(self, rest: str, _inherited: Mapping[str, str]) -> None:
        name, _, value = rest.partition("=")
        if value:
            self._arguments[name] = value

    def _do_from(self, rest: str, _inherited: Mapping[str, str]) -> None:
        base, _, name = rest.partition(" AS ")
        base = re.sub(r"\$\{(\w+)\}", lambda match: self._arguments[match[1]], base)
        self.bases.append(base)
        self._base_variables[self._stage] = self.environment
        self.environment = dict(self._base_variables.get(base, {}))
        self._stage, self._work = name, self._work if base in self._base_variables else Path("/")

    def _do_env(self, rest: str, inherited: Mapping[str, str]) -> None:
        for each in rest.split():
            name, _, value = each.partition("=")
            if name != "UV_CACHE_DIR":  # this machine has one
                value = value.replace("$PATH", inherited["PATH"])
                self.environment[name] = self._here(value)

    def _do_workdir(self, rest: str, _inherited: Mapping[str, str]) -> None:
        self._work = Path(self._here(rest))
        self._work.mkdir(parents=True, exist_ok=True)

    def _do_copy(self, rest: str, _inherited: Mapping[str, str]) -> None:
        words = rest.split()
        if words[0].startswith("--from="):
            assert words[0].removeprefix("--from=") in self._base_variables
            assert words[1] == words[2], "the stages share their paths here"
            assert Path(self._here(words[1])).is_dir()
            return
        source, target = self.context / words[0], self._work / self._here(words[1])
        ignored = (self.context / ".dockerignore").read_text().splitlines()
        assert ignored[0] == "*"
        assert f"!{words[0].rstrip('/')}" in ignored
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            place = target / source.name if words[1].endswith("/") else target
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)

    def _do_run(self, rest: str, inherited: Mapping[str, str]) -> None:
        while rest.startswith("--mount="):
            rest = rest.partition(" ")[2]
        for command in re.split(r"\s+&&\s+", rest):
            if command.startswith(_SYSTEM):
                self.skipped.append(command)
            elif command.startswith("install -d"):
                Path(self._here(command.split()[-1])).mkdir(parents=True)
            else:
                subprocess.run(
                    ["/bin/sh", "-c", self._here(command)],
                    cwd=self._work,
                    env={**inherited, **self.environment},
                    check=True,
                    capture_output=True,
                )

    def _do_user(self, rest: str, _inherited: Mapping[str, str]) -> None:
        self.user = rest

    def _do_expose(self, rest: str, _inherited: Mapping[str, str]) -> None:
        assert rest == "8080"

    def _do_healthcheck(self, rest: str, _inherited: Mapping[str, str]) -> None:
        self.health = [self._here(word) for word in json.loads(rest.partition(" CMD ")[2])]

    def _do_entrypoint(self, rest: str, _inherited: Mapping[str, str]) -> None:
        self.entry_point = [self._here(word) for word in json.loads(rest)]

    def _here(self, text: str) -> str:
        return _PLACES.sub(lambda match: f"{self.root}/{match[1]}", text)


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile and what follows each, with continued lines joined."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    found = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(word, rest.strip()) for word, _, rest in found]


def plain_environment() -> dict[str, str]:
    """What a container starts with, uv on the path: nothing of this program's settings."""
    kept = ("HOME", "SSL_CERT_FILE", "UV_CACHE_DIR")
    places = {name: value for name, value in uv_environment().items() if name.startswith("UV_")}
    path = f"{Path(find_uv()).parent}:/usr/local/bin:/usr/bin:/bin"
    return {
        **places,
        **{name: os.environ[name] for name in kept if name in os.environ},
        "PATH": path,
    }
