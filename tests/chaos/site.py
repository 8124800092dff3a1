"""The site: MariaDB with accounts that come and go, and ``check-user serve`` with a replica."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Sequence
from pathlib import Path
from time import CLOCK_BOOTTIME, clock_gettime, monotonic

from check_user.directory.replica import peek, read_since
from tests.chaos.truth import Database, Here, Timeline, Truth
from tests.peers.check_user import CheckUser
from tests.peers.database import SqlError
from tests.peers.mariadb import MariaDB
from tests.peers.process import descendants, wait_until

DOMAINS = [f"domain{number}.example" for number in range(10)]
STABLE, COMERS = 1000, 200

WORKERS = 2

IN_USE_LIMIT = 20.0
"""Seconds until every worker must have opened the first replica."""

LOOK = 0.2
"""Seconds between two looks at the replica's stamp."""

SETTINGS = {
    "driver": "mysql",
    "email_table": "users",
    "email_address": "email",
    "domain_table": "domains",
    "domain_domain": "domain",
    "replica_refresh": "1",
    "workers": str(WORKERS),
    "log_level": "warning",
    "log_format": "text",
}


def at_domains(name: str, number: int) -> list[str]:
    """So many addresses at our domains."""
    return [f"{name}{each}@{DOMAINS[each % len(DOMAINS)]}" for each in range(number)]


class Site:
    """Both servers; ``truth`` is what was so when."""

    def __init__(self, folder: Path, mariadb: MariaDB, deny_max_age: float) -> None:
        """Fill the database; nothing of check_user runs yet."""
        self.line = folder / "line"
        self.replica = folder / "replica.db"
        self.mariadb = mariadb
        stable, comers = at_domains("user", STABLE), at_domains("comer", COMERS)
        here, gone = comers[: COMERS // 2], comers[COMERS // 2 :]
        self.truth = Truth(
            deny_max_age,
            {
                **{each: Timeline[Here](True) for each in here},
                **{each: Timeline[Here](False) for each in gone},
            },
            frozenset(stable),
            frozenset(DOMAINS),
        )
        mariadb.execute("CREATE TABLE users (email varchar(255) PRIMARY KEY)")
        mariadb.execute("CREATE TABLE domains (domain varchar(255) PRIMARY KEY)")
        mariadb.execute(f"INSERT INTO domains VALUES {rows(DOMAINS)}")
        mariadb.execute(f"INSERT INTO users VALUES {rows(stable + here)}")
        keys = SETTINGS | {
            "database": mariadb.database,
            "user": mariadb.user,
            "passwd": mariadb.password,
            "host": mariadb.host,
            "port": str(mariadb.port),
            "replica": str(self.replica),
            "replica_deny_max_age": f"{deny_max_age:g}",
            "listen": f"line unix:{self.line}",
        }
        text = "".join(f"{key}={value}\n" for key, value in keys.items())
        self.server = CheckUser(folder, text, self.line)

    def start(self) -> None:
        """Serve, and wait until every worker has the replica."""
        self.server.start()
        used = wait_until(
            lambda: self.server.log.read_text().count("the replica is in use") == WORKERS,
            IN_USE_LIMIT,
        )
        assert used, self.server.log_end()

    # The database

    async def freeze(self, seconds: float) -> None:
        """It accepts connections and answers nobody, then goes on."""
        self._becomes(Database.CHANGES)
        await asyncio.to_thread(self.mariadb.freeze)
        self._becomes(Database.AWAY)
        await asyncio.sleep(seconds)
        self._becomes(Database.CHANGES)
        self.mariadb.thaw()
        while not await asyncio.to_thread(self.mariadb.answers):
            pass
        self._becomes(Database.ANSWERS)

    async def kill(self, seconds: float) -> None:
        """It dies, and is started again after a while."""
        self._becomes(Database.CHANGES)
        await asyncio.to_thread(self.mariadb.kill)
        self._becomes(Database.AWAY)
        await asyncio.sleep(seconds)
        self._becomes(Database.CHANGES)
        await asyncio.to_thread(self.mariadb.start)
        self._becomes(Database.ANSWERS)

    async def restart(self) -> None:
        """An orderly stop and start."""
        self._becomes(Database.CHANGES)
        await asyncio.to_thread(self.mariadb.restart)
        self._becomes(Database.ANSWERS)

    def _becomes(self, state: Database) -> None:
        self.truth.database.set(monotonic(), state)

    # check_user

    async def watch(self) -> None:
        """Note which listing is in place, for ever."""
        ahead = clock_gettime(CLOCK_BOOTTIME) - monotonic()
        while True:
            since = read_since(self.replica, peek(self.replica))
            self.truth.note_listing(since.listed.seconds - ahead, monotonic())
            await asyncio.sleep(LOOK)

    def kill_worker(self) -> None:
        """One of the workers; its connections die with it."""
        os.kill(random.choice(descendants(self.server.pid)), signal.SIGKILL)

    # Accounts

    async def change(self) -> None:
        """Let some accounts come and others go, by two statements that are tried until done."""
        some = random.sample(sorted(self.truth.accounts), 4)
        coming = [each for each in some if self.truth.accounts[each].now is not True]
        going = [each for each in some if each not in coming]
        if coming:
            await self._alter(f"INSERT IGNORE INTO users VALUES {rows(coming)}", coming, True)
        if going:
            listed = ", ".join(f"'{each}'" for each in going)
            await self._alter(f"DELETE FROM users WHERE email IN ({listed})", going, False)

    async def _alter(self, statement: str, accounts: Sequence[str], here: Here) -> None:
        begun = monotonic()
        for each in accounts:
            self.truth.accounts[each].set(begun, None)
        while True:
            try:
                await asyncio.to_thread(self.mariadb.execute, statement)
            except SqlError:
                await asyncio.sleep(0.05)
            else:
                break
        done = monotonic()
        for each in accounts:
            self.truth.accounts[each].set(done, here)


def rows(values: Sequence[str]) -> str:
    """For an INSERT."""
    return ", ".join(f"('{value}')" for value in values)
