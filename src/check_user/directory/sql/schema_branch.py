"""One source's SELECT::

    SELECT 1, CAST(alias.address AS ...), CAST(alias.active AS ...), CASE ... alias.goto END
    FROM alias WHERE alias.address IN (?, ?, ...)

All is cast to text, so that types and collations of different tables don't meet in one column of
the statement in which the sources are united.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    Text,
    and_,
    case,
    cast,
    func,
    literal_column,
    not_,
    null,
    or_,
    select,
    true,
)

from check_user.directory.schemas.declaration import (
    Addresses,
    CatchAll,
    Cell,
    Domains,
    Form,
)
from check_user.directory.sql.schema_catalogue import Bound
from check_user.directory.sql.schema_reader import Reader
from check_user.directory.sql.slots import Part, Slots
from check_user.directory.sql.templates import UntypedText, octets, parameter

LONGEST_TARGET = 320
"""Characters of a destination that are fetched: an address has 254, a list of thousands isn't
wanted."""


def slots_of(sources: Sequence[Bound]) -> Slots:
    """The slots with the values that these sources need."""
    return Slots(part for bound in sources for part in _parts(bound))


def _parts(bound: Bound) -> Iterator[Part]:
    source = bound.source
    if isinstance(source, Domains):
        yield Part.DOMAIN
        return
    if len(source.address) == 2:
        yield from (Part.LOCAL, Part.DOMAIN)
        return
    if source.exact:
        yield Part.ADDRESS
    if source.catch_all is CatchAll.AT:
        yield Part.AT
    if source.catch_all is CatchAll.BARE:
        yield Part.DOMAIN


@dataclass(slots=True)
class Branch:
    """The SELECT of one source. ``number`` tells its rows from others'."""

    number: int
    bound: Bound
    folded: bool
    dialect: str
    slots: Slots
    reader: Reader = field(init=False)

    def __post_init__(self) -> None:
        self.reader = Reader(self.bound, self._keys)

    @property
    def _keys(self) -> int:
        """How many columns of a row are for keys: two where some source has two."""
        return 2 if Part.LOCAL in self.slots.place else 1

    @property
    def width(self) -> int:
        """How many columns its rows have beside the number and the keys."""
        return len(self.reader.cells) + (self.many and bool(self.reader.target))

    @property
    def many(self) -> bool:
        """Whether an address has several rows, which are fetched as one."""
        source = self.bound.source
        return isinstance(source, Addresses) and source.many

    @property
    def serves_everybody(self) -> bool:
        """Whether some of its rows are catch-alls."""
        source = self.bound.source
        return isinstance(source, Addresses) and source.catch_all is not None

    @property
    def is_listed(self) -> bool:
        """Whether its rows are about addresses one by one,"""
        source = self.bound.source
        return isinstance(source, Addresses) and source.exact

    @property
    def is_special(self) -> bool:
        """and all of them say something else than that it is there."""
        source = self.bound.source
        return isinstance(source, Addresses) and (source.refuses or source.busy)

    @property
    def crosses(self) -> bool:
        """Whether every local part is looked for in every domain that is asked for."""
        source = self.bound.source
        if not isinstance(source, Addresses) or "." not in "".join(source.address):
            return False
        return source.few or self.dialect == "postgresql"

    # The SELECT

    def selects(self, size: int, width: int) -> list[Select[Any]]:
        """The SELECTs for ``size`` slots: one, or one a slot where an index serves no other."""
        source = self.bound.source
        if isinstance(source, Domains) and source.of_addresses:
            return [self._domains_of_addresses(size, width)]
        if isinstance(source, Domains) and source.often:
            return [self._first_of_domain(i, width) for i in range(size)]
        if len(self.bound.keys) == 1 or not isinstance(source, Addresses):
            return [self._rows(self._whole(size), width)]
        if self.crosses:
            return [self._rows(self._crossed(size), width)]
        if "." not in "".join(source.address):
            return [self._rows(or_(*map(self._pair, range(size))), width)]
        return [self._rows(self._pair(i), width) for i in range(size)]

    def listing(self, *, everybody: bool) -> Select[Any]:
        """The SELECT of all its rows, or of those that are about everybody in a domain."""
        source = self.bound.source
        if not (everybody and isinstance(source, Addresses)):
            return self._rows(self._everything, self.width)
        key, condition = self.bound.keys[0], self._everything
        match source.catch_all:
            case CatchAll.AT:
                condition = key.like("@%")
            case CatchAll.BARE:
                condition = not_(key.like("%@%"))
            case CatchAll.STAR:
                condition = key == literal_column("'*'")
        return self._rows(condition, self.width)

    @property
    def _everything(self) -> ColumnElement[bool]:
        return true()

    def _rows(self, condition: ColumnElement[bool], width: int) -> Select[Any]:
        keys = self.bound.keys
        cells = [self._cell(cell) for cell in self.reader.cells]
        shown: list[ColumnElement[Any]] = [*keys]
        groups: list[ColumnElement[Any]] = []
        if self.many:
            groups = [*(octets(key, self.dialect) for key in keys), *cells]
            shown = [func.min(key, type_=UntypedText()) for key in keys]
            if self.reader.target:
                column = cells.pop()
                groups.pop()
                cells += [func.min(column, type_=Text()), func.max(column, type_=Text())]
        head = [cast(key, Text) for key in shown]
        head += [cast(null(), Text)] * (self._keys - len(head))
        statement = select(*self._labelled([*head, *cells], width)).select_from(self.bound.origin)
        return statement.where(condition, *self._elsewhere, *self.bound.where).group_by(*groups)

    @property
    def _elsewhere(self) -> list[ColumnElement[bool]]:
        """Leave out what leads to itself, octet for octet: it says nothing, and is in many tables.

        Whether another spelling of it is meant is the reader's to tell.
        """
        source = self.bound.source
        if not (isinstance(source, Addresses) and source.goes_to and len(self.bound.keys) == 1):
            return []
        target = self.bound.columns[source.goes_to]
        sides = (octets(each, self.dialect) for each in (target, self.bound.keys[0]))
        return [or_(target.is_(None), operator.ne(*sides))]

    def _first_of_domain(self, slot: int, width: int) -> Select[Any]:
        """One row of a domain that may have a million, or NULL."""
        (key,) = self.bound.keys
        one = (
            select(cast(key, Text))
            .select_from(self.bound.origin)
            .where(self._side(key) == self._value(slot, Part.DOMAIN), *self.bound.where)
            .limit(literal_column("1"))
            .scalar_subquery()
        )
        return select(*self._labelled([one], width))

    def _domains_of_addresses(self, size: int, width: int) -> Select[Any]:
        """What stands behind the @, each once. An index can serve an expression without values."""
        (key,) = self.bound.keys
        at = func.instr(key, literal_column("'@'"))
        domain = func.substr(key, at + literal_column("1"), type_=UntypedText())
        wanted = self._side(domain).in_([self._value(i, Part.DOMAIN) for i in range(size)])
        statement = select(*self._labelled([cast(domain, Text)], width))
        return statement.select_from(self.bound.origin).where(wanted).distinct()

    def _labelled(self, cells: Sequence[ColumnElement[Any]], width: int) -> list[Any]:
        """The number of the source, these cells, and NULL in the rest of a row."""
        rest = [cast(null(), Text)] * (self._keys + width - len(cells))
        number: ColumnElement[Any] = literal_column(str(self.number)).label("n")
        return [number, *(c.label(f"c{i}") for i, c in enumerate([*cells, *rest]))]

    def _cell(self, cell: Cell) -> ColumnElement[Any]:
        column = self.bound.columns[cell.column]
        match cell.form:
            case Form.VALUE:
                return cast(column, Text)
            case Form.FILLED:
                return case((func.length(column) > 0, literal_column("'1'")))
            case Form.SHORT:
                return case((func.length(column) <= LONGEST_TARGET, cast(column, Text)))

    def _whole(self, size: int) -> ColumnElement[bool]:
        (key,) = self.bound.keys
        values = [self._value(i, part) for part in _parts(self.bound) for i in range(size)]
        return self._side(key).in_(values)

    def _pair(self, slot: int) -> ColumnElement[bool]:
        source = self.bound.source
        local, domain = map(self._side, self.bound.keys)
        here = domain == self._value(slot, Part.DOMAIN)
        if not isinstance(source, Addresses) or source.catch_all is CatchAll.LIKE:
            return here
        wanted = self._value(slot, Part.LOCAL)
        if source.catch_all is CatchAll.STAR:
            return and_(local.in_([wanted, literal_column("'*'")]), here)
        return and_(local == wanted, here)

    def _crossed(self, size: int) -> ColumnElement[bool]:
        """Any of the local parts in any of the domains: more than was asked, where several ask.

        An index on (local part, number of the domain) is looked into once for each. MySQL would
        read every row with one of the local parts.
        """
        source = self.bound.source
        local, domain = map(self._side, self.bound.keys)
        locals_ = [self._value(i, Part.LOCAL) for i in range(size)]
        if isinstance(source, Addresses) and source.catch_all is CatchAll.STAR:
            locals_.append(literal_column("'*'"))
        here = domain.in_([self._value(i, Part.DOMAIN) for i in range(size)])
        return and_(local.in_(locals_), here)

    def _side(self, key: ColumnElement[Any]) -> ColumnElement[Any]:
        if not self.folded:
            return key
        text = cast(key, String) if self.bound.binary else key
        return func.lower(func.trim(text), type_=UntypedText())

    def _value(self, slot: int, part: Part) -> ColumnElement[Any]:
        return parameter(slot, self.slots.place[part])
