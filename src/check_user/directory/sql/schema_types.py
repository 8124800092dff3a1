"""Whether the columns beside the addresses have types that what is declared of them can be read of.

    active boolean          Is("active"): yes
    active date             no: 2007-11-23 is neither yes nor no, and everybody would be disabled
    expires numeric(12,2)   Future("expires"): no: 1195819200.00 is no time, and would never come

A schema's tests are made on a value's text (``declaration``). What can hold any text may hold the
right one; of other types it is known what their text looks like. SQLite keeps any value in any
column: there it's a matter of what the product declared.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

from sqlalchemy import types
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.types import TypeEngine

from check_user.directory import Finding, Level
from check_user.directory.schemas.declaration import (
    YES,
    Clear,
    Condition,
    Either,
    Future,
    Is,
    IsNot,
)
from check_user.directory.sql.catalogue import reflect
from check_user.directory.sql.schema_catalogue import Bound, Types, target_name, tests_of
from check_user.directory.sql.session import Session
from check_user.directory.sql.stored import FALSE, TRUE


class Kind(Enum):
    """What the text of a type's values is like."""

    ANY = "any"
    NUMBER = "a whole number"
    YES_NO = "true, false, 1, 0"
    BIT = "1, 0, or an octet"
    TIME = "a date, and perhaps a time"
    OTHER = "other"


BOOLEANS = frozenset(("t", "f", "true", "false", "1", "0"))


async def examine_types(session: Session, bound: Bound) -> list[Finding]:
    """Look at every column that a source's tests and its target need."""
    source = bound.source
    tables = {"": source.table} | {join.name: join.table for join in source.joins}
    found = {prefix: await reflect(session, table) for prefix, table in tables.items()}
    wrong = [
        _misfit(source.name, f"{tables[prefix]}.{column}", str(kind), reading)
        for name, reading, kinds in _wanted(bound)
        for prefix, _, column in [name.rpartition(".")]
        for kind in [_type(found[prefix], column)]
        if kind is not None and kind_of(kind) not in kinds
    ]
    fine = "its other columns have types that can be read as they are meant"
    return wrong or [Finding(Level.OK, f"{source.name} ({source.table})", fine)]


def examine_enabled(table: str, column: str, value: str, kind: TypeEngine[Any]) -> list[Finding]:
    """The same of ``email_enabled`` and its value."""
    word = value.strip().lower()
    values = next(((*words, digit) for words, digit in MEANINGS if word in words), (word,))
    if kind_of(kind) in _kinds_of_values(values):
        return []
    return [_misfit("email_enabled", f"{table}.{column}", str(kind), value)]


MEANINGS = ((TRUE, "1"), (FALSE, "0"))


def kind_of(kind: TypeEngine[Any]) -> Kind:
    """What values of this type look like; of a type that isn't known, anything."""
    match kind:
        case mysql.BIT() | postgresql.BIT():
            return Kind.BIT
        case types.Boolean():
            return Kind.YES_NO
        case types.Numeric(scale=scale) if scale:
            return Kind.OTHER
        case types.Integer() | types.Numeric():
            return Kind.NUMBER
        case types.Date() | types.DateTime():
            return Kind.TIME
        case (
            types.Time()
            | types.Interval()
            | postgresql.INTERVAL()
            | mysql.YEAR()
            | types.ARRAY()
            | types.JSON()
            | types.Uuid()
        ):
            return Kind.OTHER
        case _:
            return Kind.ANY


Wanted = tuple[str, str, frozenset[Kind]]
"""A column, what it is read as, and the kinds that can be."""

TEXT = frozenset({Kind.ANY})


def _wanted(bound: Bound) -> Iterator[Wanted]:
    if target := target_name(bound.source):
        yield target, "an address or a domain", TEXT
    for test in tests_of(bound.source):
        yield from _of_test(test)


def _of_test(test: Condition) -> Iterator[Wanted]:
    if isinstance(test, Either):
        for each in test.tests:
            yield from _of_test(each)
        return
    (cell,) = test.cells
    match test:
        case Is(values=values) | IsNot(values=values):
            reading = "yes or no" if values == YES else " or ".join(values)
            yield cell.column, reading, _kinds_of_values(values)
        case Future():
            yield cell.column, "a date or Unix time", TEXT | {Kind.NUMBER, Kind.TIME}
        case Clear():
            yield cell.column, "a number", TEXT | {Kind.NUMBER}
        case _:
            yield cell.column, "a text", TEXT


def _kinds_of_values(values: tuple[str, ...]) -> frozenset[Kind]:
    """The kinds that may look like one of these."""
    kinds = set(TEXT)
    if any(value.lstrip("-").isdecimal() for value in values):
        kinds.add(Kind.NUMBER)
    if not BOOLEANS.isdisjoint(values):
        kinds |= {Kind.YES_NO, Kind.BIT}
    return frozenset(kinds)


def _type(found: Types, column: str) -> TypeEngine[Any] | None:
    return next((kind for name, kind in found.items() if name.lower() == column.lower()), None)


def _misfit(source: str, column: str, kind: str, reading: str) -> Finding:
    message = f"is of the type {kind}, and is read as {reading}: nobody can tell what it says"
    advice = "give it the type that it has in the product, or name a view that does"
    return Finding(Level.ERROR, f"{source} ({column})", message, advice)
