"""The next hop: an SMTP server (RFC 5321) or an LMTP server (RFC 2033), where it is, what it takes.

    > (connected)
    < 220 mx.example ESMTP
    > EHLO gateway.example              LHLO to an LMTP server
    < 250-mx.example
    < 250-PIPELINING
    < 250 SIZE 10240000

A server that doesn't know EHLO is asked again with HELO, and has no extension then. Its addresses
are tried in turn, each with an equal share of the time that is left.

There is no TLS to it: the next hop is the machine's own mail server, or one on a wire of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from check_user.gateway.commands import Command
from check_user.gateway.connection import Connection
from check_user.gateway.delivery import Timeouts
from check_user.protocols.smtp import Reply
from check_user.protocols.smtp.extensions import Extensions

Resolve: TypeAlias = Callable[[str], Awaitable[Sequence[str]]]
"""Gives the IP addresses of a host, at least one; an address is its own. Raises OSError."""

UNREACHABLE = "4.4.1"
"""RFC 3463: no answer from host."""

LOST = "4.4.2"
"""RFC 3463: bad connection."""


class HopError(Exception):
    """The next hop can't be used now. ``str()`` is the cause, for the log."""

    def __init__(self, enhanced: str, cause: str) -> None:
        super().__init__(cause)
        self.enhanced = enhanced


@dataclass(frozen=True, slots=True)
class Target:
    """Where it is: ``host`` (a name or an IP address) and ``port``, or the unix socket ``path``."""

    host: str = ""
    port: int = 0
    path: str = ""
    lmtp: bool = False

    def __str__(self) -> str:
        """Write it as in the file ``plugins``."""
        place = f"unix:{self.path}" if self.path else f"{self.host} {self.port}"
        return f"{place} lmtp" if self.lmtp else place


class NextHop:
    """One server, for any number of connections. ``me`` is what we call ourselves."""

    def __init__(self, target: Target, me: str, resolve: Resolve, timeouts: Timeouts) -> None:
        self.target = target
        self.timeouts = timeouts
        self.offered = Extensions()
        """What it offered last; nothing until it was reached."""
        self._me = me
        self._resolve = resolve
        self._connections: set[Connection] = set()

    async def aclose(self) -> None:
        """End the connections that there still are, goodbyes without an answer among them."""
        for connection in self._connections:
            connection.abort("closing")
        await asyncio.gather(*(connection.lost for connection in self._connections))

    async def ask(self) -> None:
        """Learn what it offers. Raises HopError."""
        (await self.connect()).quit()

    async def connect(self) -> Connection:
        """Open a connection that is ready for MAIL. Raises HopError."""
        try:
            async with asyncio.timeout(self.timeouts.connect) as clock:
                return await self._connect(clock.when() or 0.0)
        except TimeoutError:
            raise HopError(UNREACHABLE, "no connection within the time limit") from None
        except OSError as error:
            raise HopError(UNREACHABLE, f"can't connect: {error.strerror or error}") from None

    async def _connect(self, deadline: float) -> Connection:
        if self.target.path:
            return await self._greet("")
        addresses = await self._resolve(self.target.host)
        now = asyncio.get_running_loop().time()
        for left, address in zip(range(len(addresses), 1, -1), addresses, strict=False):
            share = now + (deadline - now) / left
            try:
                async with asyncio.timeout_at(share):
                    return await self._greet(address)
            except (OSError, HopError, TimeoutError):
                now = asyncio.get_running_loop().time()
        return await self._greet(addresses[-1])

    async def _greet(self, address: str) -> Connection:
        """Connect and say hello. Raises OSError and HopError."""
        loop = asyncio.get_running_loop()
        if self.target.path:
            _, connection = await loop.create_unix_connection(
                lambda: Connection(loop), self.target.path
            )
        else:
            _, connection = await loop.create_connection(
                lambda: Connection(loop), address, self.target.port
            )
        self._connections.add(connection)
        connection.lost.add_done_callback(lambda _: self._connections.discard(connection))
        try:
            await self._say_hello(connection)
        except BaseException:
            connection.abort("no greeting")
            raise
        return connection

    async def _say_hello(self, connection: Connection) -> None:
        greeting = await connection.greeting
        if greeting is None or greeting.code != 220:
            raise HopError(UNREACHABLE, _cause(connection, "greeting", greeting))
        word = "LHLO" if self.target.lmtp else "EHLO"
        reply = await connection.ask(Command(word, self._me))
        if reply and reply.code // 100 == 5 and not self.target.lmtp:
            word = "HELO"
            reply = await connection.ask(Command(word, self._me))
        if reply is None or reply.code != 250:
            raise HopError(UNREACHABLE, _cause(connection, word, reply))
        connection.extensions = Extensions() if word == "HELO" else offered(reply)
        self.offered = connection.extensions


def offered(hello: Reply) -> Extensions:
    """Read the reply to EHLO: after the first line a keyword a line, parameters after it."""
    keywords = {}
    for line in hello.lines[1:]:
        keyword, *parameters = line.upper().split() or [""]
        keywords[keyword] = parameters
    size = keywords.get("SIZE")
    digits = size[0] if size else "0"
    return Extensions(
        size=None if size is None else int(digits) if digits.isdecimal() else 0,
        eight_bit="8BITMIME" in keywords,
        utf8="SMTPUTF8" in keywords,
        dsn="DSN" in keywords,
        chunking="CHUNKING" in keywords,
        pipelining="PIPELINING" in keywords,
    )


def _cause(connection: Connection, to: str, reply: Reply | None) -> str:
    if reply is None:
        return f"no answer to {to}: {connection.cause}" if to != "greeting" else connection.cause
    return f"{to}: {reply.code} {reply.enhanced} {reply.lines[0]}"
