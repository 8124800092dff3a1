"""The listing of a schema: its sources one after the other, judged as a lookup's rows are.

A domain's entry says what is true of addresses in it that aren't listed:

- ``unknown``, where all are; ``relay domain``;
- ``ask``, where a list can't say it: the domain stands for another one, or has a catch-all (which
  takes nobody's extension before the address without it was looked for), or patterns.

Addresses in domains that aren't ours are left out. Refusals and mailboxes that are busy come from
tables of their own: they are read first and held, so that no other row makes them known.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing

from sqlalchemy import func, select

from check_user.directory import Presence
from check_user.directory.listing import ASK, Batches, Entry
from check_user.directory.order import TAKING_NOBODY, Fact, State, is_ours, stands_for
from check_user.directory.sql.options import SqlOptions
from check_user.directory.sql.schema_branch import Branch, slots_of
from check_user.directory.sql.schema_catalogue import Bound
from check_user.directory.sql.session import Session
from check_user.directory.sql.stored import shown
from check_user.directory.sql.streaming import BATCH, Streaming
from check_user.directory.sql.templates import Row

Read = AsyncGenerator[Sequence[tuple[str, Fact]], None]

PRESENCES = {
    State.ACTIVE: Presence.KNOWN.value,
    State.DISABLED: Presence.DISABLED.value,
    State.REFUSED: Presence.REFUSED.value,
    State.BUSY: Presence.BUSY.value,
    State.FULL: Presence.FULL.value,
}


class SchemaListing(Streaming):
    """See :class:`check_user.directory.listing.Listing`."""

    def __init__(
        self, session: Session, sources: Sequence[Bound], options: SqlOptions, stall: float
    ) -> None:
        super().__init__(session, stall)
        slots, dialect = slots_of(sources), session.dialect.name
        self._branches = [
            Branch(number, bound, False, dialect, slots) for number, bound in enumerate(sources)
        ]
        self._extensions = bool(options.delimiters or options.delimiters_at)
        self._check_targets = options.check_targets
        self._ours: set[str] = set()

    async def count(self) -> int:
        """See :class:`check_user.directory.listing.Listing`."""
        total = 0
        for branch in self._of_addresses():
            origin = branch.bound.origin
            total += await self._count(
                select(func.count()).select_from(origin).where(*branch.bound.where)
            )
        return total

    async def domains(self) -> Batches:
        """See :class:`check_user.directory.listing.Listing`."""
        facts = await self.domain_facts()
        entries = list(self._domain_entries(facts))
        self._ours = {domain for domain, _ in entries}
        for begin in range(0, len(entries), BATCH):
            yield entries[begin : begin + BATCH]

    async def recipients(self) -> Batches:
        """See :class:`check_user.directory.listing.Listing`."""
        held: dict[str, str] = {}
        for branch in self._of_addresses():
            if branch.is_special:
                async with aclosing(self._read(branch)) as batches:
                    async for rows in batches:
                        held |= {key: PRESENCES[fact.state] for key, fact in rows}
        special = list(self._wanted(held.items()))
        for begin in range(0, len(special), BATCH):
            yield special[begin : begin + BATCH]
        for branch in self._of_addresses():
            if not branch.is_special:
                async with aclosing(self._read(branch)) as batches:
                    async for rows in batches:
                        entries = ((key, self._word(fact)) for key, fact in rows)
                        yield [entry for entry in self._wanted(entries) if entry[0] not in held]

    async def domain_facts(self) -> dict[str, list[Fact]]:
        """All that is said about domains, and about everybody in them."""
        facts: dict[str, list[Fact]] = {}
        for branch in self._branches:
            if branch.serves_everybody or not branch.bound.is_about_addresses:
                await self._gather(facts, self._read(branch, everybody=True))
        return facts

    async def recipient_facts(self) -> dict[str, list[Fact]]:
        """All that is said about addresses."""
        facts: dict[str, list[Fact]] = {}
        for branch in self._of_addresses():
            await self._gather(facts, self._read(branch))
        return facts

    async def _gather(self, facts: dict[str, list[Fact]], batches: Read) -> None:
        async with aclosing(batches):
            async for rows in batches:
                for key, fact in rows:
                    known = facts.setdefault(key, [])
                    if fact not in known:
                        known.append(fact)

    def _of_addresses(self) -> Iterator[Branch]:
        return (branch for branch in self._branches if branch.is_listed)

    def _word(self, fact: Fact) -> str:
        """What an address is by one row; ``ask`` where its destination matters."""
        if self._check_targets and fact.goes_to and fact.state is State.ACTIVE:
            return ASK
        return PRESENCES[fact.state]

    def _wanted(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Those about addresses in domains of ours."""
        for key, word in entries:
            if not key.startswith("@") and key.rpartition("@")[2] in self._ours:
                yield key, word

    def _domain_entries(self, facts: dict[str, list[Fact]]) -> Iterator[Entry]:
        for domain, about in facts.items():
            if domain.startswith("@") or not is_ours(about):
                continue
            everybody = [f for f in facts.get(f"@{domain}", ()) if f.state not in TAKING_NOBODY]
            unsure = any(fact.pattern or fact.state is not State.ACTIVE for fact in everybody)
            if stands_for(domain, facts) or unsure:
                yield domain, ASK
            elif everybody:
                yield domain, ASK if self._extensions else Presence.CATCH_ALL.value
            elif any(fact.state is State.RELAY for fact in about):
                yield domain, Presence.RELAY.value
            else:
                yield domain, Presence.UNKNOWN.value

    async def _read(self, branch: Branch, *, everybody: bool = False) -> Read:
        async with aclosing(self._batches(branch.listing(everybody=everybody))) as batches:
            async for rows in batches:
                yield list(self._facts(branch, rows))

    def _facts(self, branch: Branch, rows: Sequence[Row]) -> Iterator[tuple[str, Fact]]:
        now = time.time()
        for row in rows:
            key, fact = branch.reader.read(row, now)
            if key is not None:
                if fact is not None:
                    yield key, fact
            elif row[1] is not None:
                self.skipped.note(shown(row[1 : 1 + len(branch.bound.keys)]))
