"""The network between us and the database: cut, silent, slow, or leading to somebody else.

A cut is made at every byte of every reply there is, so no place in a protocol is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import pytest

from check_user.directory import Unavailable
from check_user.verdict import Reason
from tests.directory.asking import (
    ACCOUNTS,
    AT_ONCE,
    BACK,
    DEADLINE,
    FOREIGN,
    KNOWN,
    UNKNOWN,
    Asking,
    asking,
    connections,
    eventually,
)
from tests.peers.database import DatabaseServer
from tests.peers.faultproxy import HEALTHY, End, Fault, FaultProxy
from tests.peers.fixtures import NewMariaDB, NewPostgreSQL

SIDE_BY_SIDE = 16
"""Cuts that are tried at the same time; each has a proxy and a directory of its own."""


@asynccontextmanager
async def behind(server: DatabaseServer, **options: object) -> AsyncIterator[tuple[FaultProxy, Asking]]:
    """Ask ``server`` through a proxy."""
    async with FaultProxy((server.host, server.port)) as proxy:
        async with asking(server, port=proxy.port, **options) as ask:
            yield proxy, ask


async def at_each(octets: Iterable[int], attempt: Callable[[int], Awaitable[None]]) -> None:
    """Run ``attempt`` with each number of octets, some side by side."""
    room = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(k: int) -> None:
        async with room:
            await attempt(k)

    async with asyncio.TaskGroup() as group:
        for k in octets:
            group.create_task(one(k))


async def length_of_replies(server: DatabaseServer, address: str) -> int:
    """Octets that come back on one connection for a question about ``address``."""
    async with behind(server, connections=1) as (proxy, ask):
        (connection,) = proxy.connections
        before = connection.replied
        assert (await ask(address)).right
        return connection.replied - before


@pytest.mark.fault("DB04", "DB05")
@pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
@pytest.mark.parametrize("address", [KNOWN, UNKNOWN])
async def test_a_reply_cut_at_every_byte(
    database: DatabaseServer, end: End, address: str
) -> None:
    """The connection ends after k octets of the replies, for every k: asked once more on a new
    connection, and right."""

    async def attempt(k: int) -> None:
        async with behind(database, connections=1) as (proxy, ask):
            proxy.connections[0].inject(Fault(limit=k, then=end))
            answer = await ask(address)
            assert answer.right, (k, answer)
            assert answer.seconds <= DEADLINE
            assert len(proxy.connections) == 2, k

    await at_each(range(await length_of_replies(database, address)), attempt)


@pytest.mark.fault("DB04")
@pytest.mark.parametrize("address", [KNOWN, UNKNOWN])
async def test_a_reply_silent_after_every_byte(database: DatabaseServer, address: str) -> None:
    """Silence after k octets of the replies, for every k: right by a second connection within 3 s,
    or DENYSOFT; the silent connection is never asked again, and the next answers are right."""

    async def attempt(k: int) -> None:
        async with behind(database, connections=1) as (proxy, ask):
            silent = proxy.connections[0]
            silent.inject(Fault(limit=k))
            answer = await ask(address)
            assert answer.honest, (k, answer)
            stopped = silent.asked
            assert (await ask.until_right(address)) <= BACK
            assert all(answer.right for answer in await ask.everything())
            assert silent.asked == stopped, k

    await at_each(range(await length_of_replies(database, address)), attempt)
