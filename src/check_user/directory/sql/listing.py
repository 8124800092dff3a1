"""The listing of a SQL database: both tables read once through, by the driver's streaming cursor.

    SELECT domain FROM domains
    SELECT email[, enabled] FROM users

What is read is made of the same columns, and judged by the same code (:class:`Rows`), as a
lookup's rows. Each pass has a connection of its own (``streaming``), closed with it: a listing
takes seconds, and none of the held connections is kept from lookups. A schema's sources are listed
in ``schema_listing``; what a site's own query holds can't be listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace

from sqlalchemy import Table, func, select

from check_user.address import canonical_domain
from check_user.directory import Misconfigured, Presence, Unavailable
from check_user.directory.listing import Batches, Entry
from check_user.directory.sql.catalogue import Catalogue, read_catalogue
from check_user.directory.sql.connector import Connector
from check_user.directory.sql.drivers import endpoints_of
from check_user.directory.sql.options import SqlOptions
from check_user.directory.sql.schema_catalogue import Bound, bind
from check_user.directory.sql.schema_listing import SchemaListing
from check_user.directory.sql.session import Opener, Session
from check_user.directory.sql.stored import as_text, shown
from check_user.directory.sql.streaming import Streaming
from check_user.directory.sql.templates import Report, Row

STALL = 30.0
"""Seconds without a batch, or for a connection, after which the pass is given up."""

LONGEST = 86_400.0
"""Seconds of a statement on the server's side; the limit for lookups would end a listing."""

KNOWN = Presence.KNOWN.value
UNKNOWN = Presence.UNKNOWN.value


async def open_listing(
    options: SqlOptions, report: Report, stall: float = STALL
) -> SqlListing | SchemaListing:
    """Connect for one pass. Raises Unavailable or Misconfigured.

    ``stall`` is in seconds. ``report`` takes operational lines for the log.
    """
    known: list[Catalogue | list[Bound]] = []
    options = replace(options, lookup_timeout=LONGEST)
    if options.email_query:
        raise Misconfigured("email_query can't be listed: a replica needs tables, or a view")

    async def prove(session: Session) -> None:
        if options.schema is not None:
            values, keeps_case = options.schema_values, options.keeps_case
            known.append(await bind(session, options.schema, values, keeps_case=keeps_case))
        else:
            known.append(await read_catalogue(session, options))

    endpoints = endpoints_of(options)
    opener = Opener(options)
    connector = Connector(endpoints, opener, prove, soft=stall, timeout=stall, report=report)
    try:
        session = await connector.open()
    except Unavailable as error:
        if isinstance(error.__cause__, Misconfigured):
            raise error.__cause__ from None
        raise
    finally:
        await connector.close()
    match known[-1]:
        case Catalogue() as catalogue:
            return SqlListing(session, catalogue, stall)
        case sources:
            return SchemaListing(session, sources, options, stall)


class SqlListing(Streaming):
    """See :class:`check_user.directory.listing.Listing`. Made by :func:`open_listing`."""

    def __init__(self, session: Session, catalogue: Catalogue, stall: float) -> None:
        super().__init__(session, stall)
        self._catalogue = catalogue

    async def count(self) -> int:
        """See :class:`check_user.directory.listing.Listing`."""
        table: Table = self._catalogue.emails.table
        return await self._count(select(func.count()).select_from(table))

    async def domains(self) -> Batches:
        """See :class:`check_user.directory.listing.Listing`."""
        async with aclosing(self._batches(select(self._catalogue.domain.stored))) as batches:
            async for rows in batches:
                texts = dict.fromkeys(as_text(cell) for (cell,) in rows if cell is not None)
                yield list(self._domain_entries(texts))

    async def recipients(self) -> Batches:
        """See :class:`check_user.directory.listing.Listing`."""
        async with aclosing(self._batches(select(*self._catalogue.exact.chosen))) as batches:
            async for rows in batches:
                yield list(self._recipient_entries(rows))

    def _domain_entries(self, texts: dict[str, None]) -> Iterator[Entry]:
        for text in texts:
            key = canonical_domain(text)
            if key is None:
                self.skipped.note(text)
            else:
                yield key, UNKNOWN

    def _recipient_entries(self, rows: Sequence[Row]) -> Iterator[Entry]:
        template = self._catalogue.exact
        for row in rows:
            if template.counts(row):
                key = template.key(row)
                if key is not None:
                    yield key, KNOWN
                elif None not in tuple(row):  # in asyncpg's rows, "in" looks for a name
                    self.skipped.note(shown(row))
