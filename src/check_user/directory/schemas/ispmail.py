"""The ISPmail tutorial's tables: ``virtual_domains``, ``virtual_users``, ``virtual_aliases``.

No flags. An alias has a row for each destination; ``@example.org`` is a catch-all.
"""

from __future__ import annotations

from check_user.directory.schemas.declaration import Addresses, CatchAll, Domains, Schema

ISPMAIL = Schema(
    name="ispmail",
    title="ISPmail",
    drivers=("mysql", "postgresql", "sqlite"),
    addresses=(
        Addresses(name="user", table="virtual_users", address=("email",)),
        Addresses(
            name="alias",
            table="virtual_aliases",
            address=("source",),
            goes_to="destination",
            catch_all=CatchAll.AT,
            many=True,
        ),
    ),
    domains=(Domains(name="domain", table="virtual_domains", domain="name"),),
    needs={},
    newer=(("virtual_users.quota", "stretch or later"), ("virtual_users.email", "older")),
)
