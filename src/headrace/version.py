"""The version of Headrace, in the one place that packaging, server and SDK read it from."""

from __future__ import annotations

VERSION = "0.1.0"
