"""The doctor on a schema: what it finds, with examples, and what it leaves alone."""

from __future__ import annotations

import pytest

from check_user.directory import Finding, Level
from check_user.directory.schemas import SCHEMAS
from check_user.directory.sql import examine
from tests.directory.backends import Backend, OnServer
from tests.directory.schemas.products import PRODUCTS
from tests.directory.schemas.test_schemas import PLACES, opened


async def examined(name: str, backend: Backend, **settings: object) -> list[Finding]:
    """The doctor's findings on a product's tables."""
    given = {"schema": SCHEMAS[name], "schema_values": PRODUCTS[name].values, **settings}
    return await examine(backend.options(**given))


def said(findings: list[Finding], subject: str) -> str:
    """All that is said about subjects of this name."""
    return "; ".join(f.message for f in findings if subject in f.subject)


@pytest.mark.parametrize(("name", "backend"), PLACES, indirect=["backend"])
async def test_every_schema_is_examined(name: str, backend: Backend) -> None:
    """On a product's own tables the doctor finds no error, and every warning says what to do."""
    await opened(name, backend)
    findings = await examined(name, backend)
    assert [f for f in findings if f.level is Level.ERROR] == []
    assert [f for f in findings if f.level is Level.WARNING and not f.advice] == []
    assert said(findings, SCHEMAS[name].addresses[0].name)


async def test_what_does_not_fit_together(backend: Backend) -> None:
    """Alias domains to nowhere, chains, catch-alls and aliases to nobody are found by name."""
    await opened("postfixadmin", backend)
    findings = await examined("postfixadmin", backend)
    assert said(findings, "to nowhere").startswith("1 (nowhere.example -> missing.example)")
    assert "chain.example -> example.net -> example.org" in said(findings, "chains")
    assert said(findings, "catch-alls").startswith("1 (catchall.example)")
    assert said(findings, "aliases to nobody").startswith(
        "1 (nobody-home@example.org -> missing@example.org)"
    )
    backend.execute(
        "INSERT INTO alias (address, goto, active) VALUES "
        "('pair@example.org', 'missing@example.org, gone.too@example.org', true), "
        "('half@example.org', 'missing@example.org, anna@example.org', true)"
    )
    findings = await examined("postfixadmin", backend)
    assert "pair@example.org -> missing@example.org, gone.too" in said(findings, "to nobody")
    assert "half" not in said(findings, "aliases to nobody")
    backend.execute("DELETE FROM alias WHERE address IN ('nobody-home@example.org', 'x')")
    backend.execute("DELETE FROM alias WHERE address = 'pair@example.org'")
    backend.execute("DELETE FROM alias_domain WHERE alias_domain IN ('chain.example', 'x')")
    backend.execute("DELETE FROM alias_domain WHERE alias_domain = 'nowhere.example'")
    backend.execute("DELETE FROM alias WHERE address = '@catchall.example'")
    findings = await examined("postfixadmin", backend)
    together = ("aliases", "alias domains", "catch-alls", "chains")
    assert {f.level for f in findings if f.subject in together} == {Level.OK}


@pytest.mark.fault("SQ01", "SQ02", "SQ24")
async def test_what_is_stored_oddly(server: OnServer) -> None:
    """Values that aren't in lower case, and those that a collation mixes up, are counted, with an
    example."""
    await opened("ispmail", server)
    findings = await examined("ispmail", server)
    assert "2 values" in said(findings, "user (")
    assert "'Carla.Conti@example.org'" in said(findings, "user (")
    if server.name == "mariadb":
        server.execute("ALTER TABLE virtual_users DROP INDEX email")
        server.execute("INSERT INTO virtual_users VALUES (90, 'zoe@example.org')")
        findings = await examined("ispmail", server)
        assert "mixes 1 values up" in said(findings, "user (")


async def test_a_missing_index_is_named(backend: Backend) -> None:
    """Without an index behind a source the finding says which to create, in a statement that can be
    run as it stands."""
    await opened("ispmail", backend)
    backend.execute(
        "DROP INDEX by_source" + (" ON virtual_aliases" if backend.name == "mariadb" else "")
    )
    findings = await examined("ispmail", backend)
    (advice,) = [f.advice for f in findings if "no index serves the lookup" in f.message]
    assert advice.startswith("CREATE INDEX check_user_virtual_aliases_source ON ")
    backend.execute(advice)
    assert "no index serves the lookup" not in said(await examined("ispmail", backend), "alias (")


@pytest.mark.fault("SQ24")
async def test_the_index_that_is_advised_for_the_plain_keys(backend: Backend) -> None:
    """So it is without a schema, whatever the tables are called, for both looks."""
    backend.fill(
        f"CREATE TABLE {backend.quote('my-Users')} ({backend.quote('E-Mail')} varchar(99));"
        f"CREATE TABLE {backend.quote('group')} ({backend.quote('order')} varchar(99));"
    )
    names = {"email_table": "my-Users", "email_address": "E-Mail", "domain_table": "group"}
    options = backend.options(**names, domain_domain="order")

    async def found() -> list[str]:
        return [f.advice for f in await examine(options) if "CREATE INDEX" in f.advice]

    advised = await found()
    assert len(advised) == (2 if backend.name == "mariadb" else 4)
    for advice in advised:
        backend.execute(advice.partition("; or, ")[0])
    assert await found() == []


async def test_another_schema(backend: Backend) -> None:
    """Tables of another product are an error that says what isn't there."""
    await opened("ispmail", backend)
    findings = await examine(backend.options(schema=SCHEMAS["postfixadmin"]))
    (error,) = [f for f in findings if f.level is Level.ERROR]
    assert "this isn't the schema of PostfixAdmin: there is no table 'mailbox'" in error.message


async def test_an_older_version(backend: Backend) -> None:
    """What an older version of the product lacks is left out, and said."""
    await opened("postfixadmin", backend)
    backend.execute("DROP TABLE alias_domain")
    findings = await examined("postfixadmin", backend)
    assert "alias domain is left out (an older version)" in said(findings, "schema postfixadmin")
    assert [f for f in findings if f.level is Level.ERROR] == []


async def test_rights_beyond_reading(server: OnServer) -> None:
    """More rights than SELECT on the schema's tables are a warning."""
    await opened("ispmail", server)
    assert "can only read" in said(await examined("ispmail", server), "rights")
    who = "check_user@'%'" if server.name == "mariadb" else "check_user"
    table = "maildb.virtual_users" if server.name == "mariadb" else "virtual_users"
    server.execute(f"GRANT DELETE ON {table} TO {who}")
    found = said(await examined("ispmail", server), "rights")
    server.execute(f"REVOKE DELETE ON {table} FROM {who}")
    assert "DELETE" in found or server.name == "mariadb"


async def test_queries_are_examined(backend: Backend) -> None:
    """A site's own queries are tried, and looked at for an index."""
    backend.fill(
        "CREATE TABLE users (email varchar(99) PRIMARY KEY);"
        "CREATE TABLE domains (domain varchar(99));" + backend.insert("domains", [("x.example",)])
    )
    findings = await examine(
        backend.options(
            email_query="SELECT email FROM users WHERE email = :address",
            domain_query="SELECT domain FROM domains WHERE domain = :domain",
        )
    )
    assert "an index serves it" in said(findings, "email_query")
    assert "no index serves all of it" in said(findings, "domain_query")
