"""The life of the service: start, signals, end. What it does in each is its heirs' affair.

- **Start**: everything is proven before anybody is served. What fails is raised, and nothing is
  left behind; until then nothing is written, so that such an error is the one line on stderr.
- **SIGHUP**: a new configuration is tried beside the one that runs. When it fails, one line in the
  log says why, and everything stays as it was. Signals that come meanwhile make one reload more,
  and there is at most one a second.
- **SIGTERM, SIGINT**: no new clients; what was asked is answered, for a few seconds at most.
"""

from __future__ import annotations

import asyncio
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from check_user import __version__
from check_user.app.notify import Notifier
from check_user.config import ConfigError

PAUSE = 1.0
"""Seconds between two reloads: a new directory connects before the old one lets go."""


class Lifecycle(ABC):
    """Serves the configuration in ``path`` until a signal ends it; says ``started`` once."""

    def __init__(self, path: Path, started: Callable[[], None]) -> None:
        """Prepare; :meth:`run` does everything."""
        self.path = path
        self._started = started
        self._notifier = Notifier()
        self._hangup = asyncio.Event()
        self._end = asyncio.Event()

    async def run(self) -> None:
        """Start, serve, and end. Raises ConfigError, Misconfigured, Unavailable at the start."""
        tasks: list[asyncio.Task[None]] = []
        try:
            await self.start()
            self._handle_signals()
            self._say("serving")
            self._started()
            tasks = [asyncio.create_task(self._notifier.live())]
            tasks.append(asyncio.create_task(self._reload_on_hangup()))
            await self._end.wait()
            self.say("stopping")
            self._notifier.stopping()
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await self.stop()
            self._notifier.close()

    @abstractmethod
    async def start(self) -> None:
        """Serve, or raise. :meth:`stop` follows in any case."""

    @abstractmethod
    async def reload(self) -> None:
        """Serve what the configuration says now, or raise and change nothing."""

    @abstractmethod
    async def stop(self) -> None:
        """Let go of everything that there is."""

    @abstractmethod
    def say(self, text: str) -> None:
        """Put a line into the log."""

    @abstractmethod
    def report(self, text: str) -> None:
        """Put a warning into the log."""

    @abstractmethod
    def addresses(self) -> str:
        """Every door and where it is."""

    def _say(self, what: str) -> None:
        self.say(f"check_user {__version__} {what} {self.path}: {self.addresses()}")
        self._notifier.ready()

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._hangup.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end.set)

    async def _reload_on_hangup(self) -> None:
        while await self._hangup.wait():
            self._hangup.clear()
            self._notifier.reloading()
            try:
                await self.reload()
            except Exception as error:  # noqa: BLE001 - a door to the outside: what runs stays
                kind = "" if isinstance(error, ConfigError) else f"{type(error).__name__}: "
                self.report(f"not reloaded, everything stays as it was: {kind}{error}")
                self._notifier.ready()
            else:
                self._say("reloaded")
            await asyncio.sleep(PAUSE)
