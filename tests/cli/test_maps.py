"""Postfix's own maps taken over: the products' files, beside the real Postfix's ``postmap``."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from check_user.app.asking import asking
from check_user.cli import main
from check_user.cli.maps import MapError, queries, read_map
from check_user.config import load
from check_user.verdict import Reason
from tests.cli.test_init import fill
from tests.directory.backends import BACKENDS, Backend, OnServer
from tests.peers.process import program


@dataclass(frozen=True, slots=True)
class Maps:
    """A product's queries: of recipients and of domains, in ``$NAME`` for words of the database."""

    backends: tuple[str, ...]
    recipients: tuple[str, ...]
    domains: tuple[str, ...]


EVERYWHERE = ("mariadb", "postgresql", "sqlite")

# What the products' files ask for, but for the path of a mailbox, which is any text.
PRODUCTS = {
    "postfixadmin": Maps(
        EVERYWHERE,
        (
            "SELECT goto FROM alias WHERE address='%s' AND active = $YES",
            "SELECT $MAILDIR FROM mailbox WHERE username='%s' AND active = $YES",
            "SELECT goto FROM alias,alias_domain WHERE alias_domain.alias_domain = '%d' and "
            "alias.address = $AT_TARGET AND alias.active = $YES AND alias_domain.active=$YES",
        ),
        ("SELECT domain FROM domain WHERE domain='%s' AND active = $YES",),
    ),
    "iredmail": Maps(
        ("mariadb", "postgresql"),
        (
            "SELECT $MAILDIR FROM mailbox WHERE mailbox.username='%s' AND mailbox.active=1 AND "
            "mailbox.enabledeliver=1",
            "SELECT forwarding FROM forwardings,domain WHERE forwardings.address='%s' AND "
            "domain.domain='%d' AND forwardings.active=1 AND domain.backupmx=0 AND domain.active=1",
            "SELECT forwardings.forwarding FROM forwardings,alias_domain,domain WHERE "
            "alias_domain.alias_domain='%d' AND forwardings.address=$AT_TARGET AND "
            "alias_domain.target_domain=domain.domain AND forwardings.active=1 AND "
            "alias_domain.active=1 AND domain.backupmx=0",
            "SELECT forwarding FROM forwardings WHERE address='%d' AND '%u' NOT LIKE '%%+%%' AND "
            "active=1",
        ),
        (
            "SELECT domain FROM domain WHERE domain='%s' AND backupmx=0 AND active=1 UNION SELECT "
            "alias_domain FROM alias_domain WHERE alias_domain='%s' AND active=1",
        ),
    ),
    "mailcow": Maps(
        ("mariadb",),
        (
            "SELECT goto FROM alias\n  WHERE address='%s'\n    AND (active='1' OR active='2');",
            "SELECT username FROM mailbox, alias_domain WHERE alias_domain.alias_domain = '%d' AND "
            "mailbox.username = CONCAT('%u', '@', alias_domain.target_domain) AND "
            "(mailbox.active = '1' OR mailbox.active = '2') AND alias_domain.active='1'",
            "SELECT CONCAT('maildir:', kind, '%d/%u/') FROM mailbox WHERE username='%s' AND "
            "(active = '1' OR active = '2')",
            "SELECT goto FROM spamalias WHERE address='%s' AND validity >= UNIX_TIMESTAMP()",
            "SELECT DISTINCT CASE WHEN '%d' IN (SELECT domain FROM domain WHERE "
            "relay_all_recipients=1 AND domain='%d' AND backupmx=1) THEN '%s' ELSE (SELECT goto "
            "FROM alias WHERE address='%s' AND active='1') END AS result;",
        ),
        (
            "SELECT alias_domain from alias_domain WHERE alias_domain='%s' AND active='1' UNION "
            "SELECT domain FROM domain WHERE domain='%s' AND active = '1' AND backupmx = '0'",
            "SELECT domain FROM domain WHERE domain='%s' AND backupmx = '1' AND active = '1'",
        ),
    ),
    "modoboa": Maps(
        EVERYWHERE,
        (
            "SELECT alr.address FROM modoboa_admin_aliasrecipient AS alr INNER JOIN admin_alias AS "
            "al ON alr.alias_id=al.id WHERE al.enabled=$YES AND al.address='%s' AND "
            "(al.expire_at IS NULL OR al.expire_at>$NOW)",
        ),
        (
            "SELECT name FROM admin_domain WHERE name='%s' AND type='domain' AND enabled=$YES",
            "SELECT dom.name FROM admin_domain dom INNER JOIN admin_domainalias domal ON "
            "dom.id=domal.target_id WHERE domal.name='%s' AND domal.enabled=$YES AND "
            "dom.enabled=$YES",
        ),
    ),
    "ispconfig": Maps(
        ("mariadb",),
        (
            "select CONCAT(SUBSTRING_INDEX(email,'@',-1),'/') from mail_user where login = '%s' "
            "and postfix = 'y' and disabledeliver = 'n' and server_id = 1",
            "select email from mail_user where email = '%s' and postfix = 'y' and disabledeliver "
            "= 'n' and server_id = 1 union select cc as email from mail_user where email = '%s' "
            "and postfix = 'y' and disabledeliver = 'y' and server_id = 1",
            "SELECT u.email as target FROM mail_forwarding as s INNER JOIN mail_user as u ON "
            "(u.email = CONCAT('%u@', SUBSTRING_INDEX(s.destination,'@',-1))) WHERE s.source = "
            "'@%d' AND s.type = 'aliasdomain' AND s.active = 'y' AND s.server_id = 1 UNION "
            "SELECT s.destination as target FROM mail_forwarding as s WHERE s.source = '%s' AND "
            "s.type IN ('alias', 'forward') and s.active = 'y' AND s.server_id = 1 UNION "
            "SELECT s.destination as target FROM mail_forwarding as s WHERE s.source = '@%d' AND "
            "s.type IN ('catchall') and s.active = 'y' AND s.server_id = 1",
        ),
        ("select domain from mail_domain where domain = '%s' and active = 'y' and server_id = 1",),
    ),
    "froxlor": Maps(
        ("mariadb",),
        (
            "SELECT destination FROM mail_virtual, panel_customers WHERE email='%s' AND "
            "panel_customers.deactivated='0' AND mail_virtual.customerid = "
            "panel_customers.customerid AND TRIM(destination) <> ''",
            "SELECT CONCAT(customerid, '/') FROM mail_users WHERE email = '%s' AND postfix = 'y'",
        ),
        ("SELECT domain FROM panel_domains WHERE domain='%s' AND isemaildomain = '1' AND "
         "deactivated = '0'",),
    ),
    "mailinabox": Maps(
        ("sqlite",),
        (
            "SELECT destination from (SELECT source, destination, 0 as priority FROM aliases UNION "
            "SELECT email as source, email as destination, 1 as priority FROM users UNION SELECT "
            "source, destination, 2 as priority FROM auto_aliases) WHERE source='%s' AND "
            "destination<>'' ORDER BY priority LIMIT 1;",
            "SELECT 1 FROM users WHERE email='%s'",
        ),
        # Its own has LIKE with what is asked, which is refused: see below.
        ("SELECT 1 FROM users WHERE substr(email, instr(email, '@') + 1) = '%s'",),
    ),
    "ispmail": Maps(
        EVERYWHERE,
        (
            "SELECT destination FROM virtual_aliases WHERE source='%s'",
            "SELECT email FROM virtual_users WHERE email='%s'",
            "SELECT 1 FROM virtual_users WHERE email='%s'",
        ),
        ("SELECT 1 FROM virtual_domains WHERE name='%s'",),
    ),
}  # fmt: skip
KIND = {"mariadb": "mysql", "postgresql": "pgsql", "sqlite": "sqlite"}
PLACES = [(name, backend) for name, maps in PRODUCTS.items() for backend in maps.backends]


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Backend:
    return BACKENDS[request.param](request)


def words(backend: Backend) -> Mapping[str, str]:
    """What databases say each in their own way."""
    if backend.name == "mariadb":
        at_target = "CONCAT('%u', '@', alias_domain.target_domain)"
        return {"$YES": "'1'", "$MAILDIR": "CONCAT(username,'/')", "$AT_TARGET": at_target,
                "$NOW": "now()"}  # fmt: skip
    now = "now()" if backend.name == "postgresql" else "datetime('now')"
    at_target = "'%u' || '@' || alias_domain.target_domain"
    return {"$YES": "true", "$MAILDIR": "username || '/'", "$AT_TARGET": at_target, "$NOW": now}


def write_map(backend: Backend, file: Path, query: str) -> Path:
    """A map as a file for the backend."""
    if isinstance(backend, OnServer):
        server = backend.server
        head = (
            f"user = {server.user}\npassword = {server.password}\n"
            f"hosts = {server.host}:{server.port}\ndbname = {server.database}\n"
        )
    else:
        head = f"dbpath = {backend.place()['database']}\n"
    for word, meaning in words(backend).items():
        query = query.replace(word, meaning)
    file.write_text(f"# made by an installer\n{head}query = {query}\n")
    return file


def postmap(backend: Backend, file: Path, keys: list[str]) -> set[str]:
    """The keys for which Postfix finds something."""
    done = subprocess.run(
        [program("postmap", "postfix", "/usr/sbin"), "-q", "-", f"{KIND[backend.name]}:{file}"],
        input="".join(f"{key}\n" for key in keys), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "fatal" not in done.stderr, done.stderr
    warnings = [line for line in done.stderr.splitlines() if "empty lookup result" not in line]
    assert [line for line in warnings if "warning" in line] == []
    return {line.split("\t")[0] for line in done.stdout.splitlines()}


LOCALS = (
    "anna", "bert", "list", "away", "former", "gone", "nobody", "carl", "info", "o'brien",
    "sales+eu", "anna+x", "missing", "emil", "nobody-home", "dora-lea", "was", "still", "copied",
)  # fmt: skip
DOMAINS = (
    "example.org", "example.net", "catchall.example", "all.example", "off.example",
    "elsewhere.example", "chain.example", "loop.example", "nowhere.example", "split.example",
    "offalias.example", "old.example", "relay.example",
)  # fmt: skip


@pytest.mark.parametrize(("name", "backend"), PLACES, indirect=["backend"])
def test_maps_are_taken_over(name: str, backend: Backend, tmp_path: Path) -> None:
    """247 addresses: whom the real Postfix finds through a product's maps is known, and nobody else
    is; where it finds no domain, the address is foreign."""
    fill(name, backend)
    maps = PRODUCTS[name]
    recipients = [write_map(backend, tmp_path / f"r{i}.cf", query)
                  for i, query in enumerate(maps.recipients)]  # fmt: skip
    domains = [write_map(backend, tmp_path / f"d{i}.cf", query)
               for i, query in enumerate(maps.domains)]  # fmt: skip
    file = tmp_path / "check_user.conf"
    given = ["--recipients", *map(str, recipients), "--domains", *map(str, domains)]
    driver = ["--driver", "postgresql" if backend.name == "postgresql" else "mysql"]
    more = driver if isinstance(backend, OnServer) else []
    code = main(["init", *given, *more, "--output", str(file), "--address", "anna@example.org"])
    assert code == 0
    asked = [f"{local}@{domain}" for local, domain in itertools.product(LOCALS, DOMAINS)]
    everybody = [f"@{domain}" for domain in DOMAINS]
    found = set().union(*(postmap(backend, each, [*asked, *everybody]) for each in recipients))
    ours = set().union(*(postmap(backend, each, list(DOMAINS)) for each in domains))
    with asking(load(file), lambda _: None) as ask:
        answers = {text: ask(text) for text in asked}
        reasons = {
            text: answer.result().decision.verdict.reason for text, answer in answers.items()
        }
    expected = {}
    for text in asked:
        domain = text.rpartition("@")[2]
        there = text in found or f"@{domain}" in found
        known = Reason.KNOWN if there else Reason.UNKNOWN
        expected[text] = known if domain in ours else Reason.FOREIGN
    assert {t: (reasons[t], e) for t, e in expected.items() if reasons[t] is not e} == {}


FOUND = "AS rows_found WHERE CAST(found AS CHAR) <> ''"


@pytest.mark.parametrize(
    ("query", "emails"),
    [
        (
            "SELECT a FROM t WHERE b = '%s'",
            f"SELECT stored FROM (SELECT b AS stored, a AS found FROM t WHERE b = :address) {FOUND}"
            " UNION ALL SELECT stored FROM (SELECT b AS stored, a AS found FROM t "
            f"WHERE b = CONCAT('@', :domain)) {FOUND}",
        ),
        ("SELECT a FROM t WHERE u = '%u' AND d = '%d'",
         "SELECT stored FROM (SELECT :address AS stored, a AS found FROM t WHERE u = :user AND "
         f"d = :domain) {FOUND}"),
        ("SELECT a as 'x' FROM t WHERE b='%u@%d' AND n = '5%%'",
         "SELECT stored FROM (SELECT :address AS stored, a AS found FROM t WHERE "
         f"b=CONCAT(:user, '@', :domain) AND n = '5%') {FOUND}"),
        ("(SELECT (SELECT a FROM s) FROM t WHERE u='%u') UNION DISTINCT (SELECT 'from')",
         "SELECT stored FROM (SELECT :address AS stored, (SELECT a FROM s) AS found FROM t WHERE "
         f"u=:user) {FOUND} UNION ALL SELECT stored FROM (SELECT :address AS stored, 'from' "
         f"AS found) {FOUND}"),
    ],
)  # fmt: skip
def test_how_a_query_is_taken_over(tmp_path: Path, query: str, emails: str) -> None:
    """Escapes become placeholders, within texts too; the stored address comes back if there is a
    column that is compared with it."""
    file = tmp_path / "m.cf"
    file.write_text(f"hosts = unix:/run/s\n  inet:db:3307\ndbname = mail\nquery = {query}\n")
    each = read_map(file)
    assert each.place["socket"] == "/run/s"
    assert queries([each], [], "mysql")[0] == emails


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("query = SELECT 1 FROM users WHERE email LIKE '%%@%s'", "LIKE"),
        ("query = SELECT a FROM t WHERE b = '%S'", "%S"),
        ("dbname = x", "no query"),
        ("domain = x.example\nquery = SELECT a FROM t WHERE b = '%s'", "domain="),
        ("query = CALL p('%s')", "no query that selects"),
    ],
)
def test_what_is_not_taken_over(tmp_path: Path, content: str, complaint: str) -> None:
    """What can't be the same is refused, with the file's name."""
    file = tmp_path / "m.cf"
    file.write_text(content)
    with pytest.raises(MapError) as refused:
        queries([read_map(file)], [], "mysql")
    assert complaint in str(refused.value)
    assert str(file) in str(refused.value)


def test_an_old_map(tmp_path: Path) -> None:
    """Files from before Postfix 2.2 name table and fields."""
    file = tmp_path / "m.cf"
    file.write_text("table = alias\nselect_field = goto\nwhere_field = address\n"
                    "additional_conditions = and active = '1'\n")  # fmt: skip
    assert read_map(file).query == "SELECT goto FROM alias WHERE address = '%s' and active = '1'"
