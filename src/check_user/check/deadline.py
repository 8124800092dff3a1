"""The deadline of a lookup, by our own clock, for thousands of lookups at a time.

    within = Deadline(2.9)
    presence = await within(directory.find(address))      # or TimeoutError after 2.9 seconds

All that one Deadline watches have the same time, so who began first is over first: they stand in
line, and one timer looks after the head of the line. Most are long done when it does. This costs a
fifth of ``asyncio.timeout``, which has a timer for each, and needs no task to cancel: what is
cancelled is the future that the lookup waits for, wherever in it that is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

ResultT = TypeVar("ResultT")


class Deadline:
    """Gives every coroutine that it is called with ``seconds``."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._line: deque[_Watched[Any]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, work: Coroutine[Any, Any, ResultT]) -> _Watched[ResultT]:
        """Give an awaitable of the result; awaiting it raises TimeoutError when time is up."""
        line = self._line
        while line and line[0].over:
            line.popleft()
        loop = asyncio.get_running_loop()
        watched = _Watched(work, loop.time() + self._seconds)
        line.append(watched)
        if self._timer is None:
            self._timer = loop.call_at(watched.until, self._look, loop)
        return watched

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """End those whose time is up, and look again when the next one's is."""
        self._timer = None
        now = loop.time()
        line = self._line
        while line and (line[0].over or line[0].until <= now):
            line.popleft().expire()
        if line:
            self._timer = loop.call_at(line[0].until, self._look, loop)


class _Watched(Generic[ResultT]):
    """A coroutine that can be ended from outside."""

    __slots__ = ("_expired", "_waits_for", "_work", "over", "until")

    def __init__(self, work: Coroutine[Any, Any, ResultT], until: float) -> None:
        self.until = until
        self.over = False
        self._work = work
        self._waits_for: asyncio.Future[Any] | None = None
        self._expired = False

    def expire(self) -> None:
        """Cancel what it waits for, if it isn't over."""
        if not self.over:
            self._expired = True
            if self._waits_for is not None:
                self._waits_for.cancel()

    def __await__(self) -> Generator[Any, None, ResultT]:
        """Drive the coroutine; every future that it waits for passes by here."""
        try:
            return (yield from self._drive())
        except asyncio.CancelledError:
            if self._expired:
                raise TimeoutError from None
            raise
        finally:
            self.over = True
            self._work.close()

    def _drive(self) -> Generator[Any, None, ResultT]:
        work = self._work
        error: BaseException | None = None
        while True:
            try:
                self._waits_for = work.send(None) if error is None else work.throw(error)
            except StopIteration as stop:
                result: ResultT = stop.value
                return result
            error = None
            try:
                yield self._waits_for
            except GeneratorExit:
                raise
            except BaseException as thrown:  # noqa: BLE001 - handed on to the coroutine, as yield from does
                error = thrown
