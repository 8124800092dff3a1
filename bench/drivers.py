"""The bare drivers: the same point SELECT, by the driver alone, on connections that are held.

    python -m bench.drivers DRIVER CONNECTIONS ADDRESS LOAD

A process of its own. It connects, and for every line ``SECONDS START`` on its standard input asks
the load's addresses from START on, every connection one after the other, compares every row, and
answers with a line of JSON: answers, seconds, p50_us, p99_us, cpu_us (its own, for each answer).

The drivers are those that check_user uses, on uvloop, and each at its best: asyncpg with a prepared
statement, asyncmy with one too, on a held cursor, aiosqlite with one trip to its thread a question.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import aiosqlite
import asyncmy
import asyncpg
import uvloop

from bench.accounts import read_load
from tests.peers.database import DATABASE, PASSWORD, USER

SELECT = "SELECT email FROM users WHERE email = "

Ask = Callable[[str], Awaitable[Sequence[Sequence[Any]]]]
"""Looks one address up: the rows."""


async def sqlite(address: str) -> Ask:
    """Open the file ``address`` read-only, as check_user does."""
    connection = await aiosqlite.connect(f"file:{address}?mode=ro", uri=True, isolation_level=None)

    async def ask(email: str) -> Sequence[Sequence[Any]]:
        return list(await connection.execute_fetchall(f"{SELECT}?", (email,)))

    return ask


async def mariadb(address: str) -> Ask:
    """Connect to the socket ``address``."""
    connection = await asyncmy.connect(
        unix_socket=address,
        user=USER,
        password=PASSWORD,
        db=DATABASE,
        autocommit=True,
        stmt_cache_size=1,
    )
    cursor = connection.cursor()

    async def ask(email: str) -> Sequence[Sequence[Any]]:
        await cursor.execute(f"{SELECT}%s", (email,))
        rows: Sequence[Sequence[Any]] = await cursor.fetchall()
        return rows

    return ask


async def postgresql(address: str) -> Ask:
    """Connect to the socket in the folder of ``address``, FOLDER:PORT."""
    folder, _, port = address.rpartition(":")
    connection = await asyncpg.connect(host=folder, port=int(port), user=USER, database=DATABASE)
    statement = await connection.prepare(f"{SELECT}$1")
    ask: Ask = statement.fetch
    return ask


DRIVERS = {"aiosqlite": sqlite, "asyncmy": mariadb, "asyncpg": postgresql}
"""By the name of the package."""

OF_DATABASE = {"SQLite": "aiosqlite", "MariaDB": "asyncmy", "PostgreSQL": "asyncpg"}


def endless(load: Sequence[tuple[str, bool]], start: int) -> Iterator[tuple[str, bool]]:
    """The load from ``start`` on, again and again."""
    place = start % len(load)
    while True:
        yield load[place]
        place = (place + 1) % len(load)


async def measure(
    connections: Sequence[Ask], questions: Iterator[tuple[str, bool]], seconds: float
) -> dict[str, float]:
    """Ask on every connection at the same time, for ``seconds``."""
    took: list[float] = []
    clock = time.perf_counter
    begun, cpu = clock(), time.process_time()

    async def work(ask: Ask) -> None:
        while (asked := clock()) < begun + seconds:
            email, known = next(questions)
            rows = await ask(email)
            took.append(clock() - asked)
            if [row[0] for row in rows] != [email] * known:
                raise AssertionError(f"wrong rows for {email}: {rows}")

    async with asyncio.TaskGroup() as group:
        for ask in connections:
            group.create_task(work(ask))
    whole, cpu = clock() - begun, time.process_time() - cpu
    took.sort()
    return {
        "answers": len(took),
        "seconds": whole,
        "p50_us": took[len(took) // 2] * 1e6,
        "p99_us": took[len(took) * 99 // 100] * 1e6,
        "cpu_us": cpu / len(took) * 1e6,
    }


def main(driver: str, connections: str, address: str, load: str) -> None:
    """Connect, then measure as often as standard input says."""
    questions = read_load(Path(load))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        held = [runner.run(DRIVERS[driver](address)) for _ in range(int(connections))]
        for line in sys.stdin:
            seconds, start = line.split()
            measured = measure(held, endless(questions, int(start)), float(seconds))
            print(json.dumps(runner.run(measured)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
