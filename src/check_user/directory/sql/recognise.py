"""Which schema a database has: by its tables and columns alone, whatever they are prefixed with.

What ``check-user init`` is told about a database that it knows nothing of. It only reads.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, inspect, literal_column, select, text
from sqlalchemy.exc import DBAPIError

from check_user.address import canonical, canonical_domain
from check_user.directory import Misconfigured
from check_user.directory.order import State
from check_user.directory.schemas import SCHEMAS, Schema
from check_user.directory.schemas.declaration import Constant
from check_user.directory.sql.catalogue import holds_text, reflect
from check_user.directory.sql.drivers import dialect_of, endpoints_of
from check_user.directory.sql.faults import describe
from check_user.directory.sql.options import SqlOptions
from check_user.directory.sql.schema_branch import Branch, slots_of
from check_user.directory.sql.schema_catalogue import Bound, bind
from check_user.directory.sql.session import Opener, Session
from check_user.directory.sql.stored import as_text
from check_user.directory.sql.templates import Row

PATIENCE = 30.0
"""Seconds for one statement."""

LOOKED_AT = 50
"""Rows of a source in which a sample is looked for, and values of a constant that are told."""

MANY_TABLES = 500
"""Tables of an unknown database that are looked into."""


@dataclass(frozen=True, slots=True)
class Match:
    """A schema that fits: with which prefix, which version of the product it looks like, which of
    its tables there are, the values that a constant has, and addresses that should be known.
    """

    schema: Schema
    prefix: str
    version: str
    tables: tuple[str, ...]
    constants: Mapping[str, tuple[str, ...]]
    samples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """A database: the schemas that fit, the one with most tables first; and, where none does, what
    seems to hold addresses or domains, as (table, column, an example).
    """

    dialect: str
    matches: list[Match] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    addresses: list[tuple[str, str, str]] = field(default_factory=list)
    domains: list[tuple[str, str, str]] = field(default_factory=list)


async def survey(options: SqlOptions) -> Survey:
    """Look at a database. Raises Misconfigured, with what is wrong, if it can't be reached."""
    family = dialect_of(options).partition("+")[0]
    endpoint = endpoints_of(options)[0]
    try:
        session = await Opener(replace(options, lookup_timeout=PATIENCE))(endpoint)
    except Misconfigured:
        raise
    except Exception as error:  # whatever a driver raises
        raise Misconfigured(f"{endpoint} can't be used: {describe(error)}") from error
    try:
        return await _survey(session, family)
    except DBAPIError as error:
        raise Misconfigured(f"{endpoint}: {describe(error)}") from error
    finally:
        await session.aclose()


async def _survey(session: Session, family: str) -> Survey:
    tables = sorted(await session.run(_tables))
    found = Survey(session.dialect.name, tables=tables)
    for schema in SCHEMAS.values():
        if family in schema.drivers:
            for prefix in _prefixes(schema, tables):
                match = await _match(session, schema, prefix)
                if match is not None:
                    found.matches.append(match)
    found.matches.sort(key=lambda match: -len(match.tables))
    if not found.matches:
        for table in tables[:MANY_TABLES]:
            await _look_into(session, table, found)
    return found


def _tables(connection: Connection) -> list[str]:
    inspector = inspect(connection)
    return [*inspector.get_table_names(), *inspector.get_view_names()]


def _prefixes(schema: Schema, tables: list[str]) -> Iterator[str]:
    """What stands before the name of the schema's first table, wherever that is found."""
    first = schema.tables[0]
    for table in tables:
        if table.lower().endswith(first.lower()):
            yield table[: len(table) - len(first)]


async def _match(session: Session, schema: Schema, prefix: str) -> Match | None:
    named = schema.renamed(prefix, {})
    stand_in = dict.fromkeys(schema.needs, "0") | {"closed_domains": "*"}
    try:
        sources = await bind(session, named, stand_in)
    except Misconfigured:
        return None
    tables = [
        table for b in sources for table in (b.source.table, *(j.table for j in b.source.joins))
    ]
    columns = {f"{b.source.table}.{column}" for b in sources for column in b.columns}
    versions = (said for column, said in schema.newer if prefix + column in columns)
    constants: dict[str, tuple[str, ...]] = {}
    for bound in sources:
        constants |= await _constants(session, bound)
    samples = await _samples(session, schema.renamed(prefix, {}), constants)
    present = tuple(dict.fromkeys(tables))
    return Match(schema, prefix, next(versions, ""), present, constants, samples)


async def _constants(session: Session, bound: Bound) -> dict[str, tuple[str, ...]]:
    """The values that a site's constants have in the rows."""
    found = {}
    for column, value in bound.source.where:
        if isinstance(value, Constant):
            stored = bound.columns[column]
            statement = select(stored).select_from(bound.origin).distinct().limit(LOOKED_AT)
            rows = await session.execute(statement, {})
            found[value.name] = tuple(sorted(as_text(row[0]) for row in rows))
    return found


async def _samples(
    session: Session, schema: Schema, constants: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Addresses that are stored and active, of each source one."""
    values = {name: next(iter(constants.get(name, ())), "*") for name in schema.needs}
    sources = await bind(session, schema, values)
    slots, found = slots_of(sources), []
    for bound in sources:
        branch = Branch(0, bound, False, session.dialect.name, slots)
        if branch.is_listed and not branch.is_special:
            rows = await session.execute(branch.listing(everybody=False).limit(LOOKED_AT), {})
            found += list(_active(branch, rows))[:1]
    return tuple(found)


def _active(branch: Branch, rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        key, fact = branch.reader.read(row, time.time())
        if key and fact and fact.state is State.ACTIVE and not key.startswith("@"):
            yield key


# Where no schema fits


async def _look_into(session: Session, table: str, found: Survey) -> None:
    """Note the columns of a table that hold an address or a domain in one of their first rows."""
    try:
        types = await reflect(session, table)
        names = [name for name, kind in types.items() if holds_text(kind)]
        columns: list[ColumnElement[Any]] = [
            literal_column(session.dialect.identifier_preparer.quote(n)) for n in names
        ]
        if not columns:
            return
        origin = text(session.dialect.identifier_preparer.quote(table))
        rows = await session.execute(select(*columns).select_from(origin).limit(LOOKED_AT), {})
    except (DBAPIError, Misconfigured):
        return  # a table that we may not read, or that isn't one, holds nobody for us
    for place, name in enumerate(names):
        stored = [as_text(row[place]).strip() for row in rows if row[place] is not None]
        for example in stored:
            if canonical(example):
                found.addresses.append((table, name, example))
                break
            if "." in example and canonical_domain(example) and not example[-1].isdigit():
                found.domains.append((table, name, example))
                break
