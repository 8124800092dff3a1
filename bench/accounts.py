"""The accounts and the load: who is stored, and who is asked for.

``user0000042@domain042.example`` is stored, ``nobody0000042@domain042.example`` isn't; both are at
one of our DOMAINS domains. The load is a file of lines ``K ADDRESS`` (known) and ``U ADDRESS``
(unknown) in random order, the same for every contender; each run begins at a random place in it.
"""

from __future__ import annotations

import random
from pathlib import Path

DOMAINS = 100

ABOVE = ".example"
"""A suffix that all our domains have, for ``rcpthosts``."""

LONGEST_LOAD = 200_000
"""Questions in the load. More only cost memory: each run asks for some ten thousand."""


def domains() -> list[str]:
    """Our domains."""
    return [f"domain{number:03}.example" for number in range(DOMAINS)]


def known(number: int) -> str:
    """The stored address with this number."""
    return f"user{number:07}@domain{number % DOMAINS:03}.example"


def unknown(number: int) -> str:
    """An address at one of our domains that isn't stored."""
    return f"nobody{number:07}@domain{number % DOMAINS:03}.example"


def write_load(path: Path, accounts: int, *, unknowns: bool) -> Path:
    """Write a load: half of it unknown, or none."""
    half = min(accounts, LONGEST_LOAD // 2)
    chosen = random.sample(range(accounts), half)
    lines = [f"K {known(number)}\n" for number in chosen]
    if unknowns:
        lines += [f"U {unknown(number)}\n" for number in chosen]
    random.shuffle(lines)
    path.write_text("".join(lines))
    return path


def read_load(path: Path) -> list[tuple[str, bool]]:
    """Read a load: addresses, and whether each is known."""
    return [(line[2:], line[0] == "K") for line in path.read_text().splitlines()]
