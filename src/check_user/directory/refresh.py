"""Refreshing: the one who lists the database and writes the replica.

A round: list everything into a draft; where its rows are those of the generation in place, say that
they were confirmed; else put the draft in its place. The file in place is verified in each round,
row by row, so damage is found within a round wherever it is.

A mass change is a fault until somebody confirms it (rule V7): a listing without a recipient or a
domain, without a fifth of the users or without a domain that was there is refused, whatever the
database meant by it. The old generation stays, and grows older; ``accept_loss`` takes the new one.

Rounds begin ``every`` seconds, but listing takes a twentieth of the time at most (:class:`Pace`).
After a failure the next one comes within RETRY seconds, as far as that allows.

Between rounds, the recipients that the database knew and the replica didn't (:meth:`Feeder.note`)
are written beside the generation.

Every process that serves has a Feeder, and one of them does the rounds: the one that holds the lock
``REPLICA.feeder``. When it ends, another takes over within STEP seconds. Whoever writes something,
the others or ``check-user replica build`` too, holds ``REPLICA.lock`` meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from check_user.directory import Misconfigured, Unavailable
from check_user.directory.listing import OpenListing
from check_user.directory.replica import (
    Busy,
    Clock,
    Difference,
    Draft,
    Lock,
    Meta,
    Stamp,
    Trouble,
    Unusable,
    open_generation,
    peek,
    read_since,
    write_since,
)

SHARE = 20
"""A listing takes one part in so many of the time."""

STEP = 1.0
"""Seconds between two tries to become the one who does the rounds."""

RETRY = 5.0
"""Seconds after which a round that failed is tried again."""

MOST_DOUBLED = 10
"""Doublings of RETRY: more than an hour."""

GATHER = 1.0
"""Seconds for which noted recipients are gathered before they are written."""

NOTED = 10_000
"""Recipients that are noted at a time; more are noted when they are asked for again."""

LOSS = 5
"""One in so many users may be gone in one round."""

Progress = Callable[[int, int], None]
"""Takes the rows so far, and how many there are in all."""

Report = Callable[[str], None]

ResultT = TypeVar("ResultT")


class Refused(Exception):
    """The listing lacks too much to be believed. One line, with what to do."""


@dataclass(frozen=True, slots=True)
class Round:
    """What came of a round: the generation in place, whether it is a new one, and what it changed.

    ``difference`` is None where there is nothing to compare with. ``seconds`` is what it took.
    """

    meta: Meta
    is_new: bool
    difference: Difference | None
    seconds: float

    def __str__(self) -> str:
        """Write one line."""
        meta = self.meta
        parts = [f"{meta.recipients} recipients, {meta.domains} domains"]
        if not self.is_new:
            parts.append("unchanged")
        elif self.difference is not None:
            parts.append(str(self.difference))
        if meta.skipped:
            parts.append(f"{meta.skipped} rows are no addresses, '{meta.example}' for one")
        return f"generation {meta.number}: {'; '.join(parts)}; listed in {self.seconds:.1f} s"


class Pace:
    """How long to rest after a round, so that listing takes a twentieth of the time at most.

    What a frozen database costs in time isn't work, and mustn't keep us from it for minutes once it
    answers again. So to wait in vain for a connection doesn't count; after other failures the rest
    begins with RETRY seconds and doubles each time; and a round that took more than twice as long
    as the one before counts as twice as long: a second one in a row counts in full.
    """

    def __init__(self) -> None:
        self._usual = float("inf")
        self._failures = 0

    def rest(self, took: float, opening: float, *, done: bool) -> float:
        """Seconds after a round that took so long, of these ``opening`` until it had a listing."""
        if done:
            counted, self._usual, self._failures = min(took, 2 * self._usual), took, 0
            return counted * (SHARE - 1)
        self._failures = min(self._failures + 1, MOST_DOUBLED)
        return min((took - opening) * (SHARE - 1), RETRY * 2.0 ** (self._failures - 1))


class Feeder:
    """Keeps the replica at ``path`` fresh from what ``open_listing`` gives.

    ``source`` names the database and its tables: a generation of another source is no measure of
    loss. ``report`` takes a line when something goes wrong, and when it is right again.
    """

    def __init__(
        self,
        path: Path,
        source: str,
        open_listing: OpenListing,
        *,
        every: float,
        report: Report,
        clock: Clock | None = None,
    ) -> None:
        self._path = path
        self._source = source
        self._open_listing = open_listing
        self._every = every
        self._report = report
        self._clock = clock or Clock()
        self._thread = ThreadPoolExecutor(1, "feeder")
        self._noted: dict[str, float] = {}
        self._wanted = asyncio.Event()
        self._last_trouble = ""
        self._opening = 0.0

    async def run(self) -> None:
        """Write what is noted for ever, and do the rounds as soon as nobody else does."""
        writing = asyncio.create_task(self._write_noted())
        try:
            while True:
                try:
                    with Lock(self._path, "feeder"):
                        await self._go_round()
                except Busy:  # another process does the rounds
                    pass
                except Unusable as error:
                    self._complain(f"the replica couldn't be written: {error}")
                await asyncio.sleep(STEP)
        finally:
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing
            self._thread.shutdown(wait=False)

    def wake(self) -> None:
        """Begin the next round as soon as listing's share of the time allows."""
        self._wanted.set()

    def note(self, key: str) -> None:
        """Take a recipient that the database knows and the replica doesn't."""
        if len(self._noted) < NOTED:
            self._noted[key] = self._clock.seconds()

    async def refresh(
        self, *, accept_loss: bool = False, progress: Progress | None = None
    ) -> Round:
        """Do one round.

        Raises Unavailable or Misconfigured (the database), Refused (the loss), Busy (another
        writer), Unusable or Trouble (the file).
        """
        with Lock(self._path):
            listed = self._clock.now()
            before = await self._in_thread(self._in_place)
            async with self._draft() as draft:
                after = await self._fill(draft, before, listed, progress)
                is_new = before is None or not _are_alike(before, after)
                difference = None
                if before is not None and is_new and before.source == self._source:
                    difference = await self._in_thread(draft.compare, self._path)
                if not accept_loss:
                    require_plausible(after, difference)
                await self._in_thread(self._conclude, draft, before, after, is_new)
            meta = after if is_new or before is None else before
            return Round(meta, is_new, difference, self._clock.seconds() - listed.seconds)

    async def compare(self, progress: Progress | None = None) -> Difference:
        """List the database, and tell what it has otherwise than the replica; change nothing.

        Raises as :meth:`refresh`; Unusable too where there is no replica.
        """
        with Lock(self._path):
            before = await self._in_thread(_verified, self._path)
            async with self._draft() as draft:
                await self._fill(draft, before, self._clock.now(), progress)
                return await self._in_thread(draft.compare, self._path)

    # Rounds

    async def _go_round(self) -> None:
        await self._wait(await self._in_thread(self._until_due))
        pace = Pace()
        while True:
            begun = self._clock.seconds()
            self._opening = 0.0
            done = await self._try()
            took = self._clock.seconds() - begun
            rest = pace.rest(took, self._opening, done=done)
            await asyncio.sleep(rest)
            await self._wait((self._every if done else min(self._every, RETRY)) - took - rest)

    async def _try(self) -> bool:
        """Do a round and tell what came of it; whether it was done."""
        self._wanted.clear()
        try:
            done = await self.refresh()
        except Refused as error:
            self._complain(f"a listing was refused: {error}")
            await self._in_thread(self._note_refusal, str(error))
        except (Unavailable, Misconfigured) as error:
            self._complain(f"the database couldn't be listed: {error}")
        except (Busy, Unusable, Trouble, OSError) as error:
            self._complain(f"the replica couldn't be written: {error}")
        else:
            if self._last_trouble:
                self._report(f"the replica is kept fresh again: {done}")
            self._last_trouble = ""
            return True
        return False

    def _complain(self, trouble: str) -> None:
        """Tell what is wrong, once as long as it stays the same."""
        if trouble != self._last_trouble:
            self._last_trouble = trouble
            self._report(trouble)

    @asynccontextmanager
    async def _draft(self) -> AsyncIterator[Draft]:
        """A draft that leaves nothing behind, whatever ends the block."""
        draft: Draft = await self._in_thread(Draft, self._path)
        try:
            yield draft
        finally:
            draft.interrupt()
            await asyncio.shield(self._in_thread(draft.discard))

    async def _fill(
        self, draft: Draft, before: Meta | None, listed: Stamp, progress: Progress | None
    ) -> Meta:
        begun = self._clock.seconds()
        try:
            listing = await self._open_listing()
        finally:
            self._opening = self._clock.seconds() - begun
        try:
            async with aclosing(listing.domains()) as batches:
                async for entries in batches:
                    await self._in_thread(draft.add_domains, entries)
            total = await listing.count() if progress else 0
            rows = 0
            async with aclosing(listing.recipients()) as batches:
                async for entries in batches:
                    await self._in_thread(draft.add_recipients, entries)
                    rows += len(entries)
                    if progress:
                        progress(rows, total)
        finally:
            await listing.aclose()
        took = self._clock.seconds() - listed.seconds
        describe = (before, self._source, listed, took, listing.skipped)
        return await self._in_thread(draft.finish, *describe)

    async def _in_thread(self, work: Callable[..., ResultT], *arguments: object) -> ResultT:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(work, *arguments))

    # What is in place

    def _until_due(self) -> float:
        """Seconds until the generation in place, if there is one of ours, is to be looked after."""
        try:
            meta = peek(self._path)
        except Unusable:
            return 0.0
        age = self._clock.age(read_since(self._path, meta).listed)
        return 0.0 if age is None or meta.source != self._source else self._every - age

    def _in_place(self) -> Meta | None:
        """The generation in place, every row of it verified; None where it is of no use."""
        try:
            return _verified(self._path)
        except Unusable as error:
            if self._path.exists():
                self._report(f"the replica is built anew: {error}")
            return None

    def _conclude(self, draft: Draft, before: Meta | None, after: Meta, is_new: bool) -> None:
        """Put the draft in place, or confirm what is there."""
        since = read_since(self._path, before or after).confirmed(after.listed)
        if is_new:
            draft.install()
        write_since(self._path, after if is_new or before is None else before, since)

    def _note_refusal(self, why: str) -> None:
        with suppress(Busy, Unusable, OSError), Lock(self._path):
            meta = peek(self._path)
            write_since(self._path, meta, replace(read_since(self._path, meta), refused=why))

    # Between rounds

    async def _write_noted(self) -> None:
        while True:
            await asyncio.sleep(GATHER)
            if self._noted:
                noted, self._noted = self._noted, {}
                if not await self._in_thread(self._keep, noted):
                    self._noted = noted | self._noted

    def _keep(self, noted: dict[str, float]) -> bool:
        """Write noted recipients down; False where the replica is being written."""
        with suppress(Unusable, OSError):
            try:
                with Lock(self._path):
                    meta = peek(self._path)
                    since = read_since(self._path, meta)
                    write_since(self._path, meta, since.with_known(noted))
            except Busy:
                return False
        return True

    async def _wait(self, seconds: float) -> None:
        """Wait for that long, or until somebody wants a round."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wanted.wait(), max(seconds, 0.0))


def require_plausible(after: Meta, difference: Difference | None) -> None:
    """Refuse a listing that lacks too much (rule V7). Raises Refused."""
    loss = ""
    if not after.recipients or not after.domains:
        loss = f"{after.recipients} recipients and {after.domains} domains were found"
    elif difference is not None and difference.gone_domains.number:
        loss = f"domains are gone: {difference.gone_domains}"
    elif difference is not None and difference.gone.number * LOSS > difference.users_before:
        loss = f"of {difference.users_before} users are gone: {difference.gone}"
    if loss:
        raise Refused(
            f"{loss}; the replica stays as it was. If that is meant: "
            "check-user replica build --accept-loss"
        )


def _verified(path: Path) -> Meta:
    generation = open_generation(path)
    generation.close()
    return generation.meta


def _are_alike(before: Meta, after: Meta) -> bool:
    return (before.source, before.content) == (after.source, after.content)
