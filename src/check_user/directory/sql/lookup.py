"""The lookup: which questions make one answer.

For a plain address (ASCII, one spelling)::

    1. recipient            the address, and its domain beside it: one round trip for most

For others, and where that could not tell::

    1. exact address        found -> KNOWN
    2. exact domain         not found -> 3, else 4
    3. folded domain        not found -> FOREIGN
    4. folded address       found -> KNOWN, else UNKNOWN

3 and 4 exist where the column compares case-sensitively (PostgreSQL, SQLite, ``_bin``): a row that
was stored as ``Anna@Example.ORG`` is Anna's all the same. They read the whole table unless there is
an index on ``lower(trim(column))``; with one, the first question uses it and is the only one.
``stored_form=canonical`` says that there are no such rows.

UNKNOWN is only ever said after the database itself said "no row" to a question whose connection was
in AUTOCOMMIT, and "ours" for the domain (rule V1). Anything else is raised as Unavailable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import perf_counter

from check_user.address import Address, Domain
from check_user.directory import Presence, Status, Step, Trace
from check_user.directory.sql.at_once import AtOnce
from check_user.directory.sql.catalogue import Catalogue
from check_user.directory.sql.pool import Pool
from check_user.directory.sql.questions import Unstorable
from check_user.directory.sql.templates import (
    Answer,
    Report,
    Slot,
    Template,
    parameters,
    united,
)

_KNOWN, _UNKNOWN, _FOREIGN = Presence.KNOWN, Presence.UNKNOWN, Presence.FOREIGN


class SqlDirectory:
    """A directory in a SQL database. Made by ``open_directory``."""

    def __init__(
        self, pool: Pool, catalogue: Catalogue, report: Report, at_once: AtOnce | None = None
    ) -> None:
        self._pool = pool
        self._at_once = at_once
        self._catalogue = catalogue
        self._report = report
        self._strays: set[str] = set()
        self._pair = len(catalogue.exact.columns) == 2
        self._case_blind = catalogue.is_case_blind

    def find_at_once(self, address: Address) -> Presence | None:
        """See :class:`check_user.directory.Prompt`: what SQLite can tell by the first question."""
        if self._at_once is None:
            return None
        plain = self._plain(address)
        answer = self._at_once.ask(address.key, plain) if plain is not None else None
        if answer is None:
            return None
        if answer.found:
            return _KNOWN
        catalogue, ours = self._catalogue, answer.ours
        if answer.strays or ours is None or not (ours or catalogue.knows_domains):
            return None
        if not ours:
            return _FOREIGN
        return _UNKNOWN if catalogue.folded is None or catalogue.knows_addresses else None

    async def find(self, address: Address, trace: Trace | None = None) -> Presence:
        """See :class:`check_user.directory.Directory`."""
        catalogue = self._catalogue
        plain = self._plain(address)
        if plain is not None:
            answer = await self._ask(catalogue.recipients, address.key, (plain,), trace)
        else:
            slots = self._slots(address.spellings)
            answer = await self._ask(catalogue.exact, address.key, slots, trace)
        if answer.found:
            return Presence.KNOWN
        ours = answer.ours
        if ours is None or not (ours or catalogue.knows_domains):
            ours = await self._is_ours(address.domain, trace)
        if not ours:
            return Presence.FOREIGN
        if catalogue.folded is None or (plain is not None and catalogue.knows_addresses):
            return Presence.UNKNOWN
        folded = self._slots(address.folded_spellings)
        answer = await self._ask(catalogue.folded, address.key, folded, trace)
        return Presence.KNOWN if answer.found else Presence.UNKNOWN

    def _plain(self, address: Address) -> Slot | None:
        """The slot of an address that has one spelling; None for one that has several."""
        spellings = address.folded_spellings if self._case_blind else address.spellings
        if len(spellings) != 1 or not address.key.isascii():
            return None
        if self._pair:
            return spellings[0]
        key = "@".join(spellings[0]) if address.keeps_case else address.key
        return key, address.domain.key

    async def find_domain(self, domain: Domain, trace: Trace | None = None) -> Presence:
        """See :class:`check_user.directory.Directory`."""
        return Presence.KNOWN if await self._is_ours(domain, trace) else Presence.FOREIGN

    def status(self) -> Status:
        """See :class:`check_user.directory.Directory`."""
        if self._pool.broken:
            return Status(available=False, sentence=f"can't be asked: {self._pool.broken}")
        return Status(available=True, sentence=f"asking {self._pool.endpoint}")

    async def aclose(self) -> None:
        """See :class:`check_user.directory.Directory`."""
        if self._at_once is not None:
            self._at_once.close()
        await self._pool.close()

    async def _is_ours(self, domain: Domain, trace: Trace | None) -> bool:
        catalogue, key = self._catalogue, domain.key
        looks = [(catalogue.domain, catalogue.every_domain, domain.spellings)]
        if catalogue.domain_folded is not None:
            folded = (catalogue.domain_folded, catalogue.every_domain_folded)
            looks.append((*folded, domain.folded_spellings))
        for one, every, spellings in looks:
            slots = tuple((spelling,) for spelling in spellings)
            answer = await self._ask(one, key, slots, trace)
            if answer.strays and not answer.found:
                answer = await self._ask(every, key, slots, trace)
            if answer.found:
                return True
        return False

    def _slots(self, spellings: Iterable[tuple[str, str]]) -> tuple[Slot, ...]:
        if self._pair:
            return tuple(spellings)
        return tuple((f"{local}@{domain}",) for local, domain in spellings)

    async def _ask(
        self, template: Template, key: str, slots: tuple[Slot, ...], trace: Trace | None
    ) -> Answer:
        begun = perf_counter() if trace else 0.0
        if len(slots) == 1:
            answer = await self._pool.ask(template, key, slots)
        else:
            answer = await self._answer(template, key, slots)
        if answer.strays and not template.scans:  # a folded look-alike may be our own folding's
            self._note_strays(key, answer.strays)
        if trace is not None:
            took = (perf_counter() - begun) * 1000
            trace(self._step(template, slots, answer, took))
        return answer

    async def _answer(self, template: Template, key: str, slots: tuple[Slot, ...]) -> Answer:
        """Ask for all spellings at once; each alone where the column can't hold one of them."""
        try:
            return await self._pool.ask(template, key, slots)
        except Unstorable:
            alone = (self._pool.ask(template, key, (slot,)) for slot in slots)
            return united(await asyncio.gather(*alone))

    def _step(
        self, template: Template, slots: tuple[Slot, ...], answer: Answer, milliseconds: float
    ) -> Step:
        size, _ = parameters(slots)
        values = tuple("@".join(slot) if len(slot) == 2 else slot[0] for slot in slots)
        query = " ".join(str(template.statement(size)).split())
        return Step(template.name, query, values, answer.rows, "database", milliseconds)

    def _note_strays(self, key: str, strays: tuple[str, ...]) -> None:
        """A looser collation than addresses have is a finding (rule V3), told once a row."""
        for stray in strays:
            if stray not in self._strays and len(self._strays) < REMEMBERED:
                self._strays.add(stray)
                self._report(
                    f"the database takes '{stray}' for '{key}': its collation is looser than "
                    "addresses are; it isn't taken as a match"
                )


REMEMBERED = 100
"""Look-alike rows that are told; a loose collation and a guessing sender could make a million."""
