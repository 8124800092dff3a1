"""The doctor on the columns beside the addresses: can what is declared of them be read of them?"""

from __future__ import annotations

import pytest

from check_user.directory import Finding, Level, Presence
from check_user.directory.schemas import SCHEMAS
from check_user.directory.sql import examine
from tests.directory.backends import Backend, OnServer, address
from tests.directory.schemas.test_schema_doctor import examined
from tests.directory.schemas.test_schemas import PLACES, opened


def misfits(findings: list[Finding]) -> dict[str, str]:
    """What is said of columns whose types don't fit; each says what to do."""
    found = [f for f in findings if "nobody can tell what it says" in f.message]
    assert all(f.level is Level.ERROR and f.advice for f in found)
    return {f.subject: f.message for f in found}


@pytest.mark.parametrize(("name", "backend"), PLACES, indirect=["backend"])
async def test_the_products_own_types_fit(name: str, backend: Backend) -> None:
    """No product's own type is taken for a wrong one, on any database; each source is looked at."""
    await opened(name, backend)
    findings = await examined(name, backend)
    assert misfits(findings) == {}
    words = ("its other columns have types", "is left out (an older version)")
    looked_at = [f for f in findings if any(word in f.message for word in words)]
    assert len(looked_at) == len(SCHEMAS[name].sources)


WRONG = [
    # a flag, an expiry and a destination, each in a type that can't say it
    ("sqlite", "postfixadmin", "mailbox", "active", "date", "mailbox"),
    ("mariadb", "postfixadmin", "mailbox", "active", "date", "mailbox"),
    ("postgresql", "postfixadmin", "mailbox", "active", "date", "mailbox"),
    ("mariadb", "mailcow", "spamalias", "validity", "time", "temporary alias"),
    ("mariadb", "mailcow", "spamalias", "validity", "bit(1)", "temporary alias"),
    ("mariadb", "vpopmail", "vpopmail", "pw_gid", "bit(8)", "account"),
    ("mariadb", "froxlor", "panel_customers", "deactivated", "datetime", "address"),
    ("mariadb", "ispconfig", "mail_access", "access", "int", "access rule"),
    ("postgresql", "modoboa", "admin_alias", "expire_at", "boolean", "alias"),
    ("postgresql", "modoboa", "admin_alias", "expire_at", "numeric(12,2)", "alias"),
    ("postgresql", "modoboa", "admin_domain", "type", "int", "domain"),
    ("postgresql", "mailu", "user", "enabled", "jsonb", "alias"),
    ("sqlite", "postfixadmin", "alias_domain", "target_domain", "int", "alias domain"),
]


@pytest.mark.parametrize(
    ("backend", "name", "table", "column", "kind", "source"), WRONG, indirect=["backend"]
)
async def test_a_type_that_does_not_fit(
    backend: Backend, name: str, table: str, column: str, kind: str, source: str
) -> None:
    """A column of a type that what is declared can't be read of is an error: it names the source,
    the column, its type, what it is read as, and what to do."""
    await opened(name, backend)
    quoted, add = backend.quote(table), f"ADD COLUMN {backend.quote(column)} {kind}"
    backend.execute(f"ALTER TABLE {quoted} DROP COLUMN {backend.quote(column)}")
    backend.execute(f"ALTER TABLE {quoted} {add}")
    found = misfits(await examined(name, backend))
    message = found[f"{source} ({table}.{column})"]
    assert kind.partition("(")[0].removesuffix("eger").upper() in message
    assert "is read as" in message


async def test_why_it_is_an_error(server: OnServer) -> None:
    """Of such a column everybody would be disabled who is there."""
    directory = await opened("postfixadmin", server)
    assert await directory.find(address("anna@example.org")) is Presence.KNOWN
    server.execute("ALTER TABLE mailbox DROP COLUMN active")
    server.execute("ALTER TABLE mailbox ADD COLUMN active date")
    server.execute("UPDATE mailbox SET active = '2107-11-23'")
    assert await directory.find(address("anna@example.org")) is Presence.DISABLED


@pytest.mark.parametrize(
    ("kind", "value", "fits"),
    [
        ("int", "1", True),
        ("int", "yes", True),
        ("int", "active", False),
        ("date", "1", False),
        ("varchar(9)", "active", True),
    ],
)
async def test_enabled_by_the_plain_keys(
    backend: Backend, kind: str, value: str, fits: bool
) -> None:
    """`email_enabled_value` must be one that the column can have."""
    backend.fill(
        f"CREATE TABLE users (email varchar(99), state {kind});"
        "CREATE TABLE domains (domain varchar(99));"
    )
    options = backend.options(email_enabled="state", email_enabled_value=value)
    found = misfits(await examine(options))
    assert list(found) == ([] if fits else ["email_enabled (users.state)"])
