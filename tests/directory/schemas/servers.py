"""The tables of PostfixAdmin, vexim, iRedMail, mailcow, Mail-in-a-Box, vpopmail and ISPmail."""

from __future__ import annotations

from tests.directory.schemas.filling import Filling, Value
from tests.directory.schemas.world import (
    ALIAS_DOMAINS,
    ALIASES,
    AT_DOMAIN,
    BEHIND_OFF,
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

ALL_MAILBOXES = (*MAILBOXES, *FORMER, BEHIND_OFF)
ADDRESS = "varchar(255) NOT NULL DEFAULT ''"

Rows = list[dict[str, Value]]


def postfixadmin(filling: Filling) -> None:
    latin1 = "COLLATE latin1_general_ci"
    domain = (
        "domain varchar(255) PRIMARY KEY, transport varchar(255), backupmx boolean NOT NULL, "
        "active boolean NOT NULL"
    )
    rows: Rows = [
        {"domain": name, "transport": "virtual", "backupmx": False, "active": name != OFF}
        for name in (*DOMAINS, OFF, *(old for old, _ in (*ALIAS_DOMAINS, *AT_DOMAIN)))
    ]
    rows.append({"domain": RELAY, "transport": "virtual", "backupmx": True, "active": True})
    rows.append(
        {"domain": "smtp.example", "transport": "smtp:[192.0.2.1]", "backupmx": False,
         "active": True}
    )  # fmt: skip
    filling.table("domain", domain, rows, latin1)
    filling.table(
        "mailbox",
        "username varchar(255) PRIMARY KEY, domain varchar(255), active boolean NOT NULL",
        [{"username": m.address, "domain": m.domain, "active": m.enabled} for m in ALL_MAILBOXES],
        latin1,
    )
    own = [Alias(m.local, m.domain, m.address) for m in ALL_MAILBOXES]
    everybody = [Alias("", domain, to) for domain, to in CATCH_ALLS]
    moved = [Alias("", old, f"@{new}") for old, new in AT_DOMAIN]
    filling.table(
        "alias",
        "address varchar(255) PRIMARY KEY, goto text NOT NULL, domain varchar(255), "
        "active boolean NOT NULL",
        [
            {"address": a.address, "goto": a.goes_to, "domain": a.domain, "active": a.enabled}
            for a in (*own, *ALIASES, *GONE, *everybody, *moved)
        ],
        latin1,
    )
    filling.table(
        "alias_domain",
        "alias_domain varchar(255) PRIMARY KEY, target_domain varchar(255), "
        "active boolean NOT NULL",
        [
            {"alias_domain": old, "target_domain": new, "active": (old, new) in ALIAS_DOMAINS}
            for old, new in (*ALIAS_DOMAINS, OFF_ALIAS_DOMAIN)
        ],
        latin1,
    )


def vexim(filling: Filling) -> None:
    flag = "boolean" if filling.is_mysql else "smallint"
    numbers = {name: number for number, name in enumerate((*DOMAINS, OFF, RELAY, "dead"), 1)}
    filling.table(
        "domains",
        f"domain_id int PRIMARY KEY, domain varchar(64) NOT NULL UNIQUE, type varchar(5), "
        f"enabled {flag} NOT NULL",
        [
            {"domain_id": number, "domain": name, "type": "relay" if name == RELAY else "local",
             "enabled": int(name not in (OFF, RELAY))}
            for name, number in numbers.items()
        ],
        "CHARACTER SET utf8",
    )  # fmt: skip
    people = [(m.local, m.domain, "local", m.enabled) for m in ALL_MAILBOXES]
    people += [(a.local, a.domain, "alias", a.enabled) for a in (*ALIASES, *GONE)]
    people += [("*", domain, "catch", False) for domain, _ in CATCH_ALLS]
    people += [(local, domain, "fail", True) for local, domain in REFUSALS]
    kinds = "enum('local', 'alias', 'catch', 'fail', 'piped', 'admin', 'site')"
    filling.table(
        "users",
        "user_id int PRIMARY KEY, domain_id int NOT NULL, localpart varchar(192) NOT NULL, "
        f"type {kinds if filling.is_mysql else 'varchar(8)'} NOT NULL, enabled {flag} NOT NULL, "
        "UNIQUE (localpart, domain_id)",
        [
            {"user_id": i, "domain_id": numbers[domain], "localpart": local, "type": kind,
             "enabled": int(enabled)}
            for i, (local, domain, kind, enabled) in enumerate(people, 1)
        ],
        "CHARACTER SET utf8",
    )  # fmt: skip
    filling.table(
        "domainalias",
        "domain_id int NOT NULL, alias varchar(64)",
        [
            {"domain_id": numbers.get(new, numbers["dead"]), "alias": old}
            for old, new in ALIAS_DOMAINS
        ],
        "CHARACTER SET utf8",
    )
    filling.table(
        "groups",
        "id int PRIMARY KEY, domain_id int NOT NULL, name varchar(64) NOT NULL, "
        f"is_public char(1) NOT NULL, enabled {flag} NOT NULL, UNIQUE (domain_id, name)",
        [
            {"id": i, "domain_id": numbers[domain], "name": name, "is_public": "N", "enabled": 1}
            for i, (name, domain) in enumerate((*GROUPS, ("empty", "example.org")), 1)
        ],
        "CHARACTER SET utf8",
    )
    filling.table(
        "group_contents",
        "group_id int NOT NULL, member_id int NOT NULL, PRIMARY KEY (group_id, member_id)",
        [{"group_id": 1, "member_id": number} for number in (1, 2)],
    )


def iredmail(filling: Filling) -> None:
    flag = "tinyint(1)" if filling.is_mysql else "int2"
    filling.table(
        "domain",
        f"domain varchar(255) PRIMARY KEY, backupmx {flag} NOT NULL, active {flag} NOT NULL",
        [
            {"domain": name, "backupmx": int(name == RELAY), "active": int(name != OFF)}
            for name in (*DOMAINS, OFF, RELAY)
        ],
    )
    filling.table(
        "mailbox",
        f"username varchar(255) PRIMARY KEY, domain {ADDRESS}, active {flag} NOT NULL, "
        f"enabledeliver {flag} NOT NULL",
        [
            {"username": m.address, "domain": m.domain, "active": 1, "enabledeliver": m.enabled * 1}
            for m in ALL_MAILBOXES
        ],
    )
    own = [Alias(m.local, m.domain, m.address) for m in ALL_MAILBOXES]
    rows: Rows = [
        {"address": a.address, "forwarding": to, "active": int(a.enabled)}
        for a in (*own, *ALIASES, *GONE)
        for to in a.goes_to.split(",")
    ]
    rows += [{"address": domain, "forwarding": to, "active": 1} for domain, to in CATCH_ALLS]
    serial = "bigint AUTO_INCREMENT" if filling.is_mysql else "serial"
    filling.table(
        "forwardings",
        f"id {serial} PRIMARY KEY, address {ADDRESS}, forwarding {ADDRESS}, "
        f"active {flag} NOT NULL, UNIQUE (address, forwarding)",
        rows,
    )
    filling.table(
        "maillists",
        f"id int PRIMARY KEY, address varchar(255) NOT NULL UNIQUE, active {flag} NOT NULL",
        [{"id": 1, "address": "lists@example.org", "active": 1}],
    )
    filling.table(
        "alias_domain",
        "alias_domain varchar(255) PRIMARY KEY, target_domain varchar(255) NOT NULL, "
        f"active {flag} NOT NULL",
        [
            {"alias_domain": old, "target_domain": new, "active": int((old, new) in ALIAS_DOMAINS)}
            for old, new in (*ALIAS_DOMAINS, OFF_ALIAS_DOMAIN)
        ],
    )


def mailcow(filling: Filling) -> None:
    flag = "tinyint(1) NOT NULL"
    filling.table(
        "domain",
        f"domain varchar(255) PRIMARY KEY, backupmx {flag}, relay_all_recipients {flag}, "
        f"active {flag}",
        [
            {"domain": name, "backupmx": int(name in (RELAY, "split.example")),
             "relay_all_recipients": int(name == RELAY), "active": int(name != OFF)}
            for name in (*DOMAINS, OFF, RELAY, *(old for old, _ in AT_DOMAIN))
        ],
    )  # fmt: skip
    filling.table(
        "mailbox",
        f"username varchar(255) PRIMARY KEY, domain varchar(255), kind varchar(100), active {flag}",
        [
            {"username": m.address, "domain": m.domain, "kind": "",
             "active": (2 if m.local == "anna" else 1) if m.enabled else 0}
            for m in ALL_MAILBOXES
        ],
    )  # fmt: skip
    own = [Alias(m.local, m.domain, m.address, m.enabled) for m in ALL_MAILBOXES]
    everybody = [Alias("", domain, to) for domain, to in CATCH_ALLS]
    moved = [Alias("", old, f"@{new}") for old, new in AT_DOMAIN]
    filling.table(
        "alias",
        f"id int PRIMARY KEY, address varchar(255) NOT NULL UNIQUE, goto text NOT NULL, "
        f"active {flag}",
        [
            {"id": i, "address": a.address, "goto": a.goes_to, "active": int(a.enabled)}
            for i, a in enumerate((*own, *ALIASES, *GONE, *everybody, *moved))
        ],
    )
    filling.table(
        "alias_domain",
        f"alias_domain varchar(255) PRIMARY KEY, target_domain varchar(255) NOT NULL, "
        f"active {flag}",
        [
            {"alias_domain": old, "target_domain": new, "active": int((old, new) in ALIAS_DOMAINS)}
            for old, new in (*ALIAS_DOMAINS, OFF_ALIAS_DOMAIN)
        ],
    )
    filling.table(
        "spamalias",
        f"address varchar(255) PRIMARY KEY, goto text NOT NULL, validity int, permanent {flag}",
        [
            {"address": a.address, "goto": a.goes_to, "validity": 1195819200 if a.expired
             else 2147483647, "permanent": 0}
            for a in TIMED
        ],
    )  # fmt: skip
    filling.table(
        "recipient_maps",
        f"id int PRIMARY KEY, old_dest varchar(255) NOT NULL, new_dest varchar(255) NOT NULL, "
        f"active {flag}, KEY local_dest (old_dest)",
        [{"id": 1, "old_dest": "typo@example.org", "new_dest": "anna@example.org", "active": 1}],
    )


def mailinabox(filling: Filling) -> None:
    filling.table(
        "users",
        "id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT NOT NULL UNIQUE",
        [{"email": m.address} for m in MAILBOXES],
    )
    sql = "id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL UNIQUE, " \
          "destination TEXT NOT NULL, permitted_senders TEXT"  # fmt: skip
    everybody = [Alias("", domain, to) for domain, to in CATCH_ALLS]
    moved = [Alias("", old, f"@{new}") for old, new in AT_DOMAIN]
    senders_alone = Alias("sender", "example.org", "")
    filling.table(
        "aliases",
        sql,
        [
            {"source": a.address, "destination": a.goes_to, "permitted_senders": None}
            for a in (*ALIASES, *everybody, *moved, senders_alone)
        ],
    )
    filling.table(
        "auto_aliases",
        sql,
        [{"source": "abuse@example.org", "destination": "anna@example.org",
          "permitted_senders": None}],
    )  # fmt: skip


def vpopmail(filling: Filling) -> None:
    plain = [m for m in (*MAILBOXES, *FORMER) if m.address.isascii() and len(m.local) <= 32]
    opened = Mailbox("anna", "open.example")
    filling.table(
        "vpopmail",
        "pw_name char(32) NOT NULL, pw_domain char(96) NOT NULL, pw_gid int, "
        "PRIMARY KEY (pw_name, pw_domain)",
        [
            {"pw_name": m.local, "pw_domain": m.domain, "pw_gid": 0x01 if m.enabled else 0x11}
            for m in (*plain, opened)
        ],
    )
    filling.table(
        "valias",
        "alias char(32) NOT NULL, domain char(96) NOT NULL, valias_line text NOT NULL, "
        "INDEX (alias, domain)",
        [
            {"alias": a.local, "domain": a.domain, "valias_line": f"&{to}"}
            for a in ALIASES
            for to in a.goes_to.split(",")
        ],
    )
    filling.table(
        "aliasdomains",
        "alias varchar(100) NOT NULL PRIMARY KEY, domain varchar(100) NOT NULL",
        [{"alias": old, "domain": new} for old, new in ALIAS_DOMAINS],
    )
    filling.index("by_domain", "vpopmail", "pw_domain")
    filling.index("valias_by_domain", "valias", "domain")


def ispmail(filling: Filling) -> None:
    domains = (*DOMAINS, *(old for old, _ in AT_DOMAIN))
    filling.table(
        "virtual_domains",
        "id int PRIMARY KEY, name varchar(50) NOT NULL UNIQUE",
        [{"id": i, "name": name} for i, name in enumerate(domains, 1)],
    )
    filling.table(
        "virtual_users",
        "id int PRIMARY KEY, email varchar(100) NOT NULL UNIQUE",
        [{"id": i, "email": m.address} for i, m in enumerate(MAILBOXES, 1)],
    )
    rows = [(a.address, to) for a in ALIASES for to in a.goes_to.split(",")]
    rows += [(f"@{domain}", to) for domain, to in CATCH_ALLS]
    rows += [(f"@{old}", f"@{new}") for old, new in AT_DOMAIN]
    filling.table(
        "virtual_aliases",
        "id int PRIMARY KEY, source varchar(100) NOT NULL, destination varchar(100) NOT NULL",
        [{"id": i, "source": source, "destination": to} for i, (source, to) in enumerate(rows, 1)],
    )
    filling.index("by_source", "virtual_aliases", "source")
