"""A table read once through, by the driver's streaming cursor, on a connection of its own.

The server (or the driver) keeps the rest; a batch of BATCH rows is all that is held here. On
PostgreSQL all is read in one snapshot (REPEATABLE READ, READ ONLY), without which it has no
cursors. On SQLite nobody can write to a database in rollback-journal mode while it is read; with
``journal_mode=WAL`` they can.

No clock of the server's or the driver's is relied on: ``stall`` seconds without a batch end it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection

from check_user.directory import Unavailable
from check_user.directory.listing import Skipped
from check_user.directory.sql.compiled import Statement, compile_for
from check_user.directory.sql.faults import describe
from check_user.directory.sql.session import Session
from check_user.directory.sql.templates import Row

BATCH = 1000
"""Rows at a time: some 3 ms of work."""

SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"

ResultT = TypeVar("ResultT")


class Streaming:
    """Reads over ``session``, which it owns."""

    def __init__(self, session: Session, stall: float) -> None:
        self.skipped = Skipped()
        self._session = session
        self._stall = stall
        self._in_snapshot = session.dialect.name != "postgresql"

    async def aclose(self) -> None:
        """See :class:`check_user.directory.listing.Listing`."""
        await self._session.aclose()

    async def _count(self, statement: Statement) -> int:
        rows = await self._run(lambda connection: connection.execute(statement).fetchall())
        return int(rows[0][0])

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
