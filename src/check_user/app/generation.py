"""A generation: one configuration, proven. Its directory answers, its sockets are bound.

Nothing of it is seen outside before :class:`Serving` lets it take over; until then it can be
discarded without a trace.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from check_user.app.build import Report, build_check, open_directory
from check_user.app.doors import SMTP, Doors, Listeners, close
from check_user.app.gateway import Decide, Gateway, open_gateway
from check_user.check import Check
from check_user.config import Settings
from check_user.directory import Directory
from check_user.gateway.crowd import Crowd


@dataclass(frozen=True, slots=True)
class Generation:
    """What serves, or is about to: ``listeners`` are those that no server owns yet."""

    settings: Settings
    doors: Doors
    listeners: Listeners
    directory: Directory
    check: Check
    gateway: Gateway | None

    async def discard(self) -> None:
        """Give back everything; it never took over."""
        close(self.listeners)
        if self.gateway is not None:
            await self.gateway.aclose()
        await self.directory.aclose()


async def prove(
    settings: Settings,
    doors: Doors,
    listeners: Listeners,
    report: Report,
    decide: Decide,
    crowd: Crowd,
) -> Generation:
    """Open the directory and the gateway, and own ``listeners``.

    ``decide`` and ``crowd`` are for the gateway. Raises ConfigError (a file), Misconfigured or
    Unavailable (the database); what was opened by then is closed again.
    """
    try:
        directory = await open_directory(settings, report)
    except BaseException:
        close(listeners)
        raise
    check = build_check(settings, directory)
    new = Generation(settings, doors, listeners, directory, check, None)
    if not any(door.name == SMTP for door in doors.values()):
        return new
    try:
        return replace(new, gateway=await open_gateway(settings, decide, report, crowd))
    except BaseException:
        await new.discard()
        raise
