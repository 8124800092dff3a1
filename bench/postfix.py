"""Postfix: recipients decided a second, with check_user, its own maps, a stub, or nobody asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import accounts
from bench.contenders import DOORS, NullDoor, Service, running
from bench.databases import Database, mariadb, new_folder, write_rows
from bench.generator import ask, compiled, cpu_of
from bench.mailservers import LISTED, LiftedPostfix, postfix_version
from bench.maps import (
    DOMAIN,
    ONE_QUESTION,
    RECIPIENT,
    REPLICA_DOMAIN,
    REPLICA_RECIPIENT,
    lmdb_map,
    mysql_map,
    sqlite_map,
)
from bench.report import Section, goal, rates, text_of
from bench.rounds import Contender, Key, Measured, Results, measure
from tests.peers.process import Server

TITLE = "Behind Postfix"
ACCOUNTS = 1_000_000
"""Stored addresses, where the command line says nothing else."""

SESSIONS = 16

MYSQL_FACTOR = 1.5
"""How many times the rate with its own ``mysql:`` map Postfix must reach with the replica."""

STUB_SHARE, LMDB_SHARE = 0.95, 0.85
"""Of the rates with a stub in check_user's place and with ``lmdb:``, everybody known."""

GENERATOR_LIMIT = 0.9
"""Processors that the load generator may have: it is one thread."""

SETTINGS = {"stored_form": "canonical", "log_level": "warning", "socket_mode": "0666"}
"""What is true of the accounts; nobody logs recipients; and Postfix has an account of its own."""

HOW = """\
### How to read it

As above: ratios within a round, medians, and everybody shares the machine's processors.

- A Postfix of its own for each row, all alike but for the tables and the check. Sixteen sessions on
  TCP over loopback, in lock step, 200 recipients each. Half of the recipients are stored, half are
  unknown at one of our domains; in the second table everybody is stored. Every reply code was
  compared (250, 550).
- `check_user`: `check-user serve` with its default number of workers, `stored_form=canonical`,
  `log_level=warning`, and MariaDB, or a replica of it. That was built before; with
  `replica_refresh=3600` no listing, which may take a twentieth of the time, falls into a run.
- `policy`: `check_policy_service` on a unix socket; all recipients in a `static:` table, domains in
  `lmdb:`. `socketmap`: `virtual_mailbox_maps`, domains in `lmdb:`; `socketmap, domains too`:
  `virtual_mailbox_domains` is asked of check_user as well.
- `mysql:` and `proxy:mysql:`: `virtual_mailbox_maps` and `virtual_mailbox_domains` by Postfix's own
  map, over MariaDB's socket, `SELECT ... = '%s'`: a known recipient costs two questions, an unknown
  one three (`@domain` is asked for, too). `mysql:, one question`: domains in `lmdb:`, and
  `'%u@%d'`, which asks nothing for `@domain`: the best that it can be.
- `lmdb:` and `sqlite:`: recipients and domains; the SQLite file is check_user's replica.
- `stub`: a service in C, one thread, that answers by the first letters of the address.
- `no check`: `static:` recipients, domains in `lmdb:`: everybody is taken.
- Lifted as for the gateway: limits for errors, junk commands, recipients, connections and rates;
  not chrooted, nothing logged, `max_idle` an hour.
- "CPU" is Postfix's and the check's own time for each recipient, MariaDB's not included.
  "generator" is what the load generator had, in processors, of its one."""

REPLICA, DIRECT, STUB = "replica", "MariaDB", ""

Who = tuple[str, str]
"""Who is asked, and where the accounts are."""

CHECK_USER: tuple[Who, ...] = tuple(
    (f"check_user, {how}", where)
    for where in (REPLICA, DIRECT)
    for how in ("policy", "socketmap", "socketmap, domains too")
)
STUBS: tuple[Who, ...] = (("stub, policy", STUB), ("stub, socketmap", STUB))
MYSQL: Who = ("mysql:", "MariaDB")
MYSQL_BEST: Who = ("mysql:, one question", "MariaDB")
PROXY: Who = ("proxy:mysql:", "MariaDB")
LMDB: Who = ("lmdb:", "a file")
SQLITE: Who = ("sqlite:", "replica")
NONE: Who = ("no check", "")
WITH_REPLICA = CHECK_USER[:2]
KNOWN_ONLY = (*WITH_REPLICA, *STUBS, LMDB)


@dataclass(frozen=True, slots=True)
class Site:
    """A Postfix, and the service that it asks, if there is one."""

    postfix: LiftedPostfix
    service: Server | None = None

    def cpu(self) -> float:
        """Microseconds that both have had so far."""
        return cpu_of(self.postfix) + (cpu_of(self.service) if self.service else 0.0)


def run(stack: ExitStack, root: Path, number: int, rounds: int, seconds: float) -> Section:
    """Start everything, measure, report."""
    database = mariadb(stack, root, write_rows(root, number))
    sites = _sites(stack, root, database, number)
    load = accounts.write_load(root / "load", number, unknowns=True)
    known = accounts.write_load(root / "known", number, unknowns=False)
    taken = root / "taken"
    taken.write_text(load.read_text().replace("U ", "K "))
    loads = {who: taken if who == NONE else load for who in sites}
    generator = compiled("smtpgen")
    contenders = [
        *(_contender(generator, sites[who], _key(who), load) for who, load in loads.items()),
        *(
            _contender(generator, sites[who], _key(who, only_known=True), known)
            for who in KNOWN_ONLY
        ),
    ]
    results = measure(contenders, rounds, seconds)
    found, beside = list(_goals(results)), list(_side_by_side(results, list(sites)))
    return Section(
        TITLE,
        f"{database.name} {database.version}, Postfix {postfix_version()}",
        [*beside, "", *found],
        text_of(found, {"RCPT/s, side by side": beside, "Everything": rates(results)}, HOW),
    )


def _key(who: Who, *, only_known: bool = False) -> Key:
    name, where = who
    return f"{name}, all known" if only_known else name, where, SESSIONS


def _contender(generator: Path, site: Site, key: Key, load: Path) -> Contender:
    def run(seconds: float, start: int) -> Measured:
        numbers = (site.postfix.port, SESSIONS, 1, seconds, start)
        return ask(generator, [str(number) for number in numbers], load, site.cpu)

    return Contender(*key, run)


# Reporting


def _goals(results: Results) -> Iterator[str]:
    """A line for each goal."""
    yield _goal(results, WITH_REPLICA, MYSQL, MYSQL_FACTOR, only_known=False)
    for mine, stub in zip(WITH_REPLICA, STUBS, strict=True):
        yield _goal(results, [mine], stub, STUB_SHARE, only_known=True)
    yield _goal(results, WITH_REPLICA, LMDB, LMDB_SHARE, only_known=True)
    runs = [(run.generator or 0.0, key) for key, each in results.runs.items() for run in each]
    most, (name, *_) = max(runs)
    yield goal(
        most <= GENERATOR_LIMIT,
        f"the load generator isn't the limit: it had at most {most:.2f} of its processor ({name}; "
        f"at most {GENERATOR_LIMIT})",
    )


def _goal(
    results: Results, mine: Sequence[Who], peer: Who, factor: float, *, only_known: bool
) -> str:
    to = _key(peer, only_known=only_known)
    ratios = [results.ratio(_key(who, only_known=only_known), to) for who in mine]
    each = ", ".join(f"{ratio:.2f} ({who[0]})" for ratio, who in zip(ratios, mine, strict=True))
    whom = "everybody known" if only_known else "half known, half unknown"
    return goal(min(ratios) >= factor, f"{whom}, with the replica: {each} of {to[0]} ({factor})")


def _side_by_side(results: Results, everybody: Sequence[Who]) -> Iterator[str]:
    """Rates, and their ratios to Postfix's own map and to no check at all."""
    yield "| check | accounts in | RCPT/s | of `mysql:` | of no check |"
    yield "|---|---|--:|--:|--:|"
    for who in everybody:
        yield _row(results, _key(who), [_key(MYSQL), _key(NONE)])
    yield ""
    yield "| check, everybody known | accounts in | RCPT/s | of its stub | of `lmdb:` |"
    yield "|---|---|--:|--:|--:|"
    for who in KNOWN_ONLY:
        stub = STUBS["socketmap" in who[0]]
        peers = [_key(stub, only_known=True), _key(LMDB, only_known=True)]
        yield _row(results, _key(who, only_known=True), peers)


def _row(results: Results, key: Key, peers: Sequence[Key]) -> str:
    ratios = [f"{results.ratio(key, peer):.2f}" for peer in peers]
    cells = [key[0].removesuffix(", all known"), key[1], f"{results.rate(key):.0f}", *ratios]
    return f"| {' | '.join(cells)} |"


# Starting


def _sites(stack: ExitStack, root: Path, database: Database, number: int) -> dict[Who, Site]:
    """Everybody, in the order of the report, running."""
    folder = new_folder(root, "maps")
    replica = root / "replica.db"
    front = _service(root, database, {"replica": str(replica), "replica_refresh": "3600"})
    front.build_replica()
    direct = _service(root, database, {})
    domains = lmdb_map(folder, "domains", accounts.domains())
    users = lmdb_map(folder, "users", map(accounts.known, range(number)))
    plans: dict[Who, Plan] = {
        **_asking(running(stack, front), REPLICA, domains),
        **_asking(running(stack, direct), DIRECT, domains),
        **_own_maps(folder, database.address, replica, domains, users),
        **_stubs(stack, root, domains),
        NONE: Plan(domains, EVERYBODY),
    }
    return {
        who: Site(running(stack, plan.postfix(new_folder(root, f"postfix{place}"))), plan.service)
        for place, (who, plan) in enumerate(plans.items())
    }


@dataclass(frozen=True, slots=True)
class Plan:
    """A Postfix to be: its tables, its check, and the service behind one of them."""

    domains: str
    recipients: str
    check: str = LISTED
    service: Server | None = None

    def postfix(self, folder: Path) -> LiftedPostfix:
        """It, not started."""
        return LiftedPostfix(folder, self.domains, self.recipients, self.check)


EVERYBODY = "static:all"


def _service(root: Path, database: Database, settings: dict[str, str]) -> Service:
    folder = new_folder(root, "replicated" if settings else "direct")
    return Service(folder, database, settings=SETTINGS | settings)


def _by_policy(server: Service | NullDoor, domains: str) -> Plan:
    check = f"check_policy_service unix:{server.sockets['policy']}"
    return Plan(domains, EVERYBODY, check, server)


def _by_socketmap(server: Service | NullDoor, domains: str) -> Plan:
    return Plan(domains, f"socketmap:unix:{server.sockets['socketmap']}:recipients", LISTED, server)


def _asking(service: Service, where: str, domains: str) -> dict[Who, Plan]:
    socketmap = f"socketmap:unix:{service.sockets['socketmap']}:domains"
    return {
        ("check_user, policy", where): _by_policy(service, domains),
        ("check_user, socketmap", where): _by_socketmap(service, domains),
        ("check_user, socketmap, domains too", where): _by_socketmap(service, socketmap),
    }


def _stubs(stack: ExitStack, root: Path, domains: str) -> Mapping[Who, Plan]:
    policy, socketmap = (
        running(stack, NullDoor(new_folder(root, f"stub-{door}"), door))
        for door in DOORS
        if door != "line"
    )
    plans = (_by_policy(policy, domains), _by_socketmap(socketmap, domains))
    return dict(zip(STUBS, plans, strict=True))


def _own_maps(
    folder: Path, socket: str, replica: Path, domains: str, users: str
) -> dict[Who, Plan]:
    """Postfix's; ``domains`` and ``users`` are in ``lmdb:``."""
    mysql = (
        mysql_map(folder, "domains", socket, DOMAIN),
        mysql_map(folder, "users", socket, RECIPIENT),
    )
    sqlite = (
        sqlite_map(folder, "domains", replica, REPLICA_DOMAIN),
        sqlite_map(folder, "users", replica, REPLICA_RECIPIENT),
    )
    return {
        MYSQL: Plan(*mysql),
        MYSQL_BEST: Plan(domains, mysql_map(folder, "once", socket, ONE_QUESTION)),
        PROXY: Plan(f"proxy:{mysql[0]}", f"proxy:{mysql[1]}"),
        LMDB: Plan(domains, users),
        SQLITE: Plan(*sqlite),
    }
