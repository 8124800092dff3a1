"""Asking the check from code that may block: ``check-user lookup``.

The event loop has a thread of its own. So output that blocks (``| less``) or input that is slow
never stops the clock of a lookup, and no lookup is a fault because somebody read slowly.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from check_user.address import Address, Domain
from check_user.app.build import Report, build_check, open_directory
from check_user.check import Check, Decision
from check_user.config import Settings
from check_user.directory import Directory, Presence, Status, Step, Trace, Unavailable

PATIENCE = 5.0
"""Seconds that the directory has to let go; a driver that doesn't must not keep the command."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A decision, how it was come to, and how long that took."""

    asked: str
    decision: Decision
    steps: tuple[Step, ...]
    milliseconds: float


Ask = Callable[[str], "Future[Answer]"]


@contextmanager
def asking(settings: Settings, report: Report) -> Iterator[Ask]:
    """Open the directory, and give a function that starts a lookup and may be called anywhere.

    Raises Misconfigured. Without a database every answer that needs it is a fault, as it would be
    for a mail server.
    """
    asked: set[asyncio.Task[Any] | None] = set()
    opened: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, Check]] = Future()

    async def work() -> None:
        try:
            directory = await _open(settings, report)
        except Exception as error:  # noqa: BLE001 - handed on to whoever waits, in the other thread
            opened.set_exception(error)
            return
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        opened.set_result((loop, over, build_check(settings, directory)))
        await over.wait()
        # Whoever read the answers may have gone; what was asked ends by its own deadline.
        await asyncio.gather(*filter(None, asked))
        await directory.aclose()

    async def decide(check: Check, text: str) -> Answer:
        task = asyncio.current_task()
        asked.add(task)
        try:
            return await _decide(check, text)
        finally:
            asked.discard(task)

    thread = threading.Thread(target=asyncio.run, args=(work(),), name="lookups", daemon=True)
    thread.start()
    loop, over, check = opened.result()
    try:
        yield lambda text: asyncio.run_coroutine_threadsafe(decide(check, text), loop)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(PATIENCE)


async def _decide(check: Check, text: str) -> Answer:
    steps: list[Step] = []
    started = time.perf_counter()
    decision = await check.recipient(text, steps.append)
    return Answer(text, decision, tuple(steps), (time.perf_counter() - started) * 1000)


async def _open(settings: Settings, report: Report) -> Directory:
    try:
        return await open_directory(settings, report, feeds=False)
    except Unavailable as error:
        return _Away(str(error))


class _Away:
    """The directory while no database can be reached."""

    def __init__(self, cause: str) -> None:
        self._cause = cause

    async def find(self, address: Address, trace: Trace | None = None) -> Presence:
        raise Unavailable(self._cause)

    async def find_domain(self, domain: Domain, trace: Trace | None = None) -> Presence:
        raise Unavailable(self._cause)

    def status(self) -> Status:
        return Status(available=False, sentence=self._cause)

    async def aclose(self) -> None:
        return
