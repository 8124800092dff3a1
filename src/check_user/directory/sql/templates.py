"""The statements: each built once per batch size, all through SQLAlchemy Core.

Several lookups that wait at the same time share one statement. A lookup brings *slots*, the
spellings under which its row may be stored; a statement has 1, 2, 4, ... or 32 slots, and the last
one is repeated to fill it up, so that the database sees six shapes of each statement and the
compiled form is reused.

Every statement returns what is stored, never a count: whether that is the address that was asked
is decided here, by comparing canonical keys (rules V2 and V3), not by the database's collation.

Shapes (``users`` for the table; the names are quoted by the dialect)::

    exact address    SELECT email[, enabled] FROM users WHERE email IN (?, ...)
    exact pair       SELECT user, domain[, enabled] FROM users
                     WHERE user = ? AND domain = ? OR ...
    exact domain     SELECT (SELECT domain FROM domains WHERE domain = ? LIMIT 1), ...
    folded ...       the same with lower(trim(column)) in place of the column

The domain is asked with LIMIT 1, since the domain table may be the users' own, with a million rows
for one domain. Where a loose collation makes that one row another domain's (``muller.example`` for
``müller.example``), the spellings are asked once more without a limit and grouped by their octets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    LargeBinary,
    Select,
    String,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.types import UserDefinedType

from check_user.address import canonical, canonical_domain, canonical_pair
from check_user.directory.order import Facts
from check_user.directory.sql.compiled import Statement
from check_user.directory.sql.stored import Enabled, as_text, shown

Slot = tuple[str, ...]
"""The bound values of one spelling: (address,), (user, domain) or (domain,)."""

Row = Sequence[Any]

SIZES = (1, 2, 4, 8, 16, 32)
"""Slots of a statement. Above 32 the database's work, not the round trip, is what costs."""


SIZE_FOR = tuple(next(size for size in SIZES if size >= slots) for slots in range(SIZES[-1] + 1))
"""The size of the statement, by the number of its slots."""

VALUES = 16
"""More than any slot has."""

NAMES = tuple(tuple(f"s{i}_{j}" for j in range(VALUES)) for i in range(SIZES[-1]))
"""The parameters' names: by slot, then by place."""


class UntypedText(UserDefinedType[str]):
    """The type of every column and parameter here: text to the driver, nothing in the statement.

    With a rendered type, PostgreSQL compares ``citext`` and ``char(n)`` columns as ``text``: case
    counts again and the index goes unused.
    """

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """The type in a CREATE TABLE, which is only ever a sample's."""
        return "VARCHAR(255)"


NO_FACTS: Facts = MappingProxyType({})


class Answer(NamedTuple):
    """What a statement said about one key: whether it is stored; and look-alikes that were not it.

    ``rows`` are the stored rows of the key as text, for ``--explain``. ``ours`` says whether the
    domain is one of ours, where that was asked as well and could be told. ``facts`` are what a
    schema's rows say, of this question and of those that were asked together with it.
    """

    found: bool
    strays: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    ours: bool | None = None
    facts: Facts = NO_FACTS


class Template(Protocol):
    """One kind of question."""

    name: str
    scans: bool
    """It may read the whole table: slow is no sign of a fault."""

    def statement(self, size: int) -> Statement:
        """The statement with ``size`` slots; parameters are named ``s0_0``, ``s0_1``, ``s1_0``."""
        ...

    def answers(
        self, asked: Sequence[tuple[str, Sequence[Slot]]], rows: Sequence[Row]
    ) -> list[Answer]:
        """Deal the rows out to those who asked: one Answer for each (key, slots)."""
        ...


def parameters(slots: Sequence[Slot]) -> tuple[int, dict[str, str]]:
    """The size of the statement for ``slots``, and its bound values."""
    size = SIZE_FOR[len(slots)]
    filled = [*slots, *[slots[-1]] * (size - len(slots))]
    named = zip(NAMES, filled, strict=False)
    return size, {name: v for names, slot in named for name, v in zip(names, slot, strict=False)}


def parameter(slot: int, place: int) -> BindParameter[Any]:
    """The parameter of a slot's value."""
    return bindparam(f"s{slot}_{place}", type_=UntypedText())


@dataclass(slots=True)
class Rows:
    """Questions about addresses: a row for each stored spelling.

    ``columns`` are the address, or the user and the domain; ``binary`` says which of them hold
    bytes (folding needs characters); ``keeps_case``, that case counts in a local part.
    """

    name: str
    table: Table
    columns: tuple[str, ...]
    enabled: Enabled | None = None
    folded: bool = False
    binary: frozenset[str] = frozenset()
    keeps_case: bool = False
    scans: bool = field(init=False)
    _built: dict[int, Select[Any]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.scans = self.folded

    def statement(self, size: int) -> Select[Any]:
        """See :class:`Template`."""
        if size not in self._built:
            self._built[size] = self._build(size)
        return self._built[size]

    def _build(self, size: int) -> Select[Any]:
        return select(*self.chosen).where(self.condition(size))

    @property
    def chosen(self) -> list[ColumnElement[Any]]:
        """The columns of a row: the address, or the user and the domain; then what enables it."""
        names = [*self.columns, *([self.enabled.column] if self.enabled else [])]
        return [self.table.c[name] for name in names]

    def condition(self, size: int) -> ColumnElement[bool]:
        """Which rows are wanted."""
        sides = [compared(self.table, name, self.folded, self.binary) for name in self.columns]
        if len(sides) == 1:
            return sides[0].in_([parameter(i, 0) for i in range(size)])
        return or_(
            *(and_(*(side == parameter(i, j) for j, side in enumerate(sides))) for i in range(size))
        )

    def key(self, row: Row) -> str | None:
        """The canonical key of a stored row, None where it isn't an address."""
        if len(self.columns) == 1:
            stored = None if row[0] is None else as_text(row[0])
            return None if stored is None else canonical(stored, keeps_case=self.keeps_case)
        if row[0] is None or row[1] is None:
            return None
        return canonical_pair(as_text(row[0]), as_text(row[1]), keeps_case=self.keeps_case)

    def counts(self, row: Row) -> bool:
        """Whether the row is enabled."""
        return self.enabled is None or self.enabled.accepts(row[len(self.columns)])

    def answers(
        self, asked: Sequence[tuple[str, Sequence[Slot]]], rows: Sequence[Row]
    ) -> list[Answer]:
        """See :class:`Template`."""
        if not rows:
            return [NOTHING] * len(asked)
        stored: dict[str | None, list[Row]] = {key: [] for key, _ in asked}
        strays: list[str] = []
        for row in rows:
            # A text that is a key is its own canonical form.
            key = row[0] if row[0] in stored else self.key(row)
            if key in stored:
                stored[key].append(row)
            else:
                strays.append(shown(row))
        return [self._answer(stored[key], tuple(strays)) for key, _ in asked]

    def _answer(self, rows: Sequence[Row], strays: tuple[str, ...]) -> Answer:
        if not rows and not strays:
            return NOTHING
        found = any(self.counts(row) for row in rows)
        return Answer(found, strays, tuple([shown(row) for row in rows]))


@dataclass(slots=True)
class Domains:
    """Questions about domains: one column a spelling, at most one stored domain in each."""

    name: str
    table: Table
    column: str
    folded: bool = False
    binary: frozenset[str] = frozenset()
    scans: bool = field(init=False)
    _built: dict[int, Select[Any]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.scans = self.folded

    def unlimited(self, dialect: str) -> EveryDomain:
        """The same question, answered with every row that compares equal."""
        return EveryDomain(f"every {self.name}", self, dialect)

    def statement(self, size: int) -> Select[Any]:
        """See :class:`Template`."""
        if size not in self._built:
            self._built[size] = select(*self.cells(size, 0))
        return self._built[size]

    @property
    def stored(self) -> ColumnElement[Any]:
        """The column that holds the domain."""
        return self.table.c[self.column]

    def condition(self, size: int, place: int) -> ColumnElement[bool]:
        """Which rows are wanted, where there is at most one for each slot's value at ``place``."""
        side = compared(self.table, self.column, self.folded, self.binary)
        return side.in_([parameter(i, place) for i in range(size)])

    def cells(self, size: int, place: int) -> list[ColumnElement[Any]]:
        """A column a slot: the stored domain that compares equal to the slot's value at ``place``.

        The limit stands in the text: as a parameter it would be one more a slot.
        """
        side = compared(self.table, self.column, self.folded, self.binary)
        return [
            select(self.stored)
            .where(side == parameter(i, place))
            .limit(literal_column("1"))
            .scalar_subquery()
            .label(f"d{i}")
            for i in range(size)
        ]

    def answers(
        self, asked: Sequence[tuple[str, Sequence[Slot]]], rows: Sequence[Row]
    ) -> list[Answer]:
        """See :class:`Template`."""
        (cells,) = rows
        place = 0
        found = []
        for key, slots in asked:
            mine = [cells[place + i] for i in range(len(slots))]
            place += len(slots)
            found.append(domain_answer(key, mine))
        return found


@dataclass(slots=True)
class EveryDomain:
    """As ``limited`` without its limit: every stored spelling that compares equal, once.

    Grouped by octets: DISTINCT would go by the collation, which is what this question gets round.
    """

    name: str
    limited: Domains
    dialect: str
    scans: bool = True
    _built: dict[int, Select[Any]] = field(init=False, default_factory=dict)

    def statement(self, size: int) -> Select[Any]:
        """See :class:`Template`."""
        if size not in self._built:
            self._built[size] = self._build(size)
        return self._built[size]

    def _build(self, size: int) -> Select[Any]:
        stored = self.limited.stored
        return (
            select(func.min(stored, type_=UntypedText()))
            .where(self.limited.condition(size, 0))
            .group_by(octets(stored, self.dialect))
        )

    def answers(
        self, asked: Sequence[tuple[str, Sequence[Slot]]], rows: Sequence[Row]
    ) -> list[Answer]:
        """See :class:`Template`. No strays: those of other keys are among the rows."""
        stored = [row[0] for row in rows]
        return [domain_answer(key, stored)._replace(strays=()) for key, _ in asked]


def octets(side: ColumnElement[Any], dialect: str) -> ColumnElement[Any]:
    """The side of a comparison freed of its collation; ``dialect`` is SQLAlchemy's name of it."""
    if dialect == "postgresql":
        return cast(side, Text).collate("C")
    return cast(side, LargeBinary)


NOTHING = Answer(found=False)


def united(answers: Iterable[Answer]) -> Answer:
    """One answer of several about the same key."""
    answers = tuple(answers)
    strays = dict.fromkeys(stray for answer in answers for stray in answer.strays)
    rows = dict.fromkeys(row for answer in answers for row in answer.rows)
    return Answer(any(answer.found for answer in answers), tuple(strays), tuple(rows))


def domain_answer(key: str, cells: Sequence[object]) -> Answer:
    """Compare the stored domains in ``cells`` with the key that was asked."""
    mine: list[str] = []
    strays: list[str] = []
    for cell in cells:
        if cell is not None:
            text = as_text(cell)
            (mine if text == key or canonical_domain(text) == key else strays).append(text)
    if not mine and not strays:
        return NOTHING
    return Answer(bool(mine), tuple(strays), tuple(mine))


def compared(table: Table, name: str, folded: bool, binary: frozenset[str]) -> ColumnElement[Any]:
    """The side of the comparison that is stored: the column, or its folded form."""
    column: ColumnElement[Any] = table.c[name]
    if not folded:
        return column
    text = cast(column, String) if name in binary else column
    return func.lower(func.trim(text), type_=UntypedText())


Report = Callable[[str], None]
"""Takes one operational line for the log."""
