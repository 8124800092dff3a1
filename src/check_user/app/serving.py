"""Serving: the doors of one process, from their first client to the last answer.

A :class:`Generation` takes over whole: new lookups ask the new check, doors that stay keep their
sockets and connections, new ones open, those that are gone are drained; a socket file that was
removed is made anew. When it can't, everything stays as it was.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from typing import Any

from check_user.app.doors import CODECS, DRAIN, SMTP, Door, refuse_changed_doors
from check_user.app.generation import Generation
from check_user.app.log import journal_of, set_log
from check_user.check import Decision
from check_user.config import ConfigError
from check_user.gateway.crowd import Crowd
from check_user.protocols import Kind, Lookup
from check_user.servers.capacity import Capacity, Shares
from check_user.servers.listen import Endpoint, Listener
from check_user.servers.stream import StreamServer
from check_user.servers.talk import Limits, Opening, plain
from check_user.telemetry import Forwarded, Journal, Level, Telemetry
from check_user.verdict import Verdict

_DOMAIN = Kind.DOMAIN


class Serving:
    """What one process serves."""

    def __init__(self, shares: Shares | None = None, crowd: Crowd | None = None) -> None:
        """Nothing is served yet; what is reported until then waits for the log."""
        self.crowd = crowd or Crowd()
        """The gateway's clients by their networks, across reloads."""
        self._capacity = Capacity.of_process(shares)
        self._doors: dict[Endpoint, tuple[Door, StreamServer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._journal: Journal | None = None
        self._early: list[str] = []

    @property
    def intact(self) -> set[Endpoint]:
        """The doors that are open, and whose clients find them."""
        return {
            endpoint
            for endpoint, (_, server) in self._doors.items()
            if server.listener and server.listener.is_intact()
        }

    @property
    def addresses(self) -> str:
        """Every open door and where it is, for the log."""
        return ", ".join(
            f"{door.name} at {address}"
            for door, server in self._doors.values()
            if server.listener
            for address in server.listener.addresses
        )

    @property
    def counts(self) -> dict[str, int]:
        """How many decisions there were, by reason."""
        found: dict[str, int] = {}
        for (_, reason), number in self._telemetry.counts.items():
            found[reason.value] = found.get(reason.value, 0) + number
        return found

    async def start(self, first: Generation) -> None:
        """Open the log, then the doors. Raises ConfigError."""
        self._now = first
        self._journal = journal = journal_of(first.settings)
        self._telemetry = Telemetry(self._decide, journal)
        self._judge = self._telemetry.decide(SMTP)
        logging.basicConfig(handlers=[Forwarded(journal, threading.get_ident())], force=True)
        await self._open_doors(first)

    async def take_over(self, new: Generation) -> None:
        """Serve ``new`` from now on. Raises ConfigError, and then nothing has changed."""
        before = self._now
        try:
            here = {each: door for each, (door, _) in self._doors.items()}
            refuse_changed_doors(here, new.settings, new.doors)
            await self._open_doors(new)
        except BaseException:
            await new.discard()
            raise
        self._now = new
        self._spawn(_retire(before))
        if self._journal is not None:
            set_log(self._journal, new.settings)
        await self._close_doors_but(new)

    async def stop(self) -> None:
        """Answer what was asked, then let go of everything, the log at last."""
        doors = [server for _, server in self._doors.values()]
        await asyncio.gather(*(server.drain(DRAIN) for server in doors))
        for task in list(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if self._now.gateway is not None:
            await self._now.gateway.aclose()
        await self._now.directory.aclose()
        if self._journal is not None:
            self._journal.close()

    def say(self, text: str) -> None:
        """Put a line into the log."""
        if self._journal is not None:
            self._journal.say(Level.INFO, text)

    def report(self, text: str) -> None:
        """Take a line from below for the log, or for later while there is none."""
        if self._journal is None:
            self._early.append(text)
        else:
            self._journal.say(Level.WARNING, text)

    def tell_early(self) -> None:
        """Put into the log what was reported before there was one."""
        early, self._early = self._early, []
        for text in early:
            self.report(text)

    def judge(self, lookup: Lookup) -> Verdict | Awaitable[Verdict]:
        """Decide about a recipient at the gateway; at once where nobody has to be asked."""
        return self._judge(lookup)

    def _decide(self, lookup: Lookup) -> Decision | Awaitable[Decision]:
        """Ask the check of the moment: what every door holds, across reloads."""
        check = self._now.check
        if lookup.kind is _DOMAIN:
            return check.domain(lookup.text)
        return check.decide(lookup.text)

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
            report=lambda text: self.report(f"{door.listen}: {text}"),
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

    async def _close_doors_but(self, new: Generation) -> None:
        """Let nobody in from now on; who is in already has DRAIN seconds, which aren't waited."""
        for endpoint in [each for each in self._doors if each not in new.doors]:
            await self._doors[endpoint][1].stop_accepting()
            _, server = self._doors.pop(endpoint)
            self._spawn(server.drain(DRAIN))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


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
