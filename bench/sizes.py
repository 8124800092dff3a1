"""Sizes: how the replica grows with the accounts, how soon it serves, and how soon it is right."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import accounts
from bench.contenders import PLAIN_TABLES, Generator, Service, asked, running
from bench.databases import Database, mariadb, new_folder
from bench.report import Section, goal, rates, text_of
from bench.rounds import Key, Results, WrongError, measure
from tests.app.serving import Line
from tests.peers.process import wait_until

TITLE = "Sizes"
ACCOUNTS = 1_000_000
"""Stored addresses of the largest table, where the command line says nothing else."""

SMALL, USUAL = 10_000, 1_000_000

LISTED_IN = 10.0
"""Seconds in which a million accounts must be listed."""

RESIDENT_LIMIT = 80.0
"""MB that a worker may have resident, the one that lists too."""

OCTETS = 100
"""Of the replica's file, for each account."""

LARGE_SHARE = 0.8
"""Of the smallest replica's rate, that the largest must reach."""

NEVER = 900.0
"""Seconds after which a deleted account must long be unknown."""

HOW = """\
### How to read it

- The accounts are in MariaDB, a table for each size, with a hundred domains. `python -m bench sizes
  --accounts 10000000` adds the largest, and takes some minutes more.
- "listed": `check-user replica build`, from the beginning of the listing until the file is in its
  place. "a worker" is the most memory (VmHWM) that `check-user serve` with `workers=1` had when it
  had listed all accounts by itself and opened the replica.
- "cold": without a replica there, from the start of the process to the first verdict, and until the
  replica is in use; "warm": to the first verdict with the replica there.
- Rates: the `line` door, sixteen clients in lock step, everybody known, `log_level=warning`.
- "new": from the end of the INSERT until the door says that the account is known; "deleted": from
  the end of the DELETE until it says that it is unknown, with the default `replica_refresh` (60 s,
  or twenty times the listing). The account was deleted when a listing had just ended, so it is the
  longest that it takes."""

LEAVER = "leaver@domain000.example"
"""One account more, which is deleted, and which no load asks for."""

LINE, SIXTEEN = asked("line", known=True), 16


@dataclass(frozen=True, slots=True)
class Growth:
    """What one size takes: seconds, octets, MB.

    ``new`` and ``deleted`` are the seconds until a new account is known and a deleted one unknown,
    where that was tried.
    """

    listed: float
    octets: int
    cold: float
    in_use: float
    resident: float
    warm: float
    new: float | None
    deleted: float | None


class Watched(Service):
    """``check-user serve`` that is ready when it answers its first question."""

    def start(self) -> None:
        self.launch()
        self.wait_ready()

    def environment(self) -> Mapping[str, str]:
        return os.environ

    def answers(self) -> bool:
        try:
            with Line(self.line) as client:
                return client.ask(accounts.known(0)) == "DECLINED known"
        except OSError:
            return False

    def wait_for_replica(self) -> None:
        """Wait until it answers from the replica. Raises WrongError."""
        if not wait_until(lambda: "the replica is in use" in self.log.read_text(), NEVER):
            raise WrongError("there is no replica")

    def seconds_until(self, address: str, answer: str) -> float:
        """Ask again and again until the answer begins like that. Raises WrongError."""
        begun = time.monotonic()
        with Line(self.line) as client:
            if not wait_until(lambda: client.ask(address).startswith(answer), NEVER):
                raise WrongError(f"{address}: {client.ask(address)}")
        return time.monotonic() - begun


def run(stack: ExitStack, root: Path, number: int, rounds: int, seconds: float) -> Section:
    """Start everything, measure, report."""
    database = mariadb(stack, root, {})
    assert database.server
    rows = ", ".join(f"('{domain}')" for domain in accounts.domains())
    database.server.execute(f"INSERT INTO domains VALUES {rows}")
    sizes = sorted({min(SMALL, number), min(USUAL, number), number})
    generator, contenders = Generator(), []
    growth: dict[int, Growth] = {}
    for size in sizes:
        print(f"{size:,} accounts", flush=True)
        trial = Trial(root, database, size)
        growth[size] = trial.grow(stack, changes=size == min(USUAL, number))
        load = accounts.write_load(trial.folder / "load", size, unknowns=False)
        contenders.append(generator.contender(LINE, trial.warm, SIXTEEN, load))
    results = measure(contenders, rounds, seconds)
    table, found = list(_table(growth, results)), list(_goals(growth, results))
    return Section(
        TITLE,
        f"{database.name} {database.version}",
        [*table, "", *found],
        text_of(found, {"By the number of accounts": table, "Rates": rates(results)}, HOW),
    )


class Trial:
    """One size: a table with so many accounts, and who serves them from a replica."""

    def __init__(self, root: Path, database: Database, size: int) -> None:
        """Fill the table."""
        self.folder = new_folder(root, f"size{size}")
        self._replica = self.folder / "replica.db"
        self._database = database
        self._size = size
        self._table = f"users{size}"
        self._execute(f"CREATE TABLE {self._table} LIKE users")
        self._execute(
            f"INSERT INTO {self._table} SELECT concat('user', lpad(seq, 7, '0'), '@domain', "
            f"lpad(seq % {accounts.DOMAINS}, 3, '0'), '.example'), concat('/var/mail/', seq) "
            f"FROM seq_0_to_{size - 1}"
        )
        self._execute(f"INSERT INTO {self._table} VALUES ('{LEAVER}', '')")
        self.warm = self._service("warm", replica_refresh="3600", log_level="warning")

    def grow(self, stack: ExitStack, *, changes: bool) -> Growth:
        """Measure all but the rate; :attr:`warm` serves from then on until ``stack`` ends it."""
        listed = self.warm.build_replica()
        octets = self._replica.stat().st_size
        self._replica.unlink()
        cold = self._service("cold")
        begun = time.monotonic()
        with ExitStack() as serving:
            running(serving, cold)
            first = time.monotonic() - begun
            cold.wait_for_replica()
            in_use = time.monotonic() - begun
            new, deleted = self._change(cold) if changes else (None, None)
            resident = cold.resident()
        begun = time.monotonic()
        running(stack, self.warm)
        warm = time.monotonic() - begun
        return Growth(listed, octets, first, in_use, resident, warm, new, deleted)

    def _change(self, service: Watched) -> tuple[float, float]:
        """Make an account and delete another; the seconds until the door knows."""
        new = accounts.unknown(0)
        self._execute(f"INSERT INTO {self._table} VALUES ('{new}', '')")
        known = service.seconds_until(new, "DECLINED known")
        self._execute(f"DELETE FROM {self._table} WHERE email = '{LEAVER}'")
        return known, service.seconds_until(LEAVER, "DENY ")

    def _service(self, name: str, **settings: str) -> Watched:
        tables = PLAIN_TABLES | {"email_table": self._table}
        settings |= {"replica": str(self._replica), "workers": "1"}
        folder = new_folder(self.folder, name)
        return Watched(folder, self._database, tables, f"{self._size:,} accounts", settings)

    def _execute(self, statement: str) -> None:
        assert self._database.server
        self._database.server.execute(statement)


# Reporting


def _key(size: int) -> Key:
    return LINE, f"{size:,} accounts", SIXTEEN


def _table(growth: Mapping[int, Growth], results: Results) -> Iterator[str]:
    """A line for each size."""
    least = min(growth)
    yield (
        "| accounts | listed, s | octets an account | a worker, MB | cold: first verdict, s | "
        "... in use, s | warm, s | new, s | deleted, s | answers/s | of the smallest |"
    )
    yield f"|{'--:|' * 11}"
    for size, it in growth.items():
        cells = [
            f"{size:,}",
            f"{it.listed:.1f}",
            f"{it.octets / size:.0f}",
            f"{it.resident:.0f}",
            *(f"{seconds:.2f}" for seconds in (it.cold, it.in_use, it.warm)),
            *("" if seconds is None else f"{seconds:.2f}" for seconds in (it.new, it.deleted)),
            f"{results.rate(_key(size)):.0f}",
            f"{results.ratio(_key(size), _key(least)):.2f}",
        ]
        yield f"| {' | '.join(cells)} |"


def _goals(growth: Mapping[int, Growth], results: Results) -> Iterator[str]:
    """A line for each goal."""
    usual, large, small = min(USUAL, max(growth)), max(growth), min(growth)
    listed = growth[usual].listed
    yield goal(
        listed <= LISTED_IN * usual / USUAL,
        f"{usual:,} accounts listed in {listed:.1f} s (a million in at most {LISTED_IN:.0f})",
    )
    resident = max(each.resident for each in growth.values())
    yield goal(
        resident <= RESIDENT_LIMIT,
        f"a worker has at most {resident:.0f} MB resident (at most {RESIDENT_LIMIT:.0f})",
    )
    octets = growth[large].octets / large
    yield goal(octets <= OCTETS, f"{octets:.0f} octets an account (at most {OCTETS})")
    share = results.ratio(_key(large), _key(small))
    yield goal(
        share >= LARGE_SHARE,
        f"{large:,} accounts: {share:.2f} of the rate with {small:,} (at least {LARGE_SHARE})",
    )
