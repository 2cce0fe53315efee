"""How the server is: for load balancers (`/ping`, `/health`, `/version`) and people (`/models`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from headrace.serving.invocations import error_reply
from headrace.serving.requests import Reply, Request, Route
from headrace.serving.rollout import Following, Rollout
from headrace.serving.served import ServedModels
from headrace.serving.shadow import Shadow
from headrace.version import MLFLOW_VERSION


class Status:
    """Answers what is asked about the server itself."""

    def __init__(self, models: ServedModels, rollouts: Sequence[Rollout] = ()) -> None:
        self._models = models
        self._rollouts = rollouts

    def routes(self) -> list[Route]:
        """What this adds to the server."""
        return [
            Route("GET", "/ping", self.health, error_reply, is_open=True),
            Route("GET", "/health", self.health, error_reply, is_open=True),
            Route("GET", "/version", self.version, error_reply, is_open=True),
            Route("GET", "/models", self.models, error_reply),
        ]

    async def health(self, _request: Request) -> Reply:
        """200 while every model has a worker that can answer, else 503."""
        for model in self._models:
            model.check_ready()
        return Reply(b"\n")

    async def version(self, _request: Request) -> Reply:
        """The version of MLflow whose protocol this server speaks."""
        return Reply(MLFLOW_VERSION.encode(), content_type="text/plain; charset=utf-8")

    async def models(self, _request: Request) -> Reply:
        """Each model: which version answers, which is on its way or was refused, its workers."""
        told: list[dict[str, Any]] = []
        for model in self._models:
            rollout = self._rollout_of(model)
            shadow = model.shadow
            told.append(
                {
                    "name": model.name,
                    "task": model.current.task,
                    **_state(model, rollout),
                    "shadow": None if shadow is None else self._shadow(shadow),
                }
            )
        return Reply(json.dumps({"models": told}).encode())

    def _shadow(self, shadow: Shadow) -> dict[str, Any]:
        return {**_state(shadow, self._rollout_of(shadow)), "counts": asdict(shadow.counts)}

    def _rollout_of(self, followed: Following) -> Rollout | None:
        return next((each for each in self._rollouts if each.model is followed), None)


def _state(followed: Following, rollout: Rollout | None) -> dict[str, Any]:
    current = followed.current
    refusal = rollout.refusal if rollout else None
    return {
        "source": rollout.source.uri if rollout else current.version.uri,
        "version": asdict(current.version),
        "loading": asdict(rollout.loading) if rollout and rollout.loading else None,
        "refused": asdict(refusal) if refusal else None,
        "workers": asdict(current.pool.status()),
    }
