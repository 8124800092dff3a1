"""The clock of a replica's age: one that no hand can set.

Ages are taken from CLOCK_BOOTTIME (clock_gettime(2): seconds since the boot, those of a suspended
machine included), which the wall clock's jumps don't touch. A stamp is only worth something within
the boot in which it was made, so it carries the boot's identifier
(``/proc/sys/kernel/random/boot_id``) and that of the time namespace (time_namespaces(7)), in which
the clock has another origin. A stamp of another boot has no age: nobody can know it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
TIME_NAMESPACE = Path("/proc/self/ns/time")


class Stamp(NamedTuple):
    """A moment: the boot, seconds in it, and the wall clock's seconds, which are for people."""

    boot: str
    seconds: float
    wall: float


class Clock:
    """Makes stamps and tells their age; the arguments are for a clock that a test moves."""

    def __init__(
        self,
        boot: str | None = None,
        seconds: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
        wall: Callable[[], float] = time.time,
    ) -> None:
        """``boot`` is the identifier of this boot, by default the kernel's."""
        self._boot = this_boot() if boot is None else boot
        self.seconds = seconds
        self._wall = wall

    def now(self) -> Stamp:
        """Stamp the moment."""
        return Stamp(self._boot, self.seconds(), self._wall())

    def age(self, stamp: Stamp) -> float | None:
        """Seconds since ``stamp``; None where they can't be known."""
        age = self.seconds() - stamp.seconds
        return age if stamp.boot == self._boot and age >= 0 else None


def this_boot() -> str:
    """Identify this boot, as it is seen from this time namespace."""
    identifiers = []
    with suppress(OSError):
        identifiers.append(BOOT_ID.read_text("ascii").strip())
    with suppress(OSError):
        identifiers.append(TIME_NAMESPACE.readlink().name)
    return " ".join(identifiers)
