"""The manual's cases, in the tables of every product, on every database that it runs on."""

from __future__ import annotations

import asyncio

import pytest

from check_user.directory import Misconfigured, Presence, Step, Unavailable
from check_user.directory.schemas import SCHEMAS
from check_user.directory.sql.schema_lookup import SchemaDirectory
from tests.directory.backends import Backend, OnMariaDB, address, domain
from tests.directory.schemas.filling import Filling
from tests.directory.schemas.products import PRODUCTS
from tests.directory.schemas.world import cases
from tests.peers.mariadb import MariaDB

DELIMITERS = "+-"

PLACES = [(name, backend) for name, product in PRODUCTS.items() for backend in product.backends]


async def opened(name: str, backend: Backend, **settings: object) -> SchemaDirectory:
    """Make a product's tables, with the manual's accounts in them, and open them."""
    filling = Filling(backend)
    PRODUCTS[name].fill(filling)
    filling.fill()
    given = {"schema": SCHEMAS[name], "schema_values": PRODUCTS[name].values}
    directory = await backend.open(**{**given, "delimiters": DELIMITERS, **settings})
    assert isinstance(directory, SchemaDirectory)
    return directory


@pytest.mark.fault("SQ01", "SQ18", "SQ21", "SQ23", "SQ24")
@pytest.mark.parametrize(("name", "backend"), PLACES, indirect=["backend"])
async def test_the_manuals_cases(name: str, backend: Backend) -> None:
    """Each line of the manual's table holds in every product that has such rows."""
    directory = await opened(name, backend)
    skills = PRODUCTS[name].skills
    expected = {case.address: case.answer for case in cases() if case.needs <= skills}
    found = {text: (await directory.find(address(text))).value for text in expected}
    assert {t: (found[t], e) for t, e in expected.items() if found[t] != e} == {}


@pytest.mark.parametrize(("name", "backend"), PLACES, indirect=["backend"])
async def test_many_at_once(name: str, backend: Backend) -> None:
    """The manual's addresses all at the same time, so that they share statements: each gets its own
    answer; and no row is reported that another lookup asked for."""
    directory = await opened(name, backend, connections=1)
    skills = PRODUCTS[name].skills
    expected = {case.address: case.answer for case in cases() if case.needs <= skills}
    found = await asyncio.gather(*(directory.find(address(text)) for text in expected))
    said = {text: found.value for text, found in zip(expected, found, strict=True)}
    assert said == expected
    assert [line for line in backend.reports if "zoë" not in line and "looser" in line] == []


async def test_find_domain(backend: Backend) -> None:
    """A domain is ours by its own row, as an alias domain, or as a relay domain; not if it is
    switched off; however it is stored and asked for."""
    directory = await opened("postfixadmin", backend)
    ours = ("example.org", "EXAMPLE.net", "relay.example", "mixed.example", "bücher.example",
            "xn--bcher-kva.example", "müller.example", "smtp.example")  # fmt: skip
    others = ("off.example", "offalias.example", "elsewhere.example", "missing.example")
    for text in ours:
        assert await directory.find_domain(domain(text)) is Presence.KNOWN, text
    for text in others:
        assert await directory.find_domain(domain(text)) is Presence.FOREIGN, text


async def test_a_transport_elsewhere(backend: Backend) -> None:
    """PostfixAdmin's domains with a transport to another server are relay domains."""
    directory = await opened("postfixadmin", backend)
    assert await directory.find(address("anybody@smtp.example")) is Presence.RELAY


async def test_what_a_trace_says(backend: Backend) -> None:
    """The steps name the rows that were found, and the last one says what they mean."""
    directory = await opened("postfixadmin", backend)
    steps: list[Step] = []
    await directory.find(address("bert@example.net"), steps.append)
    assert "alias bert@example.org (active) -> anna@example.org" in steps[-2].rows
    assert steps[-1].query == ""
    assert steps[-1].name == (
        "alias domain example.net -> example.org; alias bert@example.org is active, goes to "
        "anna@example.org; known in the domain that its own stands for"
    )


@pytest.mark.fault("DB11")
async def test_a_table_that_vanishes(backend: Backend) -> None:
    """Without one of its tables nobody can tell: no address is unknown for that."""
    directory = await opened("postfixadmin", backend)
    backend.execute("DROP TABLE alias")
    for text in ("anna@example.org", "nobody@example.org"):
        with pytest.raises(Unavailable):
            await directory.find(address(text))


async def test_a_site_constant_is_needed(session_mariadb: MariaDB) -> None:
    """A schema that needs a value of the site says which, and isn't opened without it."""
    made = OnMariaDB(session_mariadb)
    with pytest.raises(Misconfigured, match="needs schema_value=server_id"):
        await opened("ispconfig", made, schema_values={})
    await made.close()


@pytest.mark.parametrize("name", ["iredmail", "postfixadmin"])
@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_disabled_mailbox_that_forwards_to_itself(name: str, backend: Backend) -> None:
    """A row by which a mailbox leads to itself proves nothing beside the mailbox."""
    directory = await opened(name, backend)
    assert await directory.find(address("former@example.org")) is Presence.DISABLED
    backend.execute("DELETE FROM mailbox WHERE username = 'former@example.org'")
    assert await directory.find(address("former@example.org")) is Presence.UNKNOWN


@pytest.mark.fault("SQ02", "SQ04", "SQ05")
@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
async def test_look_alikes(backend: Backend) -> None:
    """What a loose collation takes for the address or the domain isn't a match, and is reported."""
    directory = await opened("ispmail", backend)
    backend.execute("ALTER TABLE virtual_users CONVERT TO CHARACTER SET utf8mb4 "
                    "COLLATE utf8mb4_unicode_ci")  # fmt: skip
    for text in ("änna@example.org", "anna@éxample.org", "ann\u200da@example.org"):
        presence = await directory.find(address(text))
        assert presence in (Presence.UNKNOWN, Presence.FOREIGN), text
    assert any("anna@example.org" in line for line in backend.reports)
