"""One connection to a next hop: commands out, replies in, in order. It decides nothing.

    connection = Connection(loop)               the transport's protocol
    greeting = await connection.greeting
    reply = await connection.ask(Command("RSET"))

A reply is None when there will be none, and :attr:`Connection.cause` says why. Commands may be
asked while others are under way: they are sent at once where the server has PIPELINING (RFC 2920),
else each when the one before has its reply.

Octets that come while no reply is due were not meant for us, or would be taken for the reply to
what we say next: the connection is given up, whatever they are. (A server that goes away says 421
unasked, RFC 5321 3.8; that is the end, too.)

Waiting has no limit here: whoever waits has a clock.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TypeVar, cast

from check_user.gateway.commands import Command
from check_user.gateway.replies import ReplyParser
from check_user.protocols import ProtocolError
from check_user.protocols.smtp import Reply
from check_user.protocols.smtp.extensions import Extensions

HIGH_MARK = 65536
"""Octets that may wait for a server that doesn't read, before the client has to wait."""

FAREWELL = 5.0
"""Seconds for the reply to QUIT."""

T = TypeVar("T")


class Connection(asyncio.Protocol):
    """One connection. The event loop calls the methods of :class:`asyncio.Protocol`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for the greeting."""
        self.extensions = Extensions()
        self.cause = ""
        """Why it is over; empty while it isn't."""
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = ReplyParser()
        self._asked: deque[asyncio.Future[Reply | None]] = deque()
        self._unsent: deque[bytes] = deque()
        self._writable: asyncio.Future[None] | None = None
        self._farewell: asyncio.TimerHandle | None = None
        self.lost: asyncio.Future[None] = loop.create_future()
        """Done when it is over and the transport closed."""
        self.greeting = self.expect()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=HIGH_MARK)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over; nobody waits any longer."""
        self.cause = self.cause or (str(exc) if exc else "the connection was closed")
        for future in self._asked:
            _settle(future, None)
        self._asked.clear()
        self._unsent.clear()
        self.resume_writing()
        if self._farewell:
            self._farewell.cancel()
        _settle(self.lost, None)

    def data_received(self, data: bytes) -> None:
        """The server says something."""
        try:
            for reply in self._parser.feed(data):
                self._take(reply)
        except ProtocolError as error:
            self.abort(str(error))
        if not self._parser.is_empty and not self._is_due:
            self.abort("octets that nobody asked for")
        # only now: what came together with a reply can't be the reply to what is sent after it
        if self._unsent and not self._is_due:
            self.write(self._unsent.popleft())

    def pause_writing(self) -> None:
        """The server doesn't read."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """It reads again, or never will."""
        if self._writable is not None:
            _settle(self._writable, None)
            self._writable = None

    def ask(self, command: Command, content: bytes = b"") -> asyncio.Future[Reply | None]:
        """Send a command, now or when its turn comes, and give what will be its reply.

        ``content`` follows it at once (BDAT).
        """
        waits = bool(self._asked) and not self.extensions.pipelining
        future = self.expect()
        if waits:
            self._unsent.append(command.octets + content)
        else:
            self.write(command.octets + content)
        return future

    def expect(self) -> asyncio.Future[Reply | None]:
        """Give what will be the next reply but those that are waited for."""
        future: asyncio.Future[Reply | None] = self._loop.create_future()
        if self.cause:
            future.set_result(None)
        else:
            self._asked.append(future)
        return future

    def write(self, data: bytes) -> None:
        """Send octets that are no command: the message."""
        if self._transport is not None and not self.cause:
            self._transport.write(data)

    @property
    def writable(self) -> asyncio.Future[None] | None:
        """What to wait for before more is written, or None; shared by all who wait."""
        return self._writable

    def quit(self) -> None:
        """Say goodbye, and close when the server has answered or doesn't."""
        if self._transport is None or self.cause:
            return
        transport = self._transport
        self._farewell = self._loop.call_later(FAREWELL, transport.abort)
        self.ask(Command("QUIT")).add_done_callback(lambda _: transport.close())

    def abort(self, cause: str) -> None:
        """End it without another octet; what was written may or may not have been sent."""
        self.cause = self.cause or cause
        if self._transport is not None:
            self._transport.abort()

    @property
    def _is_due(self) -> bool:
        """Whether a reply is due: something was sent, and not all of it is answered."""
        return len(self._asked) > len(self._unsent)

    def _take(self, reply: Reply) -> None:
        if not self._is_due:
            raise ProtocolError(f"a reply that nobody asked for, {reply.code}")
        _settle(self._asked.popleft(), reply)


def _settle(future: asyncio.Future[T], result: T) -> None:
    """Set a result, unless whoever waited has given up."""
    if not future.done():
        future.set_result(result)
