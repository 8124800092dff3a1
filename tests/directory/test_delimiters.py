"""Delimiters of domains (``domain_delimiter``), from the configuration to the verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from check_user.app.asking import asking
from check_user.config import load
from check_user.verdict import Reason
from tests.directory.backends import Backend, OnServer

PLAIN = (
    "email_table=users\nemail_address=email\ndomain_table=domains\ndomain_domain=name\n"
)  # fmt: skip
SCHEMA = "schema=ispmail\n"

DELIMITERS = """\
recipient_delimiter=+
domain_delimiter=minus.example -
domain_delimiter=Bücher.example =_
domain_delimiter=none.example
"""

DOMAINS = {"plus.example": "+", "minus.example": "-", "xn--bcher-kva.example": "=_",
           "none.example": ""}  # fmt: skip
"""Each with its own delimiters, and no others."""


def tables(backend: Backend) -> str:
    """The same accounts, in tables of no product and in those of ISPmail."""
    users = [(f"anna@{domain}",) for domain in DOMAINS]
    domains = [(domain,) for domain in DOMAINS]
    made = ""
    for table, column, rows in (
        ("users", "email", users),
        ("domains", "name", domains),
        ("virtual_users", "email", users),
        ("virtual_domains", "name", domains),
    ):
        made += f"CREATE TABLE {table} ({column} varchar(99) PRIMARY KEY);"
        made += backend.insert(table, rows)
    return made + "CREATE TABLE virtual_aliases (source varchar(99), destination varchar(99));"


def configure(backend: Backend, file: Path, lines: str) -> Path:
    """Write a configuration that leads to the backend."""
    place = f"driver={backend.place()['driver']}\ndatabase={backend.place()['database']}\n"
    if isinstance(backend, OnServer):
        server = backend.server
        place += f"host={server.host}:{server.port}\nuser={server.user}\npasswd={server.password}\n"
    file.write_text(place + lines, encoding="utf-8")
    return file


@pytest.mark.fault("SQ23")
@pytest.mark.parametrize("names", [PLAIN, SCHEMA], ids=["plain keys", "schema"])
async def test_each_domain_keeps_to_its_own(backend: Backend, names: str, tmp_path: Path) -> None:
    """An address is looked for without what follows a delimiter of its own domain, and never by
    another domain's, nor by the default where its domain has its own; so it is with a schema and
    with the plain keys, however the domain is written."""
    backend.fill(tables(backend))
    file = configure(backend, tmp_path / "check_user.conf", names + DELIMITERS)
    asked = {
        f"anna{delimiter}news@{domain}": Reason.KNOWN if delimiter in own else Reason.UNKNOWN
        for domain, own in DOMAINS.items()
        for delimiter in "+-=_#"
    }
    asked |= {
        "anna=news@bücher.example": Reason.KNOWN,
        "anna-news@Bücher.example": Reason.UNKNOWN,
        "anna-news@MINUS.example.": Reason.KNOWN,
        "anna-a+b@minus.example": Reason.KNOWN,
        "anna+a-b@minus.example": Reason.UNKNOWN,
    }
    with asking(load(file), lambda _: None) as ask:
        answers = {text: ask(text) for text in asked}
        found = {text: answers[text].result().decision.verdict.reason for text in asked}
    assert found == asked
