"""What a schema says about itself: data, from which statements, checks and a page are made.

A :class:`Schema` has sources of addresses and sources of domains. A source names a table, the
column that holds the address (or the two that hold its parts), what a row must have to count, and
what else a row may be: a catch-all, a refusal, a relay domain. Columns of a joined table are
written ``join.column``.

    Addresses("alias", "alias", ("address",), enabled=(Is("active"),), catch_all=CatchAll.AT)

What a row must have is told by tests. They are made on the stored values as text, by us, so that a
database's collations and types don't matter: a boolean is ``1`` here and ``true`` there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import pairwise
from typing import NamedTuple, Protocol, TypeVar

YES = ("1", "t", "true", "y", "yes", "on", "\x01")
"""What databases and products write for yes; the last is MySQL's BIT(1)."""


class Form(Enum):
    """How a column is read: whole, only whether there is something in it, or if it isn't long."""

    VALUE = "value"
    FILLED = "filled"
    SHORT = "short"


class Cell(NamedTuple):
    """One value that a row brings along."""

    column: str
    form: Form = Form.VALUE


Stored = Sequence[str | None]


class Condition(Protocol):
    """Something that a row's values tell. ``optional``: only if the columns are there."""

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The values it looks at."""
        ...

    @property
    def optional(self) -> bool:
        """Whether older versions of the product lack the columns."""
        ...

    def holds(self, stored: Stored, now: float) -> bool:
        """Look at the cells' values; ``now`` is Unix time."""
        ...


@dataclass(frozen=True, slots=True)
class Is:
    """The column has one of these values, in any case. ``null``: so it has when it is NULL."""

    column: str
    values: tuple[str, ...] = YES
    null: bool = False
    optional: bool = False

    @property
    def cells(self) -> tuple[Cell, ...]:
        """See :class:`Condition`."""
        return (Cell(self.column),)

    def holds(self, stored: Stored, now: float) -> bool:
        """See :class:`Condition`."""
        (value,) = stored
        return self.null if value is None else value.strip().lower() in self.values


@dataclass(frozen=True, slots=True)
class IsNot:
    """The inverse: the column has none of these values. NULL is none of them."""

    column: str
    values: tuple[str, ...] = YES
    optional: bool = False

    @property
    def cells(self) -> tuple[Cell, ...]:
        """See :class:`Condition`."""
        return (Cell(self.column),)

    def holds(self, stored: Stored, now: float) -> bool:
        """See :class:`Condition`."""
        (value,) = stored
        return value is None or value.strip().lower() not in self.values


@dataclass(frozen=True, slots=True)
class Begins:
    """The column begins with one of these, in any case."""

    column: str
    prefixes: tuple[str, ...]
    optional: bool = False

    @property
    def cells(self) -> tuple[Cell, ...]:
        """See :class:`Condition`."""
        return (Cell(self.column),)

    def holds(self, stored: Stored, now: float) -> bool:
        """See :class:`Condition`."""
        (value,) = stored
        return value is not None and value.strip().lower().startswith(self.prefixes)


@dataclass(frozen=True, slots=True)
class Clear:
    """The column is a number without these bits; what is no number has none."""

    column: str
    bits: int
    optional: bool = False

    @property
    def cells(self) -> tuple[Cell, ...]:
        """See :class:`Condition`."""
        return (Cell(self.column),)

    def holds(self, stored: Stored, now: float) -> bool:
        """See :class:`Condition`."""
        (value,) = stored
        try:
            return not int(value or "0") & self.bits
        except ValueError:
            return True


@dataclass(frozen=True, slots=True)
class Future:
    """The column is a time to come: Unix time, or a date (its whole day counts) and perhaps a time.

    Without an offset it is UTC. NULL and what isn't a time (``0000-00-00``) never come.
    """

    column: str
    optional: bool = False

    @property
    def cells(self) -> tuple[Cell, ...]:
        """See :class:`Condition`."""
        return (Cell(self.column),)

    def holds(self, stored: Stored, now: float) -> bool:
        """See :class:`Condition`."""
        (value,) = stored
        ends = None if value is None else _unix_time(value.strip())
        return ends is None or ends >= now


def _unix_time(text: str) -> float | None:
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        found = datetime.fromisoformat(text)
        if len(text) == len("2007-11-23"):
            found += timedelta(days=1)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class Filled:
    """The column isn't empty, nor NULL."""

    column: str
    optional: bool = False

    @property
    def cells(self) -> tuple[Cell, ...]:
        """See :class:`Condition`."""
        return (Cell(self.column, Form.FILLED),)

    def holds(self, stored: Stored, now: float) -> bool:
        """See :class:`Condition`."""
        return stored[0] is not None


@dataclass(frozen=True, slots=True)
class Either:
    """One of the tests holds; those whose columns an older version lacks are left out.

    With ``optional`` all of it is, if one of the columns is missing.
    """

    tests: tuple[Condition, ...]
    optional: bool = False

    @property
    def cells(self) -> tuple[Cell, ...]:
        """See :class:`Condition`."""
        return tuple(cell for test in self.tests for cell in test.cells)

    def holds(self, stored: Stored, now: float) -> bool:
        """See :class:`Condition`."""
        return any(self._each(stored, now))

    def _each(self, stored: Stored, now: float) -> list[bool]:
        places = _places(self.tests)
        return [
            test.holds(stored[a:b], now) for test, (a, b) in zip(self.tests, places, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Both(Either):
    """All of the tests hold."""

    def holds(self, stored: Stored, now: float) -> bool:
        """See :class:`Condition`."""
        return all(self._each(stored, now))


def _places(tests: Sequence[Condition]) -> list[tuple[int, int]]:
    """Where each test's values begin and end among those of all."""
    ends = [0]
    for test in tests:
        ends.append(ends[-1] + len(test.cells))
    return [*pairwise(ends)]


class CatchAll(Enum):
    """What stands in place of an address in the row for everybody else in ``example.org``."""

    AT = "@example.org"
    BARE = "example.org"
    STAR = "* in the local part"
    LIKE = "a LIKE pattern in the local part"


@dataclass(frozen=True, slots=True)
class Join:
    """A table beside the source's own, on ``near = far``; ``outer``: it may have no such row.

    ``name`` is what its columns are written with, ``name.column``; ``near`` is a column of the
    source's own table or of a join before it, ``far`` one of this table.
    """

    name: str
    table: str
    near: str
    far: str
    outer: bool = False


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that a site must tell: in the configuration, ``schema_value=name value``."""

    name: str


Where = tuple[tuple[str, str | bool | Constant], ...]
"""Columns and the values that a row must have to be of a source; compared by the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """A source of addresses.

    ``address`` is one column, or those of the local part and the domain. ``only`` are the tests by
    which a row is of this source at all, ``enabled`` those without which it is disabled
    (``catch_all_enabled`` if other ones hold for a catch-all), ``refused`` that by which it is a
    refusal; ``refuses`` and ``busy`` say that all its rows are. ``goes_to`` is an alias's
    destination. ``exact`` is False for catch-alls alone. ``through`` says whether addresses, and
    ``catch_all_through`` whether catch-alls, serve alias domains too. ``many``: an address has a
    row for each destination; ``few``: there are few rows in all. ``optional``: older versions of
    the product lack the table.
    """

    name: str
    table: str
    address: tuple[str, ...]
    joins: tuple[Join, ...] = ()
    where: Where = ()
    only: tuple[Condition, ...] = ()
    enabled: tuple[Condition, ...] = ()
    catch_all_enabled: tuple[Condition, ...] | None = None
    refused: Condition | None = None
    refuses: bool = False
    busy: bool = False
    goes_to: str = ""
    exact: bool = True
    catch_all: CatchAll | None = None
    through: bool = True
    catch_all_through: bool = True
    many: bool = False
    few: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Domains:
    """A source of domains.

    ``relay`` is the test by which a domain is a relay domain (``relays``: all are); with
    ``relay_always`` even if it isn't enabled. ``stands_for`` is the column with the domain for
    which an alias domain stands. ``of_addresses``: the column holds addresses, whose domains are
    meant; ``often``: a domain is in many rows. ``open_unless`` names the site's list of domains
    whose accounts are all in the database; in others nobody is refused.
    """

    name: str
    table: str
    domain: str
    joins: tuple[Join, ...] = ()
    where: Where = ()
    only: tuple[Condition, ...] = ()
    enabled: tuple[Condition, ...] = ()
    relay: Condition | None = None
    relays: bool = False
    relay_always: bool = False
    stands_for: str = ""
    of_addresses: bool = False
    often: bool = False
    open_unless: str = ""
    optional: bool = False


Source = Addresses | Domains

SourceT = TypeVar("SourceT", Addresses, Domains)


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one product. ``drivers`` are ``mysql``, ``postgresql``, ``sqlite``.

    ``needs`` are the values that a site must tell, with a sentence each. ``newer`` are columns
    (``table.column``) by which versions are told apart, the newest first. ``notes`` are for the
    page.
    """

    name: str
    title: str
    drivers: tuple[str, ...]
    addresses: tuple[Addresses, ...]
    domains: tuple[Domains, ...]
    needs: Mapping[str, str]
    newer: tuple[tuple[str, str], ...] = ()
    notes: str = ""

    @property
    def sources(self) -> tuple[Source, ...]:
        """All of them, domains last."""
        return (*self.addresses, *self.domains)

    def renamed(self, prefix: str, tables: Mapping[str, str]) -> Schema:
        """The same with other names of tables: each with ``prefix``, or by ``tables``."""

        def name(table: str) -> str:
            return tables.get(table, prefix + table)

        def rename(source: SourceT) -> SourceT:
            joins = tuple(replace(join, table=name(join.table)) for join in source.joins)
            return replace(source, table=name(source.table), joins=joins)

        return replace(
            self,
            addresses=tuple(rename(source) for source in self.addresses),
            domains=tuple(rename(source) for source in self.domains),
        )

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that are looked into."""
        found = (table for s in self.sources for table in (s.table, *(j.table for j in s.joins)))
        return tuple(dict.fromkeys(found))
