"""Where a known recipient might have been refused, or an unknown one taken: rows laid as traps."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from check_user.directory import Presence
from check_user.directory.schemas import SCHEMAS
from check_user.directory.sql.schema_lookup import SchemaDirectory
from tests.directory.backends import Backend, OnServer, address
from tests.directory.schemas.products import PRODUCTS
from tests.directory.schemas.test_schemas import opened

K, U, D = Presence.KNOWN, Presence.UNKNOWN, Presence.DISABLED


async def ask(directory: SchemaDirectory, expected: Mapping[str, Presence]) -> None:
    """Ask for each address, and compare."""
    found = {text: await directory.find(address(text)) for text in expected}
    assert found == dict(expected)


async def reopened(name: str, backend: Backend, *changes: str, **given: object) -> SchemaDirectory:
    """A product's tables with some changes, opened after them."""
    await opened(name, backend, **given)
    for change in changes:
        backend.execute(change)
    return await opened_again(name, backend, **given)


async def opened_again(name: str, backend: Backend, **given: object) -> SchemaDirectory:
    """Open tables that are there."""
    settings = {"schema": SCHEMAS[name], "schema_values": PRODUCTS[name].values, "delimiters": "+-"}
    directory = await backend.open(**{**settings, **given})
    assert isinstance(directory, SchemaDirectory)
    return directory


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
async def test_an_older_mailcow(backend: Backend) -> None:
    """Without the column `permanent`, which came late, temporary aliases are known all the same."""
    directory = await reopened("mailcow", backend, "ALTER TABLE spamalias DROP COLUMN permanent")
    await ask(directory, {"still@example.org": K, "was@example.org": D})


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
async def test_ispconfigs_copies(backend: Backend) -> None:
    """A mailbox to which nothing is delivered takes mail where it has copies sent on; and versions
    without that flag deliver to all."""
    directory = await opened("ispconfig", backend)
    await ask(directory, {"copied@example.org": K, "former@example.org": D})
    change = "ALTER TABLE mail_user DROP COLUMN disabledeliver"
    directory = await reopened("ispconfig", backend, change)
    await ask(directory, {"anna@example.org": K, "former@example.org": K})


@pytest.mark.parametrize("backend", ["postgresql", "sqlite"], indirect=True)
async def test_another_spelling_of_a_disabled_row(backend: Backend) -> None:
    """Where case counts to the database, an active row in another case is the same address's: it is
    known, although one in lower case is disabled."""
    directory = await reopened(
        "postfixadmin",
        backend,
        "INSERT INTO alias (address, goto, active) "
        "VALUES ('Former@Example.ORG', 'anna@example.org', true)",
    )
    await ask(directory, {"former@example.org": K, "former@catchall.example": D})


@pytest.mark.parametrize("backend", ["postgresql", "sqlite"], indirect=True)
async def test_an_alias_domain_in_capitals_among_indexes(backend: Backend) -> None:
    """An alias domain stored in capitals is found, and who is in its target, whichever of the
    tables have an index on the folded form."""
    capitals = (
        "UPDATE alias_domain SET alias_domain = 'Example.NET' WHERE alias_domain = 'example.net'"
    )
    tables = {"mailbox": "username", "alias": "address", "domain": "domain"}
    indexes = [
        f"CREATE INDEX folded_{table} ON {table} (lower(trim({column})))"
        for table, column in tables.items()
    ]
    expected = {"anna@example.net": Presence.ALIAS_DOMAIN, "former@example.net": D,
                "nobody@example.net": U, "ZOë@example.org": K}  # fmt: skip
    for count in range(len(indexes) + 1):
        directory = await reopened("postfixadmin", backend, capitals, *indexes[:count])
        await ask(directory, expected)


@pytest.mark.fault("SQ11")
async def test_padded_columns(server: OnServer) -> None:
    """Columns of a fixed width give back padded values; they are the same addresses."""
    kind = "char(60)"
    tables = {"mailbox": ["username"], "domain": ["domain"],
              "alias_domain": ["alias_domain", "target_domain"]}  # fmt: skip
    changes = [
        f"ALTER TABLE {table} MODIFY {column} {kind}"
        if server.name == "mariadb"
        else f"ALTER TABLE {table} ALTER COLUMN {column} TYPE {kind}"
        for table, columns in tables.items()
        for column in columns
    ]
    directory = await reopened("postfixadmin", server, *changes)
    await ask(directory, {"anna@example.org": K, "anna@example.net": Presence.ALIAS_DOMAIN,
                          "carla.conti@example.org": K, "nobody@example.org": U})  # fmt: skip


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_times_are_read_however_the_server_writes_them(backend: Backend) -> None:
    """A server that writes dates in another style and zone says the same about who is expired."""
    await opened("modoboa", backend)
    backend.execute("ALTER ROLE check_user SET datestyle = 'German'")
    backend.execute("ALTER ROLE check_user SET timezone = 'Asia/Kathmandu'")
    try:
        directory = await opened_again("modoboa", backend)
        await ask(directory, {"was@example.org": D, "still@example.org": K})
    finally:
        backend.execute("ALTER ROLE check_user RESET ALL")


async def test_a_catch_all_that_is_busy(backend: Backend) -> None:
    """A catch-all whose state is a slip, or busy, refuses nobody for good."""
    backend.fill(
        "CREATE TABLE users (email varchar(99), state varchar(20));"
        "CREATE TABLE domains (domain varchar(99));"
        + backend.insert("domains", [("slip.example",), ("off.example",), ("r.example",)])
        + backend.insert(
            "users",
            [("@slip.example", "suspendet"), ("@off.example", "disabled"), ("@r.example", "relay"),
             ("anna@r.example", "relay")],
        )
    )  # fmt: skip
    at = "CONCAT('@', :domain)" if backend.name == "mariadb" else "('@' || :domain)"
    directory = await backend.open(
        email_query=f"SELECT email, state FROM users WHERE email IN (:address, {at})",
        domain_query="SELECT domain FROM domains WHERE domain = :domain",
        email_address="",
    )
    assert isinstance(directory, SchemaDirectory)
    await ask(directory, {"anna@slip.example": Presence.BUSY, "anna@off.example": U,
                          "anna@r.example": K, "x@r.example": Presence.CATCH_ALL})  # fmt: skip


async def test_one_of_several_destinations(backend: Backend) -> None:
    """With check_targets an alias of three destinations, of which the second is there, is known."""
    targets = ("a.gone@example.org", "anna@example.org", "z.gone@example.org")
    rows = ", ".join(f"({90 + i}, 'team@example.org', '{to}')" for i, to in enumerate(targets))
    directory = await reopened(
        "ispmail", backend, f"INSERT INTO virtual_aliases VALUES {rows}", check_targets=True
    )
    await ask(directory, {"team@example.org": K, "nobody-home@example.org": U})


async def test_empty_texts_and_nulls(backend: Backend) -> None:
    """Rows without an address, a domain or a target are nobody's, and break nothing."""
    changes = [
        "INSERT INTO alias (address, goto, active) VALUES ('', 'anna@example.org', true)",
        "INSERT INTO alias (address, goto, active) VALUES ('@', 'anna@example.org', true)",
        "INSERT INTO alias (address, goto, active) VALUES ('void@example.org', '', true)",
        "INSERT INTO alias_domain (alias_domain, target_domain, active) VALUES ('', 'x', true)",
        "INSERT INTO alias_domain (alias_domain, target_domain, active) "
        "VALUES ('nil.example', NULL, true)",
        "INSERT INTO mailbox (username, active) VALUES ('', true)",
    ]
    directory = await reopened("postfixadmin", backend, *changes)
    await ask(directory, {"nobody@example.org": U, "anna@example.org": K, "void@example.org": K,
                          "anna@nil.example": Presence.FOREIGN})  # fmt: skip
