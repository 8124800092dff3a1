"""What a lookup in a schema costs the database: round trips, rows read, indexes."""

from __future__ import annotations

import asyncio

import pytest

from check_user.directory import Presence, Step
from check_user.directory.schemas import SCHEMAS
from check_user.directory.sql.drivers import endpoints_of
from check_user.directory.sql.plans import explain
from check_user.directory.sql.schema_branch import slots_of
from check_user.directory.sql.schema_catalogue import bind
from check_user.directory.sql.schema_lookup import SchemaDirectory
from check_user.directory.sql.schema_opening import is_indexed, read_schema
from check_user.directory.sql.session import Opener
from tests.directory.backends import Backend, OnServer, address
from tests.directory.schemas.products import PRODUCTS
from tests.directory.schemas.test_schemas import PLACES, opened
from tests.peers.process import wait_until


async def steps(directory: SchemaDirectory, text: str) -> list[Step]:
    """The questions of one lookup; the last step is their meaning, and is left out."""
    found: list[Step] = []
    await directory.find(address(text), found.append)
    return [step for step in found if step.query]


ONE_TRIP = (
    "anna@example.org", "anna+x-y@example.org", "nobody@example.org", "former@example.org",
    "anybody@catchall.example", "anna@elsewhere.example", "anybody@relay.example",
)  # fmt: skip


async def test_one_round_trip(server: OnServer) -> None:
    """The server hears one statement for a lookup, whatever the answer; for an alias domain too,
    from the second time on. (All is stored in lower case here; and the statements have been
    prepared, which takes a round trip once a connection.)"""
    with server.overhear() as heard:
        directory = await opened("postfixadmin", server, stored_canonical=True, connections=1)
        for text in (*ONE_TRIP, "prepared@example.net", "prepared@example.net"):
            await directory.find(address(text))
        for text in ONE_TRIP:
            before = len(heard())
            await directory.find(address(text))
            assert len(heard()) - before == 1, text
        for text, trips in (("anna@example.net", 1), ("bert@example.net", 1), ("x@example.net", 1)):
            before = len(heard())
            await directory.find(address(text))
            assert len(heard()) - before == trips, text


async def test_an_alias_domain_that_moved(backend: Backend) -> None:
    """The remembered target of an alias domain is only a guess: when it changes, the next answer
    is right."""
    directory = await opened("postfixadmin", backend)
    for text, before, after in (
        ("anna@example.net", Presence.ALIAS_DOMAIN, Presence.UNKNOWN),
        ("carl@example.net", Presence.UNKNOWN, Presence.ALIAS_DOMAIN),
    ):
        assert await directory.find(address(text)) is before
        backend.execute(
            "UPDATE alias_domain SET target_domain = 'catchall.example' "
            "WHERE alias_domain = 'example.net'"
        )
        backend.execute("DELETE FROM alias WHERE address = '@catchall.example'")
        assert await directory.find(address(text)) is after
        backend.execute(
            "UPDATE alias_domain SET target_domain = 'example.org' "
            "WHERE alias_domain = 'example.net'"
        )
    backend.execute("DELETE FROM alias_domain WHERE alias_domain = 'example.net'")
    assert await directory.find(address("anna@example.net")) is Presence.UNKNOWN


UNINDEXED = {
    # the product itself has no index there
    ("vexim", "alias domain"),
    ("mailinabox", "domain of users"),
    ("mailinabox", "domain of aliases"),
    ("mailinabox", "domain of auto_aliases"),
    ("ispconfig", "mailing list"),
    ("modoboa", "mailbox with an operation to come"),
}


@pytest.mark.parametrize(("name", "backend"), PLACES, indirect=["backend"])
async def test_an_index_serves_every_source(name: str, backend: Backend) -> None:
    """By the database's own EXPLAIN, every source of every schema is looked up through an index,
    as far as the product has one."""
    await opened(name, backend)
    product, schema = PRODUCTS[name], SCHEMAS[name]
    options = backend.options(schema=schema, schema_values=product.values)
    session = await Opener(options)(endpoints_of(options)[0])
    try:
        sources = await bind(session, schema, product.values)
        slots = slots_of(sources)
        without = {
            (name, bound.source.name)
            for bound in sources
            if not await is_indexed(session, bound, slots, folded=False)
        }
    finally:
        await session.aclose()
    assert without <= UNINDEXED


MANY = {"mariadb": "seq_1_to_30000", "postgresql": "generate_series(1, 30000) AS seq"}


def fill_many(server: OnServer) -> None:
    """PostfixAdmin's tables with 30,000 rows in each, known to the server's planner."""
    flag = "boolean" if server.name == "postgresql" else "tinyint(1)"
    tables = {
        "domain": f"domain varchar(255) PRIMARY KEY, backupmx {flag}, transport varchar(255), "
        f"active {flag}",
        "mailbox": f"username varchar(255) PRIMARY KEY, active {flag}",
        "alias": f"address varchar(255) PRIMARY KEY, goto text, active {flag}",
        "alias_domain": "alias_domain varchar(255) PRIMARY KEY, target_domain varchar(255), "
        f"active {flag}",
    }
    rows = {
        "domain": "concat('d', seq, '.example'), false, 'virtual', true",
        "mailbox": "concat('user', seq, '@x.example'), true",
        "alias": "concat('alias', seq, '@x.example'), 'user1@x.example', true",
        "alias_domain": "concat('a', seq, '.example'), 'x.example', true",
    }
    server.fill(
        "".join(f"CREATE TABLE {table} ({columns});" for table, columns in tables.items())
        + "INSERT INTO domain VALUES ('x.example', false, 'virtual', true);"
        + "".join(
            f"INSERT INTO {table} SELECT {row} FROM {MANY[server.name]};{server.analyze(table)}"
            for table, row in rows.items()
        )
    )


async def test_an_index_serves_every_branch(server: OnServer) -> None:
    """With 30,000 rows in each of PostfixAdmin's tables the server's plan for the whole lookup, of
    one address and of 32, reads none of them from end to end."""
    fill_many(server)
    options = server.options(schema=SCHEMAS["postfixadmin"], stored_canonical=True)
    session = await Opener(options)(endpoints_of(options)[0])
    try:
        looks = await read_schema(session, SCHEMAS["postfixadmin"], options)
        for size in (1, 32):
            slots = [looks.slots.of(f"user{i}", f"d{i}.example") for i in range(size)]
            plan = await explain(session, "EXPLAIN", looks.first, slots)
            if server.name == "postgresql":
                text = "\n".join(str(row[0]) for row in plan)
                assert "Seq Scan" not in text
                assert text.count("Index Cond") == 4
            else:
                read = [row for row in plan if row.table is not None]
                assert {row.type for row in read} <= {"const", "range"}
                assert all(row.key == "PRIMARY" and int(row.rows) <= 2 * size for row in read)
    finally:
        await session.aclose()


async def test_few_rows_are_read(server: OnServer) -> None:
    """Of 30,000 mailboxes and as many aliases the server reads a few for each lookup."""
    fill_many(server)
    before = {table: server.rows_read(table) for table in ("mailbox", "alias")}
    directory = await server.open(schema=SCHEMAS["postfixadmin"], stored_canonical=True)
    asked = [address(f"{kind}{i}@x.example") for kind in ("user", "alias") for i in range(1, 41)]
    assert await directory.find(asked[0]) is Presence.KNOWN
    assert set(await asyncio.gather(*map(directory.find, asked))) == {Presence.KNOWN}
    assert await directory.find(address("nobody@x.example")) is Presence.UNKNOWN
    await directory.aclose()
    assert wait_until(lambda: server.rows_read("alias") - before["alias"] >= 40, 5.0)
    for table in ("mailbox", "alias"):
        assert server.rows_read(table) - before[table] <= 2 * len(asked), table


@pytest.mark.parametrize("backend", ["postgresql", "sqlite"], indirect=True)
async def test_the_second_look(backend: Backend) -> None:
    """Where columns compare case-sensitively, who isn't found is looked for once more, folded; not
    if all is stored in canonical form, and not for who was found."""
    directory = await opened("postfixadmin", backend)
    assert [step.name for step in await steps(directory, "anna@example.org")] == ["recipient"]
    looks = [step.name for step in await steps(directory, "carla.conti@example.org")]
    assert looks == ["recipient", "recipient folded"]
    looks = [step.name for step in await steps(directory, "a@elsewhere.example")]
    assert looks == ["recipient", "domain folded"]
    directory = await opened("postfixadmin", backend, stored_canonical=True)
    assert [step.name for step in await steps(directory, "nobody@example.org")] == ["recipient"]


async def test_check_targets(backend: Backend) -> None:
    """With check_targets an alias whose destinations are all ours must lead to one that is there; a
    destination elsewhere is taken to exist."""
    directory = await opened("postfixadmin", backend, check_targets=True)
    for text, answer in (
        ("nobody-home@example.org", Presence.UNKNOWN),
        ("nobody-home@example.net", Presence.UNKNOWN),
        ("bert@example.org", Presence.KNOWN),
        ("away@example.org", Presence.KNOWN),
        ("list@example.org", Presence.KNOWN),
        ("anna@example.org", Presence.KNOWN),
        ("anybody@catchall.example", Presence.CATCH_ALL),
    ):
        assert await directory.find(address(text)) is answer, text
