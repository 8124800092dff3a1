"""From settings to the objects below: the one place where a key meets an argument."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from check_user.app.rules import replies_of, schema_of, values_of
from check_user.check import Check
from check_user.config import Settings
from check_user.directory import Directory, Unavailable
from check_user.directory.front import FrontDirectory
from check_user.directory.late import LateDirectory
from check_user.directory.refresh import Feeder
from check_user.directory.replica import Replica
from check_user.directory.sql import SqlOptions, TlsOptions
from check_user.directory.sql import open_directory as open_sql
from check_user.directory.sql.listing import open_listing

Report = Callable[[str], None]


def sql_options(settings: Settings) -> SqlOptions:
    """What the SQL directory is told."""
    tls = TlsOptions(ca=settings.tls_ca, cert=settings.tls_cert, key=settings.tls_key)
    return SqlOptions(
        driver=settings.driver,
        database=settings.database,
        user=settings.user,
        password=settings.passwd.reveal(),
        hosts=settings.hosts,
        socket=settings.socket,
        tls=tls if settings.tls == "verify" else None,
        email_table=settings.email_table,
        domain_table=settings.domain_table,
        email_address=settings.email_address,
        email_user=settings.email_user,
        email_domain=settings.email_domain,
        domain_domain=settings.domain_domain,
        email_enabled=settings.email_enabled,
        email_enabled_value=settings.email_enabled_value,
        connections=settings.connections,
        stored_canonical=settings.stored_form == "canonical",
        lookup_timeout=settings.lookup_timeout,
        schema=schema_of(settings),
        schema_values=values_of(settings.schema_value),
        email_query=settings.email_query,
        domain_query=settings.domain_query,
        delimiters=settings.recipient_delimiter,
        delimiters_at=values_of(settings.domain_delimiter),
        check_targets=settings.check_alias_targets,
        keeps_case=settings.local_part_case == "exact",
    )


async def open_directory(settings: Settings, report: Report, *, feeds: bool = True) -> Directory:
    """Open the directory that the settings describe. Raises Misconfigured or Unavailable.

    ``feeds`` says whether it keeps the replica fresh, if there is one.
    """
    options = sql_options(settings)
    if not settings.replica:
        return await open_sql(options, report)
    replica = open_replica(settings, report)
    await replica.look()
    try:
        database = await _open_database(options, replica, settings.replica_accept_max_age, report)
    except BaseException:
        await replica.aclose()
        raise
    front = FrontDirectory(
        replica,
        database,
        build_feeder(settings, report) if feeds else None,
        accept_max_age=settings.replica_accept_max_age,
        deny_max_age=settings.replica_deny_max_age,
    )
    front.start()
    return front


async def _open_database(
    options: SqlOptions, replica: Replica, accept_max_age: float, report: Report
) -> Directory:
    """Open the database's directory; where a replica can serve without it, later."""
    try:
        return await open_sql(options, report)
    except Unavailable as error:
        age = replica.age()
        if age is None or age >= accept_max_age:
            raise
        return LateDirectory(lambda: open_sql(options, report), str(error), report)


def open_replica(settings: Settings, report: Report) -> Replica:
    """The replica that the settings name."""
    return Replica(Path(settings.replica), source_of(sql_options(settings)), report=report)


def build_feeder(settings: Settings, report: Report) -> Feeder:
    """What keeps the settings' replica fresh."""
    options = sql_options(settings)
    return Feeder(
        Path(settings.replica),
        source_of(options),
        lambda: open_listing(options, report),
        every=settings.replica_refresh,
        report=report,
    )


def source_of(options: SqlOptions) -> str:
    """Name what is listed: another database, table or column is another source."""
    how = {"user": "", "password": "", "tls": None, "connections": 1, "lookup_timeout": 1.0}
    listed = repr(replace(options, **how))  # type: ignore[arg-type]  # the fields' own types
    return hashlib.blake2b(listed.encode(), digest_size=8).hexdigest()


def build_check(settings: Settings, directory: Directory) -> Check:
    """Make the check that asks ``directory``."""
    return Check(
        directory,
        timeout=settings.lookup_timeout,
        delimiters=settings.recipient_delimiter,
        delimiters_at=values_of(settings.domain_delimiter),
        bounce_forms=settings.bounce_forms,
        replies=replies_of(settings),
        dry_run=settings.mode == "dry_run",
        dry_run_at=frozenset(settings.dry_run_domains),
        keeps_case=settings.local_part_case == "exact",
    )
