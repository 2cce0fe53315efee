"""A connection that offers each request to the express lane first."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from headrace.http.connection import Connection, connection_class
from headrace.http.settings import ListenSettings
from headrace.server.express import Express, Ride


def express_connection_class(settings: ListenSettings, express: Express) -> type[asyncio.Protocol]:
    """The protocol class for connections of which `express` answers the calls that it takes, and
    uvicorn's application all others.
    """
    return connection_class(settings, ExpressConnection, express=express)


class ExpressConnection(Connection):
    """One connection. `uvicorn` makes it and calls its methods."""

    express: Express

    def on_headers_complete(self) -> None:
        """Its headers are there."""
        if self.parser.should_upgrade():
            return  # it is begun anew
        self._check_target()
        if not self._board():
            HttpToolsProtocol.on_headers_complete(self)
        self._head_is_there()

    def on_body(self, body: bytes) -> None:
        """A piece of its body is there."""
        ride: Any = self.cycle
        if type(ride) is Ride:
            self._body_comes(len(body))
            ride.body.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """All of it is there."""
        ride: Any = self.cycle
        if type(ride) is not Ride or self.parser.should_upgrade():
            super().on_message_complete()
            return
        self._message_is_there()
        if ride.more_body:
            ride.more_body = False
            self.express.go(ride, partial(self._respond, ride))

    def _board(self) -> bool:
        """Take the express lane, if nothing else is under way here and the call may."""
        if not getattr(self.cycle, "response_complete", True):
            return False
        parser = self.parser
        if parser.get_http_version() != "1.1" or not parser.should_keep_alive():
            return False
        if self.flow.write_paused:  # uvicorn waits for slow readers
            return False
        ride = self.express.board(parser.get_method(), self.url, self.headers)
        if ride is None:
            return False
        self.cycle = ride  # type: ignore[assignment]  # it has all that uvicorn asks of a cycle
        return True

    def _respond(self, ride: Ride, answer: bytes) -> None:
        """Write an answer of the express lane, and let the next request begin."""
        ride.response_complete = True
        if ride.disconnected or self.transport.is_closing():
            return
        more = b"".join([b"%b: %b\r\n" % pair for pair in self.server_state.default_headers])
        if not ride.keep_alive:  # the server is stopping
            more += b"connection: close\r\n"
        self.transport.write(answer.replace(b"\r\n", b"\r\n" + more, 1))
        if not ride.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _await_more(self, cycle: Any) -> None:
        if type(cycle) is Ride and cycle.more_body:
            # The next bytes unset it.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.express.body_timeout,
                self.express.give_up,
                cycle,
                partial(self._respond, cycle),
            )
