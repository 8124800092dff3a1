"""Opening a directory: what is wrong with the configuration is said at once, in one clear line.

Misconfigured: the database was reached and can't serve what the configuration says. Unavailable: it
couldn't be reached.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from check_user.directory import Misconfigured, Unavailable
from tests.directory.accounts import PAIR, TEXT, tables
from tests.directory.backends import Backend, OnPostgreSQL, OnServer
from tests.peers.process import free_port

WRONG = {
    # what is configured: what the message must name
    "no such table": ({"email_table": "nowhere"}, ["nowhere"]),
    "no such table for domains": ({"domain_table": "nowhere"}, ["nowhere"]),
    "no such schema": ({"email_table": "nowhere.users"}, ["nowhere.users"]),
    "no such column": ({"email_address": "e_mail"}, ["users", "e_mail", "local_part"]),
    "no such user column": ({**PAIR, "email_user": "usr"}, ["users", "usr"]),
    "no such domain column": ({**PAIR, "email_domain": "dom"}, ["users", "dom"]),
    "no such column for domains": ({"domain_domain": "dom"}, ["domains", "dom"]),
    "no such column for enabled": (
        {"email_enabled": "active", "email_enabled_value": "1"},
        ["users", "active"],
    ),
    "no such driver": ({"driver": "dbase"}, ["dbase", "mysql", "postgresql", "sqlite"]),
}


def is_one_line(error: pytest.ExceptionInfo[Exception]) -> bool:
    """Whether the message is one printable line without the statement."""
    return str(error.value).isprintable() and "SELECT" not in str(error.value)


@pytest.mark.fault("SQ16")
async def test_a_wrong_name(backend: Backend) -> None:
    """A name that isn't there is refused, and the line says which (and what there is instead)."""
    backend.fill(tables(backend))
    for wrong, (settings, named) in WRONG.items():
        with pytest.raises(Misconfigured) as error:
            await backend.open(**settings)
        assert is_one_line(error), wrong
        assert all(name in str(error.value) for name in named), str(error.value)


NUMBERS = ["integer", "bigint", "decimal(9,2)", "float", "double precision", "date", "timestamp"]
ONLY = {"mariadb": ["boolean", "bit(8)", "year", "json"],
        "postgresql": ["boolean", "bytea", "uuid", "json", "inet", "text[]"],
        "sqlite": ["boolean", "real", "numeric"]}  # fmt: skip


@pytest.mark.fault("SQ08", "SQ17")
async def test_a_column_that_holds_no_text(backend: Backend) -> None:
    """A column of numbers, times or the like is refused: compared with a text it finds anybody."""
    types = [*NUMBERS, *ONLY[backend.name]]
    columns = ", ".join(f"c{number} {column}" for number, column in enumerate(types))
    backend.fill(tables(backend) + f"CREATE TABLE odd ({columns});")
    for number, column in enumerate(types):
        if (backend.name, column) == ("mariadb", "json"):
            continue  # MariaDB's is a text
        for table in ("email_table", "domain_table"):
            field = "email_address" if table == "email_table" else "domain_domain"
            with pytest.raises(Misconfigured, match=f"odd.*c{number}|'odd'") as error:
                await backend.open(**{table: "odd", field: f"c{number}"})
            assert is_one_line(error), column


@pytest.mark.fault("SQ19")
async def test_a_procedure_is_no_table(server: OnServer) -> None:
    """A procedure or function, which could give several results, is refused."""
    returns = {
        "mariadb": "CREATE PROCEDURE listing() SELECT email FROM users;",
        "postgresql": "CREATE FUNCTION listing() RETURNS SETOF users LANGUAGE sql "
        "AS 'SELECT * FROM users';",
    }
    server.fill(tables(server) + returns[server.name])
    with pytest.raises(Misconfigured, match="listing"):
        await server.open(email_table="listing")


async def test_a_wrong_password(server: OnServer) -> None:
    """A password, user or database that the server refuses is the configuration's fault."""
    server.fill(tables(server))
    for settings in ({"password": "guessed"}, {"user": "nobody"}, {"database": "nowhere"}):
        with pytest.raises(Misconfigured) as error:
            await server.open(**settings)
        assert is_one_line(error), settings
        assert "guessed" not in str(error.value)


async def test_no_right_to_read(server: OnServer) -> None:
    """A table that check_user may not read is refused, by name."""
    server.fill(tables(server) + f"CREATE TABLE secret (email {TEXT});")
    if isinstance(server, OnPostgreSQL):
        server.execute("REVOKE SELECT ON secret FROM check_user")
        settings = {"email_table": "secret"}
    else:
        settings = {"email_table": "mysql.user", "email_address": "User"}
    with pytest.raises(Misconfigured, match=r"secret|mysql\.user") as error:
        await server.open(**settings)
    assert is_one_line(error)


async def test_nobody_there(server: OnServer) -> None:
    """A port where nobody listens and a host that doesn't exist: Unavailable, with the address."""
    server.fill(tables(server))
    port = free_port()
    for host, expected in (
        (server.server.host, f"{server.server.host}:{port}"),
        ("nowhere.invalid", "nowhere.invalid"),
    ):
        with pytest.raises(Unavailable, match=expected) as error:
            await server.open(hosts=((host, port),))
        assert is_one_line(error)


@pytest.mark.fault("SQ15")
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_no_file(backend: Backend, tmp_path: Path) -> None:
    """A SQLite file that isn't there is Unavailable, and isn't made."""
    with pytest.raises(Unavailable, match=r"nowhere\.db"):
        await backend.open(database=str(tmp_path / "nowhere.db"))
    assert not (tmp_path / "nowhere.db").exists()


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_file_without_tables(backend: Backend, tmp_path: Path) -> None:
    """An empty SQLite file has no tables, which the line says."""
    (tmp_path / "empty.db").touch()
    with pytest.raises(Misconfigured, match="users"):
        await backend.open(database=str(tmp_path / "empty.db"))
