"""The tables of Modoboa, ISPConfig, Froxlor and Mailu."""

from __future__ import annotations

from tests.directory.schemas.filling import PAST, TO_COME, Filling
from tests.directory.schemas.servers import ALL_MAILBOXES, Rows
from tests.directory.schemas.world import (
    ALIAS_DOMAINS,
    ALIASES,
    AT_DOMAIN,
    BUSY,
    CATCH_ALLS,
    DOMAINS,
    FORMER,
    GONE,
    GROUPS,
    MAILBOXES,
    OFF,
    OFF_ALIAS_DOMAIN,
    REFUSALS,
    RELAY,
    TIMED,
    Alias,
    Mailbox,
)

OF_ANOTHER_SERVER = Mailbox("other", "example.org")
COPIED = Mailbox("copied", "example.org")
"""Nothing is delivered there, but sent on."""


def modoboa(filling: Filling) -> None:
    names = (*DOMAINS, OFF, RELAY, "missing.example", *(old for old, _ in ALIAS_DOMAINS))
    numbers = {name: number for number, name in enumerate(names, 1)}
    rows: Rows = [
        {"id": numbers[name], "name": name, "type": "relaydomain" if name == RELAY else "domain",
         "enabled": name not in (OFF, "missing.example")}
        for name in (*DOMAINS, OFF, RELAY, "missing.example")
    ]  # fmt: skip
    filling.table(
        "admin_domain",
        "id int PRIMARY KEY, name varchar(100) NOT NULL UNIQUE, type varchar(20) NOT NULL, "
        "enabled boolean NOT NULL",
        rows,
    )
    # A chain or a loop can't be said with a foreign key to admin_domain.
    targets = [(old, new) for old, new in ALIAS_DOMAINS if new in (*DOMAINS, "missing.example")]
    filling.table(
        "admin_domainalias",
        "id int PRIMARY KEY, name varchar(100) NOT NULL UNIQUE, target_id int NOT NULL, "
        "enabled boolean NOT NULL",
        [
            {"id": i, "name": old, "target_id": numbers[new],
             "enabled": (old, new) in ALIAS_DOMAINS}
            for i, (old, new) in enumerate((*targets, OFF_ALIAS_DOMAIN), 1)
        ],
    )  # fmt: skip
    boxes = (*ALL_MAILBOXES, BUSY)
    filling.table(
        "admin_mailbox",
        "id int PRIMARY KEY, address varchar(252) NOT NULL, domain_id int NOT NULL",
        [
            {"id": i, "address": m.local, "domain_id": numbers[m.domain]}
            for i, m in enumerate(boxes, 1)
        ],
    )
    filling.index("mailbox_domain", "admin_mailbox", "domain_id")
    filling.table(
        "admin_mailboxoperation",
        "id int PRIMARY KEY, mailbox_id int, type varchar(20) NOT NULL",
        [{"id": 1, "mailbox_id": len(boxes), "type": "rename"}],
    )
    filling.index("operation_mailbox", "admin_mailboxoperation", "mailbox_id")
    own = [Alias(m.local, m.domain, m.address, m.enabled) for m in boxes]
    everybody = [Alias("", domain, to) for domain, to in CATCH_ALLS]
    moved = [Alias("", old, f"@{new}") for old, new in targets]
    aliases = [*own, *ALIASES, *GONE, *TIMED, *everybody, *moved]
    filling.table(
        "admin_alias",
        "id int PRIMARY KEY, address varchar(254) NOT NULL UNIQUE, enabled boolean NOT NULL, "
        "internal boolean NOT NULL, "
        f"expire_at {'timestamp with time zone' if not filling.is_mysql else 'datetime(6)'}",
        [
            {"id": i, "address": a.address, "enabled": a.enabled, "internal": a in own,
             "expire_at": None if a.expired is None else PAST if a.expired else TO_COME}
            for i, a in enumerate(aliases, 1)
        ],
    )  # fmt: skip
    recipients = [(i, to) for i, a in enumerate(aliases, 1) for to in a.goes_to.split(",")]
    filling.table(
        "modoboa_admin_aliasrecipient",
        "id int PRIMARY KEY, alias_id int NOT NULL, address varchar(254) NOT NULL",
        [
            {"id": i, "alias_id": alias, "address": to}
            for i, (alias, to) in enumerate(recipients, 1)
        ],
    )
    filling.index("recipient_alias", "modoboa_admin_aliasrecipient", "alias_id")


def ispconfig(filling: Filling) -> None:
    flag = "enum('n','y') NOT NULL"

    def word(*, yes: bool) -> str:
        return "y" if yes else "n"

    domains = [(name, 1) for name in (*DOMAINS, OFF, *(old for old, _ in AT_DOMAIN))]
    filling.table(
        "mail_domain",
        f"domain_id int PRIMARY KEY, server_id int NOT NULL, domain varchar(255) NOT NULL, "
        f"active {flag}, KEY server_id (server_id, domain)",
        [
            {"domain_id": i, "server_id": server, "domain": name, "active": word(yes=name != OFF)}
            for i, (name, server) in enumerate((*domains, ("other.example", 2)), 1)
        ],
        "CHARACTER SET utf8",
    )
    filling.table(
        "mail_user",
        "mailuser_id int PRIMARY KEY, server_id int NOT NULL, email varchar(255) NOT NULL, "
        f"login varchar(255) NOT NULL, cc text NOT NULL, postfix {flag}, disabledeliver {flag}, "
        "KEY server_id (server_id, email)",
        [
            {"mailuser_id": i, "server_id": 2 if m.local == "other" else 1, "email": m.address,
             "login": m.address, "cc": "anna@example.org" if m.local == "copied" else "",
             "postfix": "y", "disabledeliver": word(yes=not m.enabled or m.local == "copied")}
            for i, m in enumerate((*ALL_MAILBOXES, OF_ANOTHER_SERVER, COPIED), 1)
        ],
        "CHARACTER SET utf8",
    )  # fmt: skip
    rows = [(a.address, a.goes_to, "alias", a.enabled) for a in (*ALIASES, *GONE)]
    rows += [(f"@{domain}", to, "catchall", True) for domain, to in CATCH_ALLS]
    rows += [(f"@{old}", f"@{new}", "aliasdomain", True) for old, new in AT_DOMAIN]
    filling.table(
        "mail_forwarding",
        "forwarding_id int PRIMARY KEY, server_id int NOT NULL, source varchar(255) NOT NULL, "
        "destination text, type enum('alias','aliasdomain','forward','catchall') NOT NULL, "
        f"active {flag}, KEY server_id (server_id, source)",
        [
            {"forwarding_id": i, "server_id": 1, "source": source, "destination": to, "type": kind,
             "active": word(yes=active)}
            for i, (source, to, kind, active) in enumerate(rows, 1)
        ],
        "CHARACTER SET utf8",
    )  # fmt: skip
    filling.table(
        "mail_mailinglist",
        "mailinglist_id int PRIMARY KEY, server_id int NOT NULL, domain varchar(255) NOT NULL, "
        "listname varchar(255) NOT NULL",
        [
            {"mailinglist_id": i, "server_id": 1, "domain": domain, "listname": name}
            for i, (name, domain) in enumerate(GROUPS, 1)
        ],
        "CHARACTER SET utf8",
    )
    filling.table(
        "mail_access",
        "access_id int PRIMARY KEY, server_id int NOT NULL, source varchar(255) NOT NULL, "
        f"access varchar(255) NOT NULL, type set('recipient','sender','client') NOT NULL, "
        f"active {flag}, KEY server_id (server_id, source)",
        [
            {"access_id": i, "server_id": 1, "source": f"{local}@{domain}", "access": "REJECT",
             "type": kind, "active": "y"}
            for i, (local, domain, kind) in enumerate(
                [*((*refusal, "recipient") for refusal in REFUSALS),
                 ("anna", "example.org", "sender")], 1)
        ],
        "CHARACTER SET utf8",
    )  # fmt: skip
    filling.table(
        "mail_transport",
        "transport_id int PRIMARY KEY, server_id int NOT NULL, domain varchar(255) NOT NULL, "
        f"transport varchar(255) NOT NULL, active {flag}, KEY server_id (server_id, domain)",
        [{"transport_id": 1, "server_id": 1, "domain": RELAY, "transport": "smtp:[192.0.2.1]",
          "active": "y"}],
        "CHARACTER SET utf8",
    )  # fmt: skip


def froxlor(filling: Filling) -> None:
    domains = (*DOMAINS, OFF, *(old for old, _ in AT_DOMAIN), "web.example")
    filling.table(
        "panel_domains",
        "id int PRIMARY KEY, domain varchar(255) NOT NULL, isemaildomain tinyint(1) NOT NULL, "
        "deactivated tinyint(1) NOT NULL, KEY domain (domain)",
        [
            {"id": i, "domain": name, "isemaildomain": int(name != "web.example"),
             "deactivated": int(name == OFF)}
            for i, name in enumerate(domains, 1)
        ],
        "CHARACTER SET utf8",
    )  # fmt: skip
    filling.table(
        "panel_customers",
        "customerid int PRIMARY KEY, deactivated tinyint(1) NOT NULL",
        [{"customerid": 1, "deactivated": 0}, {"customerid": 2, "deactivated": 1}],
    )
    filling.table(
        "mail_users",
        "id int PRIMARY KEY, email varchar(255) NOT NULL UNIQUE, "
        "postfix enum('Y','N') NOT NULL, customerid int NOT NULL",
        [
            {"id": i, "email": m.address, "postfix": "Y" if m.enabled else "N",
             "customerid": 1 if m.enabled else 2}
            for i, m in enumerate(ALL_MAILBOXES, 1)
        ],
        "CHARACTER SET utf8",
    )  # fmt: skip
    own = [Alias(m.local, m.domain, m.address, m.enabled) for m in ALL_MAILBOXES]
    everybody = [Alias("", domain, to) for domain, to in CATCH_ALLS]
    moved = [Alias("", old, f"@{new}") for old, new in AT_DOMAIN]
    nowhere = Alias("sender", "example.org", "")
    filling.table(
        "mail_virtual",
        "id int PRIMARY KEY, email varchar(255) NOT NULL, email_full varchar(255) NOT NULL, "
        "destination text, customerid int NOT NULL, iscatchall tinyint(1) NOT NULL, "
        "KEY email (email)",
        [
            {"id": i, "email": a.address, "email_full": a.address,
             "destination": a.goes_to.replace(",", " "),
             "customerid": 1 if a.enabled else 2, "iscatchall": int(not a.local)}
            for i, a in enumerate((*own, *ALIASES, *GONE, *everybody, *moved, nowhere), 1)
        ],
        "CHARACTER SET utf8",
    )  # fmt: skip


def mailu(filling: Filling) -> None:
    names = [(name, name.encode("idna").decode()) for name in DOMAINS]
    encoded = dict(names)
    filling.table(
        "domain",
        "name varchar(80) NOT NULL PRIMARY KEY",
        [{"name": name} for _, name in names],
    )
    filling.table(
        "alternative",
        "name varchar(80) NOT NULL PRIMARY KEY, domain_name varchar(80) NOT NULL",
        [{"name": old, "domain_name": new} for old, new in ALIAS_DOMAINS],
    )
    filling.table(
        "relay",
        "name varchar(80) NOT NULL PRIMARY KEY, smtp varchar(80)",
        [{"name": RELAY, "smtp": "192.0.2.1"}],
    )
    users = [
        (f"{m.local}@{encoded[m.domain]}", m.local, encoded[m.domain], m.enabled)
        for m in (*MAILBOXES, *FORMER)
    ]
    filling.table(
        "user",
        "email varchar(255) NOT NULL PRIMARY KEY, localpart varchar(80) NOT NULL, "
        "domain_name varchar(80) NOT NULL, enabled boolean NOT NULL",
        [
            {"email": email, "localpart": local, "domain_name": domain, "enabled": enabled}
            for email, local, domain, enabled in users
        ],
    )
    aliases: list[tuple[Alias, bool, str | None, bool]] = [
        (a, False, None, not a.enabled) for a in (*ALIASES, *GONE)
    ]
    aliases += [(Alias("team-%", "split.example", "paul@split.example"), True, None, False)]
    aliases += [(Alias("q_", "split.example", "paul@split.example"), True, None, False)]
    aliases += [(Alias("off%", "split.example", "paul@split.example"), True, None, True)]
    owned = Alias("owned", "example.org", "anna@example.org")
    aliases += [(owned, False, "former@example.org", False)]
    aliases += [(owned._replace(local="mine"), False, "anna@example.org", False)]
    filling.table(
        "alias",
        "email varchar(255) NOT NULL PRIMARY KEY, localpart varchar(80) NOT NULL, "
        "domain_name varchar(80) NOT NULL, wildcard boolean NOT NULL, "
        "destination varchar(1023) NOT NULL, owner_email varchar(255), disabled boolean NOT NULL",
        [
            {"email": a.address, "localpart": a.local, "domain_name": a.domain,
             "wildcard": wildcard, "destination": a.goes_to, "owner_email": owner,
             "disabled": disabled}
            for a, wildcard, owner, disabled in aliases
        ],
    )  # fmt: skip
    filling.index("alias_domain_name", "alias", "domain_name")
