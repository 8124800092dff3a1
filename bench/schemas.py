"""A known product's tables: PostfixAdmin's beside one plain table with the same addresses in it.

Of the stored addresses a sixth are aliases. In PostfixAdmin's schema every mailbox has a row in
``alias`` too, as the product makes it, and a lookup looks into four tables in one statement. The
plain table has mailboxes and aliases alike in one column.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from bench import accounts
from bench.contenders import PLAIN_TABLES, Generator, Service, asked, running
from bench.databases import Database, mariadb, new_folder, postgresql, write_rows
from bench.report import Section, goal, rates, text_of
from bench.rounds import Contender, Results, measure
from tests.peers.database import DatabaseServer

TITLE = "A known schema"
ACCOUNTS = 1_200_000
"""Stored addresses, where the command line says nothing else."""

ALIAS_OF = 6
"""One address in so many is an alias."""

COST = 1.3
"""How many times the plain table's lookup that of the schema may take."""

DOOR, CLIENTS = "line", 16
PLAIN, SCHEMA = "plain table", "PostfixAdmin"

TABLES = {
    "domain": "domain varchar(255) PRIMARY KEY, transport varchar(255) NOT NULL, "
    "backupmx {flag} NOT NULL, active {flag} NOT NULL",
    "mailbox": "username varchar(255) PRIMARY KEY, domain varchar(255) NOT NULL, "
    "maildir varchar(255) NOT NULL, active {flag} NOT NULL",
    "alias": "address varchar(255) PRIMARY KEY, goto text NOT NULL, "
    "domain varchar(255) NOT NULL, active {flag} NOT NULL",
    "alias_domain": "alias_domain varchar(255) PRIMARY KEY, target_domain varchar(255) NOT NULL, "
    "active {flag} NOT NULL",
}
FLAG = {"MariaDB": "tinyint(1)", "PostgreSQL": "boolean"}
KEYS = {
    "domain": "domain",
    "mailbox": "username",
    "alias": "address",
    "alias_domain": "alias_domain",
}

HOW = """\
### How to read it

As at the doors: sixteen clients of the `line` door in lock step, half of the addresses stored, half
unknown at one of our domains. Both are `check-user serve` with its default settings on the same
database server, which holds the same addresses twice:

- `plain table`: in one column of one table, and the domains in another (`email_table=` and its
  like);
- `PostfixAdmin`: a sixth as aliases, the others as mailboxes with an alias of the same name
  (`schema=postfixadmin`). Four tables are looked into, in one statement.

PostgreSQL, which compares case, has in both the indexes on the folded names that `check-user check`
advises. Every answer was compared."""


def run(stack: ExitStack, root: Path, number: int, rounds: int, seconds: float) -> Section:
    """Start everything, measure, report."""
    plain = write_rows(root, number)
    rows = _write_rows(root, number)
    load = accounts.write_load(root / "load", number, unknowns=True)
    databases = [mariadb(stack, root, plain), postgresql(stack, root, plain)]
    generator = Generator()
    contenders: list[Contender] = []
    for database in databases:
        _fill(database, rows)
        contenders += _contenders(stack, root, database, generator, load)
    results = measure(contenders, rounds, seconds)
    found, everything = list(_goals(results)), list(rates(results))
    return Section(
        TITLE,
        ", ".join(f"{each.name} {each.version}" for each in databases),
        [*everything, "", *found],
        text_of(found, {"Everything": everything}, HOW),
    )


def _goals(results: Results) -> Iterator[str]:
    """A line for each database: whether the schema's lookup costs no more than it may."""
    for database in FLAG:
        ratio = results.ratio((SCHEMA, database, CLIENTS), (PLAIN, database, CLIENTS))
        yield goal(
            ratio >= 1 / COST,
            f"{database}: PostfixAdmin's schema has {ratio:.2f} of the plain table's rate (at "
            f"least 1/{COST})",
        )


def _contenders(
    stack: ExitStack, root: Path, database: Database, generator: Generator, load: Path
) -> Iterator[Contender]:
    """The plain table and the schema, one server after the other."""
    for name, tables in ((PLAIN, PLAIN_TABLES), (SCHEMA, {"schema": "postfixadmin"})):
        folder = new_folder(root, f"{name}-{database.name}".replace(" ", "-"))
        service = running(stack, Service(folder, database, tables))
        yield replace(generator.contender(asked(DOOR), service, CLIENTS, load), name=name)


def _write_rows(root: Path, number: int) -> dict[str, Path]:
    """One CSV file for each of PostfixAdmin's tables, which the servers read themselves."""
    files = {table: root / f"postfixadmin-{table}.csv" for table in TABLES}
    _write(files["domain"], ((domain, "virtual", "0", "1") for domain in accounts.domains()))
    _write(files["mailbox"], _mailboxes(number))
    _write(files["alias"], _aliases(number))
    _write(files["alias_domain"], [("elsewhere.example", accounts.domains()[0], "1")])
    return files


def _mailboxes(number: int) -> Iterator[Sequence[str]]:
    for each in range(number):
        if each % ALIAS_OF:
            address = accounts.known(each)
            yield address, address.partition("@")[2], f"{address}/", "1"


def _aliases(number: int) -> Iterator[Sequence[str]]:
    """An alias leads to the mailbox after it; a mailbox has one that leads to itself."""
    for each in range(number):
        address = accounts.known(each)
        target = address if each % ALIAS_OF else accounts.known(each + 1)
        yield address, target, address.partition("@")[2], "1"


def _write(path: Path, rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _fill(database: Database, rows: dict[str, Path]) -> None:
    """Make PostfixAdmin's tables beside the plain ones."""
    server = database.server
    assert server
    for table, columns in TABLES.items():
        server.execute(f"CREATE TABLE {table} ({columns.format(flag=FLAG[database.name])})")
        _load(database.name, server, table, rows[table])
    if database.name == "PostgreSQL":
        for table, key in KEYS.items():
            server.execute(f"CREATE INDEX {table}_folded ON {table} (lower(trim({key})))")
        server.execute("VACUUM ANALYZE")
    else:
        server.execute(f"ANALYZE TABLE {', '.join(TABLES)}")


def _load(database: str, server: DatabaseServer, table: str, file: Path) -> None:
    if database == "PostgreSQL":
        server.execute(f"COPY {table} FROM '{file}' (FORMAT csv)")
    else:
        server.execute(f"LOAD DATA INFILE '{file}' INTO TABLE {table} FIELDS TERMINATED BY ','")
