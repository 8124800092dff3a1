"""Froxlor: ``panel_domains``, ``mail_users``, ``mail_virtual``, ``panel_customers``.

Flags are inverse: ``deactivated`` switches a customer or a domain off. A row of ``mail_virtual``
without a destination is an address that leads nowhere, and is none.
"""

from __future__ import annotations

from check_user.directory.schemas.declaration import (
    Addresses,
    CatchAll,
    Domains,
    Filled,
    Is,
    IsNot,
    Join,
    Schema,
)

FROXLOR = Schema(
    name="froxlor",
    title="Froxlor",
    drivers=("mysql",),
    addresses=(
        Addresses(name="mailbox", table="mail_users", address=("email",), enabled=(Is("postfix"),)),
        Addresses(
            name="address",
            table="mail_virtual",
            address=("email",),
            joins=(Join("customer", "panel_customers", "customerid", "customerid"),),
            only=(Filled("destination"),),
            enabled=(IsNot("customer.deactivated"),),
            goes_to="destination",
            catch_all=CatchAll.AT,
        ),
    ),
    domains=(
        Domains(
            name="domain",
            table="panel_domains",
            domain="domain",
            only=(Is("isemaildomain"),),
            enabled=(IsNot("deactivated", optional=True),),
        ),
    ),
    needs={},
    newer=(("mail_virtual.description", "2.0 or later"), ("panel_domains.deactivated", "0.9.36")),
)
