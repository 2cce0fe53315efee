"""A worker for one prediction: `python -I boot.py headrace.serving.worker.once SOCKET`.

It is the worker of a server, but for the engine that makes text for many callers at once: what a
language model is asked, its own `predict` answers.
"""

from __future__ import annotations

from typing import Any

from headrace.serving.worker.main import main as work


def main(arguments: list[str]) -> int:
    """As `worker.main`."""
    return work(arguments, _no_generator)


def _no_generator(_model: Any, _wanted: dict[str, Any]) -> None:
    """Nothing makes text beside the model."""
