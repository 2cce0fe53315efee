"""The version of Headrace, in the one place that packaging, server and SDK read it from."""

from __future__ import annotations

VERSION = "0.1.0"

MLFLOW_VERSION = "3.17.2"
"""The release of MLflow whose protocol is spoken, and whose format of models is written; `/version`
starts with it, because its clients compare that text with versions of their own."""
