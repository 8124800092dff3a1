"""The accounts of the manual's example (docs/schemas.md), before they lie in any product's tables.

``SKILLS`` are what a product may have rows for. A case of the manual needs some of them; it is
asked of the products that have them all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[3] / "docs" / "schemas.md"


class Mailbox(NamedTuple):
    local: str
    domain: str
    enabled: bool = True

    @property
    def address(self) -> str:
        return f"{self.local}@{self.domain}"


class Alias(NamedTuple):
    local: str
    domain: str
    goes_to: str
    enabled: bool = True
    expired: bool | None = None
    """Whether its time is over; None has no time."""

    @property
    def address(self) -> str:
        return f"{self.local}@{self.domain}"


DOMAINS = ("example.org", "catchall.example", "bücher.example", "xn--mller-kva.example",
           "Mixed.Example", "split.example")  # fmt: skip
OFF = "off.example"
RELAY = "relay.example"

ALIAS_DOMAINS = (
    ("example.net", "example.org"),
    ("all.example", "catchall.example"),
    ("chain.example", "example.net"),
    ("loop.example", "loop.example"),
    ("nowhere.example", "missing.example"),
)
OFF_ALIAS_DOMAIN = ("offalias.example", "example.org")

MAILBOXES = (
    Mailbox("anna", "example.org"),
    Mailbox("Carla.Conti", "example.org"),
    Mailbox("o'brien", "example.org"),
    Mailbox("zoë", "example.org"),
    Mailbox("sales+eu", "example.org"),
    Mailbox("dora-lea", "example.org"),
    Mailbox("carl", "catchall.example"),
    Mailbox("emil", "bücher.example"),
    Mailbox("frida", "xn--mller-kva.example"),
    Mailbox("mia", "Mixed.Example"),
    Mailbox("paul", "split.example"),
)
FORMER = (Mailbox("former", "example.org", False), Mailbox("former", "catchall.example", False))
BEHIND_OFF = Mailbox("anna", OFF)

ALIASES = (
    Alias("bert", "example.org", "anna@example.org"),
    Alias("list", "example.org", "anna@example.org,carla.conti@example.org,x@elsewhere.example"),
    Alias("info", "catchall.example", "carl@catchall.example"),
    Alias("away", "example.org", "anna@elsewhere.example"),
    Alias("nobody-home", "example.org", "missing@example.org"),
)
GONE = (
    Alias("gone", "example.org", "anna@example.org", enabled=False),
    Alias("gone", "catchall.example", "carl@catchall.example", enabled=False),
)
TIMED = (
    Alias("was", "example.org", "anna@example.org", expired=True),
    Alias("was", "catchall.example", "carl@catchall.example", expired=True),
    Alias("still", "example.org", "anna@example.org", expired=False),
)

CATCH_ALLS = (("catchall.example", "carl@catchall.example"),)
AT_DOMAIN = (("old.example", "example.org"),)
"""A catch-all ``@old`` that goes to ``@new``."""

REFUSALS = (("noreply", "example.org"), ("spam", "catchall.example"))
BUSY = Mailbox("moving", "example.org")
GROUPS = (("staff", "example.org"),)

SKILLS = {
    "disabled mailbox", "disabled alias", "expiry", "alias domain", "alias catch-all", "at domain",
    "catch-all", "refusal", "busy", "relay", "off domain", "off alias domain", "pattern", "aliases",
    "alias through", "open", "group", "owner", "unicode", "chain",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the manual's table."""

    address: str
    answer: str
    because: str
    needs: frozenset[str]


def cases() -> list[Case]:
    """The table, line by line."""
    rows = re.findall(
        r"^\| `([^`|]+)` \| ([^|]+) \| ([^|]*) \| ([^|]*) \|$", PAGE.read_text(), re.M
    )
    found = []
    for address, answer, because, needs in rows:
        skills = frozenset(word.strip() for word in needs.split(",") if word.strip())
        assert skills <= SKILLS, skills - SKILLS
        found.append(Case(address, answer.strip(), because, skills))
    return found
