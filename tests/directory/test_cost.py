"""What a lookup costs the database: questions, round trips, rows read."""

from __future__ import annotations

import asyncio

import pytest

from check_user.directory import Directory, Presence, Step
from tests.directory.accounts import STORED, TEXT, needs, tables
from tests.directory.backends import Backend, OnServer, address
from tests.peers.process import wait_until


async def steps(directory: Directory, text: str) -> list[Step]:
    """The steps of one lookup."""
    found: list[Step] = []
    await directory.find(address(text), found.append)
    return found


async def test_a_known_user_costs_one_question(backend: Backend, layout: dict[str, str]) -> None:
    """A known user is one step; the step says which row it was."""
    backend.fill(tables(backend))
    directory = await backend.open(**layout)
    for text in ("anna@x.example", "ANNA@X.example", "zoë@x.example", "emil@bücher.example"):
        (step,) = await steps(directory, text)
        assert len(step.rows) == 1, text
        assert step.origin == "database"


async def test_a_known_user_costs_one_round_trip(server: OnServer, layout: dict[str, str]) -> None:
    """The server hears one statement for a known user, and nothing else: no ping, no BEGIN."""
    server.fill(tables(server))
    with server.overhear() as heard:
        directory = await server.open(**layout)
        before = len(heard())
        for _ in range(5):
            assert await directory.find(address("anna@x.example")) is Presence.KNOWN
        assert len(heard()) - before == 5, heard()[before:]


FOLDING = [
    # backend, type of the column, whether its own = folds case and trailing spaces
    ("sqlite", "text", False),
    ("sqlite", "text COLLATE NOCASE", False),
    ("mariadb", "varchar(100)", True),
    ("mariadb", "varchar(100) COLLATE utf8mb4_bin", False),
    ("mariadb", "varchar(100) COLLATE utf8mb4_general_nopad_ci", False),
    ("postgresql", "text", False),
]


@pytest.mark.parametrize(("backend", "column", "folds"), FOLDING, indirect=["backend"])
async def test_the_second_look(backend: Backend, column: str, folds: bool) -> None:
    """Whoever isn't found is looked for folded, but not where the column folds case and spaces by
    itself, nor where the configuration says that all is stored in canonical form. The domain is
    asked together with a plain address."""
    backend.fill(tables(backend, STORED, column))
    one_look, two_looks = ["recipient"], ["recipient", "address folded"]
    found = await steps(await backend.open(), "nobody@x.example")
    assert [step.name for step in found] == (one_look if folds else two_looks)
    found = await steps(await backend.open(stored_canonical=True), "nobody@x.example")
    assert [step.name for step in found] == one_look


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)
async def test_an_index_on_the_folded_form_makes_one_look_of_two(backend: Backend) -> None:
    """With an index on lower(trim(column)) an unknown user costs one question, and rows that are
    stored in any case are found by it."""
    backend.fill(
        tables(backend, STORED, "text")
        + "CREATE INDEX folded ON users (lower(trim(email)));"
        + "CREATE INDEX folded_domains ON domains (lower(trim(domain)));"
    )
    directory = await backend.open()
    for text in ("nobody@x.example", "anna@elsewhere.example", "ANNA@X.example"):
        assert [step.name for step in await steps(directory, text)] == ["recipient"], text
    for stored, spellings in STORED.items():
        for spelling in spellings:
            assert await directory.find(address(spelling)) is Presence.KNOWN, stored


INDEXED = [
    ("mariadb", "varchar(100)"),
    ("mariadb", "varchar(100) CHARACTER SET latin1"),
    ("mariadb", "varchar(100) COLLATE utf8mb4_bin"),
    ("mariadb", "char(100)"),
    ("mariadb", "varbinary(100)"),
    ("postgresql", "text"),
    ("postgresql", "char(100)"),
    ("postgresql", "citext"),
]
MANY = {"mariadb": "seq_1_to_30000", "postgresql": "generate_series(1, 30000) AS seq"}
"""Many rows: on a small table PostgreSQL prefers to read it all, and is right."""


@pytest.mark.parametrize(("server", "column"), INDEXED, indirect=["server"])
async def test_the_plain_index_serves(server: OnServer, column: str) -> None:
    """Known users are found through the plain index, whatever the column's type: of thousands of
    rows the server reads only a few for each."""
    server.fill(
        f"{needs(column)} CREATE TABLE users (email {column} PRIMARY KEY);"
        "INSERT INTO users "
        f"SELECT concat('user', seq, '@x.example') FROM {MANY[server.name]};"
        f"CREATE TABLE domains (domain {TEXT}); {server.analyze('users')}"
    )
    before = server.rows_read("users")
    directory = await server.open()
    users = [address(f"user{number}@x.example") for number in range(1, 41)]
    for user in users[:10]:
        assert await directory.find(user) is Presence.KNOWN
    together = await asyncio.gather(*(directory.find(user) for user in users[10:]))
    assert set(together) == {Presence.KNOWN}
    await directory.aclose()
    assert wait_until(lambda: server.rows_read("users") - before >= len(users), 5.0)
    assert server.rows_read("users") - before <= 2 * len(users)


@pytest.mark.parametrize("column", ["text", "text COLLATE NOCASE", "varchar(100)", ""])
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_the_plain_index_serves_sqlite(backend: Backend, column: str) -> None:
    """SQLite's own plan for the statement is a search through the index."""
    backend.fill(
        f"CREATE TABLE users (email {column} PRIMARY KEY); CREATE TABLE domains (domain text);"
        + backend.insert("users", [("anna@x.example",)])
    )
    (step,) = await steps(await backend.open(), "anna@x.example")
    query = step.query.replace(":s0_0", "'anna@x.example'").replace(":s0_1", "'x.example'")
    plan = backend.execute(f"EXPLAIN QUERY PLAN {query}")
    assert any("SEARCH users USING" in line for line in plan)
