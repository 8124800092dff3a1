"""iRedMail since 0.9.7, over SQL: ``domain``, ``mailbox``, ``forwardings``, ``maillists``.

``forwardings`` has a row for every destination of an address; each mailbox forwards to itself
there, which proves nothing beside the mailbox. A catch-all's address is the bare domain.
"""

from __future__ import annotations

from check_user.directory.schemas.declaration import (
    Addresses,
    CatchAll,
    Domains,
    Is,
    Schema,
)

IREDMAIL = Schema(
    name="iredmail",
    title="iRedMail",
    drivers=("mysql", "postgresql"),
    addresses=(
        Addresses(
            name="mailbox",
            table="mailbox",
            address=("username",),
            enabled=(Is("active"), Is("enabledeliver")),
        ),
        Addresses(
            name="forwarding",
            table="forwardings",
            address=("address",),
            enabled=(Is("active"),),
            goes_to="forwarding",
            catch_all=CatchAll.BARE,
            many=True,
        ),
        Addresses(
            name="mailing list",
            table="maillists",
            address=("address",),
            enabled=(Is("active"),),
            optional=True,
        ),
    ),
    domains=(
        Domains(
            name="domain",
            table="domain",
            domain="domain",
            enabled=(Is("active"),),
            relay=Is("backupmx"),
        ),
        Domains(
            name="alias domain",
            table="alias_domain",
            domain="alias_domain",
            enabled=(Is("active"),),
            stands_for="target_domain",
        ),
    ),
    needs={},
    newer=(("maillists.address", "0.9.8 or later"), ("forwardings.forwarding", "0.9.7")),
)
