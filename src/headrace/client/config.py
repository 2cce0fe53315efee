"""How logging calls behave where they do not say it themselves."""

from __future__ import annotations

import os

from headrace import settings
from headrace.errors import InvalidRequest


def enable_async_logging(enable: bool = True) -> None:
    """Let logging calls without `synchronous` give back an operation to wait for, or not.

    It holds for this process from now on, and for those that it starts. No logging call waits
    for a server either way. Raises InvalidRequest for what is neither true nor false.
    """
    if not isinstance(enable, bool):
        raise InvalidRequest(f"Invalid value {enable!r} for 'enable': expected True or False.")
    os.environ[settings.ASYNC_LOGGING.names[0]] = "true" if enable else "false"
