"""The drivers: what differs between databases before the first statement.

=============  ==================  =================================================================
written        SQLAlchemy dialect  why this driver
=============  ==================  =================================================================
mysql mariadb  mysql+asyncmy       a third faster than aiomysql under load
pg postgresql  postgresql+asyncpg  a quarter faster than psycopg under load, a third of its memory
sqlite         sqlite+aiosqlite    the only asynchronous one
=============  ==================  =================================================================

(Figures in ``docs/design.md``.) Any other name is taken as a SQLAlchemy dialect with an
asynchronous driver, ``oracle+oracledb_async`` say; it gets a user, a password, a host, a port and
a database, and neither TLS settings nor limits on the server's side: our own clock must do.

Names and defaults are those of the databases' own client libraries: MySQL's default host is the
local socket, PostgreSQL's is the socket folder.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy.engine import URL

from check_user.directory import Misconfigured
from check_user.directory.sql.options import SqlOptions, TlsOptions

DIALECTS = {
    "mysql": "mysql+asyncmy",
    "mariadb": "mysql+asyncmy",
    "pg": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "sqlite": "sqlite+aiosqlite",
    "sqlite3": "sqlite+aiosqlite",
}

MYSQL_SOCKETS = ("/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock")  # noqa: S108 - where the servers' packages put it
POSTGRESQL_FOLDERS = ("/run/postgresql", "/var/run/postgresql", "/tmp")  # noqa: S108 - the same


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place where the database can be reached: a host and port, or a unix socket."""

    host: str = ""
    port: int | None = None
    socket: str = ""

    def __str__(self) -> str:
        if self.socket:
            return self.socket
        if not self.host:
            return "the local database"
        return f"{self.host}:{self.port}" if self.port else self.host


def dialect_of(options: SqlOptions) -> str:
    """SQLAlchemy's name for ``options.driver``. Raises Misconfigured for one nobody knows."""
    known = DIALECTS.get(options.driver.lower())
    if known:
        return known
    if "+" in options.driver:
        return options.driver
    raise Misconfigured(
        f"driver '{options.driver}' is not known: "
        "use mysql, postgresql or sqlite, or the name of a SQLAlchemy dialect (dialect+driver)"
    )


def endpoints_of(options: SqlOptions) -> tuple[Endpoint, ...]:
    """Where to connect, in the order of preference."""
    family = dialect_of(options).partition("+")[0]
    if family == "sqlite":
        return (Endpoint(socket=options.database),)
    if options.socket:
        return (Endpoint(socket=options.socket),)
    if family == "mysql":
        hosts = options.hosts or (("localhost", None),)
        return tuple(_mysql_endpoint(host, port) for host, port in hosts)
    if family == "postgresql":
        if options.hosts:
            return tuple(Endpoint(host, port or 5432) for host, port in options.hosts)
        return (_postgresql_endpoint(),)
    return tuple(Endpoint(host, port) for host, port in options.hosts) or (Endpoint(),)


def _mysql_endpoint(host: str, port: int | None) -> Endpoint:
    """``localhost`` without a port means the local socket to every MySQL client library."""
    if host == "localhost" and port is None:
        for path in MYSQL_SOCKETS:
            if Path(path).is_socket():
                return Endpoint(socket=path)
    return Endpoint(host, port or 3306)


def _postgresql_endpoint() -> Endpoint:
    for folder in POSTGRESQL_FOLDERS:
        if (Path(folder) / ".s.PGSQL.5432").is_socket():
            return Endpoint(socket=folder)
    return Endpoint("127.0.0.1", 5432)


def url_of(options: SqlOptions, endpoint: Endpoint) -> URL:
    """The connection's address for SQLAlchemy, with the password (never to be logged)."""
    dialect = dialect_of(options)
    family = dialect.partition("+")[0]
    if family == "sqlite":
        name = f"file:{quote(str(Path(options.database).absolute()))}?mode=ro"
        return URL.create(dialect, database=name, query={"uri": "true"})
    query: dict[str, str] = {}
    host: str | None = endpoint.host or None
    if endpoint.socket and family == "mysql":
        query["unix_socket"] = endpoint.socket
    elif endpoint.socket and family == "postgresql":
        folder, port = split_postgresql_socket(endpoint.socket)
        query |= {"host": folder, "port": port}
    return URL.create(
        dialect,
        username=options.user or None,
        password=options.password or None,
        host=host,
        port=endpoint.port,
        database=options.database,
        query=query,
    )


def split_postgresql_socket(path: str) -> tuple[str, str]:
    """PostgreSQL's clients take the folder and a port; people also write the socket's path."""
    folder, _, name = path.rpartition("/")
    if name.startswith(".s.PGSQL."):
        return folder, name.removeprefix(".s.PGSQL.")
    return path.rstrip("/"), "5432"


PREPARED = 64
"""Statements that MariaDB and MySQL hold prepared for a connection, six sizes of each lookup. It
saves them the parsing; a server that can't prepare one is asked in plain text."""


def connect_arguments(options: SqlOptions, endpoint: Endpoint) -> dict[str, Any]:
    """What goes to the driver's own ``connect`` beside the URL.

    Limits on the server's side end a statement there that our clock has given up here.
    """
    limit = int(options.lookup_timeout * 1000)
    tls = tls_context(options.tls, endpoint) if options.tls and not endpoint.socket else None
    match dialect_of(options):
        case "mysql+asyncmy":
            arguments = {
                "charset": "utf8mb4",
                # NO_BACKSLASH_ESCAPES and ANSI_QUOTES change what a quoted value means.
                "init_command": "SET SESSION sql_mode = ''",
                "stmt_cache_size": PREPARED,
            }
            return {**arguments, "ssl": tls} if tls else arguments
        case "postgresql+asyncpg":
            settings = {
                "application_name": "check_user",
                "default_transaction_read_only": "on",
                # Planning costs more than looking up, and every lookup's plan is the same.
                "plan_cache_mode": "force_generic_plan",
                "statement_timeout": str(limit),
                "DateStyle": "ISO",  # expiry times are read as text
            }
            # Every lookup is prepared once a connection, however long its text, and stays so.
            keep = {"max_cached_statement_lifetime": 0, "max_cacheable_statement_size": 0}
            return {"server_settings": settings, "ssl": tls or False, **keep}
        case "sqlite+aiosqlite":
            return {"timeout": options.lookup_timeout * 0.8}
        case _:
            return {}


def session_statements(options: SqlOptions, *, mariadb: bool) -> tuple[str, ...]:
    """What a fresh connection is told, where it couldn't be told while connecting."""
    match dialect_of(options).partition("+")[0]:
        case "mysql" if mariadb:
            return (f"SET SESSION max_statement_time = {options.lookup_timeout:.3f}",)
        case "mysql":
            return (f"SET SESSION max_execution_time = {int(options.lookup_timeout * 1000)}",)
        case "sqlite":
            return ("PRAGMA query_only = ON",)
        case _:
            return ()


def tls_context(tls: TlsOptions, endpoint: Endpoint) -> ssl.SSLContext:
    """A verifying context for ``endpoint``. Raises Misconfigured when a file can't be read."""
    try:
        context = NamedContext(ssl.PROTOCOL_TLS_CLIENT)
        context.name = endpoint.host
        if tls.ca:
            context.load_verify_locations(cafile=tls.ca)
        else:
            context.load_default_certs()
        if tls.cert:
            context.load_cert_chain(tls.cert, tls.key or None)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(path for path in (tls.ca, tls.cert, tls.key) if path)
        raise Misconfigured(f"can't use the TLS files ({files}): {error}") from error
    return context


class NamedContext(ssl.SSLContext):
    """A context that verifies the name in the configuration.

    The driver is given an address (see ``resolver``), and would verify that.
    """

    name: str

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """As :meth:`ssl.SSLContext.wrap_bio`, which asyncio and uvloop call."""
        return super().wrap_bio(incoming, outgoing, server_side, self.name, session)
