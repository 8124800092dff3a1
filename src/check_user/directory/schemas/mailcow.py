"""mailcow: dockerized: ``domain``, ``mailbox``, ``alias``, ``spamalias``, ``alias_domain``.

``active = 2`` in ``mailbox`` and ``alias`` forbids the login, and mail goes on. Alias domains serve
mailboxes alone, neither aliases nor catch-alls. Of a backup MX whose recipients are all relayed
nobody is refused; of another one the aliases say who is there.
"""

from __future__ import annotations

from check_user.directory.schemas.declaration import (
    Addresses,
    Both,
    CatchAll,
    Domains,
    Either,
    Future,
    Is,
    Schema,
)

_ACTIVE = Is("active", ("1", "2"))

MAILCOW = Schema(
    name="mailcow",
    title="mailcow",
    drivers=("mysql",),
    addresses=(
        Addresses(name="mailbox", table="mailbox", address=("username",), enabled=(_ACTIVE,)),
        Addresses(
            name="alias",
            table="alias",
            address=("address",),
            enabled=(_ACTIVE,),
            goes_to="goto",
            catch_all=CatchAll.AT,
            through=False,
            catch_all_through=False,
        ),
        Addresses(
            name="temporary alias",
            table="spamalias",
            address=("address",),
            enabled=(Either((Future("validity"), Is("permanent", optional=True))),),
            through=False,
            optional=True,
        ),
        Addresses(
            name="recipient map",
            table="recipient_maps",
            address=("old_dest",),
            enabled=(Is("active"),),
            goes_to="new_dest",
            catch_all=CatchAll.AT,
            through=False,
            catch_all_through=False,
            optional=True,
        ),
    ),
    domains=(
        Domains(
            name="domain",
            table="domain",
            domain="domain",
            enabled=(Is("active"),),
            relay=Both((Is("backupmx"), Is("relay_all_recipients"))),
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
    newer=(("spamalias.permanent", "2025 or later"), ("mailbox.kind", "2017 or later")),
)
