"""Replicas in tests: a listing that a test makes up, a clock that it moves, a directory in front.

kept = Kept(tmp_path)
await kept.refresh(users("anna", "bert"))
replica = await kept.open()
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from check_user.address import Address, Domain
from check_user.directory import Directory, Presence, Status, Trace, Unavailable
from check_user.directory.front import FrontDirectory
from check_user.directory.listing import Batches, Entry, Listing, Skipped
from check_user.directory.refresh import Feeder, Round
from check_user.directory.replica import Clock, Replica

SOURCE = "test"
DENY_MAX_AGE = 300.0
ACCEPT_MAX_AGE = 604_800.0

Entries = list[Entry]


def users(*locals_: str, domain: str = "x.example") -> Entries:
    """Known recipients of one domain."""
    return [(f"{local}@{domain}", "known") for local in locals_]


def domains(*names: str, others: str = "unknown") -> Entries:
    """Domains whose other addresses are ``others``."""
    return [(name, others) for name in names]


OURS = domains("x.example")


@dataclass
class Listed(Listing):
    """A listing of what a test says; ``broken`` ends it after its first batch."""

    recipients_: Entries
    domains_: Entries
    broken: str = ""
    skipped: Skipped = field(default_factory=Skipped)

    async def count(self) -> int:
        return len(self.recipients_)

    async def domains(self) -> Batches:
        yield self.domains_

    async def recipients(self) -> Batches:
        for begin in range(0, len(self.recipients_), 1000):
            yield self.recipients_[begin : begin + 1000]
            if self.broken:
                raise Unavailable(self.broken)

    async def aclose(self) -> None:
        return


@dataclass
class Away:
    """A database that can't be asked; with ``available``, one that only had too much to do."""

    available: bool = False
    asked: list[str] = field(default_factory=list)

    async def find(self, address: Address, trace: Trace | None = None) -> Presence:
        self.asked.append(address.key)
        raise Unavailable("away")

    async def find_domain(self, domain: Domain, trace: Trace | None = None) -> Presence:
        raise Unavailable("away")

    def status(self) -> Status:
        return Status(self.available, "away")

    async def aclose(self) -> None:
        return


class MovedClock(Clock):
    """Seconds, wall and boot are what the test says."""

    def __init__(self) -> None:
        self.moved = 1000.0
        self.wall = 1_195_826_000.0
        super().__init__("this boot", lambda: self.moved, lambda: self.wall)

    def reboot(self, seconds: float) -> None:
        self._boot, self.moved = "another boot", seconds


class Kept:
    """A replica's file, and who writes it."""

    def __init__(self, folder: Path, *, every: float = 60.0) -> None:
        self.path = folder / "replica.db"
        self.clock = MovedClock()
        self.reports: list[str] = []
        self.listing: Listing = Listed([], [])
        self.feeder = Feeder(
            self.path,
            SOURCE,
            self._open_listing,
            every=every,
            report=self.reports.append,
            clock=self.clock,
        )

    async def _open_listing(self) -> Listing:
        return self.listing

    async def refresh(
        self,
        recipients: Iterable[Entry],
        ours: Sequence[Entry] = OURS,
        *,
        accept_loss: bool = False,
        broken: str = "",
    ) -> Round:
        """List these."""
        self.listing = Listed(list(recipients), list(ours), broken)
        return await self.feeder.refresh(accept_loss=accept_loss)

    async def open(self, source: str = SOURCE) -> Replica:
        """Take the file into use; it isn't followed."""
        replica = Replica(self.path, source, report=self.reports.append, clock=self.clock)
        await replica.look()
        return replica

    async def front(self, database: Directory, **ages: float) -> FrontDirectory:
        """A directory in front of ``database``; it doesn't refresh by itself."""
        limits = {"accept_max_age": ACCEPT_MAX_AGE, "deny_max_age": DENY_MAX_AGE, **ages}
        return FrontDirectory(await self.open(), database, self.feeder, **limits)
