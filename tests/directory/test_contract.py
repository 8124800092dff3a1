"""The contract that every directory keeps, over every database, layout and type of column.

STORED is what the tables hold, each row with the spellings under which it must be found. None of
the others is there.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from check_user.check import Check
from check_user.directory import Directory, Presence, Step, Unavailable
from check_user.verdict import Reason
from tests.directory.backends import (
    BACKENDS,
    Backend,
    OnMariaDB,
    OnPostgreSQL,
    OnServer,
    Sqlite,
    address,
    domain,
    presences,
    provide,
)
from tests.peers.process import wait_until

STORED = {
    ("anna", "x.example"): (
        "anna@x.example", "ANNA@x.example", "anna@X.EXAMPLE", "anna@x.example.", '"anna"@x.example',
        '"an\\na"@x.example', "<anna@x.example>", "<@relay.example:anna@x.example>",
    ),
    ("Bert.Maier", "X.example"): ("bert.maier@x.example", "Bert.Maier@X.example", "BERT.MAIER@x.example"),
    ("o'brien+news", "x.example"): ("o'brien+news@x.example", "O'Brien+News@x.example"),
    ("ida", "x.example  "): ("ida@x.example", "Ida@x.example"),
    ('"hans huber"', "x.example"): ('"hans huber"@x.example', '"Hans\\ Huber"@X.example'),
    ("zoë", "x.example"): ("zoë@x.example", "zoe\u0308@x.example", "ZOë@x.example"),
    ("jose\u0301", "x.example"): ("josé@x.example", "jose\u0301@x.example", "JOSé@x.example"),
    ("Küster", "x.example"): ("küster@x.example", "KüSTER@x.example"),
    ("emil", "bücher.example"): (
        "emil@bücher.example", "emil@bu\u0308cher.example", "Emil@BüCHER.example",
        "emil@xn--bcher-kva.example", "emil@XN--BCHER-KVA.EXAMPLE",
    ),
    ("frida", "xn--mller-kva.example"): ("frida@müller.example", "frida@xn--mller-kva.example"),
    ("Kurt", "XN--Strae-oqa.Example"): ("kurt@straße.example", "kurt@xn--strae-oqa.example"),
    ("lea", "[192.0.2.1]"): ("lea@[192.0.2.1]",),
    ("mia", "[IPv6:2001:DB8::1]"): ("mia@[IPv6:2001:db8:0::1]", "mia@[ipv6:2001:db8::1]"),
}  # fmt: skip

UNKNOWN = (
    "nobody@x.example", "ann@x.example", "annaa@x.example", "bert@x.example", "emil@x.example",
    "anna@bücher.example", "anna@xn--bcher-kva.example", "anna@[192.0.2.1]", "postmaster@x.example",
    "zoe@x.example", '"anna "@x.example', '" anna"@x.example', '"hanshuber"@x.example',
    "аnna@x.example", "😀@x.example", "%@x.example", "anna%@x.example", "_nna@x.example",
)  # fmt: skip

FOREIGN = (
    "anna@y.example", "anna@example", "anna@sub.x.example", "anna@x.example.org", "anna@xx.example",
    "emil@bucher.example", "emil@buecher.example", "kurt@strasse.example", "lea@[192.0.2.2]",
    "anna@[127.0.0.1]", "anna@_.example", "anna@х.example",
)  # fmt: skip

OURS = ("x.example", "X.EXAMPLE", "x.example.", "bücher.example", "xn--bcher-kva.example",
        "müller.example", "straße.example", "[192.0.2.1]", "[ipv6:2001:db8::1]")  # fmt: skip
NOT_OURS = ("y.example", "example", "sub.x.example", "bucher.example", "strasse.example",
            "xn--bcher-kva", "[192.0.2.2]", "_.example")  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """How accounts lie in tables: the columns of ``users``, and whether ``domains`` is a table."""

    whole: bool
    one_table: bool

    @property
    def settings(self) -> dict[str, Any]:
        """The options that name them."""
        named = {} if self.whole else {"email_user": "local_part", "email_domain": "domain"}
        return {**named, "domain_table": "users"} if self.one_table else named

    def sql(self, backend: Backend, stored: list[tuple[str, str]], column: str) -> str:
        """The statements that make the tables, with columns of this type."""
        emails = [f"{local}@{of}" for local, of in stored]
        names = ["email"] if self.whole else ["local_part"]
        cells: list[tuple[str, ...]] = [(email,) for email in emails]
        if not self.whole:
            cells = [(local,) for local, _ in stored]
        if self.one_table or not self.whole:
            names.append("domain")
            cells = [(*cell, of) for cell, (_, of) in zip(cells, stored, strict=True)]
        columns = ", ".join(f"{name} {column}" for name in names)
        sql = f"CREATE TABLE users ({columns}); {backend.insert('users', cells)}"
        if self.one_table:
            return sql
        domains = [(of,) for of in dict.fromkeys(of for _, of in stored)]
        return (
            f"{sql} CREATE TABLE domains (domain {column}); {backend.insert('domains', domains)}"
        )


LAYOUTS = {
    "address": Layout(whole=True, one_table=False),
    "address, one table": Layout(whole=True, one_table=True),
    "user and domain": Layout(whole=False, one_table=False),
    "user and domain, one table": Layout(whole=False, one_table=True),
}

TEXT = "varchar(100)"

COLUMNS = {
    # backend, type: the character set where it is not all of Unicode, what to do before
    ("sqlite", "TEXT COLLATE NOCASE"): ("utf-8", ""),
    ("sqlite", "TEXT COLLATE RTRIM"): ("utf-8", ""),
    ("sqlite", ""): ("utf-8", ""),
    ("mariadb", "varchar(100) COLLATE utf8mb4_bin"): ("utf-8", ""),
    ("mariadb", "varchar(100) COLLATE utf8mb4_nopad_bin"): ("utf-8", ""),
    ("mariadb", "varchar(100) COLLATE utf8mb4_unicode_ci"): ("utf-8", ""),
    ("mariadb", "varchar(100) COLLATE utf8mb4_general_nopad_ci"): ("utf-8", ""),
    ("mariadb", "varchar(100) CHARACTER SET utf8mb4 COLLATE uca1400_ai_ci"): ("utf-8", ""),
    ("mariadb", "varchar(100) CHARACTER SET utf8mb4 COLLATE uca1400_as_cs"): ("utf-8", ""),
    ("mariadb", "varchar(100) CHARACTER SET latin1"): ("latin-1", ""),
    ("mariadb", "varchar(100) CHARACTER SET latin1 COLLATE latin1_general_cs"): ("latin-1", ""),
    ("mariadb", "varchar(100) CHARACTER SET latin1 COLLATE latin1_german2_ci"): ("latin-1", ""),
    ("mariadb", "varchar(100) CHARACTER SET ascii"): ("ascii", ""),
    ("mariadb", "varchar(100) CHARACTER SET ascii COLLATE ascii_bin"): ("ascii", ""),
    ("mariadb", "char(100)"): ("utf-8", ""),
    ("mariadb", "varbinary(100)"): ("utf-8", ""),
    ("mariadb", "text"): ("utf-8", ""),
    ("postgresql", "text"): ("utf-8", ""),
    ("postgresql", "char(100)"): ("utf-8", ""),
    ("postgresql", "citext"): ("utf-8", "CREATE EXTENSION citext;"),
    ("postgresql", "address"): ("utf-8", "CREATE DOMAIN address AS varchar(100);"),
    ("postgresql", 'text COLLATE "und-x-icu"'): ("utf-8", ""),
    ("postgresql", "text COLLATE loose"): (
        "utf-8",
        "CREATE COLLATION loose (provider=icu, locale='und-u-ks-level1', deterministic=false);",
    ),
}


def is_in(text: str, charset: str) -> bool:
    """Whether a character set has all of the text."""
    try:
        text.encode(charset)
    except UnicodeEncodeError:
        return False
    return True


def expected(charset: str = "utf-8") -> dict[str, Presence]:
    """What must be said about each address, where the columns have this character set."""
    answers = dict.fromkeys(UNKNOWN, Presence.UNKNOWN) | dict.fromkeys(FOREIGN, Presence.FOREIGN)
    for stored, asked in STORED.items():
        if is_in("".join(stored), charset):
            answers |= dict.fromkeys(asked, Presence.KNOWN)
    if not is_in("ü", charset):  # then bücher.example isn't ours either
        answers = {text: said for text, said in answers.items() if "cher" not in text}
    return answers


@pytest.fixture(params=BACKENDS)
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    async for provided in provide(request, request.param):
        yield provided


@pytest.fixture(params=["mariadb", "postgresql"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[OnServer]:
    async for provided in provide(request, request.param):
        assert isinstance(provided, OnServer)
        yield provided


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> Layout:
    return LAYOUTS[request.param]


@pytest.mark.fault("SQ01", "SQ11", "SQ21", "SQ22", "SQ24")
async def test_every_spelling_of_what_is_stored(backend: Backend, layout: Layout) -> None:
    """However it is stored and asked (case, A-label or U-label, NFC or NFD, quotes, trailing
    spaces): known is known, and nobody else is; the same on every database and in every layout."""
    backend.fill(layout.sql(backend, list(STORED), TEXT))
    directory = await backend.open(**layout.settings)
    assert await presences(directory, expected()) == expected()
    ours = {text: await directory.find_domain(domain(text)) for text in (*OURS, *NOT_OURS)}
    assert ours == dict.fromkeys(OURS, Presence.KNOWN) | dict.fromkeys(NOT_OURS, Presence.FOREIGN)


@pytest.mark.fault("SQ01", "SQ11", "SQ24")
@pytest.mark.parametrize("whole", [True, False], ids=["address", "user and domain"])
@pytest.mark.parametrize(("name", "column"), COLUMNS)
async def test_every_type_of_column(
    request: pytest.FixtureRequest, name: str, column: str, whole: bool
) -> None:
    """The answers don't depend on the column's type, collation or character set."""
    charset, before = COLUMNS[name, column]
    layout = Layout(whole=whole, one_table=False)
    stored = [row for row in STORED if is_in("".join(row), charset)]
    async for backend in provide(request, name):
        backend.fill(before + layout.sql(backend, stored, column))
        directory = await backend.open(**layout.settings)
        assert await presences(directory, expected(charset)) == expected(charset)


async def test_many_at_once(backend: Backend) -> None:
    """500 lookups at once, known, unknown and foreign: each gets its own answer."""
    backend.fill(LAYOUTS["address"].sql(backend, list(STORED), TEXT))
    directory = await backend.open()
    asked = random.Random(7).choices(list(expected()), k=500)
    answers = await asyncio.gather(*(directory.find(address(text)) for text in asked))
    assert [*zip(asked, answers, strict=True)] == [(text, expected()[text]) for text in asked]


async def test_a_name_without_quotes_in_its_own_column(backend: Backend) -> None:
    """A column of its own may hold a local part as it is, without the quotes of an address."""
    rows = [("hans huber", "x.example"), ("a@b", "x.example"), ('say "hi"\\', "x.example"), ("Ida  ", "x.example")]
    backend.fill(Layout(whole=False, one_table=True).sql(backend, rows, TEXT))
    directory = await backend.open(**LAYOUTS["user and domain, one table"].settings)
    asked = ('"hans huber"@x.example', '"A@b"@x.example', '"say \\"hi\\"\\\\"@x.example',
             "ida@x.example")  # fmt: skip
    assert await presences(directory, asked) == dict.fromkeys(asked, Presence.KNOWN)


async def test_postmaster(backend: Backend) -> None:
    """``postmaster`` at a domain of ours is never refused; at another's it is not ours."""
    backend.fill(LAYOUTS["address"].sql(backend, list(STORED), TEXT))
    check = Check(await backend.open(), timeout=3.0)
    asked = ("postmaster@x.example", "Postmaster@BüCHER.example", "postmaster", "postmaster@y.example")
    reasons = [(await check.recipient(text)).verdict.reason for text in asked]
    assert reasons == [Reason.KNOWN, Reason.KNOWN, Reason.KNOWN, Reason.FOREIGN]


NAMES = ("user", "select", "the mail", "e-mail", 'e"mail', "e`mail", "e'mail", "e%mail",
         "e:mail", ":s0_0", "e?mail", "e$1", "größe", "Email", "e\\mail")  # fmt: skip


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
    layout = LAYOUTS["address"]
    sql = layout.sql(backend, list(STORED), TEXT)
    views = "CREATE VIEW there AS SELECT * FROM users; CREATE VIEW ours AS SELECT * FROM domains;"
    backend.fill(sql + views)
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
    # type, what is stored where it is enabled and where not, configured values that mean enabled
    ("varchar(10)", "'yes'", "'no'", ["yes", "YES", " yes "]),
    ("varchar(10)", "'Y '", "'N'", ["y"]),
    ("varchar(10)", "'1'", "'0'", ["1"]),
    ("integer", "1", "0", ["1", "true", "yes", "01"]),
    ("integer", "0", "1", ["0", "false"]),
    ("integer", "7", "1", ["7"]),
    ("boolean", "true", "false", ["true", "1", "t", "yes"]),
    ("boolean", "false", "true", ["false", "0", "no"]),
    ("decimal(4,2)", "1.00", "0.00", ["1", "1.0", "true"]),
]


@pytest.mark.fault("SQ18")
async def test_enabled(backend: Backend) -> None:
    """With ``email_enabled`` a row counts only where the column means the configured value; NULL
    never does; of several rows for one address one that counts is enough; any row makes a domain."""
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
    for number, (column, on, off, _) in enumerate(ENABLED):
        sql += f"CREATE TABLE u{number} (email {TEXT}, domain {TEXT}, active {column});"
        states = {"on": on, "off": off, "null": "NULL"}
        sql += "".join(
            f"INSERT INTO u{number} VALUES ('{local}@x.example', 'x.example', {states[state]});"
            for local in ("on", "off", "null", "off-on", "on-on", "null-off")
            for state in local.split("-")
        )
        sql += f"INSERT INTO u{number} VALUES ('a@off.example', 'off.example', {off});"
    backend.fill(sql)
    for number, (column, _, _, values) in enumerate(ENABLED):
        for value in values:
            directory = await backend.open(
                email_table=f"u{number}",
                domain_table=f"u{number}",
                email_enabled="active",
                email_enabled_value=value,
            )
            assert await presences(directory, expected) == expected, (column, value)
            await directory.aclose()


@pytest.mark.fault("SQ14")
async def test_the_present_is_seen(backend: Backend) -> None:
    """An account or domain made a moment ago is known at once, on a connection that was held all
    the time; one that was deleted is not."""
    backend.fill(LAYOUTS["address"].sql(backend, list(STORED), TEXT))
    directory = await backend.open(connections=1)
    new = ("new@x.example", "new@new.example")
    before = {"new@x.example": Presence.UNKNOWN, "new@new.example": Presence.FOREIGN}
    for _ in range(2):
        assert await presences(directory, new) == before
        backend.execute(
            backend.insert("users", [(text,) for text in new])
            + backend.insert("domains", [("new.example",)])
        )
        assert await presences(directory, new) == dict.fromkeys(new, Presence.KNOWN)
        backend.execute(
            "DELETE FROM users WHERE email LIKE 'new@%';"
            "DELETE FROM domains WHERE domain = 'new.example';"
        )


async def test_a_closed_directory_cannot_tell(backend: Backend) -> None:
    """After ``aclose`` a lookup is refused, not left waiting; closing twice does no harm."""
    backend.fill(LAYOUTS["address"].sql(backend, list(STORED), TEXT))
    directory = await backend.open()
    await directory.aclose()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(directory.find(address("anna@x.example")), 1.0)
    await directory.aclose()


# What it costs


async def steps(directory: Directory, text: str) -> list[Step]:
    """The steps of one lookup."""
    found: list[Step] = []
    await directory.find(address(text), found.append)
    return found


async def test_a_known_user_costs_one_question(backend: Backend, layout: Layout) -> None:
    """A known user is one step; the step says which row it was."""
    backend.fill(layout.sql(backend, list(STORED), TEXT))
    directory = await backend.open(**layout.settings)
    for text in ("anna@x.example", "ANNA@X.example", "zoë@x.example", "emil@bücher.example"):
        (step,) = await steps(directory, text)
        assert len(step.rows) == 1, text
        assert step.origin == "database"


async def test_a_known_user_costs_one_round_trip(server: OnServer, layout: Layout) -> None:
    """The server hears one statement for a known user, and nothing else: no ping, no BEGIN."""
    server.fill(layout.sql(server, list(STORED), TEXT))
    with server.overhear() as heard:
        directory = await server.open(**layout.settings)
        before = len(heard())
        for _ in range(5):
            assert await directory.find(address("anna@x.example")) is Presence.KNOWN
        assert len(heard()) - before == 5, heard()[before:]


FOLDING = {
    ("sqlite", "text"): False,
    ("sqlite", "text COLLATE NOCASE"): False,
    ("mariadb", "varchar(100)"): True,
    ("mariadb", "varchar(100) COLLATE utf8mb4_bin"): False,
    ("mariadb", "varchar(100) COLLATE utf8mb4_general_nopad_ci"): False,
    ("postgresql", "text"): False,
}


@pytest.mark.parametrize(("name", "column"), FOLDING)
async def test_the_second_look(request: pytest.FixtureRequest, name: str, column: str) -> None:
    """Whoever isn't found is looked for folded, but not where the column folds case and spaces by
    itself, nor where the configuration says that all is stored in canonical form."""
    async for backend in provide(request, name):
        backend.fill(LAYOUTS["address"].sql(backend, list(STORED), column))
        one_look, two_looks = ["address", "domain"], ["address", "domain", "address folded"]
        directory = await backend.open()
        asked = [step.name for step in await steps(directory, "nobody@x.example")]
        assert asked == (one_look if FOLDING[name, column] else two_looks)
        directory = await backend.open(stored_canonical=True)
        assert [step.name for step in await steps(directory, "nobody@x.example")] == one_look


INDEXED = {
    ("mariadb", "varchar(100)"): "",
    ("mariadb", "varchar(100) CHARACTER SET latin1"): "",
    ("mariadb", "varchar(100) COLLATE utf8mb4_bin"): "",
    ("mariadb", "char(100)"): "",
    ("mariadb", "varbinary(100)"): "",
    ("postgresql", "text"): "",
    ("postgresql", "char(100)"): "",
    ("postgresql", "citext"): "CREATE EXTENSION citext;",
}
MANY = 30_000


@pytest.mark.parametrize(("name", "column"), INDEXED)
async def test_the_plain_index_serves(
    request: pytest.FixtureRequest, name: str, column: str
) -> None:
    """Known users are found through the plain index, whatever the column's type: of thousands of
    rows the server reads only a few for each."""
    series = "generate_series(1, {}) AS seq" if name == "postgresql" else "seq_1_to_{}"
    async for backend in provide(request, name):
        assert isinstance(backend, OnMariaDB | OnPostgreSQL)
        backend.fill(
            f"{INDEXED[name, column]} CREATE TABLE users (email {column} PRIMARY KEY);"
            f"INSERT INTO users SELECT concat('user', seq, '@x.example') FROM {series.format(MANY)};"
            f"CREATE TABLE domains (domain {TEXT}); ANALYZE {'TABLE' * (name == 'mariadb')} users;"
        )
        before = backend.rows_read("users")
        directory = await backend.open()
        for number in range(1, 11):
            known = address(f"user{number}@x.example")
            assert await directory.find(known) is Presence.KNOWN
        asked = (directory.find(address(f"user{number}@x.example")) for number in range(11, 41))
        assert set(await asyncio.gather(*asked)) == {Presence.KNOWN}
        await directory.aclose()
        assert wait_until(lambda: backend.rows_read("users") - before >= 40, 5.0)
        assert backend.rows_read("users") - before <= 80


@pytest.mark.parametrize("column", ["TEXT", "TEXT COLLATE NOCASE", "varchar(100)", ""])
async def test_the_plain_index_serves_sqlite(tmp_path: Any, column: str) -> None:
    """SQLite's own plan for the statement is a search through the index."""
    backend = Sqlite(tmp_path)
    rows = backend.insert("users", [("anna@x.example",)])
    backend.fill(f"CREATE TABLE users (email {column} PRIMARY KEY); {rows}"
                 f"CREATE TABLE domains (domain text);")  # fmt: skip
    (step,) = await steps(await backend.open(), "anna@x.example")
    query = step.query.replace(":s0_0", "'anna@x.example'")
    plan = backend.execute(f"EXPLAIN QUERY PLAN {query}")
    await backend.close()
    assert "SEARCH users USING" in plan[0]
