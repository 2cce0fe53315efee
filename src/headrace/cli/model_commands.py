"""All of `headrace models`: each file adds its commands to the group when it is imported."""

from __future__ import annotations

from headrace.cli import model_images, serve
from headrace.cli.models import models

__all__ = ["model_images", "models", "serve"]
