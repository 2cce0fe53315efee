"""Suites that every implementation of an interface must pass, for whoever writes one.

Subclass a suite in a test file and give it the fixture that its module names.
"""

from __future__ import annotations

import pkgutil

import pytest

# So that a failed assertion of a suite shows both sides, as one in a test file does.
_modules = pkgutil.iter_modules(__path__, f"{__name__}.")
pytest.register_assert_rewrite(*(module.name for module in _modules))
