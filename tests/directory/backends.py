"""The databases behind a directory: an administrator fills them, check_user reads them.

Each test begins with an empty one and makes its own tables::

    backend.fill(f"CREATE TABLE users (email varchar(99)); {insert('users', 'anna@x.example')}")
    directory = await backend.open(email_table="users", email_address="email", ...)

A new kind of directory costs a class and a line in BACKENDS; the contract is asked of it then.
"""

from __future__ import annotations

import contextlib
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from check_user.address import Address, Domain, parse, parse_domain
from check_user.directory import Directory, Presence, Prompt
from check_user.directory.sql import SqlOptions, open_directory
from tests.peers.database import DatabaseServer


class Backend(ABC):
    """One database. ``reports`` are the operational lines of the directories opened on it."""

    name: str
    qualifier: str
    """A schema that a table's name may be qualified with."""

    def __init__(self) -> None:
        self.reports: list[str] = []
        self.opened: list[Directory] = []

    @abstractmethod
    def fill(self, sql: str) -> None:
        """Begin anew, with what these statements make."""

    @abstractmethod
    def execute(self, sql: str) -> list[str]:
        """Run statements as the administrator and give the rows' lines."""

    @abstractmethod
    def place(self) -> dict[str, Any]:
        """Where the database is, as SqlOptions says it."""

    @abstractmethod
    def text(self, value: str) -> str:
        """A value in SQL, whatever characters it has and whatever the server's settings are."""

    def quote(self, name: str) -> str:
        """A name in SQL."""
        return '"' + name.replace('"', '""') + '"'

    def insert(self, table: str, rows: Iterable[tuple[str | None, ...]]) -> str:
        """A statement that inserts these rows (None is NULL); none when there are none."""
        lines = [
            "(" + ", ".join("NULL" if cell is None else self.text(cell) for cell in row) + ")"
            for row in rows
        ]
        return f"INSERT INTO {table} VALUES {', '.join(lines)};" if lines else ""

    def options(self, **settings: Any) -> SqlOptions:
        """Options that lead here; tables and columns have the names that most tests give them."""
        given = {"email_table": "users", "domain_table": "domains", "domain_domain": "domain"}
        if "email_user" not in settings:
            given["email_address"] = "email"
        return SqlOptions(**{**given, **self.place(), **settings})

    async def open(self, **settings: Any) -> Directory:
        """Open a directory; it is closed with the test."""
        directory = await open_directory(self.options(**settings), self.reports.append)
        self.opened.append(directory)
        return directory

    async def close(self) -> None:
        """Close what was opened."""
        for directory in self.opened:
            await directory.aclose()


class Sqlite(Backend):
    """SQLite, in a file."""

    name = "sqlite"
    qualifier = "main"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / "mail.db"

    def fill(self, sql: str) -> None:
        self.path.unlink(missing_ok=True)
        self.execute(sql)

    def execute(self, sql: str) -> list[str]:
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            if ";" in sql:
                connection.executescript(sql)
                return []
            return ["|".join(map(str, row)) for row in connection.execute(sql)]

    def place(self) -> dict[str, Any]:
        return {"driver": "sqlite", "database": str(self.path)}

    def text(self, value: str) -> str:
        return f"CAST(x'{value.encode().hex()}' AS TEXT)"


class OnServer(Backend):
    """A database server, brought back whatever the test before did to it."""

    driver: str

    def __init__(self, server: DatabaseServer) -> None:
        super().__init__()
        self.server = server
        server.thaw()
        if not server.running:
            server.start()

    def execute(self, sql: str) -> list[str]:
        return self.server.execute(sql)

    def place(self) -> dict[str, Any]:
        return {
            "driver": self.driver,
            "database": self.server.database,
            "user": self.server.user,
            "password": self.server.password,
            "hosts": ((self.server.host, self.server.port),),
        }

    @abstractmethod
    def overhear(self) -> contextlib.AbstractContextManager[Callable[[], list[str]]]:
        """Let the server note what check_user says on connections that it opens from now on."""

    @abstractmethod
    def analyze(self, table: str) -> str:
        """The statement that lets the server learn how large a table is."""

    @abstractmethod
    def rows_read(self, table: str) -> int:
        """How many rows of ``table`` the server read so far; some servers tell it late."""


class OnMariaDB(OnServer):
    """MariaDB."""

    name = "mariadb"
    driver = "mysql"
    qualifier = "maildb"

    def fill(self, sql: str) -> None:
        anew = "DROP DATABASE IF EXISTS maildb; CREATE DATABASE maildb; USE maildb;"
        self.server.execute(anew + sql, self.server.administration)

    def text(self, value: str) -> str:
        return f"CONVERT(x'{value.encode().hex()}' USING utf8mb4)"

    def quote(self, name: str) -> str:
        return "`" + name.replace("`", "``") + "`"

    @contextlib.contextmanager
    def overhear(self) -> Iterator[Callable[[], list[str]]]:
        anew = "TRUNCATE mysql.general_log; SET GLOBAL log_output='TABLE', GLOBAL general_log="
        said = (
            "SELECT REPLACE(CONVERT(argument USING utf8mb4), '\\n', ' ') FROM mysql.general_log "
            "WHERE user_host LIKE 'check_user%' AND command_type <> 'Connect'"
        )
        self.execute(anew + "1")
        try:
            yield lambda: self.execute(said)
        finally:
            self.execute(anew + "0")

    def analyze(self, table: str) -> str:
        return f"ANALYZE TABLE {table};"

    def rows_read(self, table: str) -> int:
        self.execute("SET GLOBAL userstat=1")  # so it counts from the first call on
        counter = f"information_schema.table_statistics WHERE table_name = '{table}'"
        return int(*self.execute(f"SELECT coalesce(sum(rows_read), 0) FROM {counter}"))


class OnPostgreSQL(OnServer):
    """PostgreSQL."""

    name = "postgresql"
    driver = "postgresql"
    qualifier = "public"

    def fill(self, sql: str) -> None:
        anew = "DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public;"
        rights = "GRANT USAGE ON SCHEMA public TO PUBLIC;"
        self.execute("SET client_min_messages=warning;" + anew + rights + sql)

    def text(self, value: str) -> str:
        return f"convert_from(decode('{value.encode().hex()}', 'hex'), 'UTF8')"

    @contextlib.contextmanager
    def overhear(self) -> Iterator[Callable[[], list[str]]]:
        begin = self.server.log.stat().st_size

        def said() -> list[str]:
            with self.server.log.open(encoding="utf-8", errors="replace") as log:
                log.seek(begin)
                return [line for line in log if " LOG:  execute " in line or " statement: " in line]

        self.execute("ALTER ROLE check_user SET log_statement = 'all'")
        try:
            yield said
        finally:
            self.execute("ALTER ROLE check_user RESET log_statement")

    def analyze(self, table: str) -> str:
        return f"ANALYZE {table};"

    def rows_read(self, table: str) -> int:
        counter = f"pg_stat_user_tables WHERE relname = '{table}'"
        return int(*self.execute(f"SELECT seq_tup_read + idx_tup_fetch FROM {counter}"))


BACKENDS: dict[str, Callable[[pytest.FixtureRequest], Backend]] = {
    "sqlite": lambda request: Sqlite(request.getfixturevalue("tmp_path")),
    "mariadb": lambda request: OnMariaDB(request.getfixturevalue("session_mariadb")),
    "postgresql": lambda request: OnPostgreSQL(request.getfixturevalue("session_postgresql")),
}


def address(text: str) -> Address:
    """An address as a mail server asks for it."""
    found = parse(text)
    assert isinstance(found, Address), f"{text}: {found}"
    return found


def domain(text: str) -> Domain:
    """A domain as a mail server asks for it."""
    found = parse_domain(text)
    assert isinstance(found, Domain), f"{text}: {found}"
    return found


async def presences(directory: Directory, texts: Iterable[str]) -> dict[str, Presence]:
    """What the directory says about each address, asked one after the other.

    What it can tell at once is what it tells when it is asked.
    """
    found: dict[str, Presence] = {}
    for text in texts:
        at_once = directory.find_at_once(address(text)) if isinstance(directory, Prompt) else None
        found[text] = await directory.find(address(text))
        assert at_once in (None, found[text]), text
    return found
