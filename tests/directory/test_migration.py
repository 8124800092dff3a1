"""Somebody works on the database: locks, dropped and renamed things, rights and passwords.

None of that says that a user isn't there: DENYSOFT meanwhile, never DENY, and right afterwards.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from check_user.directory.sql import SqlOptions
from check_user.directory.sql.lookup import SqlDirectory
from tests.directory.asking import (
    ACCOUNTS,
    BACK,
    DEADLINE,
    KNOWN,
    UNKNOWN,
    Asking,
    asking,
    asking_by,
    connections,
    disconnect,
    eventually,
    locked,
    running,
)
from tests.peers.database import DATABASE, PASSWORD, USER, DatabaseServer
from tests.peers.fixtures import NewMariaDB, NewPostgreSQL
from tests.peers.mariadb import MariaDB


@pytest.mark.fault("DB10")
@pytest.mark.parametrize("table", ["accounts", "domains"])
async def test_a_locked_table(database: DatabaseServer, table: str) -> None:
    """Locked by a migration: DENYSOFT within 3 s, few statements wait at the server, and none is
    left there 3 s after the directory was closed; unlocked: right within 2 s."""
    async with asking(database) as ask, asking(database) as closed:
        async with locked(database, table):
            answers = await asyncio.gather(*(ask(UNKNOWN) for _ in range(50)))
            assert all(answer.soft for answer in answers), answers
            assert len(running(database)) <= 8
        assert await ask.until_right(UNKNOWN) <= BACK
        async with locked(database, table):
            waiting = asyncio.gather(*(closed(UNKNOWN) for _ in range(50)))
            await eventually(lambda: running(database))
            await closed.directory.aclose()
            assert all(answer.soft for answer in await waiting)
            await eventually(lambda: not running(database), DEADLINE + 0.5)
        assert all(answer.right for answer in await ask.everything())


@pytest.mark.fault("DB10")
async def test_what_was_given_up_is_not_asked_again(database: DatabaseServer) -> None:
    """A connection that we gave up in the very moment in which the server's own limit ended its
    statement: it is back among the idle ones, and must not be asked for ever."""
    async with asking(database) as ask:
        assert isinstance(ask.directory, SqlDirectory)
        (session,) = ask.directory._pool._idle
        session.abort()
        assert all(answer.right for answer in await ask.everything())


@pytest.mark.fault("DB10", "DB18")
async def test_a_statement_cancelled_by_the_server(database: DatabaseServer) -> None:
    """The server gives a statement up: DENYSOFT for its address, and the next question on that very
    connection is answered right."""
    async with asking(database) as ask:
        held = set(connections(database))
        async with locked(database):
            waiting = asyncio.create_task(ask(KNOWN))
            await eventually(lambda: len(running(database)) == 1)
            for number in held:
                if isinstance(database, MariaDB):
                    database.execute(f"KILL QUERY {number}")
                else:
                    database.execute(f"SELECT pg_cancel_backend({number})")
            assert (await waiting).soft
        assert all(answer.right for answer in await ask.everything())
        assert set(connections(database)) == held


@pytest.fixture
def sqlite(tmp_path: Path) -> Path:
    file = tmp_path / "mail.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(ACCOUNTS)
    return file


def options_of(file: Path) -> SqlOptions:
    return SqlOptions(
        driver="sqlite",
        database=str(file),
        email_table="accounts",
        email_address="email",
        domain_table="domains",
        domain_domain="domain",
    )


@pytest.mark.fault("DB10")
async def test_a_locked_sqlite_file(sqlite: Path) -> None:
    """BEGIN EXCLUSIVE: DENYSOFT within 3 s; right within 2 s after COMMIT."""
    async with asking_by(options_of(sqlite)) as ask:
        with closing(sqlite3.connect(sqlite, isolation_level=None)) as writer:
            writer.execute("BEGIN EXCLUSIVE")
            answers = await asyncio.gather(ask(KNOWN), ask(UNKNOWN))
            assert all(answer.soft for answer in answers), answers
            writer.execute("COMMIT")
            assert await ask.until_right() <= BACK
            assert all(answer.right for answer in await ask.everything())


@pytest.mark.fault("DB10")
async def test_a_locked_sqlite_file_with_a_log(sqlite: Path) -> None:
    """In WAL mode readers are not held up by a writer."""
    with closing(sqlite3.connect(sqlite, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = wal")
        async with asking_by(options_of(sqlite)) as ask:
            writer.execute("BEGIN EXCLUSIVE")
            assert all(answer.right for answer in await ask.everything())
            writer.execute("ROLLBACK")


CHANGES = {
    "the accounts renamed": (
        "ALTER TABLE accounts RENAME TO elsewhere",
        "ALTER TABLE elsewhere RENAME TO accounts",
    ),
    "the accounts dropped": (
        "DROP TABLE accounts",
        "CREATE TABLE accounts (email varchar(100) PRIMARY KEY);"
        "INSERT INTO accounts VALUES ('anna@example.org')",
    ),
    "the domains renamed": (
        "ALTER TABLE domains RENAME TO elsewhere",
        "ALTER TABLE elsewhere RENAME TO domains",
    ),
    "a column of the accounts renamed": (
        "ALTER TABLE accounts RENAME COLUMN email TO mail",
        "ALTER TABLE accounts RENAME COLUMN mail TO email",
    ),
    "a column of the domains renamed": (
        "ALTER TABLE domains RENAME COLUMN domain TO name",
        "ALTER TABLE domains RENAME COLUMN name TO domain",
    ),
}


async def nobody_is_refused(
    ask: Asking, unaffected: str, breaks: Callable[[], object], mends: Callable[[], object]
) -> None:
    """Break, ask, mend, ask: never DENY, soft where the broken thing is needed, right in the end.

    ``unaffected`` is an address that may still be answered right.
    """
    assert all(answer.right for answer in await ask.everything())
    breaks()
    for answer in await ask.everything() + await ask.everything():
        assert answer.soft or (answer.right and answer.address == unaffected), answer
    mends()
    assert await ask.until_right() <= BACK
    assert all(answer.right for answer in await ask.everything())


@pytest.mark.fault("DB11")
@pytest.mark.parametrize("change", CHANGES)
async def test_a_table_or_column_goes_missing(database: DatabaseServer, change: str) -> None:
    """A table or column goes while we run: DENYSOFT, never DENY; back: right within 2 s."""
    breaks, mends = CHANGES[change]
    unaffected = KNOWN if "domains" in change else ""
    async with asking(database) as ask:
        await nobody_is_refused(
            ask, unaffected, lambda: database.execute(breaks), lambda: database.execute(mends)
        )


@pytest.mark.fault("DB11")
@pytest.mark.parametrize("change", CHANGES)
async def test_a_table_or_column_of_sqlite_goes_missing(sqlite: Path, change: str) -> None:
    """The same in a SQLite file."""
    breaks, mends = CHANGES[change]
    unaffected = KNOWN if "domains" in change else ""
    with closing(sqlite3.connect(sqlite)) as writer:
        async with asking_by(options_of(sqlite)) as ask:
            await nobody_is_refused(
                ask,
                unaffected,
                lambda: writer.executescript(breaks),
                lambda: writer.executescript(mends),
            )


@pytest.mark.fault("DB11")
async def test_a_sqlite_file_goes_missing(sqlite: Path) -> None:
    """The file is moved away: DENYSOFT; moved back: right."""
    away = sqlite.with_suffix(".away")
    async with asking_by(options_of(sqlite)) as ask:
        await nobody_is_refused(ask, "", lambda: sqlite.rename(away), lambda: away.rename(sqlite))


@pytest.mark.fault("DB11")
async def test_a_column_changes_its_type(database: DatabaseServer) -> None:
    """A column gets another type, or a further one appears: every answer stays right."""
    kind = "MODIFY email text" if isinstance(database, MariaDB) else "ALTER email TYPE text"
    if isinstance(database, MariaDB):
        kind = "DROP PRIMARY KEY, " + kind
    async with asking(database) as ask:
        for change in (kind, "ADD COLUMN remark varchar(10)"):
            await asyncio.gather(*(ask(KNOWN) for _ in range(20)))
            database.execute(f"ALTER TABLE accounts {change}")
            assert all(answer.right for answer in await ask.everything())


@pytest.fixture(params=["mariadb", "postgresql"])
def own_server(
    request: pytest.FixtureRequest, new_mariadb: NewMariaDB, new_postgresql: NewPostgreSQL
) -> DatabaseServer:
    """A server of its own: rights and passwords outlive the cleaning of ``maildb``."""
    server: DatabaseServer = new_mariadb() if request.param == "mariadb" else new_postgresql()
    server.start()
    server.execute(ACCOUNTS)
    return server


@pytest.mark.fault("DB11")
async def test_a_revoked_right(own_server: DatabaseServer) -> None:
    """The right to read is taken while we run: DENYSOFT, never DENY; given back: right."""
    if isinstance(own_server, MariaDB):
        everything, account = f"{DATABASE}.*", f"{USER}@'%'"
    else:
        everything, account = "ALL TABLES IN SCHEMA public", USER

    def revoke() -> None:
        own_server.execute(f"REVOKE SELECT ON {everything} FROM {account}")
        disconnect(own_server)  # MariaDB looks at a database's rights when it is entered

    def grant() -> None:
        own_server.execute(f"GRANT SELECT ON {everything} TO {account}")

    async with asking(own_server) as ask:
        await nobody_is_refused(ask, "", revoke, grant)


@pytest.mark.fault("DB11")
async def test_a_changed_password(own_server: DatabaseServer) -> None:
    """The password is changed while we run and the connections end: DENYSOFT; back: right."""

    def change(password: str) -> None:
        if isinstance(own_server, MariaDB):
            own_server.execute(f"SET PASSWORD FOR {USER}@'%' = PASSWORD('{password}')")
        else:
            own_server.execute(f"ALTER ROLE {USER} PASSWORD '{password}'")
        disconnect(own_server)

    async with asking(own_server) as ask:
        await nobody_is_refused(ask, "", lambda: change("another"), lambda: change(PASSWORD))
