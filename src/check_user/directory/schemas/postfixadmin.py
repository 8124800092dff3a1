"""PostfixAdmin 2.3 to 4: ``domain``, ``mailbox``, ``alias``, ``alias_domain``.

Its ``alias`` has a row for every mailbox too, which goes to the mailbox itself and proves nothing
beside it. ``active`` is 0 or 1 in MySQL and SQLite, a boolean in PostgreSQL. The transports
``smtp:`` and ``relay:`` lead to another server, whose accounts aren't here.
"""

from __future__ import annotations

from check_user.directory.schemas.declaration import (
    Addresses,
    Begins,
    CatchAll,
    Domains,
    Either,
    Is,
    Schema,
)

POSTFIXADMIN = Schema(
    name="postfixadmin",
    title="PostfixAdmin",
    drivers=("mysql", "postgresql", "sqlite"),
    addresses=(
        Addresses(name="mailbox", table="mailbox", address=("username",), enabled=(Is("active"),)),
        Addresses(
            name="alias",
            table="alias",
            address=("address",),
            enabled=(Is("active"),),
            goes_to="goto",
            catch_all=CatchAll.AT,
        ),
    ),
    domains=(
        Domains(
            name="domain",
            table="domain",
            domain="domain",
            enabled=(Is("active"),),
            relay=Either((Is("backupmx"), Begins("transport", ("smtp", "relay")))),
        ),
        Domains(
            name="alias domain",
            table="alias_domain",
            domain="alias_domain",
            enabled=(Is("active"),),
            stands_for="target_domain",
            optional=True,
        ),
    ),
    needs={},
    newer=(
        ("mailbox.smtp_active", "4"),
        ("mailbox.password_expiry", "3.3"),
        ("mailbox.email_other", "3.1 or 3.2"),
        ("alias_domain.target_domain", "2.3 to 3.0"),
    ),
)
