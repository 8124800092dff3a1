"""A fault proxy: forwards connections to a server and does to them what a test says.

It lives in the test's own event loop and handles TCP (``("127.0.0.1", port)``) and unix sockets (a
:class:`~pathlib.Path`) on either side:

    async with FaultProxy(("127.0.0.1", database.port)) as proxy:
        ...connect to proxy.address...
        proxy.inject(Fault(limit=100, then=End.RESET))

What it can do, each to all connections (:meth:`FaultProxy.inject`) or to those to come, one by one
(:meth:`FaultProxy.script`):

- nothing (:data:`HEALTHY`);
- latency: every chunk of the reply waits;
- slices: the reply leaves in pieces of n bytes, each a segment of its own;
- after ``limit`` bytes of the reply, counted from the injection: silence with the connection open,
  an orderly close, or a reset (RST by SO_LINGER 0; a unix socket can only be closed);
- after ``asked`` bytes of the client's, counted in the same way: the same, and the server is told
  nothing more;
- a wrong answer: fixed bytes as soon as the client connects, the server never asked; then silence
  or the end.

Besides: :meth:`FaultProxy.refuse` closes the listener, :meth:`FaultProxy.pause` stops the bytes in
both directions, :meth:`FaultProxy.drop` ends every connection. It knows no protocol: cutting "at
byte k" is for the test to count (:attr:`Connection.replied`).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType

from tests.peers.process import free_port

Address = tuple[str, int] | Path

CHUNK = 65536
"""Octets read at once."""


class End(Enum):
    """What follows the last byte that is let through."""

    SILENCE = "silence"
    CLOSE = "close"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to a connection's replies. ``latency`` in seconds, the rest in octets."""

    latency: float = 0.0
    slice: int | None = None
    limit: int | None = None
    asked: int | None = None
    then: End = End.SILENCE
    answer: bytes | None = None


HEALTHY = Fault()


class Connection:
    """One client. ``replied`` counts the octets sent to it, ``asked`` those it sent, all in all."""

    def __init__(self, client: asyncio.StreamWriter, fault: Fault, gate: asyncio.Event) -> None:
        self.replied = self.asked = 0
        self.ended = False
        self._client = client
        self._gate = gate
        self.inject(fault)

    def inject(self, fault: Fault) -> None:
        """Do ``fault`` from now on; its limit counts from here."""
        self.fault = fault
        self._start = self.replied
        self._asked_from = self.asked

    async def run(self, reader: asyncio.StreamReader, upstream: Address) -> None:
        """Serve the client until either side ends."""
        if self.fault.answer is not None:
            self._client.write(self.fault.answer)
            if self.fault.then is End.SILENCE:
                await reader.read()
            return
        connecting = asyncio.create_task(connect(upstream))
        try:
            server_reader, server = await asyncio.shield(connecting)
        except asyncio.CancelledError:
            (await connecting)[1].transport.abort()
            raise
        asking = asyncio.create_task(self._ask(reader, server))
        try:
            await self._reply(server_reader)
        finally:
            asking.cancel()
            server.transport.abort()
            await asyncio.gather(asking, return_exceptions=True)

    def end(self, *, reset: bool = False) -> None:
        """End it, orderly or by a reset, unless it has ended."""
        self.ended = True
        if self._client.transport.is_closing():
            return
        if reset:
            linger = struct.pack("ii", 1, 0)
            raw = self._client.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._client.transport.abort()
        else:
            self._client.close()

    async def _ask(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await self._gate.wait()
            left = len(data)
            if self.fault.asked is not None:
                left = min(left, self.fault.asked - (self.asked - self._asked_from))
            self.asked += left
            server.write(data[:left])
            await server.drain()
            if left < len(data):
                await self._end_asking(reader, server)
                return
        server.write_eof()

    async def _end_asking(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        """What the client says doesn't arrive any more; with silence the server hears its end."""
        if self.fault.then is End.SILENCE:
            with suppress(OSError):
                while await reader.read(CHUNK):
                    pass
        else:
            self.end(reset=self.fault.then is End.RESET)
        server.transport.abort()

    async def _reply(self, reader: asyncio.StreamReader) -> None:
        while not self.ended and (data := await reader.read(CHUNK)):
            await self._gate.wait()
            await asyncio.sleep(self.fault.latency)
            await self._send(data)

    async def _send(self, data: bytes) -> None:
        fault = self.fault
        left = len(data)
        if fault.limit is not None:
            left = min(left, fault.limit - (self.replied - self._start))
        step = fault.slice or CHUNK
        for begin in range(0, left, step):
            piece = data[begin : min(begin + step, left)]
            self.replied += len(piece)
            self._client.write(piece)
            await self._client.drain()
            await asyncio.sleep(0)
        if left < len(data) and fault.then is not End.SILENCE:
            self.end(reset=fault.then is End.RESET)


class FaultProxy:
    """Forwards ``listen`` (a free TCP port by default) to ``upstream``.

    ``connections`` holds every connection that there ever was, in order.
    """

    def __init__(self, upstream: Address, listen: Address | None = None) -> None:
        self.upstream = upstream
        self.address: Address = listen or ("127.0.0.1", free_port())
        self.connections: list[Connection] = []
        self._fault = HEALTHY
        self._script: deque[Fault] = deque()
        self._gate = asyncio.Event()
        self._gate.set()
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[object]] = set()

    @property
    def port(self) -> int:
        """The TCP port that it listens on."""
        assert isinstance(self.address, tuple), "it listens on a unix socket"
        return self.address[1]

    async def __aenter__(self) -> FaultProxy:
        await self.accept()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.refuse()
        await self.settle()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks)

    async def settle(self) -> None:
        """Wait until every accepted connection is there, which takes two turns of the loop."""
        for _ in range(3):
            await asyncio.sleep(0)

    def inject(self, fault: Fault) -> None:
        """Do ``fault`` to the connections there are and to all to come."""
        self._script.clear()
        self._fault = fault
        for connection in self.connections:
            connection.inject(fault)

    def script(self, *faults: Fault) -> None:
        """Do ``faults`` to the next connections, one each; after that as last injected."""
        self._script.extend(faults)

    def refuse(self) -> None:
        """Close the listener; the connections there are go on."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def accept(self) -> None:
        """Open the listener (again), at the same address."""
        if isinstance(self.address, Path):
            self._listener = await asyncio.start_unix_server(self._serve, self.address)
        else:
            self._listener = await asyncio.start_server(self._serve, *self.address)

    def pause(self) -> None:
        """Let no byte through, in either direction."""
        self._gate.clear()

    def resume(self) -> None:
        """Let them through again, the held ones first."""
        self._gate.set()

    def drop(self, *, reset: bool = False) -> None:
        """End every connection."""
        for connection in self.connections:
            connection.end(reset=reset)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = self._script.popleft() if self._script else self._fault
        connection = Connection(writer, fault, self._gate)
        self.connections.append(connection)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(OSError, asyncio.CancelledError):  # cancelled by __aexit__
            await connection.run(reader, self.upstream)
        connection.ended = True
        writer.close()
        with suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()
        self._tasks.discard(task)


async def connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection to either kind of address."""
    if isinstance(address, Path):
        return await asyncio.open_unix_connection(address)
    return await asyncio.open_connection(*address)
