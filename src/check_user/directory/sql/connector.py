"""The connector: the way to the servers, by our own clock.

A list of hosts is tried in turn, beginning with the one that answered last; while that isn't the
first of the list, the first is tried again every ``HOMESICK`` seconds. A connection counts only
when it has answered the real statement. No more than ``CONNECTIONS_A_SECOND`` are begun, so that a
server that comes and goes isn't stormed.

Drivers promise timeouts and keep them badly: while a server is frozen its kernel still accepts
connections, and the handshake never ends. So an attempt runs beside us and is left behind when its
time is over; should it succeed later, what it opened is closed.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from check_user.directory import Misconfigured, Unavailable
from check_user.directory.sql.drivers import Endpoint
from check_user.directory.sql.faults import describe
from check_user.directory.sql.session import Opener, Session
from check_user.directory.sql.templates import Report

CONNECTIONS_A_SECOND = 8
HOMESICK = 5.0

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 0.7
"""Seconds between two tries of :meth:`Connector.reopen`: doubled each time, with jitter."""

SIDE_BY_SIDE = 4
"""Tries that may hang at the same time: after a thaw the first of them is through at once."""


class Connector:
    """Opens sessions on the first endpoint that answers.

    ``opener`` opens one and has no deadline; ``prove`` asks it the real statement. An
    endpoint that is not the last resort gets ``soft`` seconds, the only one gets ``timeout``.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        opener: Opener,
        prove: Callable[[Session], Awaitable[None]],
        *,
        soft: float,
        timeout: float,
        report: Report,
    ) -> None:
        self._endpoints = tuple(endpoints)
        self._opener = opener
        self._prove = prove
        self._patience = timeout if len(self._endpoints) == 1 else soft
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._preferred = 0
        self._left: set[asyncio.Task[Session]] = set()
        self._begun: deque[float] = deque(maxlen=CONNECTIONS_A_SECOND)

    @property
    def current(self) -> Endpoint:
        """The endpoint that is asked now."""
        return self._endpoints[self._preferred]

    @property
    def is_home(self) -> bool:
        """Whether that is the first of the list."""
        return self._preferred == 0

    def turn_from(self, endpoint: Endpoint, why: str) -> None:
        """Prefer the next endpoint, if ``endpoint`` is the current one and there is another."""
        if len(self._endpoints) > 1 and endpoint == self.current:
            self._prefer((self._preferred + 1) % len(self._endpoints), why)

    def _prefer(self, index: int, why: str) -> None:
        before, self._preferred = self.current, index
        self._report(f"database host {before} {why}; asking {self.current}")

    async def open(self, patience: float | None = None) -> Session:
        """Open and prove a session at the current endpoint, or at the next that answers.

        ``patience`` is in seconds, for each endpoint. Raises Unavailable with every endpoint's
        cause; its ``__cause__`` is the last one's error.
        """
        await self._pace()
        causes: list[str] = []
        last: BaseException | None = None
        first = self._preferred
        for step in range(len(self._endpoints)):
            index = (first + step) % len(self._endpoints)
            try:
                session = await self._open_within(
                    self._endpoints[index], patience or self._patience
                )
            except Unavailable as error:
                causes.append(str(error))
                last = error.__cause__
                continue
            if index != self._preferred:
                self._prefer(index, f"can't be used ({causes[-1]})" if causes else "is left")
            return session
        raise Unavailable("; ".join(causes)) from last

    async def reopen(self, failed: Callable[[str], None]) -> Session:
        """Try until it works; ``failed`` is told the cause of each try that didn't."""
        tries: set[asyncio.Task[Session]] = set()
        pause = FIRST_PAUSE
        try:
            while True:
                if len(tries) < SIDE_BY_SIDE:
                    tries.add(asyncio.create_task(self.open()))
                step = pause * random.uniform(0.7, 1.3)  # noqa: S311 - jitter, not a secret
                begun = self._loop.time()
                done, tries = await asyncio.wait(
                    tries, timeout=step, return_when=asyncio.FIRST_COMPLETED
                )
                opened = [attempt for attempt in done if attempt.exception() is None]
                if opened:
                    tries.update(opened[1:])
                    return opened[0].result()
                for attempt in done:
                    failed(str(attempt.exception()))
                await asyncio.sleep(begun + step - self._loop.time())
                pause = min(pause * 2, LONGEST_PAUSE)
        finally:
            for attempt in tries:
                self._leave(attempt)

    async def come_home(self) -> Session | None:
        """Wait until the first endpoint answers again, and prefer it; None if it is already so."""
        while not self.is_home:
            await asyncio.sleep(HOMESICK * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
            try:
                session = await self._open_within(self._endpoints[0], self._patience)
            except Unavailable:
                continue
            if not self.is_home:
                self._prefer(0, "is left: the first one answers again")
            return session
        return None

    async def _pace(self) -> None:
        """Wait until a new connection may begin."""
        now = self._loop.time()
        full = len(self._begun) == CONNECTIONS_A_SECOND
        begin = max(now, self._begun[0] + 1.0) if full else now
        self._begun.append(begin)  # at once, so that nobody else takes this place
        await asyncio.sleep(begin - now)

    async def _open_within(self, endpoint: Endpoint, seconds: float) -> Session:
        opening = asyncio.create_task(self._open_proven(endpoint))
        try:
            await asyncio.wait({opening}, timeout=seconds)
        except asyncio.CancelledError:
            self._leave(opening)  # also where it is open since a moment ago
            raise
        if not opening.done():
            self._leave(opening)
            raise Unavailable(f"{endpoint}: no connection in {seconds:.1f} s")
        error = opening.exception()
        if error is None:
            return opening.result()
        if isinstance(error, Misconfigured):
            raise Unavailable(str(error)) from error
        raise Unavailable(f"{endpoint}: {describe(error)}") from error

    async def _open_proven(self, endpoint: Endpoint) -> Session:
        session = await self._opener(endpoint)
        try:
            await self._prove(session)
        except BaseException:
            session.abort()
            raise
        return session

    def _leave(self, attempt: asyncio.Task[Session]) -> None:
        """Let an attempt go without waiting for it; what it opens after all is closed."""
        attempt.cancel()
        self._left.add(attempt)
        attempt.add_done_callback(self._close_late)

    def _close_late(self, attempt: asyncio.Task[Session]) -> None:
        self._left.discard(attempt)
        if not attempt.cancelled() and attempt.exception() is None:
            attempt.result().abort()

    async def close(self) -> None:
        """Give the attempts and the drivers' threads that were left behind a second to end."""
        ending = self._left | self._opener.ending
        if ending:
            await asyncio.wait(ending, timeout=1.0)
