"""The doctor on domains that are stored in U-labels: each database counts them by itself."""

from __future__ import annotations

import pytest

from check_user.directory import Finding, Level
from check_user.directory.sql import examine
from tests.directory.backends import Backend, OnServer
from tests.directory.schemas.test_schema_doctor import examined
from tests.directory.schemas.test_schemas import opened

STORED = [
    ("anna", "x.example"),
    ("zoë", "x.example"),
    ("é@ü", "x.example"),
    ("emil", "bücher.example"),
    ("Frida", "MÜLLER.example"),
    ("kurt", "xn--strae-oqa.example"),
]

COLUMNS = {
    "sqlite": ("varchar(100)", "text COLLATE NOCASE", "blob"),
    "mariadb": ("varchar(100)", "varchar(100) CHARACTER SET latin1", "varbinary(100)"),
    "postgresql": ("varchar(100)", "char(100)", "citext"),
}
PLACES = [(backend, column) for backend, columns in COLUMNS.items() for column in columns]

PAIR = {"email_user": "local_part", "email_domain": "domain"}


def about(findings: list[Finding], column: str) -> list[tuple[Level, str]]:
    """What is said of the characters in a column."""
    found = [f for f in findings if f"{column} have characters beyond ASCII" in f.message]
    found += [f for f in findings if f"domains in {column} are ASCII" in f.message]
    return [(f.level, f.message) for f in found]


def fill(backend: Backend, column: str, stored: list[tuple[str, str]]) -> None:
    extension = "CREATE EXTENSION citext;" if column == "citext" else ""
    rows = [(f"{local}@{domain}", local, domain) for local, domain in stored]
    backend.fill(
        f"{extension} CREATE TABLE users (email {column}, local_part {column}, domain {column});"
        f"CREATE TABLE domains (domain {column});"
        + backend.insert("users", rows)
        + backend.insert("domains", dict.fromkeys((domain,) for _, domain in stored))
    )


@pytest.mark.fault("SQ24")
@pytest.mark.parametrize(("backend", "column"), PLACES, indirect=["backend"])
async def test_u_labels_are_counted(backend: Backend, column: str) -> None:
    """Of addresses and of domains those are counted whose domain has other characters than ASCII,
    with an example; a local part that has them doesn't count, whatever the column's type is."""
    fill(backend, column, STORED)
    findings = await examine(backend.options())
    ((level, said),) = about(findings, "users.email")
    assert (level, said[:9]) == (Level.WARNING, "2 values ")
    assert "@bücher.example" in said or "@MÜLLER.example" in said
    ((level, said),) = about(findings, "domains.domain")
    assert (level, said[:9]) == (Level.WARNING, "2 values ")
    findings = await examine(backend.options(**PAIR))
    ((level, said),) = about(findings, "users.domain")
    assert (level, said[:9]) == (Level.WARNING, "2 values ")
    assert about(findings, "users.local_part") == []


@pytest.mark.parametrize(("backend", "column"), PLACES, indirect=["backend"])
async def test_a_labels_are_canonical(backend: Backend, column: str) -> None:
    """Where all domains are stored in A-labels, that is said, and no warning."""
    fill(backend, column, [each for each in STORED if each[1].isascii()])
    findings = await examine(backend.options())
    for name in ("users.email", "domains.domain"):
        ((level, _),) = about(findings, name)
        assert level is Level.OK


@pytest.mark.parametrize("name", ["ispmail", "postfixadmin"])
async def test_in_a_schema(name: str, backend: Backend) -> None:
    """So it is with the tables of a product."""
    await opened(name, backend)
    column = {"ispmail": "virtual_users.email", "postfixadmin": "mailbox.username"}[name]
    ((level, said),) = about(await examined(name, backend), column)
    assert level is Level.WARNING
    assert said.startswith(f"1 values of {column} ")
    assert "'emil@bücher.example' for one" in said


async def test_in_a_joined_table(server: OnServer) -> None:
    """Where the domain of an address is in another table, it is counted there."""
    await opened("vexim", server)
    findings = await examined("vexim", server)
    user = [f.message for f in findings if f.subject.startswith("user (")]
    assert any(said.startswith("1 values of of.domain have characters beyond") for said in user)
