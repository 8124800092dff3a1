"""The database is frozen, killed, full, locked: every answer in time, none wrong, and soon back."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import asyncmy.errors
import asyncpg
import pytest

from check_user.directory import Unavailable
from tests.directory.asking import (
    ACCOUNTS,
    AT_ONCE,
    BACK,
    DEADLINE,
    KNOWN,
    UNKNOWN,
    Asking,
    asking,
    connections,
    connects,
    disconnect,
    eventually,
    locked,
    most_in_a_second,
    running,
    session,
)
from tests.peers.database import DATABASE, DatabaseServer
from tests.peers.faultproxy import FaultProxy
from tests.peers.fixtures import NewMariaDB, NewPostgreSQL
from tests.peers.mariadb import MariaDB


async def refused_at_once(ask: Asking, times: int = 100) -> bool:
    """Whether the breaker answers: p99 of 100 questions within 50 ms."""
    answers = [await ask((KNOWN, UNKNOWN)[n % 2]) for n in range(times)]
    await asyncio.sleep(0.01)  # those answers come without a turn of the loop
    assert all(answer.soft for answer in answers)
    return sorted(answer.seconds for answer in answers)[-2] <= AT_ONCE


@pytest.mark.fault("DB02", "DB03")
async def test_a_frozen_database(database: DatabaseServer) -> None:
    """Frozen: every answer within 3 s, with connections and without; at once when the breaker is
    open; opening a directory fails in time; right within 2 s after it goes on."""
    async with asking(database) as held, asking(database) as empty:
        disconnect(database)
        assert (await held(KNOWN)).right
        database.freeze()
        begun = time.monotonic()
        opening = asyncio.create_task(opens(database))
        answers = await asyncio.gather(held(KNOWN), held(UNKNOWN), empty(KNOWN), empty(UNKNOWN))
        assert all(answer.soft for answer in answers), answers
        assert not await opening
        assert time.monotonic() - begun <= DEADLINE + AT_ONCE
        both = [held.directory, empty.directory]
        await eventually(lambda: not any(directory.status().available for directory in both))
        assert await refused_at_once(held)
        assert await refused_at_once(empty)
        database.thaw()
        assert max(await asyncio.gather(held.until_right(), empty.until_right())) <= BACK


async def opens(database: DatabaseServer) -> bool:
    try:
        async with asking(database):
            return True
    except Unavailable:
        return False


@pytest.mark.fault("DB01", "DB12")
async def test_a_killed_database(database: DatabaseServer) -> None:
    """Killed: DENYSOFT at once, whoever is asked for; right within 2 s after it answers again."""
    async with asking(database) as ask:
        assert all(answer.right for answer in await ask.everything())
        database.kill()
        answers = await ask.everything()
        assert all(answer.soft and answer.seconds <= AT_ONCE for answer in answers), answers
        assert not await opens(database)
        end = time.monotonic() + 1.5  # long enough for the pauses between tries to have grown
        while time.monotonic() < end:
            assert await refused_at_once(ask)
        await asyncio.to_thread(database.start)
        assert await ask.until_right() <= BACK
        assert all(answer.right for answer in await ask.everything())


@pytest.mark.fault("DB05", "DB06")
async def test_connections_ended_by_the_server(database: DatabaseServer) -> None:
    """Every held connection killed, again and again: right answers, no 4xx."""
    async with asking(database) as ask:
        for _ in range(3):
            await asyncio.gather(*(ask(KNOWN) for _ in range(20)))
            assert disconnect(database)
            assert all(answer.right for answer in await ask.everything())


@pytest.mark.fault("DB05")
async def test_a_connection_killed_while_it_waits(database: DatabaseServer) -> None:
    """Killed in the middle of the statement: asked once more, and right."""
    async with asking(database) as ask:
        async with locked(database):
            waiting = asyncio.gather(ask(KNOWN), ask(UNKNOWN))
            await eventually(lambda: len(running(database)) == 1)
            assert disconnect(database)
        assert all(answer.right for answer in await waiting)


@pytest.fixture(params=["mariadb", "postgresql"])
def forgetful(
    request: pytest.FixtureRequest, new_mariadb: NewMariaDB, new_postgresql: NewPostgreSQL
) -> DatabaseServer:
    """A server that ends connections which were idle for a second."""
    if request.param == "mariadb":
        return began(new_mariadb(options=["--wait-timeout=1"]))
    return began(new_postgresql(options=["idle_session_timeout=1s"]))


def began(server: DatabaseServer) -> DatabaseServer:
    server.start()
    server.execute(ACCOUNTS)
    return server


@pytest.mark.fault("DB06")
async def test_idle_connections_that_went_away(forgetful: DatabaseServer) -> None:
    """The server forgot us while nobody asked: the next answer is right, no 4xx."""
    async with asking(forgetful) as ask:
        await eventually(lambda: not connections(forgetful))
        assert all(answer.right for answer in await ask.everything())


@pytest.fixture(params=["mariadb", "postgresql"])
def small(
    request: pytest.FixtureRequest, new_mariadb: NewMariaDB, new_postgresql: NewPostgreSQL
) -> DatabaseServer:
    """A server with room for ten connections; the administrator always gets one."""
    if request.param == "mariadb":
        return began(new_mariadb(options=["--max-connections=10"]))
    return began(new_postgresql(options=["max_connections=10"]))


async def fill(server: DatabaseServer, others: AsyncExitStack) -> None:
    """Take every connection that there is."""
    try:
        while True:
            await others.enter_async_context(session(server, administrator=False))
    except (asyncmy.errors.OperationalError, asyncpg.TooManyConnectionsError):
        return


@pytest.mark.fault("DB09")
async def test_a_full_server(small: DatabaseServer) -> None:
    """No room for us: DENYSOFT, at most ten tries a second; right within 2 s once there is room."""
    async with asking(small) as ask:
        with connects(small.port) as begun:
            async with AsyncExitStack() as others:
                disconnect(small)
                await fill(small, others)
                assert (await ask(KNOWN)).soft
                end = time.monotonic() + 1.5
                while time.monotonic() < end:
                    assert await refused_at_once(ask)
            assert await ask.until_right() <= BACK
            assert 2 <= most_in_a_second(begun) <= 10


@pytest.mark.fault("DB09")
async def test_a_full_server_takes_nothing_away(small: DatabaseServer) -> None:
    """What we hold serves on when there is no room for more: a crowd gets right answers only."""
    async with asking(small) as ask, AsyncExitStack() as others:
        await fill(small, others)
        for _ in range(20):
            answers = await asyncio.gather(*(ask(KNOWN) for _ in range(100)))
            assert all(answer.right for answer in answers), {a for a in answers if not a.right}


@pytest.mark.fault("DB13")
async def test_a_flapping_database(database: DatabaseServer) -> None:
    """A second up, a second down: never a lie, never late, at most ten connects a second."""
    async with (
        FaultProxy((database.host, database.port)) as proxy,
        asking(database, port=proxy.port) as ask,
    ):
        with connects(proxy.port) as begun:
            flapping = asyncio.create_task(flap(proxy, 3))
            rights = 0
            while not flapping.done():
                answers = await asyncio.gather(*(ask.everything() for _ in range(5)))
                given = [answer for three in answers for answer in three]
                assert all(answer.honest for answer in given), given
                rights += sum(answer.right for answer in given)
                await asyncio.sleep(0.01)
            await flapping
        assert rights
        assert 2 <= most_in_a_second(begun) <= 10
        assert await ask.until_right() <= BACK


async def flap(proxy: FaultProxy, times: int) -> None:
    for _ in range(times):
        proxy.refuse()
        proxy.drop(reset=True)
        await asyncio.sleep(1.0)
        await proxy.accept()
        await asyncio.sleep(1.0)


@pytest.mark.fault("DB22")
async def test_a_read_only_primary(database: DatabaseServer) -> None:
    """A server that takes no writes answers as always."""
    if isinstance(database, MariaDB):
        database.execute("SET GLOBAL read_only = 1")
    else:
        database.execute(f"ALTER DATABASE {DATABASE} SET default_transaction_read_only = on")
    try:
        async with asking(database) as ask:
            assert all(answer.right for answer in await ask.everything())
    finally:
        if isinstance(database, MariaDB):
            database.execute("SET GLOBAL read_only = 0")
        else:
            writable = f"ALTER DATABASE {DATABASE} RESET default_transaction_read_only"
            database.execute(writable, database.administration)
