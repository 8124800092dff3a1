"""The doors: ``check-user serve`` beside the bare drivers, ``postmap``, and a null server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import accounts
from bench.contenders import (
    DOORS,
    Generator,
    NullDoor,
    Service,
    asked,
    bare_drivers,
    running,
)
from bench.databases import Database, new_folder, open_all
from bench.drivers import OF_DATABASE
from bench.mailservers import postfix_version
from bench.maps import RECIPIENT, Postmap, mysql_map
from bench.report import Section, goal, rates, text_of
from bench.rounds import Contender, Key, Results, measure

TITLE = "The doors"
ACCOUNTS = 100_000
"""Stored addresses, where the command line says nothing else."""

RESIDENT_LIMIT = 60.0
"""MB that ``check-user serve`` may have resident."""

DRIVER_SHARE = 0.5
"""Of the bare driver's rate on sixteen connections, that a door with sixteen clients must reach."""

HOW = """\
### How to read it

Read ratios, not absolute figures: the load generator, check_user and the database share the
machine's processors, other work may run on it, and virtual ones drift. All contenders have one run
a round, in random order, and a ratio is taken within a round; the tables show medians. Differences
under about 15 % are noise. With one client or one connection the figures have two levels, and it is
chance which one a run has: a wake-up costs much more when both sides are on different processors.

- `policy`, `socketmap` (map `recipients`), `line`: `check-user serve` with its default settings and
  its log, a line for each decision, written to a file. Sixteen clients are sixteen connections in
  lock step: each sends a question, waits for the answer, compares it, and sends the next. All
  sockets are unix sockets.
- The load: half of the addresses are stored, half are unknown at one of our domains, in random
  order. Each is one question to the database, which asks for the address and for its domain;
  PostgreSQL and SQLite, which compare case, have the index on the folded address that `check-user
  check` advises. `policy, all known` is the same door without the unknown ones. Questions of
  lookups that wait at the same time share a statement.
- `aiosqlite`, `asyncmy`, `asyncpg`: the bare driver in a process of its own on uvloop, with held
  connections and, where it can, a prepared statement; `SELECT email FROM users WHERE email = ...`,
  one for each address, known or not, rows compared. "Clients" are connections.
- `postmap`: `postmap -q -` on Postfix's own `mysql:` map with the same SELECT: one connection, one
  key after the other. The time that it takes to start is subtracted.
- `null server`: doors in C that answer without looking anything up: the most that the load
  generator can measure. A row that comes near would be the generator's limit, not check_user's.
- Latencies are from before the write of a question to after the read of its answer.
- "CPU" is the time that `check-user serve`, or the bare driver's process, had for each answer, in
  the kernel too. Where other work takes processors away, it says more than the rate.
- "generator" is what the load generator had, in processors.
- "Resident" is the peak (VmHWM) of the `check-user serve` process after all runs.
- Every answer was compared; one wrong answer ends the run without a report."""


def run(stack: ExitStack, root: Path, number: int, rounds: int, seconds: float) -> Section:
    """Start everything, measure, report."""
    databases = open_all(stack, root, number)
    services = [
        running(stack, Service(new_folder(root, f"serve-{each.name}"), each)) for each in databases
    ]
    contenders = _contenders(stack, root, databases, services, number)
    results = measure(contenders, rounds, seconds)
    resident = {service.name: service.resident() for service in services}
    found = list(goals(results, resident))
    beside = list(ratios(results))
    everything = list(rates(results))
    names = [f"{each.name} {each.version}" for each in databases]
    return Section(
        TITLE,
        ", ".join([*names, f"Postfix {postfix_version()}"]),
        [*everything, "", *beside, "", *found],
        text_of(found, {"Sixteen clients, side by side": beside, "Everything": everything}, HOW),
    )


POSTMAP: Key = ("postmap", "MariaDB", 1)
ALL_KNOWN = asked("policy", known=True)


def driver(database: str) -> Key:
    """The bare driver of ``database`` on sixteen connections."""
    return OF_DATABASE[database], database, 16


def ratios(results: Results) -> Iterator[str]:
    """The table of what counts: sixteen clients beside the bare driver and ``postmap``."""
    yield "| database | door | of the bare driver | of `postmap` |"
    yield "|---|---|--:|--:|"
    for database in OF_DATABASE:
        for door in DOORS:
            mine = (door, database, 16)
            to_driver = results.ratio(mine, driver(database))
            to_postmap = results.ratio(mine, POSTMAP)
            yield f"| {database} | {door} | {to_driver:.2f} | {to_postmap:.2f} |"


def goals(results: Results, resident: Mapping[str, float]) -> Iterator[str]:
    """A line for each goal: whether this run met it."""
    for database in OF_DATABASE:
        share = [results.ratio((door, database, 16), driver(database)) for door in DOORS]
        yield goal(
            min(share) >= DRIVER_SHARE,
            f"{database}: {min(share):.2f} to {max(share):.2f} of the bare driver's rate "
            f"(at least {DRIVER_SHARE})",
        )
    share = [results.ratio((door, "MariaDB", 16), POSTMAP) for door in DOORS]
    yield goal(
        min(share) > 1, f"MariaDB: {min(share):.2f} to {max(share):.2f} of `postmap` (above 1)"
    )
    most = max(resident.values())
    each = ", ".join(f"{database} {mb:.0f} MB" for database, mb in resident.items())
    yield goal(most <= RESIDENT_LIMIT, f"resident: {each} (at most {RESIDENT_LIMIT:.0f} MB)")


def _contenders(
    stack: ExitStack,
    root: Path,
    databases: Sequence[Database],
    services: Sequence[Service],
    number: int,
) -> list[Contender]:
    """Everybody, in the order of the report."""
    load = accounts.write_load(root / "load", number, unknowns=True)
    known = accounts.write_load(root / "known", number, unknowns=False)
    generator = Generator()
    found: list[Contender] = []
    for database, service in zip(databases, services, strict=True):
        found += generator.doors(service, load)
        found.append(generator.contender(ALL_KNOWN, service, 16, known))
        found += bare_drivers(stack, database, load)
        if database.name == "MariaDB":
            table = mysql_map(root, "users", database.address, RECIPIENT)
            found.append(Postmap(root / "postmap", table, load).contender(*POSTMAP[:2]))
    for door in DOORS:
        null = running(stack, NullDoor(new_folder(root, f"null-{door}"), door))
        found += generator.doors(null, load)
    return found
