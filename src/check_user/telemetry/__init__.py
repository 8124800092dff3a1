"""Telemetry: wraps the check, once. An event a decision, and a count of every kind of them.

``Telemetry.decide(door)`` is what a server is given: a lookup in, a verdict out. It measures the
decision, counts it by door and reason, and puts it into the journal (``journal``, whose lines are
made in ``record``). It never waits for a log and never fails; an exception from below, which the
check should have made a verdict of, is one here.

There is a line for every decision, faults too, without a limit for those that repeat: somebody who
looks for one mail must find it, and the journal's bound keeps a flood from doing harm.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from time import perf_counter, time
from typing import Any

from check_user import verdict
from check_user.check import Decision, describe
from check_user.protocols import Lookup
from check_user.telemetry.journal import Forwarded, Journal, writer
from check_user.telemetry.record import Decided, Level, Said, printable
from check_user.verdict import Action, Reason, Verdict

__all__ = ["Decide", "Forwarded", "Journal", "Level", "Telemetry", "printable", "writer"]

LONGEST_TEXT = 320
"""Characters of an address or a cause that are kept; a longest path has 256 octets (RFC 5321)."""

Decide = Callable[[Lookup], Verdict | Coroutine[Any, Any, Verdict]]
"""A verdict at once, or a coroutine of one."""

_DEBUG = Level.DEBUG
_INFO = Level.INFO
_FAULT = Reason.FAULT
_DECLINED = Action.DECLINED


class Telemetry:
    """Observes ``decide``, which makes a decision of a lookup, and tells ``journal``."""

    def __init__(
        self,
        decide: Callable[[Lookup], Decision | Awaitable[Decision]],
        journal: Journal,
    ) -> None:
        """Begin with every count at zero."""
        self._decide = decide
        self._journal = journal
        self._counts: defaultdict[tuple[str, str], int] = defaultdict(int)

    @property
    def counts(self) -> dict[tuple[str, Reason], int]:
        """How many decisions there were, by door and reason."""
        return {(door, Reason(word)): number for (door, word), number in self._counts.items()}

    def decide(self, door: str) -> Decide:
        """Give the function that answers the lookups of one door."""

        def observed(lookup: Lookup) -> Verdict | Coroutine[Any, Any, Verdict]:
            started = perf_counter()
            try:
                decision = self._decide(lookup)
            except Exception as error:  # noqa: BLE001 - the last door: every failure is DENYSOFT
                decision = Decision(verdict.FAULT, "", describe(error))
            if not isinstance(decision, Decision):
                return self._wait(door, lookup, decision, started)
            self._observe(door, lookup, decision, perf_counter() - started)
            return decision.verdict

        return observed

    async def _wait(
        self, door: str, lookup: Lookup, pending: Awaitable[Decision], started: float
    ) -> Verdict:
        try:
            decision = await pending
        except Exception as error:  # noqa: BLE001 - the last door: every failure is DENYSOFT
            decision = Decision(verdict.FAULT, "", describe(error))
        self._observe(door, lookup, decision, perf_counter() - started)
        return decision.verdict

    def _observe(self, door: str, lookup: Lookup, decision: Decision, seconds: float) -> None:
        said = decision.verdict
        # the word, not the member, whose hash is Python code; as for _DEBUG, see ``record``
        self._counts[door, said.reason._value_] += 1
        journal = self._journal
        if journal.level > _INFO and said.reason is not _FAULT:
            return
        now = time()
        if journal.level is _DEBUG and said.action is _DECLINED:
            journal.put(Said(now, _DEBUG, said.text))
        journal.take(
            Decided(
                now,
                door,
                said,
                (decision.address or lookup.text)[:LONGEST_TEXT],
                lookup.client[:LONGEST_TEXT],
                decision.cause[:LONGEST_TEXT],
                seconds,
                decision.source,
            )
        )
