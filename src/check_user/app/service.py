"""The service: what ``check-user serve`` runs, from the first socket to the last answer.

- **Start**: the configuration is read, every socket bound and the directory opened; only then is
  anybody served. What fails is raised, and nothing is left behind.
- **SIGHUP**: the same again beside what runs. Only when all of it has succeeded does it take over:
  new lookups ask the new check, doors that stay keep their sockets and connections, new ones open,
  those that are gone are drained; a socket file that was removed is made anew. When it fails, one
  line in the log says why, and everything stays as it was. Signals that come meanwhile make one
  reload more, and there is at most one a second.
- **SIGTERM, SIGINT**: no new clients; what was asked is answered, for at most DRAIN seconds.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from check_user import __version__
from check_user.app.doors import CODECS, SMTP, Door
from check_user.app.generation import Generation, prove
from check_user.app.notify import Notifier
from check_user.check import Decision
from check_user.config import ConfigError, Settings
from check_user.protocols import Kind, Lookup
from check_user.servers.capacity import Capacity
from check_user.servers.listen import Endpoint, Listener
from check_user.servers.running import begin
from check_user.servers.stream import StreamServer
from check_user.servers.talk import Limits, Opening, plain
from check_user.telemetry import Forwarded, Journal, Level, Telemetry, writer
from check_user.verdict import Verdict

DRAIN = 5.0
"""Seconds that clients have to take their answers when a door closes."""

PAUSE = 1.0
"""Seconds between two reloads: a new directory connects before the old one lets go."""

STDERR = 2

_DOMAIN = Kind.DOMAIN


class Service:
    """Serves the configuration in ``path`` until a signal ends it; says ``started`` once."""

    def __init__(self, path: Path, started: Callable[[], None]) -> None:
        """Prepare; :meth:`run` does everything."""
        self._path = path
        self._started = started
        self._notifier = Notifier()
        self._capacity = Capacity.of_process()
        self._doors: dict[Endpoint, tuple[Door, StreamServer]] = {}
        self._early: list[str] = []
        self._hangup = asyncio.Event()
        self._end = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._journal: Journal | None = None

    async def run(self) -> None:
        """Start, serve, and end. Raises ConfigError, Misconfigured, Unavailable at the start.

        Until it serves it writes nothing, so that such an error is the one line on stderr.
        """
        self._now = await prove(self._path, (), self._report, self._judge)
        self._journal = journal = _journal(self._now.settings)
        self._telemetry = Telemetry(self._decide, journal)
        logging.basicConfig(handlers=[Forwarded(journal, threading.get_ident())], force=True)
        try:
            await self._open_doors(self._now)
            self._handle_signals()
            self._say_serving("serving")
            self._started()
            self._spawn(self._notifier.live())
            self._spawn(self._reload_on_hangup())
            await self._end.wait()
            journal.say(Level.INFO, "stopping")
            self._notifier.stopping()
        finally:
            await self._stop()
            journal.close()
            self._notifier.close()

    def _decide(self, lookup: Lookup) -> Awaitable[Decision]:
        """Ask the check of the moment: what every door holds, across reloads."""
        check = self._now.check
        if lookup.kind is _DOMAIN:
            return check.domain(lookup.text)
        return check.recipient(lookup.text)

    def _judge(self, lookup: Lookup) -> Verdict | Awaitable[Verdict]:
        """Decide about a recipient at the gateway; at once where nobody has to be asked."""
        return begin(self._telemetry.decide(SMTP)(lookup))

    def _report(self, text: str) -> None:
        """Take a line from below for the log, or for later while there is none."""
        if self._journal is None:
            self._early.append(text)
        else:
            self._journal.say(Level.WARNING, text)

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
                await self._reload()
            except Exception as error:  # noqa: BLE001 - a door to the outside: what runs stays
                kind = "" if isinstance(error, ConfigError) else f"{type(error).__name__}: "
                self._report(f"not reloaded, everything stays as it was: {kind}{error}")
            self._notifier.ready()
            await asyncio.sleep(PAUSE)

    async def _reload(self) -> None:
        before = self._now
        intact = {
            endpoint
            for endpoint, (_, server) in self._doors.items()
            if server.listener and server.listener.is_intact()
        }
        new = await prove(self._path, intact, self._report, self._judge)
        try:
            self._refuse_changed_doors(new)
            await self._open_doors(new)
        except BaseException:
            await new.discard()
            raise
        self._now = new
        self._close_doors_but(new)
        self._set_log(new.settings)
        self._spawn(_retire(before))
        self._say_serving("reloaded")

    def _refuse_changed_doors(self, new: Generation) -> None:
        """An open socket's clients speak its protocol: it can't become another door."""
        for endpoint, (open_door, _) in self._doors.items():
            door = new.doors.get(endpoint)
            if door and door.name != open_door.name:
                message = f"{door.listen.address} is {open_door.name!r} now; that needs a restart"
                raise ConfigError(self._path, door.listen.line, "listen", message)

    async def _open_doors(self, new: Generation) -> None:
        """Start a server for each new listener; one whose socket file was removed gets it."""
        started: list[Endpoint] = []
        try:
            for endpoint, listener in new.listeners.items():
                door = new.doors[endpoint]
                if endpoint not in self._doors:
                    self._doors[endpoint] = (door, self._server(door, new))
                    started.append(endpoint)
                self._start(new, door, listener)
        except BaseException:
            for endpoint in started:
                await self._doors.pop(endpoint)[1].drain(0)
            raise
        new.listeners.clear()
        for endpoint, (door, server) in self._doors.items():
            if endpoint in new.doors:
                server.opening, server.limits = self._terms(door, new)

    def _server(self, door: Door, new: Generation) -> StreamServer:
        opening, limits = self._terms(door, new)
        return StreamServer(
            opening,
            report=lambda text: self._report(f"{door.listen}: {text}"),
            capacity=self._capacity,
            limits=limits,
        )

    def _terms(self, door: Door, new: Generation) -> tuple[Opening, Limits]:
        """What the door's next clients are told, and what all of them may do."""
        if new.gateway is not None and door.name == SMTP:
            return new.gateway.opening, new.gateway.limits
        opening = plain(CODECS[door.name], self._telemetry.decide(door.name))
        return opening, Limits(idle=new.settings.idle_timeout)

    def _start(self, new: Generation, door: Door, listener: Listener) -> None:
        try:
            self._doors[door.endpoint][1].start(listener)
        except OSError as error:
            message = f"{door.listen.address}: {error.strerror}"
            raise ConfigError(new.settings.file, door.listen.line, "listen", message) from None

    def _close_doors_but(self, new: Generation) -> None:
        for endpoint in [each for each in self._doors if each not in new.doors]:
            _, server = self._doors.pop(endpoint)
            self._spawn(server.drain(DRAIN))

    def _set_log(self, settings: Settings) -> None:
        if self._journal:
            self._journal.level = Level[settings.log_level.upper()]
            self._journal.write_as = writer(settings.log_format, STDERR)

    def _say_serving(self, what: str) -> None:
        doors = ", ".join(
            f"{door.name} at {address}"
            for door, server in self._doors.values()
            if server.listener
            for address in server.listener.addresses
        )
        if self._journal:
            self._journal.say(Level.INFO, f"check_user {__version__} {what} {self._path}: {doors}")
        for text in self._early:
            self._report(text)
        self._early.clear()
        self._notifier.ready()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stop(self) -> None:
        """Answer what was asked, then let go of everything."""
        doors = [server for _, server in self._doors.values()]
        await asyncio.gather(*(server.drain(DRAIN) for server in doors))
        for task in list(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if self._now.gateway is not None:
            await self._now.gateway.aclose()
        await self._now.directory.aclose()


async def _retire(old: Generation) -> None:
    """Close a directory when the last lookup that may ask it has had its answer.

    The gateway's sessions go on with the plugins that they began with, and end by their own limits;
    what they ask about recipients is answered by the new directory.
    """
    try:
        await asyncio.sleep(old.settings.lookup_timeout)
    finally:
        await old.directory.aclose()
    if old.gateway is not None:
        await old.gateway.empty()
        await old.gateway.aclose()


def _journal(settings: Settings) -> Journal:
    return Journal(
        STDERR,
        level=Level[settings.log_level.upper()],
        write_as=writer(settings.log_format, STDERR),
    )
