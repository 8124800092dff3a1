"""The lookup in a schema: one statement for most answers.

Asked together are the address, its bases without extension, its domain, and everybody's row in it.
What else may have to be asked, each time only if the answer isn't in yet:

- the same in the domain that an alias domain stands for. Which one that was is remembered, and then
  asked at once; the rows say whether it still holds;
- rows stored in another case or with spaces around them, where a column compares case-sensitively
  and has no index on its folded form: first the domains', then, if the domain is ours and the
  address itself wasn't found, the addresses';
- with ``check_targets``, the local addresses to which an alias goes.

What the rows mean is decided in :mod:`check_user.directory.order`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from check_user.address import Address, Domain, parse, parse_domain
from check_user.directory import Presence, Status, Step, Trace
from check_user.directory.order import Fact, Facts, Found, State, decide, is_ours
from check_user.directory.sql.plans import PROBE
from check_user.directory.sql.pool import Pool
from check_user.directory.sql.questions import Unstorable
from check_user.directory.sql.schema_template import merged
from check_user.directory.sql.slots import Slots
from check_user.directory.sql.templates import (
    SIZES,
    Answer,
    Report,
    Slot,
    Template,
    parameters,
)

REMEMBERED = 10_000
"""Alias domains whose target is remembered: 2 MB at most."""

REPORTED = 100
"""Look-alike rows that are told."""

MOST_SLOTS = SIZES[-1]

MOST_TARGETS = 20
"""Destinations of an alias that are looked up; one that has more is taken to lead somewhere."""


@dataclass(frozen=True, slots=True)
class Looks:
    """The statements: all sources (or two, asked at the same time); all domains; and what is left
    for a second, folded look.

    ``is_case_blind`` says that the first look finds what is stored in whatever case; ``is_mixed``
    that some of its sources are compared folded, and others aren't.
    """

    first: Template
    beside: Template | None
    domains: Template
    folded: Template | None
    folded_domains: Template | None
    slots: Slots
    is_case_blind: bool
    is_mixed: bool = False

    @property
    def templates(self) -> tuple[Template, ...]:
        """All of them."""
        every = (self.first, self.beside, self.domains, self.folded, self.folded_domains)
        return tuple(template for template in every if template is not None)

    @property
    def proof(self) -> Template:
        """The statement that a fresh connection must answer,"""
        return self.first

    @property
    def probe(self) -> Slot:
        """and what it is asked for."""
        return self.slots.of("postmaster", PROBE)


@dataclass(frozen=True, slots=True)
class AddressRules:
    """What a site says about addresses.

    ``delimiters`` may begin an extension, ``delimiters_at`` those of domains (by key) with their
    own. ``check_targets`` says that an alias whose destinations are all ours must have one that is
    there.
    """

    delimiters: str
    delimiters_at: Mapping[str, str]
    check_targets: bool


class SchemaDirectory:
    """A directory in the tables of a schema, or behind a site's own queries."""

    def __init__(self, pool: Pool, looks: Looks, rules: AddressRules, report: Report) -> None:
        self._pool = pool
        self._looks = looks
        self._rules = rules
        self._report = report
        self._targets: dict[str, str] = {}
        self._strays: set[str] = set()

    async def find(self, address: Address, trace: Trace | None = None) -> Presence:
        """See :class:`check_user.directory.Directory`."""
        found, facts = await self._search(address, trace)
        if self._rules.check_targets and found.facts and found.facts[0].goes_to:
            found = await self._with_targets(address, found, facts, trace)
        if trace is not None:
            trace(Step(found.why(address), "", (), (), "", 0.0))
        return found.presence

    async def find_domain(self, domain: Domain, trace: Trace | None = None) -> Presence:
        """See :class:`check_user.directory.Directory`."""
        looks = self._looks
        slots = tuple(looks.slots.of("", spelling) for spelling in domain.spellings)
        facts = (await self._ask(looks.domains, domain.key, slots, trace)).facts
        facts = await self._with_domain(domain, facts, trace)
        return Presence.KNOWN if is_ours(facts.get(domain.key, ())) else Presence.FOREIGN

    def status(self) -> Status:
        """See :class:`check_user.directory.Directory`."""
        if self._pool.broken:
            return Status(available=False, sentence=f"can't be asked: {self._pool.broken}")
        return Status(available=True, sentence=f"asking {self._pool.endpoint}")

    async def aclose(self) -> None:
        """See :class:`check_user.directory.Directory`."""
        await self._pool.close()

    # The search

    async def _search(self, address: Address, trace: Trace | None) -> tuple[Found, Facts]:
        looks, domain = self._looks, address.domain
        delimiters = self._delimiters(domain)
        names = (address, *address.without_extension(delimiters)) if delimiters else (address,)
        guess = self._targets.get(domain.key, "")
        facts = await self._rows(looks.first, names, guess, trace, folded=False)
        if looks.folded_domains is not None:
            facts = await self._with_domain(domain, facts, trace)
        found = decide(names, facts, (domain.key, guess))
        if found.follow:
            found, facts = await self._follow(looks.first, names, facts, guess, trace)
        if looks.folded is None or found.presence is Presence.FOREIGN:
            return found, facts
        if found.key == address.key and found.presence is not Presence.DISABLED:
            return found, facts  # else another spelling of it may be active
        more = await self._rows(looks.folded, names, found.through, trace, folded=True)
        facts = _together(facts, more)
        return await self._follow(looks.folded, names, facts, found.through, trace)

    async def _follow(
        self,
        template: Template,
        names: Sequence[Address],
        facts: Facts,
        guess: str,
        trace: Trace | None,
    ) -> tuple[Found, Facts]:
        """Decide, looking into the domains for which the address's own stands, as it turns out."""
        domain = names[0].domain.key
        asked = {domain, guess}
        folded = template is self._looks.folded
        while True:
            found = decide(names, facts, asked)
            if not found.follow:
                return found, facts
            asked.add(found.follow)
            if len(self._targets) < REMEMBERED:
                self._targets[domain] = found.follow
            facts = _together(
                facts, await self._rows(template, names, found.follow, trace, folded=folded)
            )
            if folded:  # which asks no source that has an index on its folded form
                first = self._looks.first
                facts = _together(
                    facts, await self._rows(first, names, found.follow, trace, folded=False)
                )

    async def _with_domain(self, domain: Domain, facts: Facts, trace: Trace | None) -> Facts:
        """Look a domain that wasn't found once more, folded, where that may find it."""
        template, of = self._looks.folded_domains, self._looks.slots.of
        if template is None or is_ours(facts.get(domain.key, ())):
            return facts
        slots = tuple(of("", spelling) for spelling in domain.folded_spellings)
        answer = await self._ask(template, domain.key, slots, trace)
        return merged([Answer(found=True, facts=facts), answer]).facts

    async def _rows(
        self,
        template: Template,
        names: Sequence[Address],
        target: str,
        trace: Trace | None,
        *,
        folded: bool,
    ) -> Facts:
        """What is stored about the names, and about the same ones in ``target``."""
        slots = self._slots(names, target, folded=folded)
        beside = self._looks.beside
        if beside is None:
            return (await self._ask(template, names[0].key, slots, trace)).facts
        asked = (self._ask(each, names[0].key, slots, trace) for each in (template, beside))
        return merged(await asyncio.gather(*asked)).facts

    def _slots(self, names: Sequence[Address], target: str, *, folded: bool) -> tuple[Slot, ...]:
        of, looks = self._looks.slots.of, self._looks
        if target:
            there = (_in_domain(name, target) for name in names)
            names = [*names, *(name for name in there if name is not None)]
        if folded or looks.is_case_blind:
            return tuple([of(*each) for name in names for each in name.folded_spellings])
        if not looks.is_mixed:
            return tuple([of(*each) for name in names for each in name.spellings])
        both = ((*name.spellings, *name.folded_spellings) for name in names)
        return tuple([of(*each) for pairs in both for each in dict.fromkeys(pairs)])

    def _delimiters(self, domain: Domain) -> str:
        return self._rules.delimiters_at.get(domain.key, self._rules.delimiters)

    # Where an alias goes

    async def _with_targets(
        self, address: Address, found: Found, facts: Facts, trace: Trace | None
    ) -> Found:
        """Take back an answer that rests on aliases which lead to nobody."""
        if not all(fact.goes_to and fact.state is State.ACTIVE for fact in found.facts):
            return found
        targets = [text for fact in found.facts for text in fact.goes_to.split(",") if text.strip()]
        if len(targets) > MOST_TARGETS:
            return found
        for text in targets:
            target = parse(text.strip(), keeps_case=address.keeps_case)
            if not isinstance(target, Address) or target == address:
                return found
            there, _ = await self._search(target, trace)
            if there.presence in (Presence.UNKNOWN, Presence.DISABLED, Presence.REFUSED):
                continue
            return found
        nowhere = tuple(fact._replace(state=State.DISABLED) for fact in found.facts)
        return Found(Presence.UNKNOWN, found.key, nowhere, found.through)

    # Asking

    async def _ask(
        self, template: Template, key: str, slots: tuple[Slot, ...], trace: Trace | None
    ) -> Answer:
        begun = 0.0 if trace is None else asyncio.get_running_loop().time()
        try:
            if len(slots) <= MOST_SLOTS:
                answer = await self._pool.ask(template, key, slots)
            else:
                answer = await self._in_pieces(template, key, slots)
        except Unstorable:
            answer = await self._one_by_one(template, key, slots)
        if answer.strays and not template.scans:
            self._note_strays(key, answer.strays)
        if trace is not None:
            took = (asyncio.get_running_loop().time() - begun) * 1000
            trace(_step(template, slots, answer, took))
        return answer

    async def _in_pieces(self, template: Template, key: str, slots: tuple[Slot, ...]) -> Answer:
        pieces = [slots[i : i + MOST_SLOTS] for i in range(0, len(slots), MOST_SLOTS)]
        return merged(await asyncio.gather(*(self._pool.ask(template, key, p) for p in pieces)))

    async def _one_by_one(self, template: Template, key: str, slots: tuple[Slot, ...]) -> Answer:
        """Ask for each spelling alone, where a column can't hold one of them."""
        alone = (self._pool.ask(template, key, (slot,)) for slot in slots)
        return merged(await asyncio.gather(*alone))

    def _note_strays(self, key: str, strays: tuple[str, ...]) -> None:
        """A looser collation than addresses have is a finding (rule V3), told once a row."""
        for stray in strays:
            if stray not in self._strays and len(self._strays) < REPORTED:
                self._strays.add(stray)
                self._report(
                    f"the database takes '{stray}' for '{key}' or its domain: its collation is "
                    "looser than addresses are; it isn't taken as a match"
                )


def _together(facts: Facts, more: Facts) -> Facts:
    return merged([Answer(found=True, facts=facts), Answer(found=True, facts=more)]).facts


def _in_domain(name: Address, domain: str) -> Address | None:
    """The same local part at another domain; None if that is too long for an address."""
    local = name.key.removesuffix(name.domain.key)
    found = parse_domain(domain)
    if not isinstance(found, Domain):
        return None
    moved = parse(local + domain, keeps_case=name.keeps_case)
    return moved if isinstance(moved, Address) else None


def _step(template: Template, slots: tuple[Slot, ...], answer: Answer, took: float) -> Step:
    size, _ = parameters(slots[:MOST_SLOTS])
    query = " ".join(str(template.statement(size)).split())
    values = tuple(dict.fromkeys(value for slot in slots for value in slot))
    # The answer may hold the rows of others who were asked for at the same time.
    rows = tuple(shown(key, fact) for key in values for fact in answer.facts.get(key, ()))
    return Step(template.name, query, values, rows, "database", took)


def shown(key: str, fact: Fact) -> str:
    """A row in a postmaster's words."""
    leads = fact.goes_to or fact.stands_for
    return f"{fact.source} {key} ({fact.state.value})" + (f" -> {leads}" if leads else "")
