"""Lookups compiled once for a dialect, and run by the driver's own call.

SQLAlchemy makes the statement, its text and the order of its parameters. What its
``Connection.execute`` does besides on every call (an execution context, result metadata, a Row a
row) costs more than all the rest of a lookup, and nothing here needs it: every parameter is text,
and so is every column that is looked into.

Its dialect adapts every asynchronous driver to PEP 249, which costs a greenlet and several turns of
the event loop a statement. The drivers of the three databases that we know (``drivers``) are called
without that; for all others there is :func:`fetch`.

Errors are the driver's own, not wrapped; ``faults`` sorts both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import CompoundSelect, Connection, Select, TextClause
from sqlalchemy.engine import Dialect

Rows = Sequence[Sequence[Any]]

Call = Callable[[str, Any], Awaitable[Rows]]
"""Runs a statement's text with its values, and fetches all rows."""

Statement = Select[Any] | CompoundSelect[Any] | TextClause


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement's text, and the names of its parameters in the order of their places.

    ``order`` is None where the driver takes them by name. ``constants`` are the dialect's own
    parameters (SQLite's ``OFFSET 0``).
    """

    text: str
    order: tuple[str, ...] | None
    constants: dict[str, Any]

    def bind(self, values: dict[str, str]) -> tuple[Any, ...] | dict[str, Any]:
        """The values as the driver wants them."""
        given = {**self.constants, **values} if self.constants else values
        return given if self.order is None else tuple([given[name] for name in self.order])


def compile_for(dialect: Dialect, statement: Statement) -> Compiled:
    """Compile a statement."""
    compiled = statement.compile(dialect=dialect)
    places = compiled.positiontup
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    return Compiled(str(compiled), None if places is None else tuple(places), constants)


def fetch(connection: Connection, compiled: Compiled, values: dict[str, str]) -> Rows:
    """Execute and fetch everything, written as for a driver that blocks."""
    cursor = connection.connection.cursor()
    try:
        connection.dialect.do_execute(cursor, compiled.text, compiled.bind(values))
        return list(cursor.fetchall())
    finally:
        cursor.close()


def call_of(connection: Any) -> Call | None:
    """The driver's own call on one of its connections; None for a driver that we don't know."""
    match type(connection).__module__.partition(".")[0]:
        case "aiosqlite":  # one visit to its thread, where a cursor needs four
            call: Call = connection.execute_fetchall
            return call
        case "asyncpg":
            return lambda text, values: connection.fetch(text, *values)
        case "asyncmy":
            return partial(_asyncmy, connection)
        case _:
            return None


async def _asyncmy(connection: Any, text: str, values: Sequence[str]) -> Rows:
    cursor = connection.cursor()
    await cursor.execute(text, values)
    rows: Rows = await cursor.fetchall()
    return rows
