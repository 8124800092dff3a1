"""A schema in a real database: which of its tables and columns are there, and what they can do.

Asked once when a directory is opened. A table or column that is missing stops the start, unless the
schema says that older versions of the product lack it; then the source, or the test, is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    FromClause,
    MetaData,
    Table,
    func,
    literal,
    select,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import sqltypes
from sqlalchemy.types import TypeEngine

from check_user.address import canonical_domain
from check_user.directory import Misconfigured
from check_user.directory.schemas import Schema
from check_user.directory.schemas.declaration import (
    Addresses,
    Cell,
    Condition,
    Constant,
    Domains,
    Either,
    Source,
)
from check_user.directory.sql.catalogue import folds, holds_text, named, reflect
from check_user.directory.sql.faults import Fault, classify, describe
from check_user.directory.sql.session import Session
from check_user.directory.sql.templates import UntypedText

Types = Mapping[str, TypeEngine[Any]]


@dataclass(frozen=True, slots=True)
class Bound:
    """A source with its tables.

    ``keys`` are the columns that are compared, ``columns`` all by the names in the declaration,
    ``where`` what the database has to compare beside the keys; ``binary`` says that a key holds
    bytes; ``folds`` that its own ``=`` ignores case and trailing spaces. Outside of the ``closed``
    domains nobody is refused; None where all are. ``keeps_case`` says that case counts in a local
    part.
    """

    source: Source
    origin: FromClause
    columns: Mapping[str, ColumnElement[Any]]
    keys: tuple[ColumnElement[Any], ...]
    where: tuple[ColumnElement[bool], ...]
    binary: bool
    folds: bool
    closed: frozenset[str] | None = None
    keeps_case: bool = False

    @property
    def is_about_addresses(self) -> bool:
        """Whether its rows are about addresses, not about domains alone."""
        return isinstance(self.source, Addresses)


async def bind(
    session: Session, schema: Schema, values: Mapping[str, str], *, keeps_case: bool = False
) -> list[Bound]:
    """Look every source of ``schema`` up; ``values`` are the site's constants.

    Raises Misconfigured, or what the driver raises.
    """
    missing = [f"{name} ({schema.needs[name]})" for name in schema.needs if not values.get(name)]
    if missing:
        raise Misconfigured(f"schema '{schema.name}' needs schema_value={', '.join(missing)}")
    found = {table: await _types(session, table) for table in schema.tables}
    bound = []
    for source in schema.sources:
        absent = _absent(source, found)
        if absent and not source.optional:
            raise Misconfigured(f"this isn't the schema of {schema.title}: {absent}")
        if not absent:
            bound.append(await _bind(session, source, found, values))
    return [replace(each, keeps_case=keeps_case) for each in bound]


async def _types(session: Session, table: str) -> Types:
    try:
        return await reflect(session, table)
    except Misconfigured:
        return {}


def key_names(source: Source) -> tuple[str, ...]:
    """The columns that a source is searched by."""
    return source.address if isinstance(source, Addresses) else (source.domain,)


def target_name(source: Source) -> str:
    """The column with what a source's rows lead to, if it has one."""
    return source.goes_to if isinstance(source, Addresses) else source.stands_for


def _absent(source: Source, found: Mapping[str, Types]) -> str:
    """What of that which every version has isn't there; empty if all is."""
    tables = {"": source.table} | {join.name: join.table for join in source.joins}
    for join in source.joins:
        if not join.outer and not found[join.table]:
            return f"there is no table '{join.table}'"
    if not found[source.table]:
        return f"there is no table '{source.table}'"
    needed = [*key_names(source), *(name for name, _ in source.where)]
    needed += [target_name(source)] if target_name(source) else []
    needed += [cell.column for test in tests_of(source) for cell in _needed_cells(test)]
    for name in needed:
        prefix, _, column = name.rpartition(".")
        if not _has(found[tables[prefix]], column):
            return f"table '{tables[prefix]}' has no column '{column}'"
    return ""


def _needed_cells(test: Condition) -> list[Cell]:
    """What a test looks at in every version of the product."""
    if test.optional:
        return []
    if isinstance(test, Either):
        return [cell for each in test.tests for cell in _needed_cells(each)]
    return [*test.cells]


def tests_of(source: Source) -> tuple[Condition, ...]:
    """All tests that are made on a source's rows."""
    tests = [*source.only, *source.enabled]
    if isinstance(source, Addresses):
        tests += [*(source.catch_all_enabled or ()), *([source.refused] if source.refused else [])]
    elif source.relay:
        tests.append(source.relay)
    return tuple(tests)


def _has(types: Types, column: str) -> bool:
    try:
        named(column, types, "")
    except Misconfigured:
        return False
    return True


async def _bind(
    session: Session, source: Source, found: Mapping[str, Types], values: Mapping[str, str]
) -> Bound:
    own = _table(source.table, found[source.table])
    columns = {name: own.c[name] for name in own.c.keys()}  # noqa: SIM118 - a collection of columns, not a dict
    origin: FromClause = own
    kinds = dict(found[source.table])
    for join in source.joins:
        near = _column(columns, join.near)
        if near is None:  # an older version, whose rows have no such other
            continue
        there = _table(join.table, found[join.table]).alias(join.name)
        far = _column(dict(there.c.items()), join.far)
        if far is None:
            raise Misconfigured(f"table '{join.table}' has no column '{join.far}'")
        origin = origin.join(there, near == far, isouter=join.outer)
        columns |= {f"{join.name}.{name}": column for name, column in there.c.items()}
        kinds |= {f"{join.name}.{name}": kind for name, kind in found[join.table].items()}
    source = _prune(source, columns)
    names = [named(name, columns, source.table) for name in key_names(source)]
    for name in names:
        if not holds_text(kinds[name]):
            raise Misconfigured(
                f"column '{source.table}.{name}' holds {kinds[name]!s}, not text: "
                "addresses can't be there"
            )
    keys = tuple(columns[name] for name in names)
    where = tuple(_column(columns, name) == _value(value, values) for name, value in source.where)
    binary = any(isinstance(kinds[name], sqltypes._Binary) for name in names)  # noqa: SLF001 - the only common class of BLOB and VARBINARY
    closed = _closed(source, values)
    bound = Bound(source, origin, columns, keys, where, binary, folds=False, closed=closed)
    await _prove(session, bound)
    if binary or (isinstance(source, Domains) and source.of_addresses):
        return bound
    return replace(bound, folds=all([await _folds(session, key) for key in keys]))


def _table(name: str, types: Types) -> Table:
    schema, _, plain = name.rpartition(".")
    columns = (Column(column, UntypedText()) for column in types)
    return Table(plain, MetaData(), *columns, schema=schema or None)


def _column(columns: Mapping[str, ColumnElement[Any]], name: str) -> Any:
    """The column of this name in any case, or None."""
    if name in columns:
        return columns[name]
    return next((columns[other] for other in columns if other.lower() == name.lower()), None)


def _value(value: str | bool | Constant, values: Mapping[str, str]) -> ColumnElement[Any]:
    if isinstance(value, Constant):
        text = values[value.name]
        return literal(int(text)) if text.isascii() and text.isdigit() else literal(text)
    return literal(value)


def _closed(source: Source, values: Mapping[str, str]) -> frozenset[str] | None:
    listed = (
        values[source.open_unless] if isinstance(source, Domains) and source.open_unless else "*"
    )
    if listed.strip() == "*":
        return None
    domains = {name: canonical_domain(name) for name in listed.replace(",", " ").split()}
    wrong = [name for name, key in domains.items() if key is None]
    if wrong:
        raise Misconfigured(f"'{wrong[0]}' in closed_domains is not a domain")
    return frozenset(key for key in domains.values() if key)


def _prune(source: Source, columns: Collection[str]) -> Source:
    """Leave the tests out whose columns this version doesn't have."""
    only = _pruned(source.only, columns)
    enabled = _pruned(source.enabled, columns)
    if isinstance(source, Domains):
        relay = next(iter(_pruned((source.relay,), columns)), None) if source.relay else None
        return replace(source, only=only, enabled=enabled, relay=relay)
    return replace(source, only=only, enabled=enabled)


def _pruned(tests: tuple[Condition, ...], columns: Collection[str]) -> tuple[Condition, ...]:
    names = {column.lower() for column in columns}
    kept: list[Condition] = []
    for test in tests:
        if isinstance(test, Either) and not test.optional:
            kept.append(replace(test, tests=_pruned(test.tests, columns)))
        elif not test.optional or all(cell.column.lower() in names for cell in test.cells):
            kept.append(test)
    return tuple(kept)


async def _folds(session: Session, key: ColumnElement[Any]) -> bool:
    table: Any = key.table
    return await folds(session, getattr(table, "element", table), key.key or "")


async def _prove(session: Session, bound: Bound) -> None:
    """Compare the keys with a text, for no row: it takes the right to, and a type that can."""
    nobody = literal("check-user.invalid", UntypedText())
    plain = [key == nobody for key in bound.keys]
    folded = [func.lower(func.trim(key), type_=UntypedText()) == nobody for key in bound.keys]
    conditions = [*plain, *([] if bound.binary else folded), *bound.where]
    statement = select(func.count()).select_from(bound.origin).where(literal(1) == 0, *conditions)
    try:
        await session.execute(statement, {})
    except DBAPIError as error:
        if classify(error) is Fault.STATEMENT:
            what = f"can't look addresses up in '{bound.source.table}': {describe(error)}"
            raise Misconfigured(what) from error
        raise
