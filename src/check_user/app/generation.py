"""A generation: one configuration, proven. Its directory answers, its sockets are bound.

Nothing of it is seen outside before :class:`Service` lets it take over; until then it can be
discarded without a trace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from check_user.app.build import Report, build_check, open_directory
from check_user.app.doors import SMTP, Door, doors_of
from check_user.app.gateway import Decide, Gateway, open_gateway
from check_user.check import Check
from check_user.config import ConfigError, Settings, load
from check_user.directory import Directory
from check_user.servers.listen import Endpoint, Listener, ListenError, bind


@dataclass(frozen=True, slots=True)
class Generation:
    """What serves, or is about to: ``listeners`` are those that no server owns yet."""

    settings: Settings
    doors: dict[Endpoint, Door]
    listeners: dict[Endpoint, Listener]
    directory: Directory
    check: Check
    gateway: Gateway | None

    async def discard(self) -> None:
        """Give back everything; it never took over."""
        for listener in self.listeners.values():
            listener.close()
        if self.gateway is not None:
            await self.gateway.aclose()
        await self.directory.aclose()


async def prove(
    path: Path, bound: Collection[Endpoint], report: Report, decide: Decide
) -> Generation:
    """Read ``path``, bind what isn't ``bound`` already, and open the directory and the gateway.

    ``decide`` is for the gateway. Raises ConfigError (a file, or a socket), Misconfigured or
    Unavailable (the database); what was opened by then is closed again.
    """
    settings = await _read(path)
    doors = {door.endpoint: door for door in doors_of(settings)}
    listeners: dict[Endpoint, Listener] = {}
    try:
        for endpoint, door in doors.items():
            if endpoint not in bound:
                listeners[endpoint] = await _bind(settings, door)
        directory = await open_directory(settings, report)
    except BaseException:
        for listener in listeners.values():
            listener.close()
        raise
    check = build_check(settings, directory)
    new = Generation(settings, doors, listeners, directory, check, None)
    if not any(door.name == SMTP for door in doors.values()):
        return new
    try:
        return replace(new, gateway=await open_gateway(settings, decide, report))
    except BaseException:
        await new.discard()
        raise


async def _read(path: Path) -> Settings:
    """Read in a thread of its own: files may be on a disk that hangs."""
    reader = ThreadPoolExecutor(1, "configuration")
    try:
        return await asyncio.get_running_loop().run_in_executor(reader, load, path)
    finally:
        reader.shutdown(wait=False)


async def _bind(settings: Settings, door: Door) -> Listener:
    if not door.listen.line:  # the default, in a folder of ours, which a reboot removes
        with suppress(OSError):
            Path(door.listen.address.removeprefix("unix:")).parent.mkdir(mode=0o755)
    try:
        return await bind(door.endpoint)
    except ListenError as error:
        raise ConfigError(settings.file, door.listen.line, "listen", str(error)) from None
