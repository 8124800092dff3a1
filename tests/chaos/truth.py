"""The truth: what was so when, and which answers it allows.

Accounts and the database have a :class:`Timeline` each. Whoever changes one notes that it is no
longer sure before the change, and what is so when the change is done; so a state that a timeline
gives for a span of time held for all of it. Times are seconds of the monotonic clock.

A question was asked and answered at two moments. Of an answer that begins with

``DENY``
    the user must not have been there all that time. While the database is away the replica may
    still refuse whom it doesn't have, as long as its listing is younger than ``deny_max_age``: the
    user must have been missing at some time since then. After that, nobody may be refused.
``DECLINED known``
    the user must not have been gone all that time, unless no listing has begun since then and
    been in place for SETTLED seconds.
``DENYSOFT``
    is always allowed but for the users who have been there from the beginning; there must be
    few of them while the database can be asked.

While the database answers it is listed: a listing may not be older than LISTED seconds of it.

Whoever has been there since the first listing is known, whatever happens; whoever never was is
never known; and whoever is at a foreign domain is foreign, or can't be told.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Generic, TypeVar

SETTLED = 5.0
"""Seconds after which a database that has come back must be asked again, and a listing in place be
used. It takes two at most, and a quarter of one; the machine may have other work."""

LISTED = 60.0
"""Seconds of a database that answers: it is listed each second, or in twenty times what that takes
(a second on a busy machine), and five seconds after a failure."""

LATEST = 3.5
"""Seconds that an answer may take: the lookup's three, and the machine's own."""

Here = bool | None
"""There, gone, or not sure."""

StateT = TypeVar("StateT")


class Timeline(Generic[StateT]):
    """What was so since when."""

    def __init__(self, state: StateT) -> None:
        """``state`` since ever."""
        self._times = [float("-inf")]
        self._states = [state]

    def set(self, at: float, state: StateT) -> None:
        """From now on."""
        self._times.append(at)
        self._states.append(state)

    @property
    def now(self) -> StateT:
        """The latest."""
        return self._states[-1]

    def always(self, state: StateT, begin: float, end: float) -> bool:
        """Whether it was so from ``begin`` to ``end``."""
        first, last = bisect_right(self._times, begin) - 1, bisect_right(self._times, end)
        return all(each == state for each in self._states[first:last])

    def since(self, state: StateT, end: float) -> float | None:
        """Since when it had been so at ``end``, without a break; None if it wasn't."""
        place = bisect_right(self._times, end) - 1
        begun = None
        while place >= 0 and self._states[place] == state:
            begun = self._times[place]
            place -= 1
        return begun

    def total(self, state: StateT, begin: float, end: float) -> float:
        """The seconds between ``begin`` and ``end`` in which it was so."""
        until = [*self._times[1:], end]
        spans = zip(self._states, self._times, until, strict=True)
        return sum(
            max(min(after, end) - max(before, begin), 0.0)
            for each, before, after in spans
            if each == state
        )

    def at(self, time: float) -> StateT:
        """What was so then."""
        return self._states[bisect_right(self._times, time) - 1]


class Database(Enum):
    """Whether it can be asked."""

    ANSWERS = auto()
    CHANGES = auto()
    AWAY = auto()


@dataclass
class Truth:
    """Everything that is known, the answers so far by their kind, and those that were wrong."""

    deny_max_age: float
    accounts: dict[str, Timeline[Here]]
    stable: frozenset[str]
    ours: frozenset[str]
    database: Timeline[Database] = field(default_factory=lambda: Timeline(Database.ANSWERS))
    listed: Timeline[float] = field(default_factory=lambda: Timeline(float("-inf")))
    """When the listing in place began."""
    starved: float = 0.0
    """The most seconds that the database answered without a new listing."""
    answers: Counter[str] = field(default_factory=Counter)
    settled: Counter[str] = field(default_factory=Counter)
    """Those that were given while the database could be asked."""
    wrong: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    """What was wrong, and how often."""
    slowest: float = 0.0

    def judge(self, address: str, answer: str, asked: float, answered: float) -> None:
        """Note an answer, and whether it is wrong."""
        kind = "DENY" if answer.startswith("DENY ") else answer.partition(" Internal")[0]
        self.answers[kind] += 1
        if self.database.always(Database.ANSWERS, asked - SETTLED, answered):
            self.settled[kind] += 1
        took = answered - asked
        self.slowest = max(self.slowest, took)
        fault = self._fault(address, kind, asked, answered)
        if took > LATEST:
            fault = f"{fault} late".strip()
        if fault:
            self.faults[fault] += 1
            self.wrong.append(f"{fault}: {address}: {answer} after {took:.3f} s at {answered:.3f}")

    def note_listing(self, begun: float, at: float) -> None:
        """The listing that is in place began then."""
        if self.listed.now > float("-inf"):
            idle = self.database.total(Database.ANSWERS, self.listed.now, at)
            self.starved = max(self.starved, idle)
        if begun != self.listed.now:
            self.listed.set(at, begun)

    def _fault(self, address: str, kind: str, asked: float, answered: float) -> str:
        if address in self.stable:
            return "" if kind == "DECLINED known" else "not known"
        if address.rpartition("@")[2] not in self.ours:
            return "" if kind in {"DECLINED foreign", "DENYSOFT"} else "not foreign"
        here = self.accounts.get(address) or Timeline[Here](False)
        match kind:
            case "DENY":
                return self._refusal(here, asked, answered)
            case "DECLINED known":
                return self._acceptance(here, asked, answered)
            case "DENYSOFT":
                return ""
        return "no answer for it"

    def _refusal(self, here: Timeline[Here], asked: float, answered: float) -> str:
        bound = asked - self.deny_max_age
        if self.database.always(Database.AWAY, bound, answered):
            return "refused on an old listing"
        if not here.always(True, asked, answered):
            return ""
        if self.database.always(Database.ANSWERS, asked - SETTLED, answered):
            return "false refusal"
        return "false refusal, the listing too" if here.always(True, bound, answered) else ""

    def _acceptance(self, here: Timeline[Here], asked: float, answered: float) -> str:
        gone = here.since(False, answered)
        if gone is None or gone > asked:
            return ""
        if gone == float("-inf"):
            return "accepted, and never was there"
        in_it = gone > self.listed.at(asked - SETTLED) - SETTLED
        return "" if in_it else "accepted, gone from the listing"

    def __str__(self) -> str:
        """Write one line: what was counted."""
        return (
            f"{self.answers.total()} questions: {dict(self.answers)}; while the database could be "
            f"asked: {dict(self.settled)}; slowest {self.slowest:.3f} s; at most "
            f"{self.starved:.0f} s of an answering database without a listing; "
            f"{dict(self.faults) or 'none'} wrong"
        )
