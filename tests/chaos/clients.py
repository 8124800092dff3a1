"""The clients: connections to the ``line`` door, each with one question at a time."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from time import monotonic

from tests.chaos.site import DOMAINS, Site

CLIENTS = 32

PATIENCE = 30.0
"""Seconds for an answer, after which the run is over: it has been late long before."""


class Clients:
    """Ask ``number`` questions, and further ones until they are told to end."""

    def __init__(self, site: Site, number: int) -> None:
        self._site = site
        self._left = number
        self._stable = sorted(site.truth.stable)
        self._comers = sorted(site.truth.accounts)
        self.lost = 0
        """Questions whose connection was closed before the answer."""
        self.enough = asyncio.Event()
        """The number is asked."""
        self._over = False

    async def run(self) -> None:
        """Ask until :meth:`end`."""
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._ask())

    def end(self) -> None:
        """Every client asks the question that it asks, and no other."""
        self._over = True

    async def _ask(self) -> None:
        while not self._over:
            reader, writer = await asyncio.open_unix_connection(str(self._site.line))
            with suppress(ConnectionError):
                while not self._over and await self._ask_one(reader, writer):
                    pass
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _ask_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One question; False where the connection is gone."""
        address = self._choose()
        asked = monotonic()
        line = b""
        try:
            writer.write(f"{address}\n".encode())
            async with asyncio.timeout(PATIENCE):
                line = await reader.readline()
        finally:
            self.lost += not line.endswith(b"\n")
        if not line.endswith(b"\n"):
            return False
        self._site.truth.judge(address, line.decode().rstrip("\n"), asked, monotonic())
        self._left -= 1
        if self._left <= 0:
            self.enough.set()
        return True

    def _choose(self) -> str:
        """Most are known or unknown, some come and go, some are foreign."""
        chance = random.random()
        if chance < 0.45:
            return random.choice(self._stable)
        if chance < 0.65:
            return random.choice(self._comers)
        number = random.randrange(1_000_000)
        if chance < 0.95:
            return f"nobody{number}@{DOMAINS[number % len(DOMAINS)]}"
        return f"somebody{number}@foreign.example"
