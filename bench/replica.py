"""The replica: the doors of ``check-user serve`` beside a stub in C and Postfix's own maps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench import accounts
from bench.contenders import DOORS, PLAIN_TABLES, Generator, NullDoor, Service, asked, running
from bench.databases import Database, mariadb, new_folder, write_rows
from bench.mailservers import postfix_version
from bench.maps import (
    RECIPIENT,
    REPLICA_RECIPIENT,
    Postmap,
    lmdb_map,
    mysql_map,
    sqlite_map,
)
from bench.report import Section, goal, rates, text_of
from bench.rounds import Contender, Key, Results, measure

TITLE = "The replica"
ACCOUNTS = 1_000_000
"""Stored addresses, where the command line says nothing else."""

MODES = ((1, 1), (16, 1), (256, 1), (16, 50))
"""Clients, and questions in one write."""

STUB_SHARE = 0.5
"""Of the stub's rate, that a door with sixteen clients must reach."""

WORKERS_FACTOR = 1.7
"""How many times one worker's rate two must reach, where there are processors for them."""

PROCESSORS = len(os.sched_getaffinity(0))

HOW = """\
### How to read it

As at the doors: clients in lock step on unix sockets, everything on the same processors, every
answer compared, ratios within a round. `pipelined`: fifty questions in one write, and p50 and p99
are those of the fifty. The accounts are in MariaDB, and in a replica that was built before;
`log_level=warning`, `stored_form=canonical`, and `replica_refresh=3600`, so that no listing falls
into a run.

- `all known`: everybody who is asked for is stored, and the replica answers. Without that, half are
  unknown, and MariaDB is asked for each of these.
- `1 worker`, `2 workers`: `workers=`. `logging`: a line for each decision, as by default.
- `null server`: the stub, in C, one thread: it answers by the first letters of the address.
- `postmap`: `postmap -q -` on a map, one key after the other; the time that it takes to start is
  subtracted. `sqlite:` reads check_user's replica.
- "generator" is what the load generator had, in processors. It is one thread: where it comes near
  1, it is the limit."""

LOGGING, STUB = "1 worker, logging", NullDoor.name


def workers(number: int) -> str:
    """The report's name for a service with so many."""
    return f"{number} worker{'s' if number > 1 else ''}"


def run(stack: ExitStack, root: Path, number: int, rounds: int, seconds: float) -> Section:
    """Start everything, measure, report."""
    database = mariadb(stack, root, write_rows(root, number))
    half = accounts.write_load(root / "half", number, unknowns=True)
    known = accounts.write_load(root / "known", number, unknowns=False)
    generator = Generator()
    services = _services(stack, root, database)
    contenders = [
        *_doors(generator, services, half, known),
        *_stubs(stack, root, generator, known),
        *_postmaps(root, database, number, half, known),
    ]
    results = measure(contenders, rounds, seconds)
    found, beside = list(_goals(results)), list(_side_by_side(results))
    return Section(
        TITLE,
        f"{database.name} {database.version}, Postfix {postfix_version()}",
        [*beside, "", *found],
        text_of(
            found, {"Everybody known, side by side": beside, "Everything": rates(results)}, HOW
        ),
    )


# Reporting


def _key(door: str, whose: str, clients: int = 16, batch: int = 1) -> Key:
    """A door where everybody is known."""
    return asked(door, known=True, batch=batch), whose, clients


def _goals(results: Results) -> Iterator[str]:
    """A line for each goal."""
    ratios = [results.ratio(_key(door, workers(1)), _key(door, STUB)) for door in DOORS]
    each = ", ".join(f"{ratio:.2f} ({door})" for ratio, door in zip(ratios, DOORS, strict=True))
    yield goal(
        min(ratios) >= STUB_SHARE,
        f"everybody known, sixteen clients, one worker: {each} of the stub (at least {STUB_SHARE})",
    )
    for door in DOORS:
        yield _by_workers(results, door)


def _by_workers(results: Results, door: str) -> str:
    """What a second worker brings, and what the load generator leaves it."""
    one, two = _key(door, workers(1), 256), _key(door, workers(2), 256)
    ratio = results.ratio(two, one)
    room = (PROCESSORS - _middle(results, two, "generator")) / _middle(results, one, "own")
    text = (
        f"two workers, 256 clients, {door}: {ratio:.2f} of one (at least {WORKERS_FACTOR} where "
        f"processors allow: of {PROCESSORS} the load generator leaves {room:.2f} of what one had)"
    )
    return goal(ratio >= WORKERS_FACTOR, text) if room >= WORKERS_FACTOR else f"- no room: {text}"


def _middle(results: Results, key: Key, field: str) -> float:
    """The median of the processors that the generator had, or the contender of its ``own``."""
    runs = sorted(
        (run.generator or 0.0) if field == "generator" else (run.cpu or 0.0) * run.rate / 1e6
        for run in results.runs[key]
    )
    return runs[len(runs) // 2]


def _side_by_side(results: Results) -> Iterator[str]:
    """The rates of one worker and two, and their ratios to the stub's."""
    titles = [
        f"{clients} client{'s' * (clients > 1)}{', pipelined' * (batch > 1)}"
        for clients, batch in MODES
    ]
    yield f"| door | asked | {' | '.join(titles)} |"
    yield f"|---|---|{'--:|' * len(MODES)}"
    for door in DOORS:
        for whose in (workers(1), workers(2), STUB):
            cells = [
                f"{results.rate(_key(door, whose, *mode)):.0f} "
                f"({results.ratio(_key(door, whose, *mode), _key(door, STUB, *mode)):.2f})"
                for mode in MODES
            ]
            yield f"| {door} | {whose} | {' | '.join(cells)} |"
    yield ""
    yield "In brackets: of the stub, round by round."


# Starting


def _services(stack: ExitStack, root: Path, database: Database) -> dict[str, Service]:
    """check_user with one worker and with two, on the same replica."""
    common = {
        "replica": str(root / "replica.db"),
        "replica_refresh": "3600",
        "stored_form": "canonical",
    }
    special = {
        workers(1): {"workers": "1", "log_level": "warning"},
        workers(2): {"workers": "2", "log_level": "warning"},
        LOGGING: {"workers": "1"},
    }
    made = {
        name: Service(
            new_folder(root, f"service{place}"), database, PLAIN_TABLES, name, common | settings
        )
        for place, (name, settings) in enumerate(special.items())
    }
    made[workers(1)].build_replica()
    return {name: running(stack, service) for name, service in made.items()}


def _doors(
    generator: Generator, services: dict[str, Service], half: Path, known: Path
) -> Iterator[Contender]:
    for number in (1, 2):
        for door in DOORS:
            for only_known, load in ((True, known), (False, half)):
                for clients, batch in MODES:
                    name = asked(door, known=only_known, batch=batch)
                    yield generator.contender(name, services[workers(number)], clients, load, batch)
    yield generator.contender(asked("policy", known=True), services[LOGGING], 16, known)


def _stubs(stack: ExitStack, root: Path, generator: Generator, known: Path) -> Iterator[Contender]:
    for door in DOORS:
        stub = running(stack, NullDoor(new_folder(root, f"null-{door}"), door))
        for clients, batch in MODES:
            yield generator.contender(
                asked(door, known=True, batch=batch), stub, clients, known, batch
            )


def _postmaps(
    root: Path, database: Database, number: int, half: Path, known: Path
) -> Iterator[Contender]:
    folder = new_folder(root, "maps")
    tables = {
        "mysql:": mysql_map(folder, "users", database.address, RECIPIENT),
        "lmdb:": lmdb_map(folder, "users", map(accounts.known, range(number))),
        "sqlite:": sqlite_map(folder, "users", root / "replica.db", REPLICA_RECIPIENT),
    }
    for place, (kind, table) in enumerate(tables.items()):
        for name, load in (("postmap, all known", known), ("postmap", half)):
            own = root / f"postmap{place}-{load.name}"
            yield Postmap(own, table, load).contender(name, kind)
