"""``python -m bench``: start everything, measure in rounds, report."""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench import accounts, report
from bench.contenders import (
    ROOT,
    Contender,
    Generator,
    Measured,
    Postmap,
    Service,
    bare_drivers,
)
from bench.databases import Database, open_all

WARM_UP = 0.3
"""Seconds that every contender runs before the first round; its connections are open then."""

CACHE = ROOT.parent / ".cache" / "bench"
DOCUMENT = ROOT.parent / "docs" / "benchmarks.md"
PACKAGES = ("check-user", "SQLAlchemy", "uvloop", "aiosqlite", "asyncmy", "asyncpg", "greenlet")


def main() -> None:
    """Measure, print, and write the document."""
    options = _parser().parse_args()
    load_before = os.getloadavg()[0]
    began = time.monotonic()
    with ExitStack() as stack:
        root = stack.enter_context(_folder())
        databases = open_all(stack, root, options.accounts)
        services = [_serve(stack, root, database) for database in databases]
        contenders = _contenders(stack, root, databases, services, options.accounts)
        results = report.Results(
            measure(contenders, options.rounds, options.seconds),
            {service.database: service.resident() for service in services},
        )
    setting = _setting(options, databases, load_before, time.monotonic() - began)
    for lines in (report.rates(results), report.ratios(results), report.goals(results)):
        print("\n", *lines, sep="\n")
    options.output.write_text(report.document(results, setting))
    print(f"\n{options.output} is written.")


def measure(
    contenders: Sequence[Contender], rounds: int, seconds: float
) -> dict[report.Key, list[Measured]]:
    """Run every contender once a round, in random order."""
    for contender in contenders:
        contender.run(WARM_UP, 0)
    runs: dict[report.Key, list[Measured]] = {report.key_of(each): [] for each in contenders}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", flush=True)
        for contender in random.sample(contenders, len(contenders)):
            measured = contender.run(seconds, random.randrange(1 << 30))
            runs[report.key_of(contender)].append(measured)
    return runs


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
    generator = Generator(CACHE)
    found: list[Contender] = []
    for database, service in zip(databases, services, strict=True):
        found += generator.doors(service, load)
        found.append(generator.all_known(service, known))
        found += bare_drivers(stack, database, load)
        if database.name == "MariaDB":
            found.append(Postmap(root, database.address, load).contender())
    return found + generator.null(stack, root, load)


def _serve(stack: ExitStack, root: Path, database: Database) -> Service:
    folder = root / f"serve-{database.name}"
    folder.mkdir()
    service = Service(folder, database)
    stack.callback(service.stop)
    service.start()
    return service


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that the databases' accounts may enter, its path short enough for sockets."""
    root = Path(tempfile.mkdtemp(prefix="check_user-"))
    root.chmod(0o755)
    try:
        yield root
    finally:
        shutil.rmtree(root)


def _setting(
    options: argparse.Namespace, databases: Sequence[Database], load: float, took: float
) -> list[str]:
    """What belongs to this run alone."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    postfix = subprocess.run(
        ["postconf", "-hd", "mail_version"], capture_output=True, text=True, check=True
    )
    servers = ", ".join(f"{each.name} {each.version}" for each in databases)
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return [
        f"- {datetime.now(UTC):%Y-%m-%d}, {took:.0f} s; {options.rounds} rounds, each contender "
        f"{options.seconds:g} s a round; {options.accounts:,} accounts, {accounts.DOMAINS} domains",
        f"- {os.cpu_count()} processors ({_processor()}), {memory:.0f} GB, Linux "
        f"{platform.release()}; load average before the run {load:.1f}",
        f"- Python {platform.python_version()}, {packages}",
        f"- {servers}, Postfix {postfix.stdout.strip()}",
    ]


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure check_user.")
    parser.add_argument("--accounts", type=int, default=100_000, help="stored addresses")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each contender")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long a run lasts")
    parser.add_argument("--output", type=Path, default=DOCUMENT, help="where the report goes")
    return parser


if __name__ == "__main__":
    main()
