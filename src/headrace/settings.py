"""Every environment variable that Headrace reads, in one place.

Where MLflow has a variable that means the same, it is read too; Headrace's own name wins.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from headrace.errors import InvalidRequest

_BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


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

    def get_bool(self, default: bool) -> bool:
        """Yes or no, or `default`. Raises InvalidRequest for a text that is neither."""
        text = self.get()
        if text is None:
            return default
        value = _BOOLEANS.get(text.strip().lower())
        if value is None:
            raise InvalidRequest(f"{self.names[0]} is {text!r}; expected true or false.")
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
ACTIVE_MODEL_ID = Variable(
    ("HEADRACE_ACTIVE_MODEL_ID", "MLFLOW_ACTIVE_MODEL_ID"),
    "the logged model that metrics are measured of, where a call names none",
)
ASYNC_LOGGING = Variable(
    ("HEADRACE_ENABLE_ASYNC_LOGGING", "MLFLOW_ENABLE_ASYNC_LOGGING"),
    "true: logging calls give back an operation to wait for, as with synchronous=False (false)",
)
CAPTURE = Variable(
    ("HEADRACE_CAPTURE",),
    "whether a run notes what made it; the default of the HEADRACE_CAPTURE_… below (true)",
)
CAPTURE_GIT = Variable(
    ("HEADRACE_CAPTURE_GIT",),
    "commit, branch, remote and uncommitted changes of the script's checkout (true)",
)
CAPTURE_PROGRAM = Variable(
    ("HEADRACE_CAPTURE_PROGRAM",),
    "command line without secrets, Python version, platform, host, GPU names (true)",
)
CAPTURE_PACKAGES = Variable(
    ("HEADRACE_CAPTURE_PACKAGES",), "the installed packages and their versions (true)"
)
CAPTURE_CONSOLE = Variable(("HEADRACE_CAPTURE_CONSOLE",), "what the program prints (true)")
CAPTURE_SYSTEM_METRICS = Variable(
    ("HEADRACE_CAPTURE_SYSTEM_METRICS", "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"),
    "use of CPU, memory, disk, network and GPUs (true)",
)
SYSTEM_METRICS_INTERVAL = Variable(
    ("HEADRACE_SYSTEM_METRICS_SAMPLING_INTERVAL", "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL"),
    "seconds between two samples of system metrics (10)",
)
SYSTEM_METRICS_SAMPLES = Variable(
    (
        "HEADRACE_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING",
        "MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING",
    ),
    "samples of system metrics whose mean is one logged value (1)",
)
SYSTEM_METRICS_NODE_ID = Variable(
    ("HEADRACE_SYSTEM_METRICS_NODE_ID", "MLFLOW_SYSTEM_METRICS_NODE_ID"),
    "this machine's name in the keys of system metrics, where several log to one run",
)
AUTOLOGGING_TESTING = Variable(
    ("HEADRACE_AUTOLOGGING_TESTING", "MLFLOW_AUTOLOGGING_TESTING"),
    "true: what fails in autologging raises, for tests; else it is a warning",
)
HTTP_TIMEOUT = Variable(
    ("HEADRACE_HTTP_TIMEOUT", "MLFLOW_HTTP_REQUEST_TIMEOUT"), "seconds one request may take (120)"
)
HTTP_MAX_RETRIES = Variable(
    ("HEADRACE_HTTP_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"),
    "how often a request that met a passing fault is sent again (5)",
)
JOURNAL = Variable(
    ("HEADRACE_JOURNAL",),
    "the folder of the journals that runs are logged to (~/.local/state/headrace/journal)",
)
OFFLINE = Variable(
    ("HEADRACE_OFFLINE",),
    "true: log to the journal only and ask no server; headrace sync sends it later (false)",
)
FLUSH_TIMEOUT = Variable(
    ("HEADRACE_FLUSH_TIMEOUT",),
    "seconds that a reading call, and the end of a program, wait for what was logged (30)",
)
SIGNING_KEY = Variable(
    ("HEADRACE_SIGNING_KEY",),
    "the Ed25519 key that signs models: a PEM file, or its text (one made on first use)",
    True,
)
KEYS = Variable(
    ("HEADRACE_KEYS",),
    "the folder of the signing key and of the trusted signers (~/.config/headrace)",
)
TRUSTED_SIGNERS = Variable(
    ("HEADRACE_TRUSTED_SIGNERS",),
    "more signers whose models may run code here: public keys or files of them, between commas",
)
CACHE = Variable(
    ("HEADRACE_CACHE",),
    "the folder of downloaded models and of their environments (~/.cache/headrace)",
)
UV_AUTO_DETECT = Variable(
    ("HEADRACE_UV_AUTO_DETECT", "MLFLOW_UV_AUTO_DETECT"),
    "whether the uv.lock of the project that a model is saved in is looked for (true)",
)
LOG_UV_FILES = Variable(
    ("HEADRACE_LOG_UV_FILES", "MLFLOW_LOG_UV_FILES"),
    "whether that uv.lock, with its pyproject.toml, is kept with the model (true)",
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
SERVING_API_KEY = Variable(
    ("HEADRACE_SERVING_API_KEY",),
    "the key that callers of a model server must send as `Authorization: Bearer …`",
    secret=True,
)
SERVING_WORKERS = Variable(
    ("HEADRACE_SERVING_WORKERS", "MLFLOW_MODELS_WORKERS"),
    "processes that predict, for each model that is served (1)",
)
SERVING_MODEL_CONFIG = Variable(
    ("HEADRACE_SERVING_MODEL_CONFIG", "SERVING_MODEL_CONFIG"),
    "a JSON object that goes over the configuration of the models that are served",
)
PUBLIC_URL = Variable(
    ("HEADRACE_PUBLIC_URL",), "the server's address as its clients see it, for URLs that it signs"
)
ALLOWED_HOSTS = Variable(
    ("HEADRACE_ALLOWED_HOSTS", "MLFLOW_SERVER_ALLOWED_HOSTS"),
    "Host headers that are accepted, separated by commas",
)
ALLOWED_ORIGINS = Variable(
    ("HEADRACE_ALLOWED_ORIGINS", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"),
    "origins of pages that may send requests and read answers, separated by commas",
)
MAX_CONNECTIONS = Variable(
    ("HEADRACE_MAX_CONNECTIONS",),
    "connections that a process of a server takes; further ones take the place of idle ones or are "
    "answered 503 (half of the files that it may open, 10000 at most)",
)


def all_variables() -> tuple[Variable, ...]:
    """Every variable, for the documentation and its test."""
    return tuple(value for value in globals().values() if isinstance(value, Variable))
