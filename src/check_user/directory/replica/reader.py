"""A replica in use: follows the file, and answers without waiting.

The file is looked at every POLL seconds (a stat). Another generation in its place is opened and
verified in a thread of its own, while the one before goes on: its file is still there for us, and
unchanged. But a file that was written in place (``cp``, a restored backup) is dropped at once, and
taken up again only when it verifies.

Until a generation is open, nothing is known here and nothing can be proven: the database decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from check_user.address import Address, Domain
from check_user.directory import Presence, Unavailable
from check_user.directory.replica.clock import Clock
from check_user.directory.replica.generation import Generation, open_generation
from check_user.directory.replica.schema import Meta
from check_user.directory.replica.since import Since, read_since
from check_user.directory.replica.trust import Identity, Unusable, beside, identity

POLL = 0.25
"""Seconds; a generation that was replaced keeps its disk space no longer than this."""

Report = Callable[[str], None]

WORDS = {presence.value: presence for presence in Presence}


class Replica:
    """The replica at ``path``, as far as it was listed from ``source``.

    ``report`` takes a line when it can be used, and when it no longer can; ``damaged`` is called
    when it should be built anew.
    """

    def __init__(
        self,
        path: Path,
        source: str,
        *,
        report: Report,
        damaged: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
    ) -> None:
        self.path = path
        self.source = source
        self.clock = clock or Clock()
        self.damaged = damaged
        self._report = report
        self._generation: Generation | None = None
        self._since: Since | None = None
        self._seen: Identity | None = None
        self._seen_since: Identity | None = None
        self._trouble = "it wasn't looked at yet"
        self._thread = ThreadPoolExecutor(1, "replica")
        self._looking = asyncio.Lock()
        self._polling: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Follow the file from now on."""
        self._polling = asyncio.create_task(self._poll())

    async def aclose(self) -> None:
        """Let go of the file."""
        if self._polling is not None:
            self._polling.cancel()
            with suppress(asyncio.CancelledError):
                await self._polling
        self._drop("closed")
        self._thread.shutdown(wait=False)

    # What is known

    @property
    def meta(self) -> Meta | None:
        """What the open generation says of itself; None while none is open."""
        return self._generation.meta if self._generation else None

    @property
    def trouble(self) -> str:
        """Why it can't be used; empty while it can."""
        return "" if self._generation else self._trouble

    def age(self) -> float | None:
        """Seconds since the last listing with these rows began; None where nobody can know."""
        return self.clock.age(self._since.listed) if self._since else None

    def find(self, address: Address) -> Presence | None:
        """What is listed for an address; None where nothing is, or nothing that can be told."""
        generation = self._generation
        if generation is None:
            return None
        try:
            word = generation.presence(address.key)
            if word is None and self._since is not None and address.key in self._since.known:
                return Presence.KNOWN
            if word is None and not generation.plain:
                word = generation.others(address.domain.key)
        except Unusable as error:
            self._give_up(error)
            return None
        return WORDS.get(word) if word is not None else None

    def find_domain(self, domain: Domain) -> Presence | None:
        """KNOWN for a domain of ours; None where it isn't listed, or the source has to be asked."""
        generation = self._generation
        if generation is None:
            return None
        try:
            others = generation.others(domain.key)
        except Unusable as error:
            self._give_up(error)
            return None
        return Presence.KNOWN if others in WORDS else None

    def prove(self, address: Address) -> Presence:
        """The listing's answer, proven row by row: absence too.

        Raises Unavailable where it can't be proven, or the source alone can tell.
        """
        generation = self._intact()
        try:
            word = generation.proven_presence(address.key)
            if word is None and self._since is not None and address.key in self._since.known:
                return Presence.KNOWN
            if word is None:
                word = generation.proven_others(address.domain.key)
        except Unusable as error:
            self._give_up(error)
            raise Unavailable(f"the replica: {error}") from None
        return self._told(Presence.FOREIGN.value if word is None else word)

    def prove_domain(self, domain: Domain) -> Presence:
        """As :meth:`prove`: KNOWN or FOREIGN."""
        generation = self._intact()
        try:
            others = generation.proven_others(domain.key)
        except Unusable as error:
            self._give_up(error)
            raise Unavailable(f"the replica: {error}") from None
        if others is None:
            return Presence.FOREIGN
        self._told(others)
        return Presence.KNOWN

    def _told(self, word: str) -> Presence:
        if word not in WORDS:
            raise Unavailable("the replica: the database has to be asked")
        return WORDS[word]

    def _intact(self) -> Generation:
        """The open generation, if its file is still what was verified. Raises Unavailable."""
        if self._generation is not None and _identity(self.path) != self._generation.identity:
            self._watch()
        if self._generation is None:
            raise Unavailable(f"the replica: {self._trouble}")
        return self._generation

    # Following the file

    async def look(self) -> None:
        """Take up what is there now, if it has changed."""
        async with self._looking:
            self._watch()
            if self._seen != _identity(self.path):
                await self._open()
            since = _identity(beside(self.path, "since"))
            if self._generation is not None and since != self._seen_since:
                self._since = await self._read_since(self._generation.meta)
                self._seen_since = since

    async def _poll(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(POLL)

    def _watch(self) -> None:
        """Drop a generation whose own file was written to."""
        if self._generation is None:
            return
        now, then = _identity(self.path), self._generation.identity
        if now is not None and now != then and now[:2] == then[:2]:
            self._give_up(Unusable("its file was written in place"))

    async def _open(self) -> None:
        self._seen = _identity(self.path)
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._thread, open_generation, self.path)
        except Unusable as error:
            self._refuse(error)
            return
        if found.meta.source != self.source:
            found.close()
            self._refuse(Unusable(f"{self.path} was listed from another source"))
            return
        since = await self._read_since(found.meta)
        first = self._generation is None
        self._drop("")
        self._generation, self._since, self._seen_since = found, since, None
        if first:
            meta = found.meta
            what = f"{meta.recipients} recipients, {meta.domains} domains"
            self._report(f"the replica is in use: generation {meta.number}, {what}")

    async def _read_since(self, meta: Meta) -> Since:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, read_since, self.path, meta)

    def _refuse(self, error: Unusable) -> None:
        """What lies there can't be used. What is open can, while its file is another."""
        if self._generation is None:
            self._note(str(error))
        else:
            self._report(f"the replica's new file can't be used: {error}")
        self.damaged()

    def _give_up(self, error: Unusable) -> None:
        self._note(str(error))
        self._drop(str(error))
        self._seen = None
        self.damaged()

    def _note(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._report(f"the replica can't be used: {trouble}")

    def _drop(self, trouble: str) -> None:
        if self._generation is not None:
            self._generation.close()
            self._generation = None
        self._trouble = trouble or self._trouble


def _identity(path: Path) -> Identity | None:
    try:
        return identity(path.lstat())
    except OSError:
        return None
