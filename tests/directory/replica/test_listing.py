"""The listing of a real database: complete or not at all, in bounded memory, by our own clock."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from check_user.directory import Misconfigured, Presence, Unavailable
from check_user.directory.front import FrontDirectory
from check_user.directory.listing import Batches, Entry
from check_user.directory.refresh import Feeder
from check_user.directory.replica import Replica, open_generation, peek
from check_user.directory.sql import SqlOptions, open_directory
from check_user.directory.sql.listing import SqlListing, open_listing
from check_user.directory.sql.streaming import BATCH
from tests.directory.asking import connections, disconnect, eventually, locked, options_for
from tests.directory.backends import address
from tests.peers.database import DatabaseServer
from tests.peers.mariadb import MariaDB

MANY = 100_000

SERIES = {
    "mariadb": "INSERT INTO accounts SELECT CONCAT('user', seq, '@example.org') FROM "
    "seq_1_to_{number}",
    "postgresql": "INSERT INTO accounts SELECT 'user' || n || '@example.org' "
    "FROM generate_series(1, {number}) AS n",
}


def fill(server: DatabaseServer, number: int) -> None:
    """That many users more."""
    kind = "mariadb" if isinstance(server, MariaDB) else "postgresql"
    server.execute(SERIES[kind].format(number=number))


async def rest(batches: Batches) -> list[Entry]:
    return [entry async for batch in batches for entry in batch]


@pytest.fixture
async def listing(database: DatabaseServer) -> AsyncIterator[SqlListing]:
    """A pass over MANY users and the two that are always there."""
    fill(database, MANY)
    opened = await open_listing(options_for(database), print, stall=1.5)
    assert isinstance(opened, SqlListing)
    yield opened
    await opened.aclose()


async def test_everybody_once(database: DatabaseServer, listing: SqlListing) -> None:
    """All rows come, in batches; the connection is the listing's own, and goes with it."""
    assert await listing.count() == MANY + 2
    assert [batch async for batch in listing.domains()] == [[("example.org", "unknown")]]
    sizes: list[int] = []
    found: set[str] = set()
    async for batch in listing.recipients():
        sizes.append(len(batch))
        found.update(key for key, _ in batch)
    assert len(found) == MANY + 2
    assert max(sizes) == BATCH
    await listing.aclose()
    await eventually(lambda: not connections(database))


MEMORY = """
import asyncio, resource, sys
from check_user.directory.sql import SqlOptions
from check_user.directory.sql.listing import open_listing

async def main():
    listing = await open_listing(eval(sys.argv[1]), print)
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async for batch in listing.domains(): pass
    before = peak()
    async for batch in listing.recipients():
        await asyncio.sleep(0)
        await asyncio.sleep(0.0005)
    await listing.aclose()
    print(peak() - before)

asyncio.run(main())
"""


async def test_bounded_memory(database: DatabaseServer) -> None:
    """However many rows there are, a listing that is written slowly holds a few batches of them:
    5 MB more, of 500,000 rows that are 20 MB on the wire."""
    fill(database, 500_000)
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", MEMORY, repr_of(options_for(database))],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) <= 5000, done.stdout


def repr_of(options: SqlOptions) -> str:
    """The options as an expression, the password too."""
    return repr(options).replace("SqlOptions(", f"SqlOptions(password={options.password!r}, ", 1)


@pytest.mark.fault("RP16", "DB02")
async def test_a_frozen_database(database: DatabaseServer, listing: SqlListing) -> None:
    """Frozen in the middle: given up by our own clock, in the time that it was given."""
    batches = listing.recipients()
    await anext(batches)
    database.freeze()
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="nothing came"):
        await rest(batches)
    assert 1.4 <= time.monotonic() - begun <= 3.0


@pytest.mark.fault("DB05", "RP20")
async def test_a_lost_connection(database: DatabaseServer) -> None:
    """Cut in the middle: a listing that didn't reach its end says so, and nothing is left at the
    server, neither a connection nor a slot."""
    fill(database, 8 * MANY)  # more than the kernels hold between us
    listing = await open_listing(options_for(database), print)
    batches = listing.recipients()
    await anext(batches)
    assert disconnect(database)
    with pytest.raises(Unavailable):
        await rest(batches)
    await listing.aclose()
    await eventually(lambda: not connections(database))


async def test_a_listing_that_nobody_finishes(
    database: DatabaseServer, listing: SqlListing
) -> None:
    """Closed in the middle, or cancelled while it waits: the connection is gone at once."""
    batches = listing.recipients()
    await anext(batches)
    waiting = asyncio.create_task(rest(listing.recipients()))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    await batches.aclose()
    await listing.aclose()
    await eventually(lambda: not connections(database))


async def test_a_locked_table(database: DatabaseServer, listing: SqlListing) -> None:
    """A table that is locked for long is a listing that fails, not one that hangs."""
    async with locked(database):
        with pytest.raises(Unavailable):
            await rest(listing.recipients())


async def test_longer_than_a_lookup_may_take(database: DatabaseServer) -> None:
    """The server's limits for lookups don't end a listing."""
    fill(database, 8 * MANY)  # more than the kernels hold between us
    options = options_for(database, lookup_timeout=0.5)
    listing = await open_listing(options, print)
    batches = listing.recipients()
    number = len(await anext(batches))
    await asyncio.sleep(1.0)  # longer than the limit
    async for batch in batches:
        number += len(batch)
    await listing.aclose()
    assert number == 8 * MANY + 2


@pytest.mark.fault("RP28", "DB11")
async def test_a_schema_that_changes(database: DatabaseServer, tmp_path: Path) -> None:
    """A column renamed under the feeder: rounds fail and say why, the replica stays; when it has
    its name again, rounds go on."""
    options, reports = options_for(database), list[str]()
    path = tmp_path / "replica.db"
    feeder = Feeder(
        path, "test", lambda: open_listing(options, print), every=60, report=reports.append
    )
    await feeder.refresh()
    before = peek(path)
    rename = "ALTER TABLE accounts RENAME COLUMN {} TO {}"
    database.execute(rename.format("email", "mail"))
    with pytest.raises(Misconfigured, match="no column 'email'"):
        await feeder.refresh()
    assert not await feeder._try()
    assert "no column" in reports[-1]
    assert peek(path) == before
    database.execute(rename.format("mail", "email"))
    fill(database, 10)
    assert await feeder._try()
    generation = open_generation(path)
    assert generation.meta.recipients == 12
    generation.close()


@pytest.mark.fault("RP23")
async def test_what_is_listed_is_not_what_is_refused(
    database: DatabaseServer, tmp_path: Path
) -> None:
    """A replica listed from a server that lags behind refuses nobody whom the server that is asked
    has: "not there" is its word alone, as long as it can be asked."""
    options = options_for(database)
    path = tmp_path / "replica.db"
    feeder = Feeder(path, "test", lambda: open_listing(options, print), every=60, report=print)
    await feeder.refresh()
    fill(database, 10)  # the replica has yet to hear of them
    replica = Replica(path, "test", report=print)
    await replica.look()
    directory = await open_directory(options, print)
    front = FrontDirectory(replica, directory, accept_max_age=100, deny_max_age=100)
    new = address("user7@example.org")
    assert replica.prove(new) is Presence.UNKNOWN
    assert await front.find(new) is Presence.KNOWN
    await front.aclose()


async def test_nobody_there(database: DatabaseServer) -> None:
    """Without the server there is no listing."""
    database.kill()
    with pytest.raises(Unavailable):
        await open_listing(options_for(database), print)
