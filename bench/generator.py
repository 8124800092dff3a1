"""The programs in C, compiled at each run, and the CPU time of whom they ask."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from bench.rounds import Measured, WrongError
from tests.peers.process import Server, descendants, program

ROOT = Path(__file__).parent
CACHE = ROOT.parent / ".cache" / "bench"
TICK = 1e6 / os.sysconf("SC_CLK_TCK")
"""Microseconds in the unit of CPU time in ``/proc/PID/stat``."""


def compiled(name: str) -> Path:
    """Compile ``name.c`` beside this file into ``.cache``. Raises CalledProcessError."""
    CACHE.mkdir(parents=True, exist_ok=True)
    target = CACHE / name
    command = [program("cc", "gcc"), "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(target)]
    subprocess.run([*command, str(ROOT / f"{name}.c")], check=True)
    return target


def ask(
    generator: Path, arguments: list[str], load: Path, cpu: Callable[[], float] | None = None
) -> Measured:
    """Run a load generator on ``load``; ``cpu`` gives the microseconds of whom it asks so far.

    Raises WrongError.
    """
    before = cpu() if cpu else 0.0
    with load.open() as questions:
        done = subprocess.run(
            [generator, *arguments], stdin=questions, capture_output=True, check=False
        )
    if done.returncode:
        raise WrongError(f"{arguments}: {done.stderr.decode(errors='replace').strip()}")
    return measured(json.loads(done.stdout), (lambda: cpu() - before) if cpu else None)


def measured(result: dict[str, float], cpu: Callable[[], float] | None = None) -> Measured:
    """What a generator's line of JSON says; ``cpu`` gives the microseconds of whom it asked."""
    rate = result["answers"] / result["seconds"]
    return Measured(
        rate,
        result["p50_us"],
        result["p99_us"],
        cpu() / result["answers"] if cpu else None,
        result["cpu_us"] * rate / 1e6,
    )


def cpu_of(server: Server) -> float:
    """Microseconds of CPU time that all its processes have had, in the kernel too (proc(5)).

    Those that have ended count with the parent that waited for them.
    """
    return sum(_cpu(pid) for pid in (server.pid, *descendants(server.pid)))


def _cpu(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, text.rpartition(")")[2].split()[11:15])) * TICK
