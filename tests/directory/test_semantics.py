"""What SQL databases make of a comparison, and what becomes of it here: the group SQ."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from check_user.check import Check
from check_user.directory import Directory, Presence, Unavailable
from check_user.verdict import Reason
from tests.directory.accounts import PAIR, TEXT, fits, needs, tables
from tests.directory.asking import connections, eventually
from tests.directory.backends import (
    BACKENDS,
    Backend,
    OnPostgreSQL,
    OnServer,
    Sqlite,
    address,
    domain,
    presences,
)

LOOK_ALIKES = {
    # who is stored: who isn't, though some collation says so
    "muller": ["müller", "mu\u0308ller", "mułler"],
    "anna": [
        "ánna",
        "anna\u0301",
        '"anna "',
        '" anna"',
        '"anna\u00a0"',
        "an\u200bna",
        "anna\u200b",
        "an\u00adna",
        "an\u2060na",
        "\ufeffanna",
        "an\u034fna",
        "аnna",
        "ａnna",
        "𝐚nna",
    ],
    "strasse": ["straße", "ſtrasse", "straẞe"],
    "aether": ["æther", "ӕther"],
    "sore": ["søre", "şore"],
    "karl": ["\u212aarl", "ｋarl", "кarl"],
    "ida": ["İda", "ıda", "ída"],
    "fin": ["ﬁn"],
    "o'brien": ["o’brien", "o`brien"],
    "123": ["0123", "123.0", "1e2", "１２３", "\u0661\u0662\u0663"],
}

LOOSE = [
    # backend, type of the column, whether its own = takes some of the look-alikes
    ("sqlite", "text", False),
    ("sqlite", "text COLLATE NOCASE", False),
    ("mariadb", "varchar(100) COLLATE utf8mb4_bin", False),
    ("mariadb", "varchar(100) COLLATE utf8mb4_general_ci", True),
    ("mariadb", "varchar(100) COLLATE utf8mb4_general_nopad_ci", True),
    ("mariadb", "varchar(100) COLLATE utf8mb4_unicode_ci", True),
    ("mariadb", "varchar(100) COLLATE utf8mb4_unicode_520_ci", True),
    ("mariadb", "varchar(100) CHARACTER SET utf8mb4 COLLATE uca1400_ai_ci", True),
    ("mariadb", "varchar(100) CHARACTER SET latin1 COLLATE latin1_swedish_ci", True),
    ("mariadb", "varchar(100) CHARACTER SET latin1 COLLATE latin1_german2_ci", True),
    ("mariadb", "varchar(100) CHARACTER SET ascii", False),
    ("postgresql", "text", False),
    ("postgresql", "citext", False),
    ("postgresql", "text COLLATE loose", True),
]


@pytest.mark.fault("SQ02", "SQ03", "SQ04", "SQ05", "SQ06", "SQ22")
@pytest.mark.parametrize(("backend", "column", "loose"), LOOSE, indirect=["backend"])
async def test_look_alikes(backend: Backend, column: str, loose: bool) -> None:
    """Accents, spaces, ignorable characters, expansions, compatibility forms, homographs: whoever
    only looks like somebody isn't there, whatever the collation says; a loose one is reported."""
    backend.fill(tables(backend, [(local, "x.example") for local in LOOK_ALIKES], column))
    expected = {f"{local}@x.example": Presence.KNOWN for local in LOOK_ALIKES}
    for look_alike in itertools.chain.from_iterable(LOOK_ALIKES.values()):
        expected[f"{look_alike}@x.example"] = Presence.UNKNOWN
    pads = backend.name == "mariadb" and "nopad" not in column
    for layout, reported in (({}, loose), (PAIR, loose or pads)):
        backend.reports.clear()
        directory = await backend.open(**layout)
        assert await presences(directory, expected) == expected
        assert any("looser than" in line for line in backend.reports) is reported, backend.reports


DOMAINS = ("muller.example", "müller.example", "strasse.example", "straße.example")


@pytest.mark.fault("SQ02", "SQ05", "SQ21")
@pytest.mark.parametrize(
    ("backend", "column"), [case[:2] for case in LOOSE if "ascii" not in case[1]],
    indirect=["backend"],
)  # fmt: skip
async def test_look_alikes_of_domains(backend: Backend, column: str) -> None:
    """Of two domains that a collation takes for one, each is ours if it is stored itself, in
    whatever order they are, and neither is for the other's sake."""
    cases = (DOMAINS, DOMAINS[::-1], DOMAINS[::2], DOMAINS[1::2])
    sql = needs(column) + f"CREATE TABLE users (email {column});"
    for number, ours in enumerate(cases):
        rows = [(name,) for name in ours for _ in range(2)]
        sql += f"CREATE TABLE d{number} (domain {column}); {backend.insert(f'd{number}', rows)}"
    backend.fill(sql)
    for number, ours in enumerate(cases):
        directory = await backend.open(domain_table=f"d{number}")
        expected = {name: Presence.KNOWN if name in ours else Presence.FOREIGN for name in DOMAINS}
        found = {name: await directory.find_domain(domain(name)) for name in DOMAINS}
        assert found == expected
        together = await asyncio.gather(*(directory.find_domain(domain(name)) for name in DOMAINS))
        assert dict(zip(DOMAINS, together, strict=True)) == expected
        await directory.aclose()


@pytest.mark.parametrize(
    ("backend", "column"),
    [
        ("mariadb", "varchar(100) COLLATE utf8mb4_general_nopad_ci"),
        ("postgresql", "text COLLATE loose"),
    ],
    indirect=["backend"],
)
async def test_a_look_alike_before_another_spelling_of_ours(backend: Backend, column: str) -> None:
    """A look-alike domain doesn't hide ours where ours is stored in a spelling that is only found
    folded."""
    rows = [("anna", "muller.example "), ("anna", "MüLLER.example ")]
    for stored in (rows, rows[::-1]):
        backend.fill(tables(backend, stored, column))
        directory = await backend.open()
        assert await directory.find_domain(domain("müller.example")) is Presence.KNOWN
        await directory.aclose()


# Values that a column can't hold


NARROW = [*((f"user{number}", "x.example") for number in range(50)), ("zoë", "x.example"),
          ("emil", "bücher.example")]  # fmt: skip


async def narrow_column(backend: Backend, charset: str) -> Directory:
    column = f"varchar(100) CHARACTER SET {charset}"
    stored = [row for row in NARROW if fits("".join(row), column)]
    backend.fill(tables(backend, stored, column))
    return await backend.open()


async def narrow_database(backend: Backend) -> Directory:
    """A database of PostgreSQL that is LATIN1 as a whole."""
    assert isinstance(backend, OnPostgreSQL)
    encoding = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    backend.server.execute("DROP DATABASE IF EXISTS narrow", "postgres")
    backend.server.execute(f"CREATE DATABASE narrow {encoding}", "postgres")
    rights = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO check_user;"
    backend.server.execute(tables(backend, NARROW) + rights, "narrow")
    return await backend.open(database="narrow")


NARROW_DATABASES: dict[str, tuple[str, Callable[[Backend], Awaitable[Directory]]]] = {
    "latin1 column": ("mariadb", lambda backend: narrow_column(backend, "latin1")),
    "ascii column": ("mariadb", lambda backend: narrow_column(backend, "ascii")),
    "LATIN1 database": ("postgresql", narrow_database),
}


POISON = ("😀@x.example", "анна@x.example", "łukasz@x.example")


@pytest.fixture(params=NARROW_DATABASES)
async def narrow(request: pytest.FixtureRequest) -> AsyncIterator[tuple[OnServer, Directory]]:
    name, make = NARROW_DATABASES[request.param]
    backend = BACKENDS[name](request)
    assert isinstance(backend, OnServer)
    yield backend, await make(backend)
    await backend.close()


@pytest.mark.fault("SQ07")
async def test_a_poison_address(narrow: tuple[OnServer, Directory]) -> None:
    """Among 100 lookups at once, those that a column's character set doesn't have are unknown, and
    disturb no other: no error, no lost connection, no breaker."""
    backend, directory = narrow
    before = connections(backend.server)
    for round_ in range(5):
        expected = {f"user{number}@x.example": Presence.KNOWN for number in range(50)}
        expected |= {f"user{number}@x.example": Presence.UNKNOWN for number in range(50, 97)}
        expected |= dict.fromkeys(POISON, Presence.UNKNOWN)
        texts = list(expected)
        random.Random(round_).shuffle(texts)
        found = await asyncio.gather(*(directory.find(address(text)) for text in texts))
        assert dict(zip(texts, found, strict=True)) == expected
    assert set(before) <= set(connections(backend.server))
    assert directory.status().available
    assert backend.reports == []


@pytest.mark.fault("SQ07", "SQ24")
@pytest.mark.parametrize("narrow", ["latin1 column", "LATIN1 database"], indirect=True)
async def test_who_fits_is_found(narrow: tuple[OnServer, Directory]) -> None:
    """Who is stored in a narrow character set is found, though not each of the spellings under
    which they are looked for fits into it (NFD doesn't)."""
    _, directory = narrow
    expected = {
        "zoë@x.example": Presence.KNOWN,
        "ZOe\u0308@x.example": Presence.KNOWN,
        "zoe@x.example": Presence.UNKNOWN,
        "emil@bücher.example": Presence.KNOWN,
        "emil@xn--bcher-kva.example": Presence.KNOWN,
        "zoë@bücher.example": Presence.UNKNOWN,
        "zoë@müller.example": Presence.FOREIGN,
        "анна@bücher.example": Presence.UNKNOWN,
    }
    assert await presences(directory, expected) == expected


@pytest.mark.fault("SQ08")
async def test_a_number_is_a_text(backend: Backend) -> None:
    """``0`` is a text like any other, and equals no other text."""
    rows = [(local, "x.example") for local in ("anna", "00", "0a", "1", "true", "")]
    backend.fill(tables(backend, rows))
    for layout in ({}, PAIR):
        directory = await backend.open(**layout)
        for local in ("0", "0.0", "000", "01", "-0", "0x0", "NULL", "''"):
            assert await directory.find(address(f"{local}@x.example")) is Presence.UNKNOWN, local


@pytest.mark.fault("SQ17")
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_number_in_a_column_without_a_type(backend: Backend) -> None:
    """In a SQLite column without a type a user may be stored as a number, and is found as a text;
    a text that only looks like that number isn't."""
    rows = "INSERT INTO users VALUES (123, 'x.example'), ('0456', 'x.example')"
    backend.fill(f"CREATE TABLE users (local_part, domain); {rows};")
    directory = await backend.open(**PAIR, domain_table="users")
    expected = {
        "123@x.example": Presence.KNOWN,
        "0123@x.example": Presence.UNKNOWN,
        "123.0@x.example": Presence.UNKNOWN,
        "0456@x.example": Presence.KNOWN,
        "456@x.example": Presence.UNKNOWN,
    }
    assert await presences(directory, expected) == expected


@pytest.mark.fault("SQ09")
async def test_wildcards_are_characters(backend: Backend) -> None:
    """``%``, ``_`` and their like match themselves only."""
    rows = [("anna", "x.example"), ("a%", "x.example"), ("b_b", "x.example")]
    backend.fill(tables(backend, rows))
    directory = await backend.open()
    expected = dict.fromkeys(("a%@x.example", "b_b@x.example"), Presence.KNOWN)
    for local in ("%", "a%%", "____", "_nna", "an%", "bab", "*", "a*", "?nna", "'%'", '"[a]%"'):
        expected[f"{local}@x.example"] = Presence.UNKNOWN
    assert await presences(directory, expected) == expected


@pytest.mark.fault("SQ10")
async def test_a_truncated_value(backend: Backend) -> None:
    """A value that the database cut when it was stored matches neither what it was nor, being no
    address, anything else; a value longer than the column is unknown without an error."""
    long = "a-rather-long-local-part@x.example"
    cut = {
        "sqlite": f"INSERT INTO users VALUES (substr('{long}', 1, 20));",
        "mariadb": f"INSERT IGNORE INTO users VALUES ('{long}');",
        "postgresql": f"INSERT INTO users VALUES ('{long}'::varchar(20));",
    }
    backend.fill(
        f"CREATE TABLE users (email varchar(20)); {cut[backend.name]}"
        f"CREATE TABLE domains (domain {TEXT}); {backend.insert('domains', [('x.example',)])}"
    )
    directory = await backend.open()
    assert backend.execute("SELECT email FROM users") == [long[:20]]
    expected = dict.fromkeys((long, f"{long[:20]}@x.example"), Presence.UNKNOWN)
    assert await presences(directory, expected) == expected


@pytest.mark.fault("SQ15")
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_file_that_is_moved_away(backend: Backend) -> None:
    """While a SQLite file is away nobody can tell, and it isn't made anew; when it is back, or
    another is in its place, that one is asked."""
    backend.fill(tables(backend))
    directory = await backend.open()
    assert isinstance(backend, Sqlite)
    path = backend.path
    path.rename(path.with_suffix(".old"))
    for text in ("anna@x.example", "nobody@x.example", "anna@y.example"):
        with pytest.raises(Unavailable):
            await directory.find(address(text))
    assert not path.exists()
    backend.fill(tables(backend, [("new", "x.example")]))
    await eventually(lambda: directory.status().available, 2.0)
    expected = {"new@x.example": Presence.KNOWN, "anna@x.example": Presence.UNKNOWN}
    assert await presences(directory, expected) == expected


@pytest.mark.fault("SQ18")
async def test_rows_of_no_meaning(backend: Backend) -> None:
    """NULL, empty values and what is no address harm nobody; a row there twice is there."""
    odd = [("", "x.example"), ("anna", "x.example"), ("anna", "x.example"), ("@", "x.example"),
           ("a b", "x.example"), ("bert", ""), ("carl", "x..example"), ("x", "")]  # fmt: skip
    backend.fill(tables(backend, odd) + "INSERT INTO users VALUES (NULL, NULL, NULL);"
                 "INSERT INTO domains VALUES (NULL);"
                 "INSERT INTO users (local_part, domain) VALUES ('anna', NULL);")  # fmt: skip
    expected = {
        "anna@x.example": Presence.KNOWN,
        "bert@x.example": Presence.UNKNOWN,
        "NULL@x.example": Presence.UNKNOWN,
        "anna@null": Presence.FOREIGN,
        "carl@example": Presence.FOREIGN,
    }
    for settings in ({}, PAIR, {**PAIR, "domain_table": "users"}):
        directory = await backend.open(**settings)
        assert await presences(directory, expected) == expected


@pytest.mark.fault("SQ12", "SQ13", "SQ20", "SQ21")
async def test_what_is_no_address_never_reaches_the_database(backend: Backend) -> None:
    """NUL, invalid UTF-8, 20 MB, a domain that IDNA 2008 doesn't have: refused before a question,
    and whoever is asked for next is answered."""
    backend.fill(tables(backend))
    check = Check(await backend.open(), timeout=3.0)
    steps: list[object] = []
    for text in ("anna\0@x.example", "\udcffanna@x.example", "a" * 20_000_000 + "@x.example",
                 "anna@x。example", "anna@℀.example"):  # fmt: skip
        assert (await check.recipient(text, steps.append)).verdict.reason is Reason.MALFORMED
    assert steps == []
    assert (await check.recipient("anna@x.example")).verdict.reason is Reason.KNOWN


@pytest.mark.fault("SQ23")
async def test_an_extension(backend: Backend) -> None:
    """An extension is taken away by our rules, not by the database's."""
    backend.fill(tables(backend))
    directory = await backend.open()
    for delimiters, reason in (("", Reason.UNKNOWN), ("+", Reason.KNOWN), ("-", Reason.UNKNOWN)):
        check = Check(directory, timeout=3.0, delimiters=delimiters)
        for text in ("anna+news@x.example", "Bert.Maier+a+b@x.example", "emil+ü@bücher.example"):
            assert (await check.recipient(text)).verdict.reason is reason, (delimiters, text)
        assert (await check.recipient("nobody+news@x.example")).verdict.reason is Reason.UNKNOWN
