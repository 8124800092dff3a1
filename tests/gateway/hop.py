"""A next hop that says what a test wants: what no real server says, or not when asked to.

    async with Hop({"RCPT": b"354 what?\\r\\n"}) as hop: ...

It is polite but for the verbs that it was given replies for; ``.`` is the end of a message and
``greeting`` what it says first. ``commands`` is what it was told, ``messages`` what it took (it has
said 2xx to their end).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType

from tests.peers.process import free_port

POLITE = {
    "greeting": b"220 hop.example\r\n",
    "EHLO": b"250-hop.example\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 SIZE 0\r\n",
    "LHLO": b"250-hop.example\r\n250 PIPELINING\r\n",
    "DATA": b"354 go ahead\r\n",
    "QUIT": b"221 2.0.0 bye\r\n",
}

LONGEST = 1 << 24
"""Octets of a message."""


class Hop:
    """One server, for any number of connections."""

    def __init__(self, replies: Mapping[str, bytes] | None = None) -> None:
        self.port = free_port()
        self.replies = {**POLITE, **(replies or {})}
        self.commands: list[str] = []
        self.messages: list[bytes] = []
        self.reads = asyncio.Event()
        """While it isn't set, no message is read."""
        self.reads.set()
        self._tasks: set[asyncio.Task[object]] = set()

    async def __aenter__(self) -> Hop:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, limit=LONGEST
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
            await self._talk(reader, writer)
        writer.close()
        with suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()
        self._tasks.discard(task)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.replies["greeting"])
        chunks = b""
        while line := await reader.readline():
            command = line.decode(errors="replace").rstrip("\r\n")
            self.commands.append(command)
            verb = command.partition(" ")[0].upper()
            if verb == "BDAT":
                chunks += await reader.readexactly(int(command.split()[1]))
            reply = self.replies.get(verb, b"250 2.0.0 ok\r\n")
            writer.write(reply)
            if verb == "DATA" and reply.startswith(b"354"):
                await self._wait(writer)
                self._take(await reader.readuntil(b"\r\n.\r\n"))
                writer.write(self.replies.get(".", b"250 2.0.0 ok\r\n"))
            elif command.endswith(" LAST"):
                self._take(chunks)
                chunks = b""

    async def _wait(self, writer: asyncio.StreamWriter) -> None:
        transport = writer.transport
        assert isinstance(transport, asyncio.Transport)
        if not self.reads.is_set():
            transport.pause_reading()
            await self.reads.wait()
            transport.resume_reading()

    def _take(self, message: bytes) -> None:
        if self.replies.get(".", b"2").startswith(b"2"):
            self.messages.append(message)
