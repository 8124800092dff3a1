"""What a schema's rows say: from a row of a source to a key and a fact about it.

A row is the source's number, the stored address (or local part and domain), and the cells that the
source's conditions look at, all as text. What was judged once is remembered where the time isn't
part of it: flags have few values, and a busy domain's row comes with every lookup.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from check_user.address import canonical, canonical_domain, canonical_pair
from check_user.directory.order import Fact, State
from check_user.directory.schemas.declaration import (
    Addresses,
    CatchAll,
    Cell,
    Condition,
    Domains,
    Either,
    Form,
    Future,
)
from check_user.directory.sql.schema_catalogue import Bound, tests_of
from check_user.directory.sql.stored import as_text
from check_user.directory.sql.templates import Row

REMEMBERED = 1000
"""Rows, and judgements of one source, that are remembered."""

Judge = Callable[[Sequence[Any], float], bool]
Said = tuple[str | None, Fact | None]
"""A row's key, None where it has none, and what it says about it, None where that is nothing."""


class Reader:
    """Reads the rows of one source, which begin with a number and ``keys`` columns for the address.

    ``cells`` are what its rows must bring along; ``target`` is the place of what they lead to, 0 if
    nothing.
    """

    def __init__(self, bound: Bound, keys: int) -> None:
        self.bound = bound
        source = bound.source
        cells: list[Cell] = []
        self._only = _judge(source.only, cells)
        self._enabled = self._enabled_for_all = _judge(source.enabled, cells)
        self._special: Judge = _never
        self._many = False
        if isinstance(source, Addresses):
            if source.catch_all_enabled is not None:
                self._enabled_for_all = _judge(source.catch_all_enabled, cells)
            if source.refused is not None:
                self._special = _judge((source.refused,), cells)
            self._many = source.many
            target = source.goes_to
        else:
            if source.relay is not None:
                self._special = _judge((source.relay,), cells)
            target = source.stands_for
        self._first = 1 + keys
        self._end = self._first + len(cells)
        self.target = self._end if target else 0
        self.cells = (*cells, *([Cell(target, Form.SHORT)] if target else []))
        self._is_timeless = not any(map(_knows_time, tests_of(source)))
        self._is_pair = len(bound.keys) == 2
        self._states: dict[tuple[Any, ...], State | None] = {}
        self._rows: dict[Row, Said] = {}

    def read(self, row: Row, now: float, keys: Collection[str] = ()) -> Said:
        """The key of a row and the fact about it at the time ``now``.

        ``keys`` are some that were asked for: a text which is one is its own canonical form.
        """
        if not (isinstance(self.bound.source, Domains) and self._is_timeless):
            return self._read(row, now, keys)
        said = self._rows.get(row)
        if said is None:
            said = self._read(row, now, keys)
            if len(self._rows) < REMEMBERED:
                self._rows[row] = said
        return said

    def _read(self, row: Row, now: float, keys: Collection[str]) -> Said:
        key = self._key(row, keys)
        if key is None:
            return None, None
        source = self.bound.source
        state = self._state(row, now, for_all=key[0] == "@")
        if state is None:
            return key, None
        if isinstance(source, Domains):
            return key, self._domain_fact(source, row, key, state)
        return key, self._address_fact(source, row, key, state)

    # Whose row it is

    def _key(self, row: Row, keys: Collection[str]) -> str | None:
        source, first = self.bound.source, row[1]
        if first is None:
            return None
        if isinstance(source, Domains):
            text = as_text(first)
            return canonical_domain(text.rpartition("@")[2] if source.of_addresses else text)
        if self._is_pair:
            return _pair_key(self.bound, as_text(first), row[2], keys)
        if first in keys:
            return str(first)
        text = as_text(first).strip()
        if text.startswith("@"):
            return _at(canonical_domain(text[1:]))
        if source.catch_all is CatchAll.BARE and "@" not in text:
            return _at(canonical_domain(text))
        return canonical(text, keeps_case=self.bound.keeps_case) if source.exact else None

    # What it says

    def _state(self, row: Row, now: float, *, for_all: bool) -> State | None:
        """What its tests make of it; None where it is no row of the source's."""
        stored = (for_all, *row[self._first : self._end])
        if stored in self._states:
            return self._states[stored]
        state = self._judged(stored[1:], now, for_all=for_all)
        if self._is_timeless and len(self._states) < REMEMBERED:
            self._states[stored] = state
        return state

    def _judged(self, stored: Sequence[Any], now: float, *, for_all: bool) -> State | None:
        source = self.bound.source
        texts = [None if cell is None else as_text(cell) for cell in stored]
        if not self._only(texts, now):
            return None
        enabled = (self._enabled_for_all if for_all else self._enabled)(texts, now)
        if isinstance(source, Domains):
            relay = source.relays or self._special(texts, now)
            if relay and (enabled or source.relay_always):
                return State.RELAY
        elif source.refuses or self._special(texts, now):
            return State.REFUSED
        elif source.busy:
            return State.BUSY
        return State.ACTIVE if enabled else State.DISABLED

    def _domain_fact(self, source: Domains, row: Row, key: str, state: State) -> Fact | None:
        target = ""
        if self.target:
            target = canonical_domain(as_text(row[self.target] or "")) or ""
            if not target:
                return None
        if self.bound.closed is not None and key not in self.bound.closed:
            return Fact(source.name, State.RELAY)
        return Fact(source.name, state, target if state is not State.RELAY else "")

    def _address_fact(self, source: Addresses, row: Row, key: str, state: State) -> Fact | None:
        if not self.target and source.catch_all is None:
            return Fact(source.name, state, through=source.through)
        goes_to, leads_on = self._goes_to(row, key)
        if not leads_on:
            return None
        for_all = key.startswith("@")
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
        ends = row[self.target : self.target + 1 + self._many]
        targets = list(dict.fromkeys(as_text(end).strip() for end in ends if end is not None))
        if len(targets) == 1 and targets[0]:
            (target,) = targets
            if target.startswith("@"):
                return target, _at(canonical_domain(target[1:])) != key
            return target, canonical(target, keeps_case=self.bound.keeps_case) != key
        # The first and the last of several; what isn't an address may lead anywhere.
        return ", ..., ".join(targets), True


def _pair_key(bound: Bound, local: str, domain: object, keys: Collection[str]) -> str | None:
    if domain is None:
        return None
    text = as_text(domain)
    catch_all = bound.source.catch_all if isinstance(bound.source, Addresses) else None
    star = catch_all is CatchAll.STAR and local.strip() == "*"
    if star or catch_all is CatchAll.LIKE:
        return _at(canonical_domain(text))
    whole = f"{local}@{text}"
    return whole if whole in keys else canonical_pair(local, text, keeps_case=bound.keeps_case)


def _at(domain: str | None) -> str | None:
    return None if domain is None else f"@{domain}"


def _never(_stored: Sequence[Any], _now: float) -> bool:
    return False


def _judge(conditions: tuple[Condition, ...], cells: list[Cell]) -> Judge:
    """Reserve the conditions' cells, and make a function of theirs that tells whether all hold."""
    spans = []
    for condition in conditions:
        begin = len(cells)
        cells.extend(condition.cells)
        spans.append((condition, begin, len(cells)))
    return lambda stored, now: all(test.holds(stored[a:b], now) for test, a, b in spans)


def _knows_time(condition: Condition) -> bool:
    if isinstance(condition, Either):
        return any(_knows_time(each) for each in condition.tests)
    return isinstance(condition, Future)
