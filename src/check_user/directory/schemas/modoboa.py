"""Modoboa: ``admin_domain``, ``admin_alias``, ``admin_domainalias``, ``admin_mailboxoperation``.

Every mailbox has an alias of its own name, so aliases say who is there. A domain alias also has an
alias ``@alias`` that goes to ``@target``. A mailbox that waits for being renamed or removed can't
take mail: 450 there too. Expiry times are UTC, as Django stores them.
"""

from __future__ import annotations

from check_user.directory.schemas.declaration import (
    Addresses,
    CatchAll,
    Domains,
    Future,
    Is,
    Join,
    Schema,
)

_ENABLED = (Is("enabled"), Future("expire_at", optional=True))

MODOBOA = Schema(
    name="modoboa",
    title="Modoboa",
    drivers=("mysql", "postgresql", "sqlite"),
    addresses=(
        Addresses(name="alias", table="admin_alias", address=("address",), enabled=_ENABLED),
        Addresses(
            name="alias",
            table="admin_alias",
            address=("address",),
            joins=(Join("recipient", "modoboa_admin_aliasrecipient", "id", "alias_id"),),
            enabled=_ENABLED,
            goes_to="recipient.address",
            exact=False,
            catch_all=CatchAll.AT,
        ),
        Addresses(
            name="mailbox with an operation to come",
            table="admin_mailbox",
            address=("address", "of.name"),
            joins=(
                Join("of", "admin_domain", "domain_id", "id"),
                Join("operation", "admin_mailboxoperation", "id", "mailbox_id"),
            ),
            busy=True,
            few=True,
            optional=True,
        ),
    ),
    domains=(
        Domains(
            name="domain",
            table="admin_domain",
            domain="name",
            enabled=(Is("enabled"),),
            relay=Is("type", ("relaydomain",), optional=True),
        ),
        Domains(
            name="domain alias",
            table="admin_domainalias",
            domain="name",
            joins=(Join("target", "admin_domain", "target_id", "id"),),
            enabled=(Is("enabled"), Is("target.enabled")),
            stands_for="target.name",
        ),
    ),
    needs={},
    newer=(
        ("admin_mailbox.is_send_only", "2"),
        ("admin_alias.expire_at", "1.5 to 2"),
        ("modoboa_admin_aliasrecipient.address", "1.3 or 1.4"),
    ),
)
