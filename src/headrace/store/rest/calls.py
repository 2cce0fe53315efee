"""How an endpoint becomes a method: `create = call(runs.CREATE)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from headrace.protocol.endpoint import Endpoint
from headrace.transport import Transport

Req = TypeVar("Req")
Ans = TypeVar("Ans")


class RestCalls:
    """Base of the stores over HTTP."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport


class call(Generic[Req, Ans]):  # noqa: N801  (a descriptor that reads like a function)
    """A method of a RestCalls that sends its request to `endpoint` and gives the answer.

    `resend`: doing it twice is like doing it once, always or for the requests that it says so
    of. Reading always is.
    """

    def __init__(
        self,
        endpoint: Endpoint[Req, Ans],
        *,
        resend: bool | Callable[[Req], bool] = False,
    ) -> None:
        self._endpoint = endpoint
        self._resend = resend or endpoint.method == "GET"

    def __get__(self, store: RestCalls, owner: type[Any]) -> Callable[[Req], Ans]:
        def send(request: Req, /) -> Ans:
            resend = self._resend(request) if callable(self._resend) else self._resend
            return store.transport.call(self._endpoint, request, resend=resend)

        return send
