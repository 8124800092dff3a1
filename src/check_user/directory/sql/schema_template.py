"""The statements of a schema: all its sources in one, a SELECT each::

    SELECT 0, CAST(mailbox.username AS ...), NULL, CAST(mailbox.active AS ...), NULL
    FROM mailbox WHERE mailbox.username IN (?, ...)
    UNION ALL
    SELECT 1, CAST(alias.address AS ...), NULL, CAST(alias.active AS ...), CASE ... alias.goto END
    FROM alias WHERE alias.address IN (?, ?, ...)
    UNION ALL ...

A row is the source's number, the stored address (or local part and domain), and what else is to be
known of it, all as text: so types and collations of different tables don't meet in one column.
Whether a row is about what was asked is decided here, by canonical keys (rules V2 and V3), and
what it says of it as well; :class:`check_user.directory.order.Fact` is what comes out.

A slot has those of these values that the schema's sources need: ``anna@example.org``, ``anna``,
``example.org``, ``@example.org``.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import reduce
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
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
    union_all,
)

from check_user.address import canonical, canonical_domain, canonical_pair
from check_user.directory.order import Fact, State
from check_user.directory.schemas.declaration import (
    Addresses,
    CatchAll,
    Cell,
    Condition,
    Domains,
    Form,
)
from check_user.directory.sql.schema_catalogue import Bound
from check_user.directory.sql.templates import (
    NO_FACTS,
    Answer,
    Row,
    Slot,
    UntypedText,
    as_text,
    octets,
    parameter,
)

LONGEST_TARGET = 320
"""Characters of a destination that are fetched: an address has 254, a list of thousands isn't
wanted."""


PLAIN = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~.@-]+")
"""Values of slots that are canonical as they stand."""


class Part(Enum):
    """A value of a slot."""

    ADDRESS = "address"
    LOCAL = "local part"
    DOMAIN = "domain"
    AT = "@domain"


Place = dict[Part, int]
"""Where each value stands in a slot."""


def place_of(sources: Sequence[Bound]) -> Place:
    """The values that the sources of a schema need; their order is that of :class:`Part`."""
    needed = {part for bound in sources for part in _parts(bound)}
    return {part: i for i, part in enumerate(part for part in Part if part in needed)}


def slot_of(place: Place, local: str, domain: str) -> Slot:
    """The slot of one spelling of an address."""
    values = {
        Part.ADDRESS: f"{local}@{domain}",
        Part.LOCAL: local,
        Part.DOMAIN: domain,
        Part.AT: f"@{domain}",
    }
    return tuple(values[part] for part in place)


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


Judge = Callable[[Row, float], bool]


@dataclass(slots=True)
class Branch:
    """One source's SELECT, and what its rows say. ``number`` tells its rows from others'."""

    number: int
    bound: Bound
    folded: bool
    dialect: str
    place: Place
    cells: tuple[Cell, ...] = field(init=False)
    only: Judge = field(init=False)
    enabled: Judge = field(init=False)
    catch_all_enabled: Judge = field(init=False)
    special: Judge = field(init=False)
    target: int = field(init=False)

    def __post_init__(self) -> None:
        source = self.bound.source
        tests: list[tuple[Condition, ...]] = [source.only, source.enabled]
        if isinstance(source, Addresses):
            other = source.enabled if source.catch_all_enabled is None else source.catch_all_enabled
            tests += [other, (source.refused,) if source.refused else ()]
            target = source.goes_to
        else:
            tests += [(), (source.relay,) if source.relay else ()]
            target = source.stands_for
        cells: list[Cell] = []
        judges = [_judge(group, cells) for group in tests]
        self.only, self.enabled, self.catch_all_enabled, self.special = judges
        self.target = 3 + len(cells) if target else 0
        self.cells = (*cells, *([Cell(target, Form.SHORT)] if target else []))

    @property
    def width(self) -> int:
        """How many columns its rows have beside the number and the keys; many have two more."""
        return len(self.cells) + (self.many and bool(self.target))

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

    # The SELECT

    def selects(self, size: int, width: int) -> list[Select[Any]]:
        """The SELECTs for ``size`` slots: one, or one a slot where an index serves no other."""
        source = self.bound.source
        if isinstance(source, Domains) and (source.often or source.of_addresses):
            return [self._first_of_domain(i, width) for i in range(size)]
        if len(self.bound.keys) == 2:
            joined = "." in "".join(source.address) if isinstance(source, Addresses) else False
            if joined:
                return [self._rows(self._pair(i), width) for i in range(size)]
            return [self._rows(or_(*map(self._pair, range(size))), width)]
        return [self._rows(self._whole(size), width)]

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
        cells = [self._cell(cell) for cell in self.cells]
        shown: list[ColumnElement[Any]] = [*keys]
        groups: list[ColumnElement[Any]] = []
        if self.many:
            groups = [*(octets(key, self.dialect) for key in keys), *cells]
            shown = [func.min(key, type_=UntypedText()) for key in keys]
            if self.target:
                column = cells.pop()
                groups.pop()
                cells += [func.min(column, type_=Text()), func.max(column, type_=Text())]
        head = [cast(key, Text) for key in shown]
        head += [cast(null(), Text)] * (2 - len(head))
        rest = [cast(null(), Text)] * (width - len(cells))
        number: ColumnElement[Any] = literal_column(str(self.number)).label("n")
        labelled = [c.label(f"c{i}") for i, c in enumerate([*head, *cells, *rest])]
        statement = select(number, *labelled).select_from(self.bound.origin)
        return statement.where(condition, *self.bound.where).group_by(*groups)

    def _first_of_domain(self, slot: int, width: int) -> Select[Any]:
        """One row of a domain that may have a million, or NULL."""
        (key,) = self.bound.keys
        source = self.bound.source
        stored = key
        if isinstance(source, Domains) and source.of_addresses:
            stored = func.substr(key, func.instr(key, "@") + 1, type_=UntypedText())
        one = (
            select(cast(stored, Text))
            .select_from(self.bound.origin)
            .where(self._side(stored) == self._value(slot, Part.DOMAIN), *self.bound.where)
            .limit(literal_column("1"))
            .scalar_subquery()
        )
        nothing = [cast(null(), Text)] * (width + 1)
        number: ColumnElement[Any] = literal_column(str(self.number)).label("n")
        return select(number, *(c.label(f"c{i}") for i, c in enumerate([one, *nothing])))

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

    def _side(self, key: ColumnElement[Any]) -> ColumnElement[Any]:
        if not self.folded:
            return key
        text = cast(key, String) if self.bound.binary else key
        return func.lower(func.trim(text), type_=UntypedText())

    def _value(self, slot: int, part: Part) -> ColumnElement[Any]:
        return parameter(slot, self.place[part])

    # The rows

    def key_of(self, row: Row, wanted: Collection[str]) -> str | None:
        """The key of a row, None where it has none."""
        source, first = self.bound.source, row[1]
        if first is None:
            return None
        if isinstance(source, Domains):
            return self._domain_key(source, first, wanted)
        if len(self.bound.keys) == 2:
            return self._pair_key(as_text(first), row[2], wanted)
        if first in wanted and "@" in first:
            return str(first)
        text = as_text(first).strip()
        if text.startswith("@"):
            return _at(canonical_domain(text[1:]))
        if source.catch_all is CatchAll.BARE and "@" not in text:
            return _at(canonical_domain(text))
        return canonical(text) if source.exact else None

    def _domain_key(self, source: Domains, stored: object, wanted: Collection[str]) -> str | None:
        if stored in wanted:
            return str(stored)
        text = as_text(stored)
        return canonical_domain(text.rpartition("@")[2] if source.of_addresses else text)

    def _pair_key(self, local: str, domain: object, wanted: Collection[str]) -> str | None:
        source = self.bound.source
        if domain is None or not isinstance(source, Addresses):
            return None
        text = as_text(domain)
        star = source.catch_all is CatchAll.STAR and local.strip() == "*"
        if star or source.catch_all is CatchAll.LIKE:
            return _at(canonical_domain(text))
        whole = f"{local}@{text}"
        return whole if whole in wanted else canonical_pair(local, text)

    def fact(self, row: Row, key: str, now: float) -> Fact | None:
        """What a row says about ``key``; None where it says nothing."""
        if not self.only(row, now):
            return None
        if isinstance(self.bound.source, Domains):
            return self._domain_fact(self.bound.source, row, key, now)
        return self._address_fact(self.bound.source, row, key, now)

    def _domain_fact(self, source: Domains, row: Row, key: str, now: float) -> Fact | None:
        target = ""
        if self.target:
            target = canonical_domain(as_text(row[self.target] or "")) or ""
            if not target:
                return None
        enabled = self.enabled(row, now)
        relay = source.relays or (source.relay is not None and self.special(row, now))
        if self.bound.closed is not None and key not in self.bound.closed:
            return Fact(source.name, State.RELAY)
        if relay and (enabled or source.relay_always):
            return Fact(source.name, State.RELAY)
        return Fact(source.name, State.ACTIVE if enabled else State.DISABLED, stands_for=target)

    def _address_fact(self, source: Addresses, row: Row, key: str, now: float) -> Fact | None:
        for_all = key.startswith("@")
        goes_to, leads_on = self._goes_to(row, key)
        if not leads_on:
            return None
        state = State.ACTIVE if self.enabled(row, now) else State.DISABLED
        if for_all:
            state = State.ACTIVE if self.catch_all_enabled(row, now) else State.DISABLED
        if source.refuses or (source.refused is not None and self.special(row, now)):
            state = State.REFUSED
        elif source.busy:
            state = State.BUSY
        stands_for = ""
        if for_all and goes_to.startswith("@"):
            stands_for = canonical_domain(goes_to[1:]) or ""
        pattern = as_text(row[1]) if source.catch_all is CatchAll.LIKE else ""
        through = source.catch_all_through if for_all else source.through
        return Fact(source.name, state, stands_for, pattern, goes_to, through)

    def _goes_to(self, row: Row, key: str) -> tuple[str, bool]:
        """Where an alias leads, and whether that is anywhere else than to itself."""
        if not self.target:
            return "", True
        ends = row[self.target : self.target + 1 + self.many]
        targets = list(dict.fromkeys(as_text(end).strip() for end in ends if end is not None))
        if len(targets) == 1 and targets[0]:
            (target,) = targets
            own = _at(canonical_domain(target[1:])) if target.startswith("@") else canonical(target)
            return target, own != key
        return ", ".join(targets), True


def _at(domain: str | None) -> str | None:
    return None if domain is None else f"@{domain}"


def _judge(tests: tuple[Condition, ...], cells: list[Cell]) -> Judge:
    """Reserve the tests' cells, and make a function of a row that tells whether all hold."""
    spans = []
    for test in tests:
        begin = 3 + len(cells)
        cells.extend(test.cells)
        spans.append((test, begin, 3 + len(cells)))

    def judge(row: Row, now: float) -> bool:
        return all(
            test.holds([None if c is None else as_text(c) for c in row[a:b]], now)
            for test, a, b in spans
        )

    return judge


@dataclass(slots=True)
class SchemaTemplate:
    """Questions to some or all sources of a schema. Its answers have facts alone."""

    name: str
    branches: tuple[Branch, ...]
    scans: bool = False
    _built: dict[int, CompoundSelect[Any]] = field(init=False, default_factory=dict)

    def statement(self, size: int) -> CompoundSelect[Any]:
        """See :class:`check_user.directory.sql.templates.Template`."""
        if size not in self._built:
            width = max(branch.width for branch in self.branches)
            parts = [part for branch in self.branches for part in branch.selects(size, width)]
            self._built[size] = union_all(*parts)
        return self._built[size]

    def answers(
        self, asked: Sequence[tuple[str, Sequence[Slot]]], rows: Sequence[Row]
    ) -> list[Answer]:
        """See :class:`check_user.directory.sql.templates.Template`.

        All have all facts: whoever asked looks for their own keys among them.
        """
        if not rows:
            return [Answer(found=False)] * len(asked)
        values = {value for _, slots in asked for slot in slots for value in slot}
        wanted = frozenset(filter(PLAIN.fullmatch, values))
        facts: defaultdict[str, list[Fact]] = defaultdict(list)
        strays: list[str] = []
        now = time.time()
        for row in rows:
            branch = self.branches[row[0]]
            key = branch.key_of(row, wanted)
            if key is None:
                continue
            fact = branch.fact(row, key, now)
            if fact is not None:
                facts[key].append(fact)
            if key not in wanted and not _is_asked(key, values):
                strays.append(key)
        known = dict(facts) or NO_FACTS
        return [Answer(bool(facts), tuple(strays), facts=known)] * len(asked)


def _is_asked(key: str, values: Collection[str]) -> bool:
    """Whether a key is the canonical form of some value that was asked for."""
    bare = key.removeprefix("@")
    canon = canonical if "@" in bare else canonical_domain
    return any(canon(value.removeprefix("@")) == bare for value in values)


def merged(answers: Sequence[Answer]) -> Answer:
    """One answer of several questions about the same address."""

    def add(one: Answer, other: Answer) -> Answer:
        facts = {key: list(rows) for key, rows in one.facts.items()}
        for key, rows in other.facts.items():
            mine = facts.setdefault(key, [])
            mine.extend(row for row in rows if row not in mine)
        strays = tuple(dict.fromkeys((*one.strays, *other.strays)))
        return Answer(one.found or other.found, strays, facts=facts)

    return reduce(add, answers)
