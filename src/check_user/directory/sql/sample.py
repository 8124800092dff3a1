"""The demo's database: a SQLite file with a few domains and accounts.

The tables have the names that the original's successor ``db/user`` has by default.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, Index, MetaData, Table, Text, create_engine, func, insert
from sqlalchemy.pool import NullPool
from sqlalchemy.util import greenlet_spawn

TABLES = MetaData()

EMAILTABLE = Table(
    "emailtable",
    TABLES,
    Column("local_part", Text, primary_key=True),
    Column("domain", Text, primary_key=True),
    Column("is_enabled", Text, nullable=False),
)
DOMAINTABLE = Table("domaintable", TABLES, Column("domain", Text, primary_key=True))

Index(
    "emailtable_folded",
    func.lower(func.trim(EMAILTABLE.c.local_part)),
    func.lower(func.trim(EMAILTABLE.c.domain)),
)
Index("domaintable_folded", func.lower(func.trim(DOMAINTABLE.c.domain)))

DOMAINS = ("example.org", "example.net", "bücher.example")

ACCOUNTS = (
    ("anna", "example.org", "yes"),
    ("bert", "example.org", "yes"),
    ("Carla.Conti", "example.org", "yes"),
    ("o'brien", "example.org", "yes"),
    ("sales", "example.org", "yes"),
    ("former", "example.org", "no"),
    ("anna", "example.net", "yes"),
    ("dora", "example.net", "yes"),
    ("sales", "example.net", "yes"),
    ("emil", "bücher.example", "yes"),
    ("frida", "xn--bcher-kva.example", "yes"),
    ("jürgen", "bücher.example", "yes"),
)
"""local_part, domain, is_enabled."""


async def create_sample(path: Path) -> None:
    """Write the sample database to ``path``, which must not exist yet."""
    await greenlet_spawn(_write, f"sqlite+aiosqlite:///{path}")


def _write(url: str) -> None:
    accounts = [dict(zip(EMAILTABLE.c.keys(), account, strict=True)) for account in ACCOUNTS]
    with create_engine(url, poolclass=NullPool).begin() as connection:
        TABLES.create_all(connection)
        connection.execute(insert(DOMAINTABLE), [{"domain": name} for name in DOMAINS])
        connection.execute(insert(EMAILTABLE), accounts)
