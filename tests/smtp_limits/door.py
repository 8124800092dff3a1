"""The ``smtp`` door in the test's own process, on a real socket, with time limits of a test's."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from check_user.app.gateway import Gateway, open_gateway
from check_user.config import load
from check_user.gateway.crowd import Crowd
from check_user.servers.capacity import Capacity
from check_user.servers.listen import bind, parse_endpoint
from check_user.servers.stream import StreamServer
from tests.app.serving import configure
from tests.gateway.asking import decide

FILES = {
    "plugins": "check_user\nrcpt_ok\nqueue/maildir mail\n",
    "rcpthosts": "ours.example\n",
    "me": "gateway.example\n",
}
FAREWELL = b"421 4.3.2 gateway.example Closing the connection\r\n"


@dataclass
class SmtpDoor:
    """One that is open."""

    folder: Path
    gateway: Gateway
    server: StreamServer
    port: int
    reports: list[str]
    clients: list[SmtpClient] = field(default_factory=list)

    async def connect(self) -> SmtpClient:
        """A client, which hasn't read the greeting."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.clients.append(SmtpClient(reader, writer))
        return self.clients[-1]

    async def greeted(self) -> SmtpClient:
        """A client that has said EHLO."""
        client = await self.connect()
        assert (await client.reply()).startswith(b"220 ")
        assert (await client.ask(b"EHLO client.example\r\n")).startswith(b"250 ")
        return client

    def delivered(self) -> list[bytes]:
        """What lies in the maildir."""
        return [each.read_bytes() for each in (self.folder / "mail" / "new").iterdir()]

    async def aclose(self) -> None:
        """Close it, the clients first."""
        for client in self.clients:
            client.writer.transport.abort()
        await self.server.drain(0.0)
        await self.gateway.empty()
        await self.gateway.aclose()


@dataclass
class SmtpClient:
    """One session."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        """Send octets."""
        self.writer.write(data)

    async def reply(self) -> bytes:
        """Read one reply; its last line, nothing at the end."""
        async with asyncio.timeout(10):
            line = await self.reader.readline()
            while line[3:4] == b"-":
                line = await self.reader.readline()
            return line

    async def ask(self, data: bytes) -> bytes:
        """Send octets, and read one reply."""
        self.send(data)
        return await self.reply()

    async def begin(self) -> None:
        """Begin with a message."""
        self.send(b"MAIL FROM:<a@client.example>\r\nRCPT TO:<anna@ours.example>\r\nDATA\r\n")
        replies = [await self.reply() for _ in range(3)]
        assert [each[:3] for each in replies] == [b"250", b"250", b"354"]

    async def rest(self, *, drip: bytes = b"", interval: float = 0.02) -> tuple[bytes, float]:
        """What still comes until the end, and after how many seconds; ``drip`` is sent meanwhile.

        A reset is an end, too: who drips has sent something that nobody reads any more.
        """
        began = time.monotonic()
        reading = asyncio.ensure_future(self._read())
        try:
            async with asyncio.timeout(10):
                while drip:
                    self.send(drip)
                    if (await asyncio.wait({reading}, timeout=interval))[0]:
                        break
                return await reading, time.monotonic() - began
        finally:
            reading.cancel()

    async def _read(self) -> bytes:
        data = b""
        try:
            while piece := await self.reader.read(65536):
                data += piece
        except ConnectionResetError:
            pass
        return data


async def open_door(folder: Path, *, room: int = 100, **limits: Any) -> SmtpDoor:
    """Open one; ``limits`` are ``servers.talk.Limits``', and keys that begin with ``smtp_``."""
    for name, text in FILES.items():
        (folder / name).write_text(text)
    keys = {name: limits.pop(name) for name in list(limits) if name.startswith("smtp_")}
    file = await asyncio.to_thread(configure, folder, "smtp inet:127.0.0.1:0", **keys)
    reports: list[str] = []
    gateway = await open_gateway(load(file), decide, reports.append, Crowd())
    server = StreamServer(
        gateway.opening,
        report=reports.append,
        capacity=Capacity(room),
        limits=replace(gateway.limits, **limits),
    )
    listener = await bind(parse_endpoint("inet:127.0.0.1:0"))
    port = int(listener.addresses[0].rpartition(":")[2])
    server.start(listener)
    return SmtpDoor(folder, gateway, server, port, reports)
