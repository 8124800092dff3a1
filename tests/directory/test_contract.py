"""The contract that every directory keeps, over every database, layout and type of column."""

from __future__ import annotations

import asyncio
import random

import pytest

from check_user.check import Check
from check_user.directory import Presence, Unavailable
from check_user.verdict import Reason
from tests.directory.accounts import (
    LAYOUTS,
    NOT_OURS,
    OURS,
    PAIR,
    STORED,
    TEXT,
    expected,
    fits,
    tables,
)
from tests.directory.backends import Backend, OnPostgreSQL, OnServer, address, domain, presences

COLUMNS = [
    ("sqlite", "text COLLATE NOCASE"),
    ("sqlite", "text COLLATE RTRIM"),
    ("sqlite", ""),
    ("mariadb", "text"),
    ("mariadb", "char(100)"),
    ("mariadb", "varbinary(100)"),
    ("mariadb", "varchar(100) COLLATE utf8mb4_bin"),
    ("mariadb", "varchar(100) COLLATE utf8mb4_nopad_bin"),
    ("mariadb", "varchar(100) COLLATE utf8mb4_unicode_ci"),
    ("mariadb", "varchar(100) COLLATE utf8mb4_general_nopad_ci"),
    ("mariadb", "varchar(100) CHARACTER SET utf8mb4 COLLATE uca1400_ai_ci"),
    ("mariadb", "varchar(100) CHARACTER SET utf8mb4 COLLATE uca1400_as_cs"),
    ("mariadb", "varchar(100) CHARACTER SET latin1"),
    ("mariadb", "varchar(100) CHARACTER SET latin1 COLLATE latin1_general_cs"),
    ("mariadb", "varchar(100) CHARACTER SET latin1 COLLATE latin1_german2_ci"),
    ("mariadb", "varchar(100) CHARACTER SET ascii"),
    ("mariadb", "varchar(100) CHARACTER SET ascii COLLATE ascii_bin"),
    ("postgresql", "text"),
    ("postgresql", "char(100)"),
    ("postgresql", "citext"),
    ("postgresql", "address"),
    ("postgresql", 'text COLLATE "und-x-icu"'),
    ("postgresql", "text COLLATE loose"),
]


@pytest.mark.fault("SQ01", "SQ11", "SQ21", "SQ22", "SQ24")
async def test_every_spelling_of_what_is_stored(backend: Backend, layout: dict[str, str]) -> None:
    """However it is stored and asked (case, A-label or U-label, NFC or NFD, quotes, trailing
    spaces): known is known, and nobody else is; the same on every database and in every layout."""
    backend.fill(tables(backend))
    directory = await backend.open(**layout)
    assert await presences(directory, expected()) == expected()
    ours = {text: await directory.find_domain(domain(text)) for text in (*OURS, *NOT_OURS)}
    assert ours == dict.fromkeys(OURS, Presence.KNOWN) | dict.fromkeys(NOT_OURS, Presence.FOREIGN)


@pytest.mark.fault("SQ01", "SQ11", "SQ24")
@pytest.mark.parametrize(("backend", "column"), COLUMNS, indirect=["backend"])
async def test_every_type_of_column(backend: Backend, column: str) -> None:
    """The answers don't depend on the column's type, collation or character set."""
    layout = LAYOUTS["address" if "COLLATE" in column else "user and domain"]
    stored = [row for row in STORED if fits("".join(row), column)]
    backend.fill(tables(backend, stored, column))
    directory = await backend.open(**layout)
    assert await presences(directory, expected(column)) == expected(column)


async def test_many_at_once(backend: Backend) -> None:
    """500 lookups at once, known, unknown and foreign: each gets its own answer."""
    backend.fill(tables(backend))
    directory = await backend.open()
    asked = random.Random(7).choices(list(expected()), k=500)
    answers = await asyncio.gather(*(directory.find(address(text)) for text in asked))
    assert [*zip(asked, answers, strict=True)] == [(text, expected()[text]) for text in asked]


async def test_a_name_without_quotes_in_its_own_column(backend: Backend) -> None:
    """A column of its own may hold a local part as it is, without the quotes of an address."""
    rows = [
        ("hans huber", "x.example"),
        ("a@b", "x.example"),
        ('say "hi"\\', "x.example"),
        ("Ida  ", "x.example"),
    ]
    backend.fill(tables(backend, rows))
    directory = await backend.open(**PAIR)
    asked = ('"hans huber"@x.example', '"A@b"@x.example', '"say \\"hi\\"\\\\"@x.example',
             "ida@x.example")  # fmt: skip
    assert await presences(directory, asked) == dict.fromkeys(asked, Presence.KNOWN)


async def test_postmaster(backend: Backend) -> None:
    """``postmaster`` at a domain of ours is never refused; at another's it is not ours."""
    backend.fill(tables(backend))
    check = Check(await backend.open(), timeout=3.0)
    asked = (
        "postmaster@x.example",
        "Postmaster@BüCHER.example",
        "postmaster",
        "postmaster@y.example",
    )
    reasons = [(await check.recipient(text)).verdict.reason for text in asked]
    assert reasons == [Reason.KNOWN, Reason.KNOWN, Reason.KNOWN, Reason.FOREIGN]


NAMES = ("user", "select", "the e-mail", "e\"m'a`il", "e%ma:i?l$1\\", "Größe")


async def test_any_name(backend: Backend) -> None:
    """Tables and columns may have any name that the database allows."""
    sql = ""
    for name in NAMES:
        table, domains, column = map(backend.quote, (name, f"{name}s", name))
        sql += f"CREATE TABLE {table} ({column} {TEXT}); CREATE TABLE {domains} ({column} {TEXT});"
        sql += backend.insert(table, [("anna@x.example",)])
        sql += backend.insert(domains, [("x.example",)])
    backend.fill(sql)
    asked = {
        "anna@x.example": Presence.KNOWN,
        "bert@x.example": Presence.UNKNOWN,
        "anna@y.example": Presence.FOREIGN,
    }
    for name in NAMES:
        directory = await backend.open(
            email_table=name, domain_table=f"{name}s", email_address=name, domain_domain=name
        )
        assert await presences(directory, asked) == asked, name
        await directory.aclose()


async def test_names_in_another_case(backend: Backend) -> None:
    """A column is found whatever the case of its name, as MySQL and SQLite always did."""
    rows = [("anna@x.example", "yes"), ("bert@x.example", "no")]
    backend.fill(
        f"CREATE TABLE users (Email {TEXT}, Is_Enabled {TEXT}); {backend.insert('users', rows)}"
        f"CREATE TABLE domains (Domain {TEXT}); {backend.insert('domains', [('x.example',)])}"
    )
    directory = await backend.open(
        email_address="EMAIL",
        domain_domain="DOMAIN",
        email_enabled="IS_ENABLED",
        email_enabled_value="yes",
    )
    expected = {"anna@x.example": Presence.KNOWN, "bert@x.example": Presence.UNKNOWN}
    assert await presences(directory, expected) == expected


@pytest.mark.parametrize("qualified", [False, True], ids=["view", "qualified view"])
async def test_a_view(backend: Backend, qualified: bool) -> None:
    """A view is as good as a table, and a name may be qualified with its schema."""
    views = "CREATE VIEW there AS SELECT * FROM users; CREATE VIEW ours AS SELECT * FROM domains;"
    backend.fill(tables(backend) + views)
    schema = f"{backend.qualifier}." if qualified else ""
    directory = await backend.open(email_table=f"{schema}there", domain_table=f"{schema}ours")
    asked = dict(list(expected().items())[::5])
    assert await presences(directory, asked) == asked


async def test_another_schema(server: OnServer) -> None:
    """A qualified table is that schema's, also where ours has one of the same name."""
    if isinstance(server, OnPostgreSQL):
        other, rights = "other", "GRANT USAGE ON SCHEMA other TO check_user;"
    else:
        other, rights = "other", "GRANT SELECT ON other.* TO check_user@'%';"
    tables = "".join(
        f"CREATE TABLE {schema}users (email {TEXT}); {server.insert(f'{schema}users', [(row,)])}"
        f"CREATE TABLE {schema}domains (domain {TEXT});"
        f"{server.insert(f'{schema}domains', [('x.example',)])}"
        for schema, row in (("", "anna@x.example"), ("other.", "bert@x.example"))
    )
    cascade = "CASCADE" if isinstance(server, OnPostgreSQL) else ""
    anew = f"DROP SCHEMA IF EXISTS {other} {cascade}; CREATE SCHEMA {other};"
    server.fill(anew + rights + tables)
    directory = await server.open(email_table="other.users", domain_table="other.domains")
    expected = {"anna@x.example": Presence.UNKNOWN, "bert@x.example": Presence.KNOWN}
    assert await presences(directory, expected) == expected
    server.execute(f"DROP SCHEMA {other} {cascade}")


ENABLED = [
    # type of the column, what it holds where a row is enabled and where not, the configured value
    ("varchar(10)", "'Yes '", "'no'", "yes"),
    ("integer", "1", "0", "1"),
    ("integer", "0", "1", "0"),
    ("boolean", "true", "false", "true"),
    ("boolean", "true", "false", "1"),
    ("boolean", "false", "true", "no"),
    ("decimal(4,2)", "1.00", "0.00", "1"),
]
ENABLED_IN = {
    "sqlite": [],
    "mariadb": [("bit(1)", "b'1'", "b'0'", "1"), ("enum('Y','N')", "'Y'", "'N'", "y")],
    "postgresql": [('"char"', "'y'", "'n'", "Y")],
}


@pytest.mark.fault("SQ18")
async def test_enabled(backend: Backend) -> None:
    """With ``email_enabled`` a row counts only where the column means the configured value; NULL
    never does; of several rows for one address one that counts is enough."""
    expected = {
        "on@x.example": Presence.KNOWN,
        "off@x.example": Presence.UNKNOWN,
        "null@x.example": Presence.UNKNOWN,
        "off-on@x.example": Presence.KNOWN,
        "on-on@x.example": Presence.KNOWN,
        "null-off@x.example": Presence.UNKNOWN,
        "nobody@x.example": Presence.UNKNOWN,
        "nobody@off.example": Presence.UNKNOWN,
    }
    sql = ""
    types = [*ENABLED, *ENABLED_IN[backend.name]]
    for number, (column, on, off, _) in enumerate(types):
        sql += f"CREATE TABLE u{number} (email {TEXT}, domain {TEXT}, active {column});"
        states = {"on": on, "off": off, "null": "NULL"}
        sql += "".join(
            f"INSERT INTO u{number} VALUES ('{local}@x.example', 'x.example', {states[state]});"
            for local in ("on", "off", "null", "off-on", "on-on", "null-off")
            for state in local.split("-")
        )
        sql += f"INSERT INTO u{number} VALUES ('a@off.example', 'off.example', {off});"
    backend.fill(sql)
    for number, (column, _, _, value) in enumerate(types):
        settings = {"email_enabled": "active", "email_enabled_value": value}
        table = {"email_table": f"u{number}", "domain_table": f"u{number}"}
        directory = await backend.open(**table, **settings)
        assert await presences(directory, expected) == expected, (column, value)
        await directory.aclose()


@pytest.mark.fault("SQ14")
async def test_the_present_is_seen(backend: Backend) -> None:
    """An account or domain made a moment ago is known at once, on a connection that was held all
    the time; one that was deleted is not."""
    backend.fill(tables(backend))
    directory = await backend.open(connections=1)
    new = ("new@x.example", "new@new.example")
    before = {"new@x.example": Presence.UNKNOWN, "new@new.example": Presence.FOREIGN}
    for _ in range(2):
        assert await presences(directory, new) == before
        backend.execute(
            backend.insert("users", [(text, None, None) for text in new])
            + backend.insert("domains", [("new.example",)])
        )
        assert await presences(directory, new) == dict.fromkeys(new, Presence.KNOWN)
        backend.execute(
            "DELETE FROM users WHERE email LIKE 'new@%';"
            "DELETE FROM domains WHERE domain = 'new.example';"
        )


async def test_a_closed_directory_cannot_tell(backend: Backend) -> None:
    """After ``aclose`` a lookup is refused, not left waiting; closing twice does no harm."""
    backend.fill(tables(backend))
    directory = await backend.open()
    await directory.aclose()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(directory.find(address("anna@x.example")), 1.0)
    await directory.aclose()
