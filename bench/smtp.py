"""The gateway: recipients decided a second, beside qpsmtpd, Haraka, Exim and Postfix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import accounts
from bench.databases import Database, mariadb, new_folder, sqlite, write_rows
from bench.generator import ask, compiled, cpu_of
from bench.mailservers import (
    BareProtocol,
    EximMysql,
    Gateway,
    HarakaMysql,
    NullServer,
    PostfixMysql,
    QpsmtpdDbi,
    versions,
)
from bench.report import Section, goal, rates, text_of
from bench.rounds import Contender, Key, Measured, Results, measure
from tests.peers.process import Server

TITLE = "The gateway"
ACCOUNTS = 1_000_000
"""Stored addresses, where the command line says nothing else."""

FACTORS = {"SQLite": 5.0, "MariaDB": 1.0}
"""How many times the best peer's rate the gateway must reach, by where its accounts are."""

BARE_SHARE = 0.5
"""Of the bare protocol's rate, that the gateway must reach with the accounts in SQLite."""

GENERATOR_LIMIT = 0.9
"""Processors that the load generator may have while a mail server is asked: it is one thread."""

HOW = """\
### How to read it

As above: ratios within a round, medians, and everybody shares the machine's processors, MariaDB and
the load generator included.

- The load: sessions on TCP over loopback, one or sixteen at a time. Each says EHLO and MAIL, names
  200 recipients, says QUIT and closes, and the next begins; that is in the rate. In lock step each
  RCPT waits for the reply to the one before; pipelined, fifty go out in one write, and p50 and p99
  are those of the fifty. Half of the recipients are stored, half are unknown at one of our domains,
  in random order. Every reply code was compared (250, 550); one wrong code ends the run without a
  report. The reply to QUIT isn't waited for, since Exim holds it back for 0.2 s, and a reply that
  comes in pieces is acknowledged at once, since qpsmtpd writes under Nagle's algorithm.
- "generator" is what the load generator had, in processors, of its one. Where it comes near 1, it
  is the limit, as it is at the null server (in C, answers by the first letters of the address).
- "CPU" is the server's own time for each recipient, all its processes, MariaDB's not included.
- `gateway`: `check-user serve` with `listen=smtp`, the plugins `check_user`, `rcpt_ok` and
  `queue/maildir`, and as many workers as there are processors (its default). Its statement asks for
  the address and for the domain; `stored_form=canonical`, since the accounts are. Set beyond what
  the load needs: `smtp_max_recipients`, `smtp_max_unknown`, `smtp_max_errors`,
  `smtp_max_commands`, `smtp_max_per_network` (0).
- The peers know the domains from their own configuration and ask MariaDB, by its socket, one
  question a recipient (`SELECT ... FROM users WHERE email = ...`); MariaDB is the gateway's.
- Nobody writes a log line for a recipient (the gateway: `log_level=warning`), nobody asks the DNS
  about clients, TLS isn't offered, and limits for a session, a client or the server are lifted.
- `qpsmtpd`: prefork, 40 children, 20 of them idle; a DBI plugin of ours whose driver is loaded
  before the fork, a connection and a prepared statement for each child; `rcpthosts` is one suffix;
  the query for the client's name is taken out of a copy of the script.
- `Haraka`: one process (`nodes=0`), a mysql2 plugin of ours and no other, 16 connections, prepared
  statements.
- `Exim`: its own `mysql` lookup in the RCPT ACL; a process and a connection to MariaDB for each
  session, as always; `log_selector = -all`, `log_reject_target` empty, `smtp_accept_max = 200`,
  `recipients_max = 0`.
- `Postfix`: `virtual_mailbox_maps` by its own `mysql:` map, whose `%u@%d` saves the question for a
  catch-all address; domains in a `texthash:`; not chrooted; limits for errors, junk commands,
  recipients, connections and rates lifted, `max_idle` an hour.
- `bare protocol`: an `asyncio.Protocol` on uvloop with just enough SMTP and the stored addresses in
  a set, in as many processes as the gateway has workers."""


@dataclass(frozen=True, slots=True)
class Mode:
    """``sessions`` at a time, each with ``batch`` RCPTs in a write."""

    sessions: int
    batch: int

    def name(self, server: str) -> str:
        """What is asked, as the report calls it."""
        return server if self.batch == 1 else f"{server}, pipelined"

    @property
    def title(self) -> str:
        """The mode alone."""
        return self.name(f"{self.sessions} session{'s' if self.sessions > 1 else ''}")


MODES = (Mode(1, 1), Mode(16, 1), Mode(1, 50), Mode(16, 50))

Who = tuple[str, str]
"""A server's name, and where its accounts are."""

GATEWAYS: dict[str, Who] = {database: ("gateway", database) for database in FACTORS}
BARE: Who = ("bare protocol", "a set")
NULL: Who = ("null server", "")
PEERS: tuple[Who, ...] = tuple(
    (name, "MariaDB") for name in ("qpsmtpd", "Haraka", "Exim", "Postfix")
)
EVERYBODY = (*GATEWAYS.values(), *PEERS, BARE, NULL)


def run(stack: ExitStack, root: Path, number: int, rounds: int, seconds: float) -> Section:
    """Start everything, measure, report."""
    rows = write_rows(root, number)
    load = accounts.write_load(root / "load", number, unknowns=True)
    local, remote = sqlite(root, rows), mariadb(stack, root, rows)
    exim = EximMysql(new_folder(root, "exim"), remote.address)
    servers = _servers(root, local, remote, exim, number)
    for server in servers.values():
        stack.callback(server.stop)
        server.start()
    results = measure(_contenders(servers, load), rounds, seconds)
    found = list(goals(results))
    beside = list(side_by_side(results))
    names = [f"{each.name} {each.version}" for each in (local, remote)]
    return Section(
        TITLE,
        ", ".join([*names, *versions(exim)]),
        [*beside, "", *found],
        text_of(found, {"RCPT/s, side by side": beside, "Everything": rates(results)}, HOW),
    )


def goals(results: Results) -> Iterator[str]:
    """A line for each goal."""
    for database, factor in FACTORS.items():
        ratios = [_to_best_peer(results, GATEWAYS[database], mode) for mode in MODES]
        meaning = f"at least {factor:g}" if factor > 1 else "above 1"
        met = min(ratios) >= factor if factor > 1 else min(ratios) > 1
        yield goal(met, f"{database}: {_by_mode(ratios)} of the best peer ({meaning})")
    mine = GATEWAYS["SQLite"]
    ratios = [results.ratio(_key(mine, mode), _key(BARE, mode)) for mode in MODES]
    yield goal(
        min(ratios) >= BARE_SHARE,
        f"SQLite: {_by_mode(ratios)} of the bare protocol (at least {BARE_SHARE:g})",
    )
    yield _generator(results)


def side_by_side(results: Results) -> Iterator[str]:
    """The table of all rates, and of their ratios to the best peer's."""
    yield f"| server | accounts in | {' | '.join(mode.title for mode in MODES)} |"
    yield f"|---|---|{'--:|' * len(MODES)}"
    for who in EVERYBODY:
        cells = [
            f"{results.rate(_key(who, mode)):.0f} ({_to_best_peer(results, who, mode):.2f})"
            for mode in MODES
        ]
        yield f"| {' | '.join([*who, *cells])} |"
    yield ""
    yield "In brackets: of the best peer, round by round."


def _generator(results: Results) -> str:
    """Whether the load generator had time left, and what it does where nobody else needs any."""
    asked = [
        (run.generator or 0.0, _key(who, mode))
        for who in (*GATEWAYS.values(), *PEERS)
        for mode in MODES
        for run in results.runs[_key(who, mode)]
    ]
    most, (name, database, sessions) = max(asked)
    null = [results.ratio(_key(NULL, mode), _key(GATEWAYS["SQLite"], mode)) for mode in MODES]
    return goal(
        most <= GENERATOR_LIMIT,
        f"the load generator isn't the limit: it had at most {most:.2f} of its processor ({name}, "
        f"{database}, {sessions}; at most {GENERATOR_LIMIT:g}); the null server reaches "
        f"{_by_mode(null)} of the gateway with SQLite",
    )


def _by_mode(ratios: Sequence[float]) -> str:
    pairs = zip(ratios, MODES, strict=True)
    return ", ".join(f"{ratio:.2f} ({mode.title})" for ratio, mode in pairs)


def _to_best_peer(results: Results, who: Who, mode: Mode) -> float:
    return results.ratio(_key(who, mode), *(_key(peer, mode) for peer in PEERS))


def _key(who: Who, mode: Mode) -> Key:
    name, database = who
    return mode.name(name), database, mode.sessions


MailServer = (
    Gateway | QpsmtpdDbi | HarakaMysql | EximMysql | PostfixMysql | BareProtocol | NullServer
)


def _servers(
    root: Path, local: Database, remote: Database, exim: EximMysql, number: int
) -> dict[Who, MailServer]:
    """Everybody, in the order of the report; nobody is started."""
    socket = remote.address
    made: list[MailServer] = [
        Gateway(new_folder(root, "gateway-sqlite"), local),
        Gateway(new_folder(root, "gateway-mariadb"), remote),
        QpsmtpdDbi(new_folder(root, "qpsmtpd"), socket),
        HarakaMysql(new_folder(root, "haraka"), socket),
        exim,
        PostfixMysql(new_folder(root, "postfix"), socket),
        BareProtocol(new_folder(root, "bare"), number),
        NullServer(new_folder(root, "null"), compiled("nullserver")),
    ]
    return dict(zip(EVERYBODY, made, strict=True))


def _contenders(servers: dict[Who, MailServer], load: Path) -> list[Contender]:
    generator = compiled("smtpgen")
    return [
        Contender(*_key(who, mode), partial(_run, generator, server, server.port, mode, load))
        for who, server in servers.items()
        for mode in MODES
    ]


def _run(
    generator: Path,
    server: Server,
    port: int,
    mode: Mode,
    load: Path,
    seconds: float,
    start: int,
) -> Measured:
    numbers = (port, mode.sessions, mode.batch, seconds, start)
    return ask(generator, [str(number) for number in numbers], load, partial(cpu_of, server))
