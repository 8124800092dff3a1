"""Doors for the tests of the servers: a server with a listener, and clients of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from check_user.protocols import Codec
from check_user.protocols.line import LineCodec
from check_user.servers.capacity import Capacity
from check_user.servers.listen import bind, parse_endpoint
from check_user.servers.stream import StreamServer
from check_user.servers.talk import Decide, Limits, plain
from tests.protocols.asking import decide as who_is_there

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Open:
    """One door that is open."""

    server: StreamServer
    address: str
    reports: list[str]
    capacity: Capacity
    decide: Decide
    clients: list[Streams] = field(default_factory=list)

    async def connect(self) -> Streams:
        """A client; :meth:`Doors.close` sees to its end."""
        kind, _, rest = self.address.partition(":")
        if kind == "unix":
            streams = await asyncio.open_unix_connection(rest)
        else:
            host, _, port = rest.rpartition(":")
            streams = await asyncio.open_connection(host, int(port))
        self.clients.append(streams)
        return streams

    async def left(self, clients: int = 0) -> None:
        """Wait until the server has no more than ``clients``."""
        await until(lambda: self.server.clients <= clients)


@dataclass
class Doors:
    """Opens doors below ``folder``."""

    folder: Path
    made: list[Open] = field(default_factory=list)

    async def open(
        self,
        decide: Decide = who_is_there,
        *,
        codec: Callable[[], Codec] = LineCodec,
        address: str = "",
        limits: Limits | None = None,
        room: int = 1000,
    ) -> Open:
        """Open a door, on a unix socket of its own if no address is given."""
        reports: list[str] = []
        capacity = Capacity(room)
        opening = plain(codec, lambda lookup: door.decide(lookup))  # noqa: PLW0108 - it may change
        server = StreamServer(opening, report=reports.append, capacity=capacity, limits=limits)
        text = address or f"unix:{self.folder}/{len(self.made)}.sock"
        listener = await bind(parse_endpoint(text))
        door = Open(server, listener.addresses[0], reports, capacity, decide)
        server.start(listener)
        self.made.append(door)
        return door

    async def close(self) -> None:
        """Close them all, the clients first."""
        for door in self.made:
            for streams in door.clients:
                streams[1].transport.abort()
                await close(streams)
            await door.server.drain(0.0)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nothing announces: the server's own view of its clients and lookups."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the server has no event for it, and needs none
            await asyncio.sleep(0.002)


async def answer(streams: Streams, question: bytes) -> bytes:
    """Ask one question of the line door, and read its line."""
    reader, writer = streams
    writer.write(question)
    async with asyncio.timeout(5):
        return await reader.readline()


async def rest(streams: Streams) -> bytes:
    """All that still comes, until the server closes."""
    async with asyncio.timeout(5):
        return await streams[0].read()


async def close(streams: Streams) -> None:
    """Go away."""
    streams[1].close()
    try:
        await streams[1].wait_closed()
    except ConnectionError:
        return
