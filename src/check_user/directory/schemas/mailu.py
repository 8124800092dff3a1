"""Mailu: ``domain``, ``alternative``, ``user``, ``alias``, ``relay``.

A user that isn't enabled can't log in, and mail goes on. An alias is off by its own inverse flag or
with its owner. A wildcard alias has a LIKE pattern in its local part.
"""

from __future__ import annotations

from check_user.directory.schemas.declaration import (
    Addresses,
    CatchAll,
    Domains,
    Is,
    IsNot,
    Join,
    Schema,
)

_ENABLED = (IsNot("disabled", optional=True), Is("owner.enabled", null=True, optional=True))
_OWNER = (Join("owner", "user", "owner_email", "email", outer=True),)

MAILU = Schema(
    name="mailu",
    title="Mailu",
    drivers=("mysql", "postgresql", "sqlite"),
    addresses=(
        Addresses(name="user", table="user", address=("email",)),
        Addresses(
            name="alias",
            table="alias",
            address=("email",),
            joins=_OWNER,
            where=(("wildcard", False),),
            enabled=_ENABLED,
            goes_to="destination",
        ),
        Addresses(
            name="wildcard alias",
            table="alias",
            address=("localpart", "domain_name"),
            joins=_OWNER,
            where=(("wildcard", True),),
            enabled=_ENABLED,
            exact=False,
            catch_all=CatchAll.LIKE,
        ),
    ),
    domains=(
        Domains(name="domain", table="domain", domain="name"),
        Domains(name="alternative", table="alternative", domain="name", stands_for="domain_name"),
        Domains(name="relay domain", table="relay", domain="name", relays=True),
    ),
    needs={},
    newer=(("alias.disabled", "2024.06 or later"), ("alias.wildcard", "1.5 or later")),
)
