"""vpopmail 5 in MySQL, built with many domains: ``vpopmail``, ``valias``, ``aliasdomains``.

What isn't in SQL decides too: a domain's ``.qmail-default`` may deliver everybody's mail, and
``.qmail-NAME`` is an alias. So an unknown address is refused only in the domains that the site
names in ``closed_domains`` (their ``.qmail-default`` says ``bounce-no-mailbox``, and their aliases
are in ``valias``); ``*`` names all. The bit 0x10 of ``pw_gid`` bounces an account's mail.

Without many domains each domain has a table of its own: make a view of them,
``SELECT pw_name, 'example.org' AS pw_domain, pw_gid FROM example_org UNION ALL ...``.
"""

from __future__ import annotations

from check_user.directory.schemas.declaration import (
    Addresses,
    Clear,
    Domains,
    Schema,
)

VPOPMAIL = Schema(
    name="vpopmail",
    title="vpopmail",
    drivers=("mysql",),
    addresses=(
        Addresses(
            name="account",
            table="vpopmail",
            address=("pw_name", "pw_domain"),
            enabled=(Clear("pw_gid", 0x10),),
        ),
        Addresses(
            name="alias", table="valias", address=("alias", "domain"), many=True, optional=True
        ),
    ),
    domains=(
        Domains(
            name="domain of accounts",
            table="vpopmail",
            domain="pw_domain",
            often=True,
            open_unless="closed_domains",
        ),
        Domains(
            name="domain of aliases",
            table="valias",
            domain="domain",
            often=True,
            open_unless="closed_domains",
            optional=True,
        ),
        Domains(
            name="alias domain",
            table="aliasdomains",
            domain="alias",
            stands_for="domain",
            optional=True,
        ),
    ),
    needs={"closed_domains": "the domains whose accounts are all in the database, or *"},
    newer=(("aliasdomains.alias", "5.4.33 or later"), ("vpopmail.pw_name", "5")),
)
