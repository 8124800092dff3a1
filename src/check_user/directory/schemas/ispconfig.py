"""ISPConfig 3: ``mail_domain``, ``mail_user``, ``mail_forwarding``, ``mail_access``.

One database serves several servers, and every row says which: the site's ``server_id``. Aliases,
forwards, catch-alls (``@example.org``) and alias domains (``@old`` that goes to ``@new``) are rows
of ``mail_forwarding``. ``disabledeliver`` is an inverse flag: such a mailbox takes mail only where
it has a copy sent on (``cc``). ``mail_access`` refuses recipients.
"""

from __future__ import annotations

from check_user.directory.schemas.declaration import (
    Addresses,
    Begins,
    CatchAll,
    Constant,
    Domains,
    Either,
    Filled,
    Is,
    IsNot,
    Schema,
)

_HERE = (("server_id", Constant("server_id")),)

ISPCONFIG = Schema(
    name="ispconfig",
    title="ISPConfig 3",
    drivers=("mysql",),
    addresses=(
        Addresses(
            name="mailbox",
            table="mail_user",
            address=("email",),
            where=_HERE,
            enabled=(
                Is("postfix"),
                Either((IsNot("disabledeliver"), Filled("cc")), optional=True),
            ),
        ),
        Addresses(
            name="forwarding",
            table="mail_forwarding",
            address=("source",),
            where=_HERE,
            enabled=(Is("active"),),
            goes_to="destination",
            catch_all=CatchAll.AT,
        ),
        Addresses(
            name="mailing list",
            table="mail_mailinglist",
            address=("listname", "domain"),
            where=_HERE,
            optional=True,
        ),
        Addresses(
            name="access rule",
            table="mail_access",
            address=("source",),
            where=_HERE,
            only=(Is("type", ("recipient",)), Begins("access", ("reject",)), Is("active")),
            refuses=True,
        ),
    ),
    domains=(
        Domains(
            name="domain",
            table="mail_domain",
            domain="domain",
            where=_HERE,
            enabled=(Is("active"),),
        ),
        Domains(
            name="relay domain",
            table="mail_transport",
            domain="domain",
            where=_HERE,
            only=(Is("active"),),
            relays=True,
        ),
    ),
    needs={"server_id": "the server's number in ISPConfig (System, Server services)"},
    newer=(("mail_user.forward_in_lda", "3.2"), ("mail_user.disabledeliver", "3.1")),
)
