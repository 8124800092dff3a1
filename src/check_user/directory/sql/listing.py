"""The listing of a SQL database: both tables read once through, by the driver's streaming cursor.

    SELECT domain FROM domains
    SELECT email[, enabled] FROM users

The server (or the driver) keeps the rest, a batch of BATCH rows is all that is held here. What is
read is made of the same columns, and judged by the same code (:class:`Rows`), as a lookup's rows.

Each pass has a connection of its own, closed with it: a listing takes seconds, and none of the held
connections is kept from lookups. On PostgreSQL both tables are read in one snapshot (REPEATABLE
READ, READ ONLY), without which it has no cursors. On SQLite nobody can write to a database in
rollback-journal mode while it is read; with ``journal_mode=WAL`` they can.

No clock of the server's or the driver's is relied on: STALL seconds without a batch end the pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, func, select

from check_user.address import canonical_domain
from check_user.directory import Misconfigured, Presence, Unavailable
from check_user.directory.listing import Batches, Entry, Skipped
from check_user.directory.sql.catalogue import Catalogue, read_catalogue
from check_user.directory.sql.compiled import Statement, compile_for
from check_user.directory.sql.connector import Connector
from check_user.directory.sql.drivers import endpoints_of
from check_user.directory.sql.faults import describe
from check_user.directory.sql.options import SqlOptions
from check_user.directory.sql.session import Opener, Session
from check_user.directory.sql.templates import Report, Row, as_text, shown

BATCH = 1000
"""Rows at a time: some 3 ms of work."""

STALL = 30.0
"""Seconds without a batch, or for a connection, after which the pass is given up."""

LONGEST = 86_400.0
"""Seconds of a statement on the server's side; the limit for lookups would end a listing."""

SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"

KNOWN = Presence.KNOWN.value
UNKNOWN = Presence.UNKNOWN.value

ResultT = TypeVar("ResultT")


async def open_listing(options: SqlOptions, report: Report, stall: float = STALL) -> SqlListing:
    """Connect for one pass. Raises Unavailable or Misconfigured.

    ``stall`` is in seconds. ``report`` takes operational lines for the log.
    """
    if not options.email_table:
        raise Misconfigured("a replica is filled from email_table and domain_table")
    catalogues: list[Catalogue] = []
    options = replace(options, lookup_timeout=LONGEST)

    async def prove(session: Session) -> None:
        catalogues.append(await read_catalogue(session, options))

    endpoints = endpoints_of(options)
    opener = Opener(options)
    connector = Connector(endpoints, opener, prove, soft=stall, timeout=stall, report=report)
    try:
        session = await connector.open()
    except Unavailable as error:
        if isinstance(error.__cause__, Misconfigured):
            raise error.__cause__ from None
        raise
    finally:
        await connector.close()
    return SqlListing(session, catalogues[-1], stall)


class SqlListing:
    """See :class:`check_user.directory.listing.Listing`. Made by :func:`open_listing`."""

    def __init__(self, session: Session, catalogue: Catalogue, stall: float) -> None:
        self.skipped = Skipped()
        self._session = session
        self._catalogue = catalogue
        self._stall = stall
        self._in_snapshot = session.dialect.name != "postgresql"

    async def count(self) -> int:
        """See :class:`check_user.directory.listing.Listing`."""
        table: Table = self._catalogue.emails.table
        statement = select(func.count()).select_from(table)
        rows = await self._run(lambda connection: connection.execute(statement).fetchall())
        return int(rows[0][0])

    async def domains(self) -> Batches:
        """See :class:`check_user.directory.listing.Listing`."""
        async with aclosing(self._batches(select(self._catalogue.domain.stored))) as batches:
            async for rows in batches:
                texts = dict.fromkeys(as_text(cell) for (cell,) in rows if cell is not None)
                yield list(self._domain_entries(texts))

    async def recipients(self) -> Batches:
        """See :class:`check_user.directory.listing.Listing`."""
        async with aclosing(self._batches(select(*self._catalogue.exact.chosen))) as batches:
            async for rows in batches:
                yield list(self._recipient_entries(rows))

    async def aclose(self) -> None:
        """See :class:`check_user.directory.listing.Listing`."""
        await self._session.aclose()

    def _domain_entries(self, texts: dict[str, None]) -> Iterator[Entry]:
        for text in texts:
            key = canonical_domain(text)
            if key is None:
                self.skipped.note(text)
            else:
                yield key, UNKNOWN

    def _recipient_entries(self, rows: Sequence[Row]) -> Iterator[Entry]:
        template = self._catalogue.exact
        for row in rows:
            if template.counts(row):
                key = template.key(row)
                if key is None:
                    self.skipped.note(shown(row))
                else:
                    yield key, KNOWN

    async def _batches(self, statement: Statement) -> AsyncGenerator[Sequence[Row], None]:
        if not self._in_snapshot:
            await self._run(lambda connection: connection.exec_driver_sql(SNAPSHOT).close())
            self._in_snapshot = True
        cursor = await self._run(_begin, statement)
        while rows := await self._run(_fetch, cursor):
            yield rows
        await self._run(lambda _: cursor.close())

    async def _run(self, work: Callable[..., ResultT], *arguments: object) -> ResultT:
        """Run a step on the connection, for ``stall`` seconds at most. Raises Unavailable."""
        step = asyncio.ensure_future(self._session.run(work, *arguments))
        try:
            await asyncio.wait({step}, timeout=self._stall)
        except asyncio.CancelledError:
            self._leave(step)
            raise
        if not step.done():
            self._leave(step)
            raise Unavailable(f"{self._session.endpoint}: nothing came for {self._stall:g} s")
        error = step.exception()
        if error is None:
            return step.result()
        self._session.abort()
        raise Unavailable(f"{self._session.endpoint}: {describe(error)}") from error

    def _leave(self, step: asyncio.Future[Any]) -> None:
        """Close the connection under a step that hangs; its end is nobody's business."""
        step.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._session.abort()
        step.cancel()


def _begin(connection: Connection, statement: Statement) -> Any:
    """Execute with the driver's streaming cursor, and give that."""
    compiled = compile_for(connection.dialect, statement)
    adapted: Any = connection.connection.dbapi_connection
    cursor = adapted.cursor(server_side=True)
    connection.dialect.do_execute(cursor, compiled.text, compiled.bind({}))
    return cursor


def _fetch(connection: Connection, cursor: Any) -> Sequence[Row]:
    """Fetch a batch, and hold the server back until the next one is wanted.

    asyncmy's streaming cursor reads on as long as the server sends, which is faster than anybody
    writes: ten million rows would end up in memory.
    """
    driver: Any = connection.connection.driver_connection
    transport = driver._transport if connection.dialect.driver == "asyncmy" else None  # noqa: SLF001 - it has no other way to be slowed down
    if transport is None:
        rows: Sequence[Row] = cursor.fetchmany(BATCH)
        return rows
    transport.resume_reading()
    rows = cursor.fetchmany(BATCH)
    if rows:
        transport.pause_reading()
    return rows
