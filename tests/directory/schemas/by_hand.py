"""Each product's tables asked by hand: the queries that a postmaster would write in place of
``schema=``.

Three things are said of a product, as tables that a site could have as views: who is there
(address, state; ``@domain`` is a catch-all), which domain stands for which (old, new), and which
are ours (domain, state). The two queries are the same for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """What is written differently in the databases' SQL. ``name`` is the backend's."""

    name: str

    def joined(self, *pieces: str) -> str:
        """Texts put together."""
        if self.name == "mariadb":
            return f"CONCAT({', '.join(pieces)})"
        return f"({' || '.join(pieces)})"

    def address(self, local: str, domain: str) -> str:
        """A local part and a domain."""
        return self.joined(local, "'@'", domain)

    def at(self, domain: str) -> str:
        """Everybody in a domain."""
        return self.joined("'@'", domain)

    def domain_of(self, address: str) -> str:
        """What is behind the @, on SQLite."""
        return f"substr({address}, instr({address}, '@') + 1)"

    @property
    def now(self) -> str:
        """This moment, as the times are stored."""
        names = {"mariadb": "UTC_TIMESTAMP()", "postgresql": "now()"}
        return names.get(self.name, "datetime('now')")

    def quoted(self, name: str) -> str:
        """A name that PostgreSQL has a meaning for."""
        return f'"{name}"' if self.name == "postgresql" else name


@dataclass(frozen=True, slots=True)
class ByHand:
    """The three tables of a product; ``more`` is a part of the first query beside them."""

    recipients: str
    moved: str
    domains: str
    more: str = ""

    def queries(self, sql: Dialect) -> dict[str, str]:
        """The two queries."""
        there = sql.address(":user", "d.new_domain")
        email_query = f"""
            SELECT r.address, r.state FROM ({self.recipients}) r
            WHERE r.address IN (:address, {sql.at(":domain")})
            UNION ALL
            SELECT CASE WHEN r.address = {there} THEN {sql.address(":user", ":domain")}
            ELSE {sql.at(":domain")} END, r.state
            FROM ({self.moved}) d JOIN ({self.recipients}) r
            ON r.address IN ({there}, {sql.at("d.new_domain")})
            WHERE d.old_domain = :domain {self.more}
        """
        domain_query = f"SELECT o.domain, o.state FROM ({self.domains}) o WHERE o.domain = :domain"
        return {"email_query": " ".join(email_query.split()), "domain_query": domain_query}


def _if(condition: str, otherwise: str = "disabled") -> str:
    return f"CASE WHEN {condition} THEN 'active' ELSE '{otherwise}' END"


def _all(*selects: str) -> str:
    return " UNION ALL ".join(selects)


def postfixadmin(_: Dialect) -> ByHand:
    relay = f"CASE WHEN backupmx = true AND active = true THEN 'relay' ELSE {_if('active = true')}"
    return ByHand(
        _all(
            f"SELECT lower(username) AS address, {_if('active = true')} AS state FROM mailbox",
            f"SELECT lower(address), {_if('active = true')} FROM alias "
            "WHERE goto <> address AND goto NOT LIKE '@%'",
        ),
        _all(
            "SELECT lower(alias_domain) AS old_domain, lower(target_domain) AS new_domain "
            "FROM alias_domain WHERE active = true",
            "SELECT substr(address, 2), substr(goto, 2) FROM alias "
            "WHERE address LIKE '@%' AND goto LIKE '@%' AND active = true",
        ),
        f"SELECT lower(domain) AS domain, {relay} END AS state FROM domain",
    )


def vexim(sql: Dialect) -> ByHand:
    own = "FROM users u JOIN domains d ON d.domain_id = u.domain_id WHERE u.type"
    address = sql.address("lower(u.localpart)", "lower(d.domain)")
    return ByHand(
        _all(
            f"SELECT {address} AS address, {_if('u.enabled = 1')} AS state "
            "FROM users u JOIN domains d ON d.domain_id = u.domain_id "
            "WHERE u.type IN ('local', 'alias', 'piped')",
            f"SELECT {address}, 'refused' {own} = 'fail'",
            f"SELECT {sql.at('lower(d.domain)')}, 'active' {own} = 'catch'",
            f"SELECT {sql.address('lower(g.name)', 'lower(d.domain)')}, {_if('g.enabled = 1')} "
            "FROM groups g JOIN domains d ON d.domain_id = g.domain_id "
            "WHERE EXISTS (SELECT 1 FROM group_contents c WHERE c.group_id = g.id)",
        ),
        "SELECT lower(a.alias) AS old_domain, lower(d.domain) AS new_domain "
        "FROM domainalias a JOIN domains d ON d.domain_id = a.domain_id",
        _all(
            "SELECT lower(domain) AS domain, CASE WHEN type = 'relay' THEN 'relay' "
            f"ELSE {_if('enabled = 1')} END AS state FROM domains",
            "SELECT lower(alias), 'active' FROM domainalias",
        ),
    )


def iredmail(sql: Dialect) -> ByHand:
    of_domain = "f.address NOT LIKE '%@%'"
    return ByHand(
        _all(
            "SELECT lower(username) AS address, "
            f"{_if('active = 1 AND enabledeliver = 1')} AS state FROM mailbox",
            f"SELECT CASE WHEN {of_domain} THEN {sql.at('lower(f.address)')} "
            f"ELSE lower(f.address) END, {_if('f.active = 1')} "
            "FROM forwardings f WHERE f.forwarding <> f.address",
            f"SELECT lower(address), {_if('active = 1')} FROM maillists",
        ),
        "SELECT alias_domain AS old_domain, target_domain AS new_domain "
        "FROM alias_domain WHERE active = 1",
        _all(
            "SELECT lower(domain) AS domain, CASE WHEN backupmx = 1 AND active = 1 THEN 'relay' "
            f"ELSE {_if('active = 1')} END AS state FROM domain",
            "SELECT alias_domain, 'active' FROM alias_domain WHERE active = 1",
        ),
    )


def mailcow(_: Dialect) -> ByHand:
    relay = "backupmx = 1 AND relay_all_recipients = 1 AND active = 1"
    return ByHand(
        _all(
            f"SELECT lower(username) AS address, {_if('active IN (1, 2)')} AS state FROM mailbox",
            f"SELECT lower(address), {_if('active = 1')} FROM alias "
            "WHERE goto <> address AND goto NOT LIKE '@%'",
            "SELECT lower(address), "
            f"{_if('permanent = 1 OR validity >= UNIX_TIMESTAMP()')} FROM spamalias",
        ),
        _all(
            "SELECT alias_domain AS old_domain, target_domain AS new_domain "
            "FROM alias_domain WHERE active = 1",
            "SELECT substr(address, 2), substr(goto, 2) FROM alias "
            "WHERE address LIKE '@%' AND goto LIKE '@%' AND active = 1",
        ),
        _all(
            f"SELECT lower(domain) AS domain, CASE WHEN {relay} THEN 'relay' "
            f"ELSE {_if('active = 1')} END AS state FROM domain",
            "SELECT alias_domain, 'active' FROM alias_domain WHERE active = 1",
        ),
    )


def modoboa(sql: Dialect) -> ByHand:
    in_time = f"(a.expire_at IS NULL OR a.expire_at > {sql.now})"
    leads_on = (
        "EXISTS (SELECT 1 FROM modoboa_admin_aliasrecipient r "
        "WHERE r.alias_id = a.id AND r.address NOT LIKE '@%')"
    )
    return ByHand(
        _all(
            f"SELECT lower(a.address) AS address, {_if(f'a.enabled = true AND {in_time}')} "
            f"AS state FROM admin_alias a WHERE {leads_on}",
            f"SELECT {sql.address('lower(m.address)', 'lower(d.name)')}, 'busy' "
            "FROM admin_mailbox m JOIN admin_domain d ON d.id = m.domain_id "
            "JOIN admin_mailboxoperation o ON o.mailbox_id = m.id",
        ),
        "SELECT a.name AS old_domain, lower(d.name) AS new_domain "
        "FROM admin_domainalias a JOIN admin_domain d ON d.id = a.target_id "
        "WHERE a.enabled = true",
        _all(
            "SELECT lower(name) AS domain, CASE WHEN type = 'relaydomain' AND enabled = true "
            f"THEN 'relay' ELSE {_if('enabled = true')} END AS state FROM admin_domain",
            "SELECT name, 'active' FROM admin_domainalias WHERE enabled = true",
        ),
    )


def mailinabox(sql: Dialect) -> ByHand:
    return ByHand(
        _all(
            "SELECT lower(email) AS address, 'active' AS state FROM users",
            "SELECT lower(source), 'active' FROM aliases "
            "WHERE destination <> '' AND destination NOT LIKE '@%'",
            "SELECT lower(source), 'active' FROM auto_aliases WHERE destination <> ''",
        ),
        "SELECT substr(source, 2) AS old_domain, substr(destination, 2) AS new_domain "
        "FROM aliases WHERE source LIKE '@%' AND destination LIKE '@%'",
        _all(
            f"SELECT lower({sql.domain_of('email')}) AS domain, 'active' AS state FROM users",
            f"SELECT lower({sql.domain_of('source')}), 'active' FROM aliases",
        ),
    )


def ispconfig(sql: Dialect) -> ByHand:
    return ByHand(
        _all(
            "SELECT lower(email) AS address, "
            f"{_if('''postfix = 'y' AND (disabledeliver = 'n' OR cc <> '')''')} AS state "
            "FROM mail_user WHERE server_id = 1",
            f"SELECT lower(source), {_if('''active = 'y' ''')} FROM mail_forwarding "
            "WHERE server_id = 1 AND type <> 'aliasdomain'",
            f"SELECT lower({sql.address('listname', 'domain')}), 'active' "
            "FROM mail_mailinglist WHERE server_id = 1",
            "SELECT lower(source), 'refused' FROM mail_access WHERE server_id = 1 "
            "AND type = 'recipient' AND access LIKE 'REJECT%' AND active = 'y'",
        ),
        "SELECT substr(source, 2) AS old_domain, substr(destination, 2) "
        "AS new_domain FROM mail_forwarding "
        "WHERE server_id = 1 AND type = 'aliasdomain' AND active = 'y'",
        _all(
            f"SELECT lower(domain) AS domain, {_if('''active = 'y' ''')} AS state "
            "FROM mail_domain WHERE server_id = 1",
            "SELECT lower(domain), 'relay' FROM mail_transport "
            "WHERE server_id = 1 AND active = 'y'",
        ),
    )


def froxlor(_: Dialect) -> ByHand:
    owner = "JOIN panel_customers c ON c.customerid = m.customerid"
    return ByHand(
        _all(
            "SELECT lower(m.email) AS address, "
            f"{_if('''m.postfix = 'Y' AND c.deactivated = 0''')} AS state "
            f"FROM mail_users m {owner}",
            f"SELECT lower(m.email), {_if('c.deactivated = 0')} FROM mail_virtual m {owner} "
            "WHERE m.destination <> '' AND m.destination <> m.email "
            "AND m.destination NOT LIKE '@%'",
        ),
        "SELECT substr(email, 2) AS old_domain, substr(destination, 2) "
        "AS new_domain FROM mail_virtual WHERE iscatchall = 1 AND destination LIKE '@%'",
        f"SELECT lower(domain) AS domain, {_if('deactivated = 0')} AS state "
        "FROM panel_domains WHERE isemaildomain = 1",
    )


def vpopmail(sql: Dialect) -> ByHand:
    closed = (
        "'example.org', 'catchall.example', 'xn--mller-kva.example', 'mixed.example', "
        "'split.example'"
    )
    return ByHand(
        _all(
            f"SELECT {sql.address('lower(pw_name)', 'lower(pw_domain)')} AS address, "
            f"{_if('pw_gid & 16 = 0')} AS state FROM vpopmail",
            f"SELECT {sql.address('lower(alias)', 'lower(domain)')}, 'active' FROM valias",
        ),
        "SELECT lower(alias) AS old_domain, lower(domain) AS new_domain FROM aliasdomains",
        _all(
            "SELECT lower(pw_domain) AS domain, "
            f"{_if(f'lower(pw_domain) IN ({closed})', 'relay')} AS state FROM vpopmail",
            "SELECT lower(alias), 'active' FROM aliasdomains",
        ),
    )


def mailu(sql: Dialect) -> ByHand:
    user = sql.quoted("user")
    return ByHand(
        _all(
            f"SELECT lower(email) AS address, 'active' AS state FROM {user}",
            f"SELECT lower(a.email), {_if('a.disabled = false AND coalesce(u.enabled, true)')} "
            f"FROM alias a LEFT JOIN {user} u ON u.email = a.owner_email WHERE a.wildcard = false",
        ),
        "SELECT name AS old_domain, lower(domain_name) AS new_domain FROM alternative",
        _all(
            "SELECT lower(name) AS domain, 'active' AS state FROM domain",
            "SELECT lower(name), 'active' FROM alternative",
            "SELECT lower(name), 'relay' FROM relay",
        ),
        f"UNION ALL SELECT {sql.at('a.domain_name')}, 'active' FROM alias a "
        "WHERE a.wildcard = true AND a.disabled = false AND a.domain_name = :domain "
        "AND :user LIKE a.localpart",
    )


def ispmail(_: Dialect) -> ByHand:
    return ByHand(
        _all(
            "SELECT lower(email) AS address, 'active' AS state FROM virtual_users",
            "SELECT lower(source), 'active' FROM virtual_aliases WHERE destination NOT LIKE '@%'",
        ),
        "SELECT substr(source, 2) AS old_domain, substr(destination, 2) AS new_domain "
        "FROM virtual_aliases WHERE source LIKE '@%' AND destination LIKE '@%'",
        "SELECT lower(name) AS domain, 'active' AS state FROM virtual_domains",
    )


BY_HAND: dict[str, Callable[[Dialect], ByHand]] = {
    each.__name__: each
    for each in (
        *(postfixadmin, vexim, iredmail, mailcow, modoboa, mailinabox),
        *(ispconfig, froxlor, vpopmail, mailu, ispmail),
    )
}
"""By the name of the schema."""
