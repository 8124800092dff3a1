"""The manual's accounts in each product's own tables.

Columns, types and keys are those of the products' published definitions, as far as a lookup sees
them; what it doesn't see is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.directory.schemas import panels, servers
from tests.directory.schemas.filling import Filling

COMMON = {"alias domain", "catch-all", "aliases", "alias catch-all", "unicode"}


@dataclass(frozen=True, slots=True)
class Product:
    """``backends`` it runs on; ``skills`` of world.SKILLS; the values that its schema needs."""

    name: str
    backends: tuple[str, ...]
    fill: Callable[[Filling], None]
    skills: frozenset[str]
    values: Mapping[str, str] = field(default_factory=dict)


EVERYWHERE = ("mariadb", "postgresql", "sqlite")

PRODUCTS = {
    product.name: product
    for product in (
        Product(
            "postfixadmin",
            EVERYWHERE,
            servers.postfixadmin,
            frozenset(COMMON)
            | {"disabled mailbox", "disabled alias", "relay", "off domain", "off alias domain"}
            | {"alias through", "at domain", "chain"},
        ),
        Product(
            "vexim",
            ("mariadb", "postgresql"),
            servers.vexim,
            frozenset(COMMON)
            | {"disabled mailbox", "disabled alias", "refusal", "relay", "off domain", "group"}
            | {"alias through", "chain"},
        ),
        Product(
            "iredmail",
            ("mariadb", "postgresql"),
            servers.iredmail,
            frozenset(COMMON)
            | {"disabled mailbox", "disabled alias", "relay", "off domain", "off alias domain"}
            | {"alias through", "chain"},
        ),
        Product(
            "mailcow",
            ("mariadb",),
            servers.mailcow,
            frozenset(COMMON - {"alias catch-all"})
            | {"disabled mailbox", "disabled alias", "expiry", "relay", "off domain"}
            | {"off alias domain", "at domain", "chain"},
        ),
        Product(
            "modoboa",
            EVERYWHERE,
            panels.modoboa,
            frozenset(COMMON)
            | {"disabled mailbox", "disabled alias", "expiry", "busy", "relay", "off domain"}
            | {"off alias domain", "alias through"},
        ),
        Product(
            "mailinabox",
            ("sqlite",),
            servers.mailinabox,
            frozenset({"catch-all", "aliases", "at domain", "unicode"}),
        ),
        Product(
            "ispconfig",
            ("mariadb",),
            panels.ispconfig,
            frozenset({"catch-all", "aliases", "at domain", "unicode"})
            | {"disabled mailbox", "disabled alias", "refusal", "relay", "off domain", "group"},
            {"server_id": "1"},
        ),
        Product(
            "froxlor",
            ("mariadb",),
            panels.froxlor,
            frozenset({"catch-all", "aliases", "at domain", "unicode"})
            | {"disabled mailbox", "disabled alias", "off domain"},
        ),
        Product(
            "vpopmail",
            ("mariadb",),
            servers.vpopmail,
            frozenset({"aliases", "alias domain", "alias through", "disabled mailbox"})
            | {"open", "chain"},
            {"closed_domains": "example.org, catchall.example, xn--bcher-kva.example, "
             "xn--mller-kva.example, mixed.example, split.example"},
        ),
        Product(
            "mailu",
            EVERYWHERE,
            panels.mailu,
            frozenset({"alias domain", "aliases", "alias through", "disabled alias", "relay"})
            | {"pattern", "owner", "unicode", "chain"},
        ),
        Product(
            "ispmail",
            EVERYWHERE,
            servers.ispmail,
            frozenset({"catch-all", "aliases", "at domain", "unicode"}),
        ),
    )
}  # fmt: skip
