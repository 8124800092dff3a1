"""vexim 2 (Virtual Exim): ``domains``, ``users``, ``domainalias``, ``groups``.

Mailboxes, aliases and refusals (``type = 'fail'``) are rows of ``users``; the local part ``*`` is
the catch-all, whose ``enabled`` vexim's own router doesn't look at. Who may write to a group that
isn't public depends on the sender, which a recipient check doesn't judge: it is known.
"""

from __future__ import annotations

from check_user.directory.schemas.declaration import (
    Addresses,
    CatchAll,
    Domains,
    Is,
    Join,
    Schema,
)

_DOMAIN = Join("of", "domains", "domain_id", "domain_id")

VEXIM = Schema(
    name="vexim",
    title="vexim 2",
    drivers=("mysql", "postgresql"),
    addresses=(
        Addresses(
            name="user",
            table="users",
            address=("localpart", "of.domain"),
            joins=(_DOMAIN,),
            enabled=(Is("enabled"),),
            refused=Is("type", ("fail",)),
            catch_all=CatchAll.STAR,
            catch_all_enabled=(),
        ),
        Addresses(
            name="group",
            table="groups",
            address=("name", "of.domain"),
            joins=(
                _DOMAIN,
                Join("entry", "group_contents", "id", "group_id"),
                Join("member", "users", "entry.member_id", "user_id"),
            ),
            enabled=(Is("enabled"), Is("member.enabled")),
            many=True,
            few=True,
            optional=True,
        ),
    ),
    domains=(
        Domains(
            name="domain",
            table="domains",
            domain="domain",
            enabled=(Is("type", ("local",)), Is("enabled")),
            relay=Is("type", ("relay",)),
            relay_always=True,
        ),
        Domains(
            name="alias domain",
            table="domainalias",
            domain="alias",
            joins=(_DOMAIN,),
            enabled=(Is("of.enabled"),),
            stands_for="of.domain",
            optional=True,
        ),
    ),
    needs={},
    newer=(("groups.is_public", "2.1 or later"), ("users.localpart", "2.0")),
)
