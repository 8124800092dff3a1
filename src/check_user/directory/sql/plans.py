"""Plans: whether an index serves a lookup, by the database's own EXPLAIN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from check_user.directory.sql.compiled import compile_for
from check_user.directory.sql.session import Session
from check_user.directory.sql.templates import Slot, Template, parameters

PROBE = "check-user.invalid"
"""A domain that can't exist (RFC 2606), to explain lookups with."""


async def uses_index(session: Session, template: Template, probe: Slot = ()) -> bool:
    """Whether the database would serve this lookup from an index; ``probe`` is a slot to ask with.

    On a small table PostgreSQL takes no index, so it is asked as if reading tables were dear.
    """
    slots = [probe] if probe else []
    match session.dialect.name:
        case "mysql" | "mariadb":
            rows = await explain(session, "EXPLAIN", template, slots)
            return all(row.possible_keys or row.type in (None, "const", "system") for row in rows)
        case "postgresql":
            await session.run(Connection.execute, text("SET enable_seqscan = off"))
            rows = await explain(session, "EXPLAIN", template, slots)
            await session.run(Connection.execute, text("RESET enable_seqscan"))
            return _searches([str(row[0]) for row in rows])
        case "sqlite":
            rows = await explain(session, "EXPLAIN QUERY PLAN", template, slots)
            return not any(
                row.detail.startswith("SCAN ") and "CONSTANT" not in row.detail for row in rows
            )
        case _:
            return True


def _searches(plan: Sequence[str]) -> bool:
    """Whether PostgreSQL's plan goes into every index with a condition.

    An index that is read from end to end, with a filter, is no better than the table.
    """
    indexes = sum("Index Scan" in line or "Index Only Scan" in line for line in plan)
    conditions = sum("Index Cond:" in line for line in plan)
    return not any("Seq Scan" in line for line in plan) and indexes == conditions


async def explain(
    session: Session, word: str, template: Template, slots: Sequence[Slot] = ()
) -> Sequence[Any]:
    """The database's plan for a lookup of these slots; of a probe where there are none."""
    size, values = parameters(slots) if slots else (1, {})
    statement = template.statement(size)
    if not slots:
        places = sum(name.startswith("s0_") for name in statement.compile().params)
        _, values = parameters([("postmaster", PROBE)[-places:]])
    compiled = compile_for(session.dialect, statement)
    return await session.run(_fetch, f"{word} {compiled.text}", compiled.bind(values))


def _fetch(connection: Connection, statement: str, values: Any) -> Sequence[Any]:
    return connection.exec_driver_sql(statement, values).fetchall()
