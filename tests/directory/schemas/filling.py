"""Tables in SQL for every database: made with the products' own columns, filled row by row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.directory.backends import Backend


class Raw(str):
    """A value that is SQL already: a time, which no text becomes by itself."""

    __slots__ = ()


Value = str | int | bool | Raw | None

PAST = Raw("'2007-11-23 12:00:00'")
TO_COME = Raw("'2107-11-23 12:00:00'")


class Filling:
    """The statements that make and fill a database, for one backend."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.sql: list[str] = []

    @property
    def is_mysql(self) -> bool:
        return self.backend.name == "mariadb"

    def table(
        self, name: str, columns: str, rows: Iterable[Mapping[str, Value]], options: str = ""
    ) -> None:
        """Make a table; ``options`` are MySQL's."""
        quoted = self.backend.quote(name)
        self.sql.append(f"CREATE TABLE {quoted} ({columns}) {options if self.is_mysql else ''}")
        for row in rows:
            names = ", ".join(map(self.backend.quote, row))
            values = ", ".join(map(self.value, row.values()))
            self.sql.append(f"INSERT INTO {quoted} ({names}) VALUES ({values})")

    def index(self, name: str, table: str, columns: str) -> None:
        self.sql.append(f"CREATE INDEX {name} ON {self.backend.quote(table)} ({columns})")

    def value(self, value: Value) -> str:
        match value:
            case Raw():
                return str(value)
            case None:
                return "NULL"
            case bool():
                return "true" if value else "false"
            case int():
                return str(value)
            case _:
                return self.backend.text(value)

    def fill(self) -> None:
        self.backend.fill(";".join(self.sql) + ";")
