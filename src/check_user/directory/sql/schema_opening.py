"""From a schema to the statements that ask it, on the database that is there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from check_user.directory.schemas import Schema
from check_user.directory.sql.options import SqlOptions
from check_user.directory.sql.plans import PROBE, uses_index
from check_user.directory.sql.schema_branch import Branch, slots_of
from check_user.directory.sql.schema_catalogue import Bound, bind
from check_user.directory.sql.schema_lookup import Looks
from check_user.directory.sql.schema_template import SchemaTemplate
from check_user.directory.sql.session import Session
from check_user.directory.sql.slots import Slots

Choice = Sequence[tuple[Bound, bool]]
"""Sources, and whether each is compared in its folded form."""


async def read_schema(session: Session, schema: Schema, options: SqlOptions) -> Looks:
    """Look a schema up and make its statements. Raises Misconfigured, or what the driver raises.

    A source whose columns compare case-sensitively is compared folded at once where an index
    serves that; else it is left for a second look, unless all is stored in canonical form.
    """
    sources = await bind(session, schema, options.schema_values, keeps_case=options.keeps_case)
    slots = slots_of(sources)
    first: list[tuple[Bound, bool]] = []
    later: list[Bound] = []
    for bound in sources:
        needs = not bound.folds and not options.stored_canonical
        indexed = needs and await is_indexed(session, bound, slots, folded=True)
        first.append((bound, indexed))
        if needs and not indexed:
            later.append(bound)
    dialect = session.dialect.name
    of_domains = [(bound, folded) for bound, folded in first if not bound.is_about_addresses]
    later_of_domains = [(bound, True) for bound in later if not bound.is_about_addresses]
    second = [(bound, True) for bound in later]

    def asks(name: str, choice: Choice) -> SchemaTemplate | None:
        return template(name, choice, slots, dialect) if choice else None

    return Looks(
        first=template("recipient", first, slots, dialect),
        beside=None,
        domains=template("domain", of_domains, slots, dialect),
        folded=asks("recipient folded", second),
        folded_domains=asks("domain folded", later_of_domains),
        slots=slots,
        is_case_blind=not later,
        is_mixed=bool(later) and any(folded for _, folded in first),
    )


def template(name: str, choice: Choice, slots: Slots, dialect: str) -> SchemaTemplate:
    """The statement that asks these sources."""
    branches = _branches(choice, slots, dialect)
    scans = name.endswith("folded")
    return SchemaTemplate(name, tuple(branches), scans)


def _branches(choice: Choice, slots: Slots, dialect: str) -> Iterable[Branch]:
    for number, (bound, folded) in enumerate(choice):
        yield Branch(number, bound, folded, dialect, slots)


async def is_indexed(session: Session, bound: Bound, slots: Slots, *, folded: bool) -> bool:
    """Whether an index serves the lookup in one source, by the database's own EXPLAIN."""
    one = template(bound.source.name, [(bound, folded)], slots, session.dialect.name)
    return await uses_index(session, one, slots.of("postmaster", PROBE))
