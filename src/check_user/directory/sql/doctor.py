"""The doctor: what ``check-user check`` finds out about the database.

It asks the database itself wherever it can: the catalogue for tables and columns, EXPLAIN for the
index behind each lookup, a comparison of constants for what a collation takes as equal, SHOW GRANTS
and its like for rights. It only reads. Databases of other families get the checks that any SQL
database can answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.exc import DBAPIError

from check_user.directory import Finding, Level, Misconfigured, Unavailable
from check_user.directory.sql.catalogue import (
    Catalogue,
    Columns,
    compares_equal,
    read_catalogue,
    reflect,
)
from check_user.directory.sql.drivers import Endpoint, dialect_of, endpoints_of
from check_user.directory.sql.faults import describe
from check_user.directory.sql.index_advice import create_index, spare_folding
from check_user.directory.sql.options import SqlOptions
from check_user.directory.sql.plans import uses_index
from check_user.directory.sql.schema_doctor import (
    examine_queries,
    examine_rows,
    examine_schema,
)
from check_user.directory.sql.schema_types import examine_enabled
from check_user.directory.sql.session import Opener, Session
from check_user.directory.sql.stored import shown
from check_user.directory.sql.stored_domains import beyond_ascii
from check_user.directory.sql.templates import Template, UntypedText, compared, octets

PATIENCE = 60.0
"""Seconds for one of the doctor's statements: counting rows may read a large table."""

LOOK_ALIKES = (("é", "e"), ("ß", "ss"), ("a\u200bb", "ab"))
"""Pairs that loose collations take as equal: accents, expansions, ignorable characters."""


async def examine(options: SqlOptions) -> list[Finding]:
    """Look at everything; the findings are in the order in which a postmaster would ask."""
    findings: list[Finding] = []
    try:
        endpoints = endpoints_of(options)
    except Misconfigured as error:
        return [Finding(Level.ERROR, "driver", str(error), "correct driver=")]
    for endpoint in endpoints:
        findings += await _examine_endpoint(options, endpoint)
    return findings


async def _examine_endpoint(options: SqlOptions, endpoint: Endpoint) -> list[Finding]:
    subject = f"database {endpoint}"
    try:
        session = await Opener(replace(options, lookup_timeout=PATIENCE))(endpoint)
    except Misconfigured as error:
        return [Finding(Level.ERROR, subject, str(error), "correct the configuration")]
    except Exception as error:  # noqa: BLE001 - whatever a driver raises is a finding
        advice = "start it, or correct host=, port=, socket=, user= and passwd="
        return [Finding(Level.ERROR, subject, f"can't be used: {describe(error)}", advice)]
    findings = [Finding(Level.OK, subject, "answers, in AUTOCOMMIT")]
    try:
        findings += await _transport(session, options)
        try:
            findings += [finding async for finding in _accounts(session, options)]
        except Misconfigured as error:
            return [*findings, Finding(Level.ERROR, "tables", str(error), "correct the names")]
        except Unavailable as error:
            findings.append(Finding(Level.ERROR, subject, str(error), "see the database's log"))
    except DBAPIError as error:
        findings.append(Finding(Level.ERROR, subject, describe(error), "see the database's log"))
    finally:
        await session.aclose()
    return findings


async def _accounts(session: Session, options: SqlOptions) -> AsyncIterator[Finding]:
    """What there is to say about the tables, in whichever way they were named."""
    if options.schema is not None:
        async for finding in examine_schema(session, options.schema, options):
            yield finding
        for finding in await _rights(session, set(options.schema.tables)):
            yield finding
        for finding in await examine_rows(session, options.schema, options, PATIENCE):
            yield finding
        return
    if options.email_query:
        for finding in await examine_queries(session, options):
            yield finding
        return
    catalogue = await read_catalogue(session, options)
    async for finding in _lookups(session, catalogue, options):
        yield finding
    for finding in await _rights(
        session, {catalogue.emails.table.fullname, catalogue.domains.table.fullname}
    ):
        yield finding


async def _lookups(
    session: Session, catalogue: Catalogue, options: SqlOptions
) -> AsyncIterator[Finding]:
    for columns, exact, folded in (
        (catalogue.emails, catalogue.exact, catalogue.folded),
        (catalogue.domains, catalogue.domain, catalogue.domain_folded),
    ):
        subject = f"{columns.table.fullname}({', '.join(columns.names)})"
        yield Finding(Level.OK, subject, "is there and can be read")
        yield await _exact_index(session, subject, columns, exact)
        yield await _folded_index(session, subject, columns, folded, options)
        yield await _looseness(session, subject, columns)
        for name in () if options.keeps_case else columns.names:
            yield await _canonical(session, columns, name)
        name = columns.names[-1]
        for finding in await beyond_ascii(session, subject, columns.table.c[name]):
            yield finding
    if options.email_enabled:
        types = await reflect(session, options.email_table)
        for name in catalogue.emails.extra:
            value = options.email_enabled_value
            for finding in examine_enabled(options.email_table, name, value, types[name]):
                yield finding


# Indexes


async def _exact_index(
    session: Session, subject: str, columns: Columns, template: Template
) -> Finding:
    if await uses_index(session, template):
        return Finding(Level.OK, subject, "an index serves the lookup")
    return Finding(
        Level.WARNING,
        subject,
        "no index serves the lookup: each one reads the whole table",
        create_index(_keys(columns), session.dialect, folded=False),
    )


async def _folded_index(
    session: Session, subject: str, columns: Columns, template: Template | None, options: SqlOptions
) -> Finding:
    if template is None:
        why = "stored_form=canonical" if options.stored_canonical else "its = ignores case"
        return Finding(Level.OK, subject, f"needs no second look for other spellings ({why})")
    if await uses_index(session, template):
        return Finding(Level.OK, subject, "compares case; an index serves the second, folded look")
    return Finding(
        Level.WARNING,
        subject,
        "compares case-sensitively, so an address that isn't found is looked for in other "
        "spellings, which reads the whole table",
        spare_folding(_keys(columns), session.dialect, domains=False),
    )


def _keys(columns: Columns) -> list[ColumnElement[Any]]:
    return [columns.table.c[name] for name in columns.names]


# What is stored, and how it compares


async def _looseness(session: Session, subject: str, columns: Columns) -> Finding:
    loose = [
        f"'{stored}' = '{asked}'"
        for stored, asked in LOOK_ALIKES
        for name in columns.names
        if await compares_equal(session, columns.table, name, stored, asked)
    ]
    if not loose:
        return Finding(Level.OK, subject, "its = takes no look-alikes for equal")
    return Finding(
        Level.WARNING,
        subject,
        f"its collation takes look-alikes for equal ({', '.join(dict.fromkeys(loose))}); "
        "check_user compares again and doesn't take them as matches",
        "nothing for check_user; the mail server's own lookups may accept such addresses",
    )


async def _canonical(session: Session, columns: Columns, name: str) -> Finding:
    """Count what isn't stored in lower case without surrounding spaces."""
    subject = f"{columns.table.fullname}.{name}"
    column = columns.table.c[name]
    folded = compared(columns.table, name, folded=True, binary=columns.binary)
    dialect = session.dialect.name
    odd = octets(column, dialect) != octets(folded, dialect)
    counted = await session.execute(
        select(func.count(), func.min(column, type_=UntypedText())).where(odd), {}
    )
    number, example = counted[0]
    if not number:
        return Finding(Level.OK, subject, "is stored in lower case throughout")
    return Finding(
        Level.WARNING,
        subject,
        f"{number} rows aren't stored in lower case, '{shown([example])}' for one; "
        "they are found all the same",
        "store them in lower case; then stored_form=canonical spares the second look",
    )


# Rights and transport


async def _rights(session: Session, tables: set[str]) -> list[Finding]:
    match session.dialect.name:
        case "mysql" | "mariadb":
            beyond = await _mysql_rights(session)
        case "postgresql":
            beyond = await _postgresql_rights(session, tables)
        case _:
            return []
    if not beyond:
        return [Finding(Level.OK, "rights", "the database user can only read")]
    message = f"the database user can do more than read: {', '.join(beyond)}"
    names = ", ".join(sorted(tables))
    return [Finding(Level.WARNING, "rights", message, f"a user with SELECT on {names} is enough")]


async def _mysql_rights(session: Session) -> list[str]:
    """Privileges in SHOW GRANTS other than SELECT and USAGE (which means none)."""
    beyond: dict[str, None] = {}
    for (grant,) in await session.execute(text("SHOW GRANTS"), {}):
        words = str(grant).removeprefix("GRANT ").partition(" ON ")[0]
        for right in words.split(", "):
            if not right.startswith(("SELECT", "USAGE", "`", "PROXY")):
                beyond[right] = None
    return list(beyond)


async def _postgresql_rights(session: Session, tables: set[str]) -> list[str]:
    beyond = []
    superuser = text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    if (await session.execute(superuser, {}))[0][0]:
        beyond.append("superuser")
    granted = text("SELECT has_table_privilege(to_regclass(:name), CAST(:right AS text))")
    for name in sorted(tables):
        quoted = ".".join(f'"{part}"' for part in name.split("."))
        beyond += [
            f"{right} on {name}"
            for right in ("INSERT", "UPDATE", "DELETE", "TRUNCATE")
            if (await session.execute(granted, {"name": quoted, "right": right}))[0][0]
        ]
    return beyond


async def _transport(session: Session, options: SqlOptions) -> list[Finding]:
    endpoint = session.endpoint
    if not endpoint.host or dialect_of(options).startswith("sqlite"):
        return []
    if options.tls is not None:
        return [Finding(Level.OK, f"TLS to {endpoint}", "is on, and the server's name is verified")]
    if endpoint.host in ("127.0.0.1", "::1", "localhost"):
        return []
    message = "is off: the password and every address cross the network in the clear"
    return [Finding(Level.WARNING, f"TLS to {endpoint}", message, "set tls=verify")]
