"""The doctor on a schema: each of its sources, and what its rows say together.

Of columns it looks at: their indexes, and their types. Of rows: those that a collation mixes up,
those not in lower case, and domains that aren't in A-labels; then, reading all of them once,
aliases that lead to nobody, domains that stand for nothing, catch-alls.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.exc import DBAPIError

from check_user.address import Address, parse
from check_user.directory import Finding, Level
from check_user.directory.order import Fact, State, is_ours, stands_for
from check_user.directory.schemas import Schema
from check_user.directory.schemas.declaration import Addresses, CatchAll, Domains
from check_user.directory.sql.faults import describe
from check_user.directory.sql.index_advice import create_index, spare_folding
from check_user.directory.sql.options import SqlOptions
from check_user.directory.sql.plans import uses_index
from check_user.directory.sql.queries import read_queries
from check_user.directory.sql.schema_branch import slots_of
from check_user.directory.sql.schema_catalogue import Bound, bind
from check_user.directory.sql.schema_listing import SchemaListing
from check_user.directory.sql.schema_opening import is_indexed
from check_user.directory.sql.schema_types import examine_types
from check_user.directory.sql.session import Session
from check_user.directory.sql.slots import Slots
from check_user.directory.sql.stored import shown
from check_user.directory.sql.stored_domains import beyond_ascii
from check_user.directory.sql.templates import UntypedText, octets

MOST = 300_000
"""Addresses that are read to look for aliases which lead to nobody; some 100 octets each."""

FEW = "needs no index: its few rows may all be read"
"""As a schema says of them; joined with others, the database begins with these."""


async def examine_schema(
    session: Session, schema: Schema, options: SqlOptions
) -> AsyncIterator[Finding]:
    """Look at every source. Raises Misconfigured where the schema isn't there."""
    values, keeps_case = options.schema_values, options.keeps_case
    sources = await bind(session, schema, values, keeps_case=keeps_case)
    slots = slots_of(sources)
    here = {bound.source.name for bound in sources}
    for source in schema.sources:
        if source.name not in here:
            message = f"there is no {source.table}: {source.name} is left out (an older version)"
            yield Finding(Level.OK, f"schema {schema.name}", message)
    for bound in sources:
        subject = f"{bound.source.name} ({', '.join(map(str, bound.keys))})"
        yield await _index(session, bound, slots, subject)
        if not bound.folds:
            yield await _folded_index(session, bound, slots, subject, options)
        for key in bound.keys:
            yield await _mixed_up(session, key, bound, subject)
            if not bound.keeps_case:
                yield await _not_lower(session, key, bound, subject)
        own = _own(bound, getattr(bound.keys[-1], "table"))  # noqa: B009 - a column's, which its type doesn't tell
        for finding in await beyond_ascii(session, subject, bound.keys[-1], own):
            yield finding
        for finding in await examine_types(session, bound):
            yield finding


async def examine_rows(
    session: Session, schema: Schema, options: SqlOptions, patience: float
) -> list[Finding]:
    """Read all rows, and say what doesn't fit together. The session is of no use afterwards."""
    values, keeps_case = options.schema_values, options.keeps_case
    sources = await bind(session, schema, values, keeps_case=keeps_case)
    listing = SchemaListing(session, sources, options, patience)
    facts = await listing.domain_facts()
    findings = [*_alias_domains(facts), *_catch_alls(facts)]
    if await listing.count() > MOST:
        message = f"more than {MOST} addresses: whether aliases lead somewhere wasn't looked at"
        return [*findings, Finding(Level.OK, "aliases", message)]
    recipients = await listing.recipient_facts()
    return [*findings, *_dangling(facts, recipients, keeps_case=keeps_case)]


async def examine_queries(session: Session, options: SqlOptions) -> list[Finding]:
    """Try the site's own queries. Raises Misconfigured where they can't be used."""
    looks = await read_queries(session, options)
    findings = []
    for template in (looks.first, looks.domains):
        findings.append(Finding(Level.OK, template.name, "is answered"))
        if await uses_index(session, template, looks.probe):
            findings.append(Finding(Level.OK, template.name, "an index serves it"))
        else:
            message = "no index serves all of it: each lookup reads a whole table"
            advice = "look at its EXPLAIN, and create an index"
            findings.append(Finding(Level.WARNING, template.name, message, advice))
    return findings


# One source


async def _index(session: Session, bound: Bound, slots: Slots, subject: str) -> Finding:
    if await is_indexed(session, bound, slots, folded=False):
        return Finding(Level.OK, subject, "an index serves the lookup")
    if _has_few_rows(bound):
        return Finding(Level.OK, subject, FEW)
    message = "no index serves the lookup: each one reads the whole table"
    domains = _are_of_addresses(bound)
    advice = create_index(_searched(bound), session.dialect, folded=False, domains=domains)
    return Finding(Level.WARNING, subject, message, advice)


async def _folded_index(
    session: Session, bound: Bound, slots: Slots, subject: str, options: SqlOptions
) -> Finding:
    if options.stored_canonical:
        return Finding(Level.OK, subject, "needs no second look (stored_form=canonical)")
    if await is_indexed(session, bound, slots, folded=True):
        return Finding(Level.OK, subject, "compares case; an index serves the folded look")
    if _has_few_rows(bound):
        return Finding(Level.OK, subject, FEW)
    message = (
        "compares case-sensitively, so who isn't found is looked for in other spellings, which "
        "reads the whole table"
    )
    advice = spare_folding(_searched(bound), session.dialect, domains=_are_of_addresses(bound))
    return Finding(Level.WARNING, subject, message, advice)


def _has_few_rows(bound: Bound) -> bool:
    return isinstance(bound.source, Addresses) and bound.source.few


def _searched(bound: Bound) -> Sequence[ColumnElement[Any]]:
    """The columns that rows are found by: patterns by their domain alone."""
    is_pattern = isinstance(bound.source, Addresses) and bound.source.catch_all is CatchAll.LIKE
    return bound.keys[-1:] if is_pattern else bound.keys


def _are_of_addresses(bound: Bound) -> bool:
    """Whether it is the domains of stored addresses that are looked for."""
    return isinstance(bound.source, Domains) and bound.source.of_addresses


async def _mixed_up(
    session: Session, key: ColumnElement[Any], bound: Bound, subject: str
) -> Finding:
    """Count the values that the column's collation takes for equal, and addresses don't."""
    table: Any = getattr(key, "table")  # noqa: B009 - a column's, which its type doesn't tell
    dialect = session.dialect.name
    folded = octets(func.lower(func.trim(key), type_=UntypedText()), dialect)
    several = func.count(folded.distinct()) > 1
    groups = select(func.min(key, type_=UntypedText()).label("one")).select_from(table)
    groups = groups.where(*_own(bound, table)).group_by(key).having(several)
    found = groups.subquery()
    counted = await _first(session, select(func.count(), func.min(found.c.one)))
    if isinstance(counted, str):
        return Finding(Level.WARNING, subject, f"can't be counted: {counted}")
    number, example = counted
    if not number:
        return Finding(Level.OK, subject, f"no two values of {key} are mixed up")
    return Finding(
        Level.WARNING,
        subject,
        f"its collation mixes {number} values up with others, '{shown([example])}' for one; "
        "check_user compares again and doesn't",
        "nothing for check_user; the mail server's own lookups may accept such addresses",
    )


async def _not_lower(
    session: Session, key: ColumnElement[Any], bound: Bound, subject: str
) -> Finding:
    table: Any = getattr(key, "table")  # noqa: B009 - as above
    dialect = session.dialect.name
    odd = octets(key, dialect) != octets(func.lower(func.trim(key), type_=UntypedText()), dialect)
    statement = select(func.count(), func.min(key, type_=UntypedText())).select_from(table)
    counted = await _first(session, statement.where(odd, *_own(bound, table)))
    if isinstance(counted, str):
        return Finding(Level.WARNING, subject, f"can't be counted: {counted}")
    number, example = counted
    if not number:
        return Finding(Level.OK, subject, f"{key} is in lower case throughout")
    return Finding(
        Level.WARNING,
        subject,
        f"{number} values of {key} aren't in lower case, '{shown([example])}' for one; "
        "they are found all the same",
        "store them in lower case; then stored_form=canonical spares the second look",
    )


def _own(bound: Bound, table: Any) -> Sequence[ColumnElement[bool]]:
    """The source's conditions, where they are about this table."""
    return bound.where if table is bound.keys[0].table and not bound.source.joins else ()


async def _first(session: Session, statement: Any) -> Any:
    """The first row, or what the database had against it."""
    try:
        return (await session.execute(statement, {}))[0]
    except DBAPIError as error:
        return describe(error)


# All together

Facts = Mapping[str, Sequence[Fact]]


def _alias_domains(facts: Facts) -> list[Finding]:
    nowhere, chains = [], []
    for domain in sorted(key for key in facts if not key.startswith("@")):
        for target in stands_for(domain, facts):
            if not is_ours(facts.get(target, ())):
                nowhere.append(f"{domain} -> {target}")
            elif stands_for(target, facts):
                chains.append(f"{domain} -> {target} -> {next(iter(stands_for(target, facts)))}")
    findings = []
    if nowhere:
        message = f"{_some(nowhere)}: everybody there is refused"
        advice = "add the domain for which it stands, or remove the alias domain"
        findings.append(Finding(Level.WARNING, "alias domains to nowhere", message, advice))
    if chains:
        message = f"{_some(chains)}: only the first step is followed"
        findings.append(
            Finding(Level.WARNING, "chains of alias domains", message, "let it stand for the last")
        )
    return findings or [Finding(Level.OK, "alias domains", "all stand for a domain of ours")]


def _catch_alls(facts: Facts) -> list[Finding]:
    taking = sorted(
        key[1:]
        for key, about in facts.items()
        if key.startswith("@")
        and any(f.state is State.ACTIVE and not f.stands_for and not f.pattern for f in about)
    )
    if not taking:
        return [Finding(Level.OK, "catch-alls", "none: unknown addresses are refused")]
    message = f"{_some(taking)}: nobody unknown is ever refused there"
    return [Finding(Level.WARNING, "catch-alls", message, "remove them where they aren't meant")]


def _dangling(domains: Facts, recipients: Facts, *, keeps_case: bool) -> list[Finding]:
    def is_nobody(text: str) -> bool:
        """Whether it is an address of ours, and nothing takes its mail."""
        target = parse(text.strip(), keeps_case=keeps_case)
        if not isinstance(target, Address) or target.key in recipients:
            return False
        domain = target.domain.key
        plain = is_ours(domains.get(domain, ())) and not stands_for(domain, domains)
        relayed = any(f.state is State.RELAY for f in domains.get(domain, ()))
        return plain and not relayed and f"@{domain}" not in domains

    dangling = [
        f"{key} -> {fact.goes_to}"
        for key, about in recipients.items()
        for fact in about
        if fact.goes_to
        and fact.state is State.ACTIVE
        and all(map(is_nobody, filter(str.strip, fact.goes_to.split(","))))
    ]
    if not dangling:
        return [Finding(Level.OK, "aliases", "none leads to nobody")]
    message = f"{_some(dangling)}: mail to them is taken, and bounces"
    advice = "remove them; or check_alias_targets=yes"
    return [Finding(Level.WARNING, "aliases to nobody", message, advice)]


def _some(items: Sequence[str]) -> str:
    """How many there are, and the first three."""
    more = ", ..." if len(items) > 3 else ""
    return f"{len(items)} ({', '.join(items[:3])}{more})"
