"""``python -m bench``: start everything, measure in rounds, report."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from bench import accounts, doors, postfix, replica, schemas, sizes, smtp
from bench.generator import ROOT
from bench.report import Section, document

DOCUMENT = ROOT.parent / "docs" / "benchmarks.md"
PACKAGES = ("check-user", "SQLAlchemy", "uvloop", "aiosqlite", "asyncmy", "asyncpg", "greenlet")


class Part(Protocol):
    """A module that measures something: its section's title, and how many accounts are usual."""

    TITLE: str
    ACCOUNTS: int

    def run(
        self, stack: ExitStack, root: Path, number: int, rounds: int, seconds: float
    ) -> Section:
        """Start everything, measure, report."""
        ...


PARTS: dict[str, Part] = {
    "doors": doors,
    "schemas": schemas,
    "smtp": smtp,
    "postfix": postfix,
    "replica": replica,
    "sizes": sizes,
}


def main() -> None:
    """Measure, print, and write the document, a part after the other."""
    parser = _parser()
    options = parser.parse_args()
    if wrong := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(wrong))}")
    for name in options.parts or PARTS:
        section = _measure(name, options)
        print("", *section.summary, sep="\n")
        old = options.output.read_text() if options.output.exists() else ""
        titles = [part.TITLE for part in PARTS.values()]
        options.output.write_text(document(old, [section], titles))
        print(f"\n{options.output} is written.")


def _measure(name: str, options: argparse.Namespace) -> Section:
    """Run one part, and add what belongs to this run alone."""
    part = PARTS[name]
    number = options.accounts or part.ACCOUNTS
    load = os.getloadavg()[0]
    began = time.monotonic()
    with ExitStack() as stack:
        root = stack.enter_context(_folder())
        section = part.run(stack, root, number, options.rounds, options.seconds)
    took = time.monotonic() - began
    setting = _setting(options, number, load, took)
    return replace(section, text=[*section.text, "", *setting, f"- {section.versions}"])


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that the servers' accounts may enter, its path short enough for sockets."""
    root = Path(tempfile.mkdtemp(prefix="check_user-"))
    root.chmod(0o755)
    try:
        yield root
    finally:
        shutil.rmtree(root)


def _setting(options: argparse.Namespace, number: int, load: float, took: float) -> list[str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return [
        "### This run",
        "",
        f"- {datetime.now(UTC):%Y-%m-%d}, {took:.0f} s; {options.rounds} rounds, each contender "
        f"{options.seconds:g} s a round; {number:,} accounts, {accounts.DOMAINS} domains",
        f"- {os.cpu_count()} processors ({_processor()}), {memory:.0f} GB, Linux "
        f"{platform.release()}; load average before the run {load:.1f}",
        f"- Python {platform.python_version()}, {packages}",
    ]


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure check_user.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{' or '.join(PARTS)} (all)")
    parser.add_argument("--accounts", type=int, help="stored addresses (each part's own)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each contender")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long a run lasts")
    parser.add_argument("--output", type=Path, default=DOCUMENT, help="where the report goes")
    return parser


if __name__ == "__main__":
    main()
