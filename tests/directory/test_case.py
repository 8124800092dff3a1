"""Where a site says that case counts in a local part (``local_part_case=exact``)."""

from __future__ import annotations

import pytest

from check_user.address import Address, parse
from check_user.check import Check
from check_user.directory import Directory, Presence, Prompt
from check_user.directory.schemas import SCHEMAS
from check_user.directory.sql import examine
from check_user.directory.sql.listing import open_listing
from check_user.verdict import Action
from tests.directory.accounts import TEXT, needs, tables
from tests.directory.backends import Backend

STORED = [
    ("Anna", "x.example"),
    ("anna.lower", "X.Example"),
    ("Küster", "x.example"),
    ('"Hans Huber"', "x.example"),
    ("Emil", "bücher.example"),
    ("Frida+news", "xn--mller-kva.example"),
]

KNOWN = (
    "Anna@x.example", "Anna@X.EXAMPLE", "<@relay.example:Anna@x.example.>", '"Anna"@x.example',
    "anna.lower@x.example", "Küster@x.example", "Ku\u0308ster@X.example",
    '"Hans\\ Huber"@x.example', "Emil@xn--bcher-kva.example", "Emil@BüCHER.example",
    "Frida+news@müller.example",
)  # fmt: skip

UNKNOWN = (
    "anna@x.example", "ANNA@x.example", "Anna.lower@x.example", "küster@x.example",
    '"hans huber"@x.example', "emil@bücher.example", "frida+news@müller.example",
)  # fmt: skip

COLUMNS = [
    ("sqlite", TEXT),
    ("sqlite", "text COLLATE NOCASE"),
    ("mariadb", TEXT),
    ("mariadb", "varchar(100) COLLATE utf8mb4_bin"),
    ("postgresql", TEXT),
    ("postgresql", "citext"),
]

INDEXES = (
    "CREATE INDEX folded ON users (lower(trim(email)));"
    "CREATE INDEX folded_domains ON domains (lower(trim(domain)));"
)


def exact(text: str) -> Address:
    """An address as a site asks for it that keeps the case of local parts."""
    found = parse(text, keeps_case=True)
    assert isinstance(found, Address), f"{text}: {found}"
    return found


async def ask(directory: Directory) -> None:
    """The accounts are there in their own case, and in no other."""
    expected = dict.fromkeys(KNOWN, Presence.KNOWN)
    expected |= dict.fromkeys(UNKNOWN, Presence.UNKNOWN)
    for text, presence in expected.items():
        at_once = directory.find_at_once(exact(text)) if isinstance(directory, Prompt) else None
        assert at_once in (None, presence), text
        assert await directory.find(exact(text)) is presence, text


@pytest.mark.fault("SQ01")
@pytest.mark.parametrize(("backend", "column"), COLUMNS, indirect=["backend"])
async def test_case_counts(backend: Backend, column: str, layout: dict[str, str]) -> None:
    """Only who is stored in that case is there, whatever the column's collation folds; the domain's
    case never counts, and neither does how the address is written."""
    backend.fill(tables(backend, STORED, column))
    await ask(await backend.open(keeps_case=True, **layout))


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)
async def test_case_counts_beside_a_folded_index(backend: Backend) -> None:
    """Where an index on the folded form serves the first look, it is the key that decides."""
    backend.fill(tables(backend, STORED) + INDEXES)
    await ask(await backend.open(keeps_case=True))


async def test_case_counts_in_a_query(backend: Backend) -> None:
    """A site's own query is told the local part as it was asked for, and what it returns counts in
    its own case."""
    backend.fill(tables(backend, [("Anna", "x.example"), ("anna.lower", "x.example")]))
    directory = await backend.open(
        email_query="SELECT email FROM users WHERE lower(email) = lower(:address)",
        domain_query="SELECT domain FROM domains WHERE domain = :domain",
        email_address="",
        keeps_case=True,
    )
    for text, presence in (
        ("Anna@X.example", Presence.KNOWN),
        ("anna@x.example", Presence.UNKNOWN),
        ("anna.lower@x.example", Presence.KNOWN),
        ("Anna.Lower@x.example", Presence.UNKNOWN),
    ):
        assert await directory.find(exact(text)) is presence, text


POSTFIXADMIN = (
    f"CREATE TABLE domain (domain {TEXT}, transport {TEXT}, backupmx int, active int);"
    f"CREATE TABLE mailbox (username {TEXT}, domain {TEXT}, maildir {TEXT}, active int);"
    f"CREATE TABLE alias (address {TEXT}, goto {TEXT}, domain {TEXT}, active int);"
    f"CREATE TABLE alias_domain (alias_domain {TEXT}, target_domain {TEXT}, active int);"
    "INSERT INTO domain VALUES ('X.example', 'virtual', 0, 1), ('all.example', 'virtual', 0, 1);"
    "INSERT INTO alias_domain VALUES ('y.example', 'x.example', 1);"
    "INSERT INTO mailbox VALUES ('Anna@x.example', 'x.example', 'Anna/', 1);"
    "INSERT INTO alias VALUES ('Anna@x.example', 'Anna@x.example', 'x.example', 1),"
    " ('sales@x.example', 'Anna@x.example', 'x.example', 1),"
    " ('Lost@x.example', 'anna@x.example', 'x.example', 1),"
    " ('bert@x.example', 'bert@x.example', 'x.example', 1),"
    " ('@all.example', 'Anna@x.example', 'all.example', 1);"
)


async def test_case_counts_in_a_schema(backend: Backend) -> None:
    """So it is with a product's tables: for mailboxes, aliases, alias domains, extensions, and for
    where an alias leads."""
    backend.fill(POSTFIXADMIN)
    directory = await backend.open(
        schema=SCHEMAS["postfixadmin"], delimiters="+", check_targets=True, keeps_case=True
    )
    for text, is_there in (
        ("Anna@X.example", True),
        ("Anna+b@y.example", True),
        ("anna@x.example", False),
        ("anna+b@y.example", False),
        ("sales@x.example", True),
        ("Sales@x.example", False),
        ("Lost@x.example", False),
        ("bert@x.example", False),
        ("ANY@all.example", True),
    ):
        found = await directory.find(exact(text))
        assert (found is not Presence.UNKNOWN) is is_there, f"{text}: {found}"


async def test_a_listing_keeps_the_case(backend: Backend) -> None:
    """A replica is filled with the same keys: local parts in their own case, domains folded."""
    backend.fill(needs(TEXT) + tables(backend, STORED))
    listing = await open_listing(backend.options(keeps_case=True), backend.reports.append)
    try:
        keys = {key async for batch in listing.recipients() for key, _ in batch}
    finally:
        await listing.aclose()
    assert keys == {exact(f"{local}@{domain.lower()}").key for local, domain in STORED}


async def test_the_postmaster_has_no_case(backend: Backend) -> None:
    """The postmaster of a domain of ours is never refused, however the name is written."""
    backend.fill(tables(backend, STORED))
    check = Check(await backend.open(keeps_case=True), timeout=3.0, keeps_case=True)
    for text in ("PostMaster@x.example", "postmaster@X.example", "POSTMASTER"):
        assert (await check.recipient(text)).verdict.action is Action.DECLINED, text
    assert (await check.recipient("anna@x.example")).verdict.action is Action.DENY


@pytest.mark.parametrize("plain", [True, False], ids=["plain keys", "schema"])
async def test_the_doctor_knows_that_case_counts(backend: Backend, plain: bool) -> None:
    """Where case counts, nobody is told to store addresses in lower case; and an alias that leads
    to another case leads to nobody."""
    backend.fill(tables(backend, STORED) if plain else POSTFIXADMIN)
    schema = {} if plain else {"schema": SCHEMAS["postfixadmin"]}
    said = {}
    for keeps_case in (False, True):
        options = backend.options(keeps_case=keeps_case, **schema)
        findings = await examine(options)
        said[keeps_case] = " ".join(each.message for each in findings)
    assert "in lower case" in said[False]
    assert "in lower case" not in said[True]
    assert plain or ("Lost@x.example" in said[True] and "lost@x.example" not in said[False])
