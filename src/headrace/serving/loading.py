"""From a version to workers that answer for it: fetched, checked, its environment made, loaded."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from headrace.errors import HeadraceError, InvalidModel
from headrace.models.environment.here import unmet_here
from headrace.models.environment.prepare import plan_for, prepare
from headrace.models.handover import hand_over, take_over
from headrace.models.sources import ModelSource, Version
from headrace.serving.aside import aside
from headrace.serving.pool import Pool
from headrace.serving.served_version import ServedVersion
from headrace.serving.settings import ServingSettings
from headrace.serving.spawning import Reserve
from headrace.serving.worker.calls import Call
from headrace.serving.worker_spec import WorkerSpec

log = logging.getLogger("headrace.serving")

_MAX_EXAMPLE: Final = 16 << 20
EnvManager = Literal["auto", "uv", "local"]


@dataclass(frozen=True)
class VersionLoader:
    """Loads versions, all in the same way."""

    settings: ServingSettings
    env_manager: EnvManager = "auto"
    """`uv` makes an environment of what the model needs, `local` takes what is installed here;
    `auto` does so where that is what the model asks for, and else makes one."""
    trust: bool = False
    """The user's word that these models may run code."""
    config: Mapping[str, Any] | None = None
    """Goes over the models' own configuration."""
    python: Path | None = None
    """The interpreter of an environment that was made already; it goes before `env_manager`."""
    reserve: Reserve | None = None
    """Where the first worker may be, started ahead."""
    niceness: int = 0
    """See `WorkerSpec`."""

    async def load(self, name: str, source: ModelSource, version: Version) -> ServedVersion:
        """Workers that have loaded `version`, to be closed by the caller.

        Raises NotFound, Unavailable; NotTrusted, InvalidModel and InvalidRequest where it cannot
        be loaded, with the reason.
        """
        folder = await aside(source.fetch, version)
        if self.reserve is not None:
            self.reserve.prepare(folder)
        handed = await aside(hand_over, folder, trust=self.trust)
        example = await aside(_example, handed)
        python = await aside(self._python, folder)
        chosen = self.settings
        engine = {
            "name": chosen.engine,
            "slots": chosen.slots,
            "threads": chosen.threads_each,
            "debug": chosen.debug,
        }
        config = dict(self.config) if self.config else None
        spec = WorkerSpec(
            python, handed, config, engine, reserve=self.reserve, niceness=self.niceness
        )
        pool = Pool(f"{name} (version {version.label})", spec, chosen)
        await pool.start()
        return ServedVersion(version, handed["model"], pool, folder, example)

    async def check(self, loaded: ServedVersion) -> None:
        """Raise InvalidModel unless the model predicts for the example it was saved with; one
        without an example passes.
        """
        if loaded.example is None:
            return
        try:
            await loaded.pool.predict(Call("invocations", loaded.example))
        except HeadraceError as error:
            raise InvalidModel(
                f"{loaded.version.uri} does not predict for its own input example: {error.message}"
            ) from error

    def _python(self, folder: Path) -> Path:
        if self.python is not None:
            return self.python
        if self.env_manager == "local":
            return Path(sys.executable)
        if self.env_manager == "auto":
            unmet = unmet_here(folder)
            if not unmet:
                return Path(sys.executable)
            log.info(
                "the model gets an environment of its own, because what is installed here does not "
                "fit: %s",
                ", ".join(unmet[:5]),
            )
        plan = plan_for(folder)
        if plan.made() is None:
            log.info(
                "making the model's environment, which may take minutes; the next start finds it "
                "in %s",
                plan.folder,
            )
        return prepare(folder, trust=self.trust).python


def _example(handed: Mapping[str, Any]) -> bytes | None:
    folder, model = take_over(handed)
    name = (model.saved_input_example_info or {}).get("serving_input_path")
    if name is None:
        return None
    body = folder.read(str(name), _MAX_EXAMPLE)
    try:
        json.loads(body)
    except ValueError as error:
        raise InvalidModel(f"{name} of the model is no JSON: {error}.") from None
    return body
