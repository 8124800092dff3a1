"""The stream server: any codec over TCP or unix sockets. It decides nothing.

    server = StreamServer(plain(PolicyCodec, decide), report=log.warning, capacity=capacity)
    server.start(await bind(parse_endpoint("unix:/run/check_user/policy.sock")))
    ...
    await server.drain(5.0)

One server speaks one protocol. It keeps its connections' time limits with one timer a second for
all of them together, whatever they send, and passes on what belongs in the log: at most one line a
second, with a count of the others.

``drain`` ends it: no new clients, an answer for everything that was asked, and the rest is cut off
after the time that was given. A client that asks while its idle connection is being closed has to
ask again; Postfix does so by itself.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

from check_user.servers.accept import Acceptor
from check_user.servers.capacity import Capacity
from check_user.servers.connection import Connection
from check_user.servers.listen import Listener
from check_user.servers.talk import Limits, Opening

TICK = 1.0
"""Seconds between looks at the time limits, and between lines for the log."""


class StreamServer:
    """Talks to every client of its listener as ``opening`` says (see ``talk``).

    ``report`` takes one line for the log. ``capacity`` is shared by all servers of the process.
    """

    def __init__(
        self,
        opening: Opening,
        *,
        report: Callable[[str], None],
        capacity: Capacity,
        limits: Limits | None = None,
    ) -> None:
        """Make a server that isn't started yet."""
        self.opening = opening
        self.limits = limits or Limits()
        self._throttle = _Throttle(report)
        self._capacity = capacity
        self._connections: set[Connection] = set()
        self._empty = asyncio.Event()
        self._listener: Listener | None = None
        self._acceptors: list[Acceptor] = []
        self._welcoming: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def clients(self) -> int:
        """Connections at this moment."""
        return len(self._connections)

    @property
    def listener(self) -> Listener | None:
        """The listener in use."""
        return self._listener

    def start(self, listener: Listener) -> None:
        """Accept clients from ``listener`` and own it; one in use before is closed."""
        self._stop_accepting()
        self._listener = listener
        self._acceptors = [
            Acceptor(
                each,
                self._capacity,
                self._welcome,
                self._refuse,
                self.report,
                is_shared=listener.is_shared,
            )
            for each in listener.sockets
        ]
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)

    async def stop_accepting(self) -> None:
        """Take those who have connected already, then close the listener; again does no harm."""
        await asyncio.sleep(0)
        self._stop_accepting()

    async def drain(self, seconds: float) -> None:
        """Stop accepting, answer what was asked, close; after ``seconds`` cut off who is left."""
        await self.stop_accepting()
        await asyncio.gather(*self._welcoming)
        await asyncio.sleep(0)
        for connection in list(self._connections):
            connection.finish()
        try:
            async with asyncio.timeout(seconds):
                await self._until_empty()
        except TimeoutError:
            for connection in list(self._connections):
                connection.abort()
            await self._until_empty()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._throttle.tick()

    def joined(self, connection: Connection) -> None:
        """A client is here."""
        self._connections.add(connection)

    def left(self, connection: Connection) -> None:
        """A client has gone."""
        self._capacity.leave()
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def report(self, text: str) -> None:
        """Pass a line on to the log, if it isn't the second in a second."""
        self._throttle.report(text)

    def _welcome(self, client: socket.socket) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(client))
        self._welcoming.add(task)
        task.add_done_callback(self._welcoming.discard)

    def _refuse(self, client: socket.socket) -> None:
        """Close it, after a word where the protocol has one: its buffer is empty and takes that."""
        if self.limits.refusal:
            with suppress(OSError):
                client.send(self.limits.refusal, socket.MSG_DONTWAIT)
        client.close()

    async def _connect(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            talk = self.opening(peer_of(client))
            await loop.connect_accepted_socket(lambda: Connection(self, talk, loop), client)
        except OSError:  # it has gone before it was here
            client.close()
            self._capacity.leave()

    def _stop_accepting(self) -> None:
        for acceptor in self._acceptors:
            acceptor.stop()
        self._acceptors.clear()
        if self._listener is not None:
            self._listener.close()
        self._listener = None

    async def _until_empty(self) -> None:
        while self._connections:
            self._empty.clear()
            await self._empty.wait()

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(TICK, self._tick)
        self._throttle.tick()
        now = loop.time()
        for connection in list(self._connections):
            connection.expire(now)


def peer_of(client: socket.socket) -> str:
    """The client's network address; empty for a unix socket. Raises OSError when it has gone."""
    peer = client.getpeername()
    return str(peer[0]) if isinstance(peer, tuple) else ""


class _Throttle:
    """At most one line a tick; what comes too often is counted, and the count is told."""

    __slots__ = ("_others", "_report", "_said")

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._said = False
        self._others = 0

    def report(self, text: str) -> None:
        if self._said:
            self._others += 1
            return
        self._said = True
        self._report(text)

    def tick(self) -> None:
        if self._others:
            self._report(f"and {self._others} more in the last second")
        self._said = self._others > 0
        self._others = 0
