"""A lookup under way: a coroutine that runs without a task.

A task costs as much as parsing the question: it is registered, copies the context, and begins only
in the next turn of the event loop. Lookups are many and short-lived, nobody needs to find them, and
one that can be answered at once should be. So the coroutine is driven here: the first step is taken
at once; then, whenever the future that it waits for is done, the next.

What runs so may await futures, tasks and whatever is made of them; ``asyncio.current_task()`` is
None in it, so that ``asyncio.timeout`` and the like are not for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

ResultT = TypeVar("ResultT")


class Running(Generic[ResultT]):
    """One coroutine. ``done(result, error)`` is called once, with None for one of the two."""

    __slots__ = ("_done", "_loop", "_waits_for", "_work")

    def __init__(
        self,
        work: Coroutine[Any, Any, ResultT],
        loop: asyncio.AbstractEventLoop,
        done: Callable[[ResultT | None, BaseException | None], None],
    ) -> None:
        """Make it ready; :meth:`step` begins."""
        self._work = work
        self._loop = loop
        self._done = done
        self._waits_for: asyncio.Future[Any] | None = None

    def step(self, _: object = None) -> None:
        """Run until it waits for something, or is done."""
        try:
            future = self._work.send(None)
        except StopIteration as stop:
            self._done(stop.value, None)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - a door to the outside: whoever asked is told
            self._done(None, error)
        else:
            self._waits_for = future
            if future is None:  # it only wants others to have a turn
                self._loop.call_soon(self.step)
            else:
                # What a task does with a future that ``await`` has handed to it.
                future._asyncio_future_blocking = False  # noqa: SLF001
                future.add_done_callback(self.step)

    def cancel(self) -> None:
        """End it; ``done`` isn't called."""
        self._done = _nobody
        if self._waits_for is not None:
            self._waits_for.remove_done_callback(self.step)
            self._waits_for.cancel()
        self._work.close()


def _nobody(_result: object, _error: object) -> None:
    return
