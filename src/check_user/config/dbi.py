"""DBI's way to name a database: what ``driver`` and ``database`` could hold in 2007.

The original connected to ``dbi:$driver:$database``, so ``database`` may be everything that DBI
takes after the driver's name:

    maildb
    maildb;host=db1;port=3306
    database=maildb;host=db1;mysql_socket=/run/mysqld/mysqld.sock
    maildb:db1:3306                       (DBD::mysql also splits at colons)
    dbname=/var/lib/mail.sqlite           (DBD::SQLite, DBD::Pg)

Attributes that only tune DBD::mysql are dropped; one that would change what is asked, or of whom,
and that we don't have is an error: dropping it silently might send a password in the clear.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from check_user.config.values import Host, meant, parse_port

DRIVERS = {
    "mysql": "mysql",
    "mariadb": "mysql",
    "pg": "postgresql",
    "pgsql": "postgresql",
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "sqlite": "sqlite",
    "sqlite3": "sqlite",
}
"""DBI's names and the common ones, in lower case, and the dialect of each."""

_DATABASE = ("database", "dbname", "db")
_HOST = ("host", "hostname", "hostaddr")
_SOCKET = ("mysql_socket", "mariadb_socket")
_TUNING = re.compile(
    r"(mysql|mariadb)_(auto_reconnect|bind_type_guessing|client_found_rows|compression"
    r"|connect_timeout|read_timeout|write_timeout|emulated_prepare|server_prepare"
    r"|enable_utf8(mb4)?|use_result|embedded_.*)|(pg|sqlite)_.*|connect_timeout"
    r"|application_name|client_encoding"
)


@dataclass(frozen=True, slots=True)
class Source:
    """What ``database`` said."""

    database: str
    host: Host | None = None
    port: int | None = None
    socket: str = ""


def parse_driver(text: str) -> str:
    """Give the SQLAlchemy dialect for a driver's name: ``mysql``, ``postgresql``, ``sqlite``, or
    ``DIALECT+DRIVER`` as it is. Raises ValueError.
    """
    name = text.lower()
    if name in DRIVERS:
        return DRIVERS[name]
    if re.fullmatch(r"[a-z0-9_]+\+[a-z0-9_]+", name, re.ASCII):
        return name
    hint = meant(name, DRIVERS)
    raise ValueError(
        f"{text!r} is none of mysql, postgresql, sqlite, and no SQLAlchemy 'DIALECT+DRIVER'{hint}"
    )


def parse_database(driver: str, text: str) -> Source:
    """Take ``database`` apart. ``driver`` is a dialect of :func:`parse_driver`. Raises ValueError,
    whose text never holds an attribute's value.
    """
    attributes = _attributes(driver, text)
    database = _take(attributes, _DATABASE)
    host = _take(attributes, _HOST)
    socket = _take(attributes, _SOCKET)
    port = _take(attributes, ("port",))
    for name in attributes:
        if not _TUNING.fullmatch(name):
            raise ValueError(f"the attribute {name!r} isn't known here{_advice(name)}")
    if not database:
        raise ValueError("names no database")
    if host.startswith("/"):  # libpq's way to name the folder of its unix socket
        host, socket = "", host
    return Source(
        database=database,
        host=Host(host) if host else None,
        port=parse_port(port) if port else None,
        socket=socket,
    )


def _attributes(driver: str, text: str) -> dict[str, str]:
    """Name every part; a part without a name is, in this order, the database, host and port."""
    if driver == "sqlite" and "=" not in text:
        return {"database": text}
    mysql = driver.startswith("mysql")
    # An IPv6 address in brackets keeps its colons (DBD::mysql's _OdbcParse).
    parts = re.findall(r"(?:\[[^\]]*\]|[^:;])+", text) if mysql else text.split(";")
    unnamed = iter(("database", "host", "port"))
    attributes: dict[str, str] = {}
    for part in filter(None, map(str.strip, parts)):
        name, equals, value = part.partition("=")
        if not equals:
            name, value = next(unnamed, part), part
        attributes[name.strip().lower()] = value.strip().strip("[]" if mysql else "")
    return attributes


def _take(attributes: dict[str, str], names: tuple[str, ...]) -> str:
    found = [attributes.pop(name) for name in names if name in attributes]
    return found[0] if found else ""


def _advice(name: str) -> str:
    if "ssl" in name:
        return ": write 'tls=verify' (and 'tls_ca') on lines of their own"
    if name in ("user", "username", "password"):
        return ": write 'user' and 'passwd' on lines of their own"
    return meant(name, (*_DATABASE, *_HOST, *_SOCKET, "port"))
