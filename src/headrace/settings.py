"""Every environment variable that Headrace reads, in one place.

Where MLflow has a variable that means the same, it is read too; Headrace's own name wins.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from headrace.errors import InvalidRequest


@dataclass(frozen=True)
class Variable:
    """An environment variable: its names, in the order they are looked up, and what it means."""

    names: tuple[str, ...]
    meaning: str
    secret: bool = False

    def get(self) -> str | None:
        """The text of the first name that is set and not empty."""
        for name in self.names:
            value = os.environ.get(name)
            if value:
                return value
        return None

    def get_float(self, default: float) -> float:
        """The number, or `default`. Raises InvalidRequest for a text that is no number >= 0."""
        text = self.get()
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < 1e9:
            raise InvalidRequest(f"{self.names[0]} is {text!r}; expected a number of 0 or more.")
        return value


TRACKING_URI = Variable(
    ("HEADRACE_TRACKING_URI", "MLFLOW_TRACKING_URI"),
    "where runs are tracked: a server's URL, or a database's (default sqlite:///headrace.db)",
)
REGISTRY_URI = Variable(
    ("HEADRACE_REGISTRY_URI", "MLFLOW_REGISTRY_URI"),
    "where models are registered, if not where runs are tracked",
)
TRACKING_TOKEN = Variable(
    ("HEADRACE_TRACKING_TOKEN", "MLFLOW_TRACKING_TOKEN"), "the token sent to the server", True
)
TRACKING_USERNAME = Variable(
    ("HEADRACE_TRACKING_USERNAME", "MLFLOW_TRACKING_USERNAME"), "the user name sent to the server"
)
TRACKING_PASSWORD = Variable(
    ("HEADRACE_TRACKING_PASSWORD", "MLFLOW_TRACKING_PASSWORD"),
    "the password sent to the server",
    True,
)
EXPERIMENT_ID = Variable(
    ("HEADRACE_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_ID"), "the experiment that new runs go to, by id"
)
EXPERIMENT_NAME = Variable(
    ("HEADRACE_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_NAME"),
    "the experiment that new runs go to, by name; made if it is not there",
)
RUN_ID = Variable(("HEADRACE_RUN_ID", "MLFLOW_RUN_ID"), "the run that start_run resumes")
HTTP_TIMEOUT = Variable(
    ("HEADRACE_HTTP_TIMEOUT", "MLFLOW_HTTP_REQUEST_TIMEOUT"), "seconds one request may take (120)"
)
HTTP_MAX_RETRIES = Variable(
    ("HEADRACE_HTTP_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"),
    "how often a request that met a passing fault is sent again (5)",
)
BACKEND_STORE_URI = Variable(
    ("HEADRACE_BACKEND_STORE_URI", "MLFLOW_BACKEND_STORE_URI"),
    "the server's database: sqlite:///FILE or postgresql://…",
)
ARTIFACTS_DESTINATION = Variable(
    ("HEADRACE_ARTIFACTS_DESTINATION", "MLFLOW_ARTIFACTS_DESTINATION"),
    "the folder where the server keeps artifacts",
)
HOST = Variable(("HEADRACE_HOST", "MLFLOW_HOST"), "the address the server binds to (127.0.0.1)")
PORT = Variable(("HEADRACE_PORT", "MLFLOW_PORT"), "the port the server binds to (5000)")
PUBLIC_URL = Variable(
    ("HEADRACE_PUBLIC_URL",), "the server's address as its clients see it, for URLs that it signs"
)
ALLOWED_HOSTS = Variable(
    ("HEADRACE_ALLOWED_HOSTS", "MLFLOW_SERVER_ALLOWED_HOSTS"),
    "Host headers that are accepted, separated by commas",
)
ALLOWED_ORIGINS = Variable(
    ("HEADRACE_ALLOWED_ORIGINS", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"),
    "origins of pages that may send changes, separated by commas",
)


def all_variables() -> tuple[Variable, ...]:
    """Every variable, for the documentation and its test."""
    return tuple(value for value in globals().values() if isinstance(value, Variable))
