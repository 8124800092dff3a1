"""Asking a directory as a door does, and keeping the time.

    async with asking(database) as ask:
        answer = await ask(KNOWN)
        assert answer.reason is Reason.KNOWN

The accounts are two rows, ``anna@example.org`` and ``bert@example.org``; ``example.org`` is ours.
Seconds are those of the monotonic clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncmy
import asyncpg

from check_user.check import Check
from check_user.directory import Directory
from check_user.directory.sql import SqlOptions, open_directory
from check_user.verdict import Action, Reason
from tests.peers.database import DATABASE, PASSWORD, USER, DatabaseServer
from tests.peers.mariadb import MariaDB

KNOWN = "anna@example.org"
UNKNOWN = "nobody@example.org"
FOREIGN = "anna@elsewhere.example"
TRUTH = {KNOWN: Reason.KNOWN, UNKNOWN: Reason.UNKNOWN, FOREIGN: Reason.FOREIGN}

DEADLINE = 3.0
"""Seconds within which every answer must come (rule V6)."""

AT_ONCE = 0.05
"""Seconds of an answer that needs nobody: the breaker is open."""

BACK = 2.0
"""Seconds until the first right answer once the database can be asked again."""

ACCOUNTS = """
CREATE TABLE accounts (email varchar(100) PRIMARY KEY);
INSERT INTO accounts VALUES ('anna@example.org'), ('bert@example.org');
CREATE TABLE domains (domain varchar(100) PRIMARY KEY);
INSERT INTO domains VALUES ('example.org');
"""


@dataclass(frozen=True, slots=True)
class Answered:
    """What was asked, what came, and after how many seconds."""

    address: str
    action: Action
    reason: Reason
    cause: str
    seconds: float

    @property
    def right(self) -> bool:
        """Whether it is the truth about one of the three addresses."""
        return self.reason is TRUTH[self.address]

    @property
    def soft(self) -> bool:
        """Whether it says in time that it can't tell."""
        return self.action is Action.DENYSOFT and self.seconds <= DEADLINE

    @property
    def honest(self) -> bool:
        """Whether it is the truth or says that it can't tell, in time."""
        return self.soft or (self.right and self.seconds <= DEADLINE)


@dataclass(slots=True)
class Asking:
    """One directory behind one check. ``reports`` are the operational lines."""

    directory: Directory
    check: Check
    reports: list[str] = field(default_factory=list)

    async def __call__(self, address: str) -> Answered:
        begun = time.monotonic()
        decision = await self.check.recipient(address)
        seconds = time.monotonic() - begun
        verdict = decision.verdict
        return Answered(address, verdict.action, verdict.reason, decision.cause, seconds)

    async def everything(self) -> list[Answered]:
        """Ask for all three addresses, one after the other."""
        return [await self(address) for address in TRUTH]

    async def until_right(self, address: str = KNOWN, limit: float = 10.0) -> float:
        """Ask until the answer is right; give the seconds. A lie on the way fails the test."""
        begun = time.monotonic()
        while True:
            answer = await self(address)
            assert answer.honest, answer
            seconds = time.monotonic() - begun
            if answer.right:
                return seconds
            assert seconds < limit, answer
            await asyncio.sleep(0.01)


def options_for(server: DatabaseServer, **changes: Any) -> SqlOptions:
    """The options that lead to ``server`` over TCP; ``port`` alone leads through a proxy."""
    port = changes.pop("port", server.port)
    given: dict[str, Any] = {
        "driver": "mysql" if isinstance(server, MariaDB) else "postgresql",
        "database": DATABASE,
        "user": USER,
        "password": PASSWORD,
        "hosts": ((server.host, port),),
        "email_table": "accounts",
        "email_address": "email",
        "domain_table": "domains",
        "domain_domain": "domain",
    }
    return SqlOptions(**{**given, **changes})


@asynccontextmanager
async def asking_by(options: SqlOptions) -> AsyncIterator[Asking]:
    """Open a directory, ask it, close it."""
    reports: list[str] = []
    directory = await open_directory(options, reports.append)
    try:
        yield Asking(directory, Check(directory, timeout=DEADLINE), reports)
    finally:
        await directory.aclose()


@asynccontextmanager
async def asking(server: DatabaseServer, **changes: Any) -> AsyncIterator[Asking]:
    """Ask ``server``; see :func:`options_for`."""
    async with asking_by(options_for(server, **changes)) as ask:
        yield ask


def connections(server: DatabaseServer) -> list[int]:
    """The server's numbers of check_user's connections."""
    if isinstance(server, MariaDB):
        sql = f"SELECT id FROM information_schema.processlist WHERE user = '{USER}'"
    else:
        sql = f"SELECT pid FROM pg_stat_activity WHERE usename = '{USER}'"
    return [int(line) for line in server.execute(sql)]


def running(server: DatabaseServer) -> list[str]:
    """The statements of check_user that the server works on (or holds back) now."""
    if isinstance(server, MariaDB):
        sql = (
            "SELECT REPLACE(info, '\\n', ' ') FROM information_schema.processlist "
            f"WHERE user = '{USER}' AND command <> 'Sleep' AND info IS NOT NULL"
        )
    else:
        sql = (
            "SELECT replace(query, E'\\n', ' ') FROM pg_stat_activity "
            f"WHERE usename = '{USER}' AND state = 'active'"
        )
    return server.execute(sql)


def disconnect(server: DatabaseServer) -> int:
    """End every connection of check_user at the server; give how many there were."""
    found = connections(server)
    for number in found:
        if isinstance(server, MariaDB):
            server.execute(f"KILL {number}")
        else:
            server.execute(f"SELECT pg_terminate_backend({number})")
    return len(found)


@asynccontextmanager
async def session(
    server: DatabaseServer, *, administrator: bool = True
) -> AsyncIterator[Callable[[str], Awaitable[object]]]:
    """A connection of its own, as the administrator or as check_user: a function that executes."""
    if isinstance(server, MariaDB):
        account = {"user": "root"} if administrator else {"user": USER, "password": PASSWORD}
        mine = await asyncmy.connect(
            unix_socket=str(server.socket), database=DATABASE, autocommit=True, **account
        )
        async with mine, mine.cursor() as cursor:
            yield cursor.execute
    else:
        user = "postgres" if administrator else USER
        other = await asyncpg.connect(
            host=str(server.folder), port=server.port, database=DATABASE, user=user
        )
        try:
            yield other.execute
        finally:
            await other.close()


@asynccontextmanager
async def locked(server: DatabaseServer, table: str = "accounts") -> AsyncIterator[None]:
    """Lock a table as a migration does: nobody else may read it."""
    async with session(server) as execute:
        if isinstance(server, MariaDB):
            await execute(f"LOCK TABLES {table} WRITE")
        else:
            await execute("BEGIN")
            await execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        try:
            yield
        finally:
            await execute("UNLOCK TABLES" if isinstance(server, MariaDB) else "COMMIT")


@contextmanager
def connects(port: int) -> Iterator[list[float]]:
    """The times at which this event loop begins a TCP connection to ``port``."""
    loop = asyncio.get_running_loop()
    begun: list[float] = []
    connect = loop.sock_connect

    async def note(sock: Any, address: Any) -> None:
        if address[1] == port:
            begun.append(time.monotonic())
        await connect(sock, address)

    loop.sock_connect = note  # type: ignore[method-assign]  # seen from outside, no fault injected
    try:
        yield begun
    finally:
        loop.sock_connect = connect  # type: ignore[method-assign]  # as it was


def most_in_a_second(times: list[float]) -> int:
    """The most of ``times`` that fall into any one second."""
    return max((sum(0 <= t - first < 1.0 for t in times) for first in times), default=0)


async def eventually(condition: Callable[[], object], limit: float = DEADLINE) -> float:
    """Look until ``condition()`` holds, leaving the loop its turns; give the seconds."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < limit, f"not within {limit} s"
        await asyncio.sleep(0.01)
    return time.monotonic() - begun
