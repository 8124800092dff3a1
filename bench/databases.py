"""The databases: the same accounts in SQLite, MariaDB and PostgreSQL, each reached by its socket.

Tables: ``users(email PRIMARY KEY, maildir)`` and ``domains(domain PRIMARY KEY)``. SQLite and
PostgreSQL compare case, so there ``lower(trim(email))`` has the index that ``check-user check``
advises, and an unknown address costs three questions; MariaDB's default collation (utf8mb4) ignores
case, and it costs two. A known address costs one everywhere.

Everything fits into the servers' memory. MariaDB and PostgreSQL are those of the tests
(``tests/peers``) with larger buffers.
"""

from __future__ import annotations

import csv
import sqlite3
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from bench import accounts
from tests.peers import mariadb as mariadb_server
from tests.peers import postgresql as postgresql_server
from tests.peers.database import DatabaseServer

TABLES = (
    "CREATE TABLE users (email varchar(255) PRIMARY KEY, maildir varchar(255) NOT NULL)",
    "CREATE TABLE domains (domain varchar(255) PRIMARY KEY)",
)
FOLDED = (
    "CREATE INDEX users_folded ON users (lower(trim(email)))",
    "CREATE INDEX domains_folded ON domains (lower(trim(domain)))",
)
MARIADB_OPTIONS = (
    "--innodb-buffer-pool-size=1G",
    "--query-cache-type=0",
    "--max-connections=400",
)
POSTGRESQL_OPTIONS = ("shared_buffers=512MB",)


@dataclass(frozen=True, slots=True)
class Database:
    """One filled database.

    ``settings`` say to check_user where it is; ``address`` is what the bare driver is told (see
    ``drivers``); ``server`` takes further statements, where it is one.
    """

    name: str
    version: str
    settings: dict[str, str]
    address: str
    server: DatabaseServer | None = None


def open_all(stack: ExitStack, root: Path, number: int) -> list[Database]:
    """Start and fill every database below ``root``; ``stack`` ends them."""
    rows = write_rows(root, number)
    return [sqlite(root, rows), mariadb(stack, root, rows), postgresql(stack, root, rows)]


def write_rows(root: Path, number: int) -> dict[str, Path]:
    """One CSV file a table, which the servers read themselves."""
    files = {table: root / f"{table}.csv" for table in ("users", "domains")}
    with files["users"].open("w", newline="") as file:
        every = (accounts.known(each) for each in range(number))
        csv.writer(file, lineterminator="\n").writerows(
            (email, f"/var/mail/{email}/") for email in every
        )
    files["domains"].write_text("".join(f"{domain}\n" for domain in accounts.domains()))
    return files


def sqlite(root: Path, rows: dict[str, Path]) -> Database:
    """Fill a file below ``root`` with ``rows``."""
    path = root / "mail.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        for statement in TABLES:
            connection.execute(statement)
        for table, places in (("users", "?, ?"), ("domains", "?")):
            with rows[table].open(newline="") as file:
                connection.executemany(f"INSERT INTO {table} VALUES ({places})", csv.reader(file))
        for statement in (*FOLDED, "ANALYZE"):
            connection.execute(statement)
        connection.commit()
    settings = {"driver": "sqlite", "database": str(path)}
    return Database("SQLite", sqlite3.sqlite_version, settings, str(path))


def mariadb(stack: ExitStack, root: Path, rows: dict[str, Path]) -> Database:
    """Start MariaDB below ``root`` and fill it with ``rows``."""
    template = mariadb_server.Template(new_folder(root, "mt"))
    server = template.server(new_folder(root, "m"), options=MARIADB_OPTIONS)
    _start(stack, server)
    for table, file in rows.items():
        server.execute(f"LOAD DATA INFILE '{file}' INTO TABLE {table} FIELDS TERMINATED BY ','")
    server.execute("ANALYZE TABLE users, domains")
    (version,) = server.execute("SELECT version()")
    settings = _settings("mysql", server) | {"socket": str(server.socket)}
    return Database("MariaDB", version, settings, str(server.socket), server)


def postgresql(stack: ExitStack, root: Path, rows: dict[str, Path]) -> Database:
    """Start PostgreSQL below ``root`` and fill it with ``rows``."""
    template = postgresql_server.Template(new_folder(root, "pt"))
    server = template.server(new_folder(root, "p"), options=POSTGRESQL_OPTIONS)
    _start(stack, server)
    for table, file in rows.items():
        server.execute(f"COPY {table} FROM '{file}' (FORMAT csv)")
    for statement in (*FOLDED, "VACUUM ANALYZE"):
        server.execute(statement)
    (version,) = server.execute("SHOW server_version")
    settings = _settings("postgresql", server) | {"socket": str(server.socket)}
    return Database("PostgreSQL", version, settings, f"{server.folder}:{server.port}", server)


def new_folder(root: Path, name: str) -> Path:
    """Make a folder below ``root``."""
    folder = root / name
    folder.mkdir()
    return folder


def _start(stack: ExitStack, server: DatabaseServer) -> None:
    stack.callback(server.stop)
    server.start()
    for statement in TABLES:
        server.execute(statement)


def _settings(driver: str, server: DatabaseServer) -> dict[str, str]:
    return {
        "driver": driver,
        "database": server.database,
        "user": server.user,
        "passwd": server.password,
    }
