"""Telemetry wraps the check: an event and a count a decision, and never in its way."""

from __future__ import annotations

import asyncio
import os
import statistics
import time

import pytest

from check_user import verdict
from check_user.check import Decision
from check_user.protocols import Lookup
from check_user.telemetry import Journal, Level, Telemetry
from check_user.telemetry.record import Decided, Record, Said
from check_user.verdict import Reason, Verdict


class Kept(Journal):
    """A journal that keeps its records, besides writing them to nowhere."""

    def __init__(self, level: Level = Level.INFO) -> None:
        self.records: list[Record] = []
        super().__init__(os.open(os.devnull, os.O_WRONLY), level=level)

    def take(self, record: Record) -> None:
        if record.level >= self.level:
            self.records.append(record)
        super().take(record)


def telemetry(decision: Decision | Exception, journal: Journal) -> Telemetry:
    async def decide(_: Lookup) -> Decision:
        if isinstance(decision, Exception):
            raise decision
        return decision

    return Telemetry(decide, journal)


async def asked(observed: Telemetry, door: str, lookup: Lookup) -> Verdict:
    """What a door is told, whether at once or later."""
    answer = observed.decide(door)(lookup)
    return answer if isinstance(answer, Verdict) else await answer


KNOWN = Decision(verdict.known("anna@example.org"), "anna@example.org")
FOREIGN = Decision(verdict.foreign("x@example.net"), "x@example.net")
UNKNOWN = Decision(verdict.unknown("nobody@example.org"), "nobody@example.org")
FAULT = Decision(verdict.FAULT, "anna@example.org", "no route to host")


async def test_one_event_a_decision() -> None:
    """A decision is one event with verdict, address, door, client, duration and cause."""
    journal = Kept()
    before = time.time()
    said = await asked(telemetry(FAULT, journal), "policy", Lookup("Anna@x", client="192.0.2.1"))
    assert said is verdict.FAULT
    (record,) = journal.records
    assert isinstance(record, Decided)
    assert record[1:6] == (
        "policy",
        verdict.FAULT,
        "anna@example.org",
        "192.0.2.1",
        "no route to host",
    )
    assert before <= record.time <= time.time()
    assert 0 <= record.seconds < 1
    assert record.level is Level.WARNING
    journal.close()


@pytest.mark.parametrize(
    ("decision", "lines"),
    [
        (KNOWN, ["Local address 'anna@example.org'"]),
        (FOREIGN, ["Foreign address 'x@example.net'"]),
        (UNKNOWN, []),
        (FAULT, []),
    ],
)
async def test_the_originals_debug_lines(decision: Decision, lines: list[str]) -> None:
    """At debug level a DECLINED has the original's line as well, and at info it hasn't."""
    for level in (Level.DEBUG, Level.INFO):
        journal = Kept(level)
        await asked(telemetry(decision, journal), "line", Lookup("x"))
        said = [record.message for record in journal.records if isinstance(record, Said)]
        assert said == (lines if level is Level.DEBUG else [])
        assert len(journal.records) == len(said) + 1
        journal.close()


async def test_at_warning_only_faults() -> None:
    """At level warning, faults are logged and other decisions aren't; all are counted."""
    journal = Kept(Level.WARNING)
    counts: dict[tuple[str, Reason], int] = {}
    for decision in (KNOWN, UNKNOWN, FAULT, FAULT):
        observed = telemetry(decision, journal)
        await asked(observed, "line", Lookup("x"))
        for key, number in observed.counts.items():
            counts[key] = counts.get(key, 0) + number
    assert len(journal.records) == 2
    assert counts == {
        ("line", Reason.KNOWN): 1,
        ("line", Reason.UNKNOWN): 1,
        ("line", Reason.FAULT): 2,
    }
    journal.close()


async def test_a_check_that_raises_is_a_fault() -> None:
    """An exception from below is DENYSOFT with its cause in the log; a cancellation passes."""
    journal = Kept()
    said = await asked(telemetry(RuntimeError("boom"), journal), "line", Lookup("a@b"))
    assert said is verdict.FAULT
    (record,) = journal.records
    assert isinstance(record, Decided)
    assert (record.cause, record.address) == ("RuntimeError: boom", "a@b")

    async def never(_: Lookup) -> Decision:
        await asyncio.Event().wait()
        raise AssertionError

    async def ask() -> None:
        await asked(Telemetry(never, journal), "line", Lookup("a@b"))

    task = asyncio.create_task(ask())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(journal.records) == 1
    journal.close()


async def test_a_long_address_is_cut() -> None:
    """A record holds a bounded part of a malformed address, whatever its length."""
    journal = Kept()
    malformed = Decision(verdict.MALFORMED, "", "too long" * 1000)
    await asked(telemetry(malformed, journal), "line", Lookup("x" * 65536, client="y" * 65536))
    (record,) = journal.records
    assert isinstance(record, Decided)
    assert sum(map(len, (record.address, record.cause, record.client))) <= 960
    journal.close()


async def test_it_costs_microseconds() -> None:
    """Observing a decision costs the event loop at most 10 microseconds (median of batches)."""
    journal = Journal(os.open(os.devnull, os.O_WRONLY))
    observe = telemetry(KNOWN, journal)._observe
    lookup = Lookup("anna@example.org")
    batches = []
    for _ in range(50):
        started = time.thread_time()
        for _ in range(100):
            observe("line", lookup, KNOWN, 0.001)
        batches.append((time.thread_time() - started) / 100)
    journal.close()
    assert statistics.median(batches) < 10e-6


async def test_a_decision_at_once() -> None:
    """What the check knows without waiting is told without waiting, and is an event like others."""
    journal = Kept()
    observed = Telemetry(lambda _: KNOWN, journal)
    assert observed.decide("line")(Lookup("anna@example.org")) is KNOWN.verdict
    (record,) = journal.records
    assert isinstance(record, Decided)
    assert record.address == "anna@example.org"


async def test_an_exception_at_once() -> None:
    """A check that raises before it waits is a fault too."""

    def broken(_: Lookup) -> Decision:
        raise RuntimeError("boom")

    assert Telemetry(broken, Kept()).decide("line")(Lookup("a@b")) is verdict.FAULT
