"""The bare protocol: as little SMTP as the load needs, and a set of the known addresses.

    python -m bench.bare PORT ACCOUNTS PROCESSES

What Python can do at most: an ``asyncio.Protocol`` on uvloop that takes EHLO, MAIL, RCPT and QUIT
one a line, looks addresses up in a set, and has no limits, no plugins and no database. Further
processes are forked before the loop begins and share the port (SO_REUSEPORT, socket(7)).
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import cast

import uvloop

from bench import accounts

RCPT = b"RCPT TO:<"


class Bare(asyncio.Protocol):
    """One session."""

    def __init__(self, known: frozenset[bytes]) -> None:
        """Answer from ``known``."""
        self._known = known
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self._transport.write(b"220 bare ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        self._transport.write(b"".join([self._answer(line) for line in lines]))

    def _answer(self, line: bytes) -> bytes:
        if line.startswith(RCPT):
            if line[len(RCPT) : -1].lower() in self._known:
                return b"250 2.1.5 OK\r\n"
            return b"550 5.1.1 Address doesn't exist on this server\r\n"
        if line == b"QUIT":
            self._transport.close()
            return b"221 2.0.0 Bye\r\n"
        return b"250 2.0.0 OK\r\n"


async def serve(port: int, known: frozenset[bytes]) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Bare(known), "127.0.0.1", port, reuse_port=True)
    await server.serve_forever()


def main(port: str, number: str, processes: str) -> None:
    """Fill the set, fork, serve."""
    known = frozenset(accounts.known(each).encode() for each in range(int(number)))
    for _ in range(int(processes) - 1):
        if os.fork() == 0:
            break
    uvloop.run(serve(int(port), known))


if __name__ == "__main__":
    main(*sys.argv[1:])
