"""The network between us and the database: cut, silent, slow, or leading to somebody else.

A cut is made at every byte of every reply there is, so no place in a protocol is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from check_user.directory import Unavailable
from check_user.verdict import Reason
from tests.directory.asking import (
    AT_ONCE,
    BACK,
    DEADLINE,
    FOREIGN,
    KNOWN,
    TRUTH,
    UNKNOWN,
    Asking,
    asking,
    connections,
    eventually,
)
from tests.peers.database import DatabaseServer
from tests.peers.faultproxy import HEALTHY, Connection, End, Fault, FaultProxy
from tests.peers.mariadb import MariaDB

FAREWELL = b"X\0\0\0\4"
"""PostgreSQL's Terminate, the last that a connection may send."""

WORKERS = 8
"""Directories that try the cuts side by side, each through a proxy of its own."""


@asynccontextmanager
async def behind(
    server: DatabaseServer, **options: object
) -> AsyncIterator[tuple[FaultProxy, Asking]]:
    """Ask ``server`` through a proxy."""
    async with (
        FaultProxy((server.host, server.port)) as proxy,
        asking(server, port=proxy.port, **options) as ask,
    ):
        yield proxy, ask


async def at_each(
    server: DatabaseServer,
    octets: Sequence[int],
    attempt: Callable[[FaultProxy, Asking, int], Awaitable[None]],
    **options: object,
) -> None:
    """Make ``attempt`` with each number of octets."""

    async def work(mine: Sequence[int]) -> None:
        async with behind(server, connections=1, **options) as (proxy, ask):
            for k in mine:
                await attempt(proxy, ask, k)

    async with asyncio.TaskGroup() as group:
        for n in range(WORKERS):
            group.create_task(work(octets[n::WORKERS]))


async def fresh(proxy: FaultProxy, ask: Asking) -> Connection:
    """A connection on which no address was asked for: the statement isn't prepared there."""
    proxy.drop()
    while (await ask.check.domain("example.org")).verdict.reason is not Reason.KNOWN:  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.01)
    before = [connection.asked for connection in proxy.connections]
    assert (await ask.check.domain("example.org")).verdict.reason is Reason.KNOWN
    asked = zip(proxy.connections, before, strict=True)
    return next(connection for connection, octets in asked if connection.asked > octets)


async def length_of_replies(server: DatabaseServer, address: str) -> int:
    """Octets that come back on one connection for a question about ``address``."""
    async with behind(server, connections=1) as (proxy, ask):
        (connection,) = proxy.connections
        before = connection.replied
        assert (await ask(address)).right
        return connection.replied - before


@pytest.mark.fault("DB04", "DB05")
@pytest.mark.parametrize("address", [KNOWN, UNKNOWN])
async def test_a_reply_cut_at_every_byte(database: DatabaseServer, address: str) -> None:
    """The connection is closed or reset after k octets of the replies, for every k: asked once more
    on a new connection, and right."""

    async def attempt(proxy: FaultProxy, ask: Asking, k: int) -> None:
        held = await fresh(proxy, ask)
        before = len(proxy.connections)
        held.inject(Fault(limit=k, then=End.RESET if k % 2 else End.CLOSE))
        answer = await ask(address)
        assert answer.right, (k, answer)
        assert len(proxy.connections) == before + 1, k

    await at_each(database, range(await length_of_replies(database, address)), attempt)


@pytest.mark.fault("DB04")
@pytest.mark.parametrize("address", [KNOWN, UNKNOWN])
async def test_a_reply_silent_after_every_byte(database: DatabaseServer, address: str) -> None:
    """Silence after k octets of the replies, for every k: right by a second connection, or
    DENYSOFT; the silent connection is never asked again, and the next answers are right."""

    async def attempt(proxy: FaultProxy, ask: Asking, k: int) -> None:
        silent = await fresh(proxy, ask)
        silent.inject(Fault(limit=k))
        answer = await ask(address)
        assert answer.honest, (k, answer)
        asked = silent.asked
        assert await ask.until_right(address) <= BACK
        assert (await ask(UNKNOWN if address == KNOWN else KNOWN)).right
        assert silent.asked <= asked + len(FAREWELL), (k, answer)

    octets = range(await length_of_replies(database, address))
    await at_each(database, octets, attempt, lookup_timeout=0.6)  # a fifth of the default's time


@pytest.mark.fault("DB04")
async def test_a_blackhole(database: DatabaseServer) -> None:
    """Every connection there is falls silent while all are in use, new ones work: every answer is
    the truth or DENYSOFT within 3 s, and right within 2 s of that."""
    async with behind(database) as (proxy, ask):
        await asyncio.gather(*(ask(address) for address in (KNOWN, UNKNOWN) * 100))
        for connection in proxy.connections:
            connection.inject(Fault(limit=0))
        crowd = [ask(address) for address in (UNKNOWN, KNOWN) * 50]
        answers = await asyncio.gather(*crowd)
        assert all(answer.honest for answer in answers), answers
        assert await ask.until_right(UNKNOWN) <= BACK


@pytest.mark.fault("DB04")
async def test_a_late_reply_answers_nobody(database: DatabaseServer) -> None:
    """A reply that comes after its question was given up never answers the next question."""
    async with behind(database, connections=1) as (proxy, ask):
        for late, next_one in [(KNOWN, UNKNOWN), (UNKNOWN, KNOWN), (FOREIGN, KNOWN)] * 10:
            proxy.pause()
            given_up = asyncio.create_task(ask(late))
            await eventually(lambda: proxy.connections[-1].asked)
            given_up.cancel()
            waiting = asyncio.create_task(ask(next_one))
            await asyncio.sleep(0.005)
            proxy.resume()
            answer = await waiting
            assert answer.right, answer


@pytest.mark.fault("DB07")
async def test_a_slow_network(database: DatabaseServer) -> None:
    """Every reply comes 0.5, 2 or 10 s late: the truth where it can be there in time, else DENYSOFT
    within 3 s; fast again: right within 2 s."""
    half, two, ten = await asyncio.gather(*(slow(database, late) for late in (0.5, 2.0, 10.0)))
    assert half == [KNOWN, UNKNOWN, FOREIGN]
    assert KNOWN in two
    assert not ten


async def slow(database: DatabaseServer, latency: float) -> list[str]:
    """Which of the addresses are answered right, asked one after the other; a crowd gets nothing
    but the truth or DENYSOFT, in time."""
    async with behind(database) as (proxy, ask):
        await ask.everything()  # PostgreSQL's first of each statement takes two round trips
        proxy.inject(Fault(latency=latency))
        alone = await ask.everything()
        crowd = await asyncio.gather(*(ask(address) for address in TRUTH for _ in range(50)))
        assert not [answer for answer in [*alone, *crowd] if not answer.honest]
        proxy.inject(HEALTHY)
        assert await ask.until_right() <= BACK
        return [answer.address for answer in alone if answer.right]


@pytest.mark.fault("DB08")
async def test_more_questions_than_connections(database: DatabaseServer) -> None:
    """Ten times more questions at once than connections, each taking half a second: all right in
    time, over no more connections than were configured."""
    async with behind(database) as (proxy, ask):
        proxy.inject(Fault(latency=0.5))
        answers = await asyncio.gather(*(ask(KNOWN) for _ in range(40)))
        assert all(answer.right and answer.seconds <= DEADLINE for answer in answers), answers
        assert len(connections(database)) <= 4


@pytest.mark.fault("DB08")
async def test_more_questions_than_the_queue_holds(database: DatabaseServer) -> None:
    """What is beyond the queue is refused at once, the rest within 3 s, and nothing is left."""
    async with behind(database) as (proxy, ask):
        proxy.pause()
        answers = await asyncio.gather(*(ask(KNOWN) for _ in range(3000)))
        assert [answer for answer in answers if not answer.soft][:3] == []
        shed = sorted(answer.seconds for answer in answers if "overloaded" in answer.cause)
        assert len(shed) >= 900
        assert shed[len(shed) // 2] <= AT_ONCE
        proxy.resume()
        assert await ask.until_right() <= BACK


OTHERS = {
    "an HTTP server": b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
    "an SSH server": b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",
    "a TLS server": bytes.fromhex("15030100020250"),  # alert, fatal, internal_error
    "an SMTP server": b"220 mail.example.org ESMTP\r\n",
    "zeros": bytes(4096),
    "ones": b"\xff" * 4096,
    "nothing": b"",
}


@pytest.mark.fault("DB20")
@pytest.mark.parametrize("end", [End.SILENCE, End.CLOSE])
async def test_somebody_else_answers(database: DatabaseServer, end: End) -> None:
    """Another kind of server on the port: DENYSOFT within 3 s, also at start; right within 2 s
    after the database is there again."""

    async def attempt(other: bytes) -> None:
        async with behind(database) as (proxy, ask):
            proxy.inject(Fault(answer=other, then=end))
            proxy.drop()
            opening = asyncio.create_task(opened(database, proxy.port))
            answers = await asyncio.gather(*(ask(address) for address in TRUTH))
            assert all(answer.soft for answer in answers), answers
            assert not await opening
            proxy.inject(HEALTHY)
            assert await ask.until_right() <= BACK

    others = dict(OTHERS)
    if not isinstance(database, MariaDB):
        del others["zeros"]  # asyncpg 0.32 never returns from a message of type 0 and length 0
    await asyncio.gather(*(attempt(other) for other in others.values()))


async def opened(database: DatabaseServer, port: int) -> bool:
    """Whether a directory can be opened through ``port``; it is known within 3 s."""
    try:
        async with asyncio.timeout(DEADLINE + AT_ONCE), asking(database, port=port):
            return True
    except Unavailable:
        return False


async def length_of_greeting(database: DatabaseServer) -> tuple[int, int]:
    """Octets that the server sends when a held connection is opened anew, and on the first one."""
    async with behind(database, connections=1) as (proxy, ask):
        proxy.drop()
        assert (await ask(KNOWN)).right
        again = proxy.connections[1].replied - await length_of_replies(database, KNOWN)
        return again, proxy.connections[0].replied


@pytest.mark.fault("DB21")
async def test_a_greeting_cut_at_every_byte(database: DatabaseServer) -> None:
    """The connection ends after k octets of what the server sends while we connect, for every k of
    the handshake and many of the catalogue: Unavailable, and nothing else escapes."""
    handshake, whole = await length_of_greeting(database)
    octets = [*range(handshake), *range(handshake, whole, 23)]

    async def work(mine: Sequence[int]) -> None:
        async with FaultProxy((database.host, database.port)) as proxy:
            for k in mine:
                proxy.inject(Fault(limit=k, then=End.CLOSE))
                assert not await opened(database, proxy.port), k

    await asyncio.gather(*(work(octets[n::WORKERS]) for n in range(WORKERS)))


@pytest.mark.fault("DB21")
async def test_a_greeting_silent_after_a_byte(database: DatabaseServer) -> None:
    """Silence in the middle of the handshake: DENYSOFT in time while we run; afterwards right
    within 2 s."""
    handshake, _ = await length_of_greeting(database)

    async def attempt(proxy: FaultProxy, ask: Asking, k: int) -> None:
        proxy.inject(Fault(limit=k))
        proxy.drop()
        assert (await ask(KNOWN)).soft, k
        proxy.inject(HEALTHY)
        assert await ask.until_right() <= BACK

    octets = [*range(4), *range(4, handshake, 29)]
    await at_each(database, octets, attempt, lookup_timeout=0.6)
