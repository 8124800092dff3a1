"""What a schema's rows say: from a row of a source to a key and a fact about it.

A row is the source's number, the stored address (or local part and domain; else NULL), and the
cells that the source's conditions look at, all as text. What was judged once is remembered where
the time isn't part of it: flags have few values, and a busy domain's row comes with every lookup.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
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
from check_user.directory.sql.schema_catalogue import Bound
from check_user.directory.sql.templates import Row, as_text

FIRST_CELL = 3
"""Where in a row the cells begin."""

REMEMBERED = 1000
"""Judgements of one kind that are remembered."""

Judge = Callable[[Row, float], bool]


class Reader:
    """Reads the rows of one source. ``cells`` are what its rows must bring along; ``target`` is the
    place of what they lead to, 0 if nothing.
    """

    def __init__(self, bound: Bound) -> None:
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
        self.target = FIRST_CELL + len(cells) if target else 0
        self.cells = (*cells, *([Cell(target, Form.SHORT)] if target else []))

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
        if not self._only(row, now):
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
        enabled = self._enabled(row, now)
        relay = source.relays or (source.relay is not None and self._special(row, now))
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
        state = State.ACTIVE if self._enabled(row, now) else State.DISABLED
        if for_all:
            state = State.ACTIVE if self._enabled_for_all(row, now) else State.DISABLED
        if source.refuses or (source.refused is not None and self._special(row, now)):
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
        ends = row[self.target : self.target + 1 + self._many]
        targets = list(dict.fromkeys(as_text(end).strip() for end in ends if end is not None))
        if len(targets) == 1 and targets[0]:
            (target,) = targets
            own = _at(canonical_domain(target[1:])) if target.startswith("@") else canonical(target)
            return target, own != key
        return ", ".join(targets), True


def _at(domain: str | None) -> str | None:
    return None if domain is None else f"@{domain}"


def _never(_row: Row, _now: float) -> bool:
    return False


def _judge(conditions: tuple[Condition, ...], cells: list[Cell]) -> Judge:
    """Reserve the conditions' cells, and make a function of a row that tells whether all hold."""
    spans = []
    begin = FIRST_CELL + len(cells)
    for condition in conditions:
        first = len(cells) + FIRST_CELL - begin
        cells.extend(condition.cells)
        spans.append((condition, first, len(cells) + FIRST_CELL - begin))
    end = FIRST_CELL + len(cells)

    def judge(stored: tuple[Any, ...], now: float) -> bool:
        texts = [None if cell is None else as_text(cell) for cell in stored]
        return all(condition.holds(texts[a:b], now) for condition, a, b in spans)

    if not spans:
        return lambda row, now: True
    if any(_knows_time(condition) for condition in conditions):
        return lambda row, now: judge(tuple(row[begin:end]), now)
    known: dict[tuple[Any, ...], bool] = {}

    def remembering(row: Row, now: float) -> bool:
        stored = tuple(row[begin:end])
        found = known.get(stored)
        if found is None:
            found = judge(stored, now)
            if len(known) < REMEMBERED:
                known[stored] = found
        return found

    return remembering


def _knows_time(condition: Condition) -> bool:
    if isinstance(condition, Either):
        return any(_knows_time(each) for each in condition.tests)
    return isinstance(condition, Future)
