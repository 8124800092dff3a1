"""From settings to the objects below: the one place where a key meets an argument."""

from __future__ import annotations

from collections.abc import Callable

from check_user.check import Check
from check_user.config import Settings
from check_user.directory import Directory
from check_user.directory.sql import SqlOptions, TlsOptions
from check_user.directory.sql import open_directory as open_sql

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
    )


async def open_directory(settings: Settings, report: Report) -> Directory:
    """Open the directory that the settings describe. Raises Misconfigured or Unavailable."""
    return await open_sql(sql_options(settings), report)


def build_check(settings: Settings, directory: Directory) -> Check:
    """Make the check that asks ``directory``."""
    return Check(
        directory,
        timeout=settings.lookup_timeout,
        delimiters=settings.recipient_delimiter,
        bounce_forms=settings.bounce_forms,
    )
