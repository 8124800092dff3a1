"""The report: medians, ratios within a round, the goals; as text, and as ``docs/benchmarks.md``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.contenders import DOORS, Contender, Measured
from bench.drivers import OF_DATABASE

RESIDENT_LIMIT = 60.0
"""MB that ``check-user serve`` may have resident."""

DRIVER_SHARE = 0.5
"""Of the bare driver's rate on sixteen connections, that a door with sixteen clients must reach."""

HOW = """\
## How to read it

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
- "Resident" is the peak (VmHWM) of the `check-user serve` process after all runs.
- Every answer was compared; one wrong answer ends the run without a report."""

Key = tuple[str, str, int]
"""A contender's name, database and number of clients."""


@dataclass(frozen=True, slots=True)
class Results:
    """Every run of every contender, one a round, and the resident MB by database."""

    runs: Mapping[Key, Sequence[Measured]]
    resident: Mapping[str, float]

    def ratio(self, of: Key, to: Key) -> float:
        """The median of the ratios of two rates, each within one round."""
        pairs = zip(self.runs[of], self.runs[to], strict=True)
        return median(one.rate / other.rate for one, other in pairs)


def key_of(contender: Contender) -> Key:
    """Under which key a contender's runs are kept."""
    return contender.name, contender.database, contender.clients


POSTMAP: Key = ("postmap", "MariaDB", 1)


def driver(database: str) -> Key:
    """The bare driver of ``database`` on sixteen connections."""
    return OF_DATABASE[database], database, 16


def rates(results: Results) -> Iterator[str]:
    """The table of everything that was asked."""
    yield "| asked | database | clients | answers/s | min-max | p50 µs | p99 µs | CPU µs |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|"
    for (name, database, clients), runs in results.runs.items():
        rate = [run.rate for run in runs]
        cells = [
            name,
            database,
            str(clients),
            f"{median(rate):.0f}",
            f"{min(rate):.0f}-{max(rate):.0f}",
            *(_middle([getattr(run, field) for run in runs]) for field in ("p50", "p99", "cpu")),
        ]
        yield f"| {' | '.join(cells)} |"


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


def goals(results: Results) -> Iterator[str]:
    """A line for each goal: whether this run met it."""
    for database in OF_DATABASE:
        share = [results.ratio((door, database, 16), driver(database)) for door in DOORS]
        yield _goal(
            min(share) >= DRIVER_SHARE,
            f"{database}: {min(share):.2f} to {max(share):.2f} of the bare driver's rate "
            f"(at least {DRIVER_SHARE})",
        )
    share = [results.ratio((door, "MariaDB", 16), POSTMAP) for door in DOORS]
    yield _goal(
        min(share) > 1, f"MariaDB: {min(share):.2f} to {max(share):.2f} of `postmap` (above 1)"
    )
    most = max(results.resident.values())
    each = ", ".join(f"{database} {mb:.0f} MB" for database, mb in results.resident.items())
    yield _goal(most <= RESIDENT_LIMIT, f"resident: {each} (at most {RESIDENT_LIMIT:.0f} MB)")


def _goal(met: bool, text: str) -> str:
    return f"- {'met' if met else '**missed**'}: {text}"


def _middle(values: Sequence[float | None]) -> str:
    measured = [value for value in values if value is not None]
    return f"{median(measured):.0f}" if measured else ""


def document(results: Results, setting: Sequence[str]) -> str:
    """The whole of ``docs/benchmarks.md``; ``setting`` are the lines about this run."""
    return "\n".join(
        [
            "# Benchmarks",
            "",
            "Written by `make bench`; don't edit.",
            "",
            "## Goals",
            "",
            *goals(results),
            "",
            "## Sixteen clients, side by side",
            "",
            *ratios(results),
            "",
            "## Everything",
            "",
            *rates(results),
            "",
            "## This run",
            "",
            *setting,
            "",
            HOW,
            "",
        ]
    )
