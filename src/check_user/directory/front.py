"""The directory in front: the replica first, then the database.

==========================  =====================================================================
the replica says            the answer
==========================  =====================================================================
it is there                 that, at once, without waiting, while the listing is younger than
                            ``accept_max_age``
anything else, or nothing   the database's. What it knows and the replica doesn't is noted
... with the database away  the replica's proof, while the listing is younger than
                            ``deny_max_age``; else Unavailable
==========================  =====================================================================

The database is away when its directory says so (the breaker is open, and nobody can be asked). A
question that merely failed, for too many of them at a time or a dropped table, is Unavailable: an
account made since the listing must not be refused while there is a database that has it.

A user who was deleted is known until the next listing; whom the database knows while the replica
still says otherwise (disabled a minute ago, enabled again) is known, since all but "there" is
confirmed. Answers of the database aren't kept: "unknown" is asked for each time (rule V8). Only
equal questions that come within JOIN seconds of each other share one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter

from check_user.address import Address, Domain
from check_user.directory import Directory, Presence, Status, Step, Trace, Unavailable
from check_user.directory.refresh import Feeder
from check_user.directory.replica import Replica

JOIN = 0.1
"""Seconds: how much older than its question an answer may be."""

THERE = frozenset(
    {
        Presence.KNOWN,
        Presence.BASE,
        Presence.ALIAS_DOMAIN,
        Presence.CATCH_ALL,
        Presence.RELAY,
    }
)
"""Answers that nobody has to confirm: a mail taken for who was there a minute ago is no harm."""

_KNOWN = Presence.KNOWN

RECIPIENT = "SELECT presence FROM recipients WHERE address = ?"
DOMAIN = "SELECT others FROM domains WHERE domain = ?"


@dataclass(slots=True)
class _Underway:
    """A question to the database: when it was asked, and those who wait for it besides."""

    begun: float
    waiting: list[asyncio.Future[Presence | None]] = field(default_factory=list)

    def settle(self, outcome: Presence | Unavailable | None) -> None:
        """Tell the others; None: whoever asked is gone, and they must ask for themselves."""
        for each in self.waiting:
            if each.done():
                continue
            if isinstance(outcome, Unavailable):
                each.set_exception(outcome)
            else:
                each.set_result(outcome)


class FrontDirectory:
    """Asks ``replica``, then ``database``; owns both.

    ``feeder``, if there is one, keeps the replica fresh as long as this directory is open, and is
    told whom the database knows beyond it. Ages are in seconds.
    """

    def __init__(
        self,
        replica: Replica,
        database: Directory,
        feeder: Feeder | None = None,
        *,
        accept_max_age: float,
        deny_max_age: float,
    ) -> None:
        self._replica = replica
        self._database = database
        self._feeder = feeder
        self._feeding: asyncio.Task[None] | None = None
        self._accept_max_age = accept_max_age
        self._deny_max_age = deny_max_age
        self._underway: dict[str, _Underway] = {}

    def start(self) -> None:
        """Follow the replica's file, and keep it fresh."""
        self._replica.start()
        if self._feeder is not None:
            self._replica.damaged = self._feeder.wake
            self._feeding = asyncio.create_task(self._feeder.run())

    def find_at_once(self, address: Address) -> Presence | None:
        """See :class:`check_user.directory.Prompt`: whoever the replica says is there."""
        if not self._is_younger(self._accept_max_age):
            return None
        presence = self._replica.find(address)
        return presence if presence is _KNOWN or presence in THERE else None

    async def find(self, address: Address, trace: Trace | None = None) -> Presence:
        """See :class:`check_user.directory.Directory`."""
        begun = perf_counter() if trace else 0.0
        presence = self._replica.find(address) if self._is_younger(self._accept_max_age) else None
        if trace:
            trace(self._step(RECIPIENT, address.key, presence, begun))
        if presence in THERE:
            return presence
        try:
            found = await self._confirm(address, trace)
        except Unavailable as error:
            return self._alone(error, lambda: self._replica.prove(address), address.key, trace)
        if found is Presence.KNOWN and self._feeder is not None and not self._replica.trouble:
            self._feeder.note(address.key)
        return found

    async def find_domain(self, domain: Domain, trace: Trace | None = None) -> Presence:
        """See :class:`check_user.directory.Directory`."""
        begun = perf_counter() if trace else 0.0
        listed = self._is_younger(self._accept_max_age)
        presence = self._replica.find_domain(domain) if listed else None
        if trace:
            trace(self._step(DOMAIN, domain.key, presence, begun))
        if presence is not None:
            return presence
        try:
            return await self._database.find_domain(domain, trace)
        except Unavailable as error:
            return self._alone(error, lambda: self._replica.prove_domain(domain), domain.key, trace)

    def status(self) -> Status:
        """See :class:`check_user.directory.Directory`."""
        database = self._database.status()
        trouble, age = self._replica.trouble, self._replica.age()
        if trouble:
            sentence = f"the replica can't be used: {trouble}"
        else:
            sentence = f"the replica is {shown_age(age)}"
        available = database.available or self._is_younger(self._accept_max_age)
        return Status(available, f"{database.sentence}; {sentence}")

    async def aclose(self) -> None:
        """See :class:`check_user.directory.Directory`."""
        if self._feeding is not None:
            self._feeding.cancel()
            with suppress(asyncio.CancelledError):
                await self._feeding
        await self._replica.aclose()
        await self._database.aclose()

    def _is_younger(self, limit: float) -> bool:
        age = self._replica.age()
        return age is not None and age < limit

    # Asking the database

    async def _confirm(self, address: Address, trace: Trace | None) -> Presence:
        """Ask the database, or share the question that somebody has asked a moment ago."""
        if trace is not None:
            return await self._database.find(address, trace)
        key, loop = address.key, asyncio.get_running_loop()
        underway = self._underway.get(key)
        if underway is not None and loop.time() - underway.begun < JOIN:
            answer: asyncio.Future[Presence | None] = loop.create_future()
            underway.waiting.append(answer)
            presence = await answer
            if presence is not None:
                return presence
        mine = self._underway[key] = _Underway(loop.time())
        try:
            presence = await self._database.find(address)
        except BaseException as error:
            mine.settle(error if isinstance(error, Unavailable) else None)
            raise
        finally:
            if self._underway.get(key) is mine:
                del self._underway[key]
        mine.settle(presence)
        return presence

    # Without the database

    def _alone(
        self, error: Unavailable, prove: Callable[[], Presence], key: str, trace: Trace | None
    ) -> Presence:
        """Give the replica's own answer, where it may. Raises Unavailable."""
        begun = perf_counter()
        if self._database.status().available:
            raise error
        age = self._replica.age()
        if age is None or age >= self._deny_max_age:
            why = self._replica.trouble or f"the replica is {shown_age(age)}"
            raise Unavailable(f"{error}; {why}")
        presence = prove()
        if trace:
            trace(self._step("proof: every row of a range", key, presence, begun))
        return presence

    def _step(self, query: str, key: str, presence: Presence | None, begun: float) -> Step:
        rows = (presence.value,) if presence is not None else ()
        age = self._replica.trouble or shown_age(self._replica.age())
        took = (perf_counter() - begun) * 1000
        return Step("replica", query, (key,), rows, f"replica ({age})", took)


def shown_age(age: float | None) -> str:
    """Write an age for people: ``12 s old``."""
    if age is None:
        return "of unknown age"
    for seconds, unit in ((86400, "days"), (3600, "hours"), (60, "min")):
        if age >= 2 * seconds:
            return f"{age / seconds:.0f} {unit} old"
    return f"{age:.0f} s old"
