"""A directory that couldn't be opened yet: tried again until it can.

So that a service with a usable replica starts while the database is away. Until then every question
is Unavailable, at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from check_user.address import Address, Domain
from check_user.directory import (
    Directory,
    Misconfigured,
    Presence,
    Status,
    Trace,
    Unavailable,
)

PAUSE = 1.0
"""Seconds between two tries; each may take a few itself."""


class LateDirectory:
    """Opens a directory by ``opening``, for as long as that takes; ``cause`` is why it wasn't yet.

    ``report`` takes a line when it is open, and when the cause becomes another.
    """

    def __init__(
        self,
        opening: Callable[[], Awaitable[Directory]],
        cause: str,
        report: Callable[[str], None],
    ) -> None:
        self._opening = opening
        self._cause = cause
        self._report = report
        self._open: Directory | None = None
        self._trying = asyncio.create_task(self._try())

    async def find(self, address: Address, trace: Trace | None = None) -> Presence:
        """See :class:`check_user.directory.Directory`."""
        return await self._opened().find(address, trace)

    async def find_domain(self, domain: Domain, trace: Trace | None = None) -> Presence:
        """See :class:`check_user.directory.Directory`."""
        return await self._opened().find_domain(domain, trace)

    def status(self) -> Status:
        """See :class:`check_user.directory.Directory`."""
        if self._open is not None:
            return self._open.status()
        return Status(available=False, sentence=f"can't be asked: {self._cause}")

    async def aclose(self) -> None:
        """See :class:`check_user.directory.Directory`."""
        self._trying.cancel()
        with suppress(asyncio.CancelledError):
            await self._trying
        if self._open is not None:
            await self._open.aclose()

    def _opened(self) -> Directory:
        if self._open is None:
            raise Unavailable(self._cause)
        return self._open

    async def _try(self) -> None:
        self._report(f"the database can't be asked: {self._cause}")
        while self._open is None:
            await asyncio.sleep(PAUSE)
            try:
                self._open = await self._opening()
            except (Unavailable, Misconfigured) as error:
                if str(error) != self._cause:
                    self._cause = str(error)
                    self._report(f"the database can't be asked: {self._cause}")
        self._report("the database can be asked now")
