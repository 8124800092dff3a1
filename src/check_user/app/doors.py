"""The doors: which names ``listen`` may have, what speaks behind each, and how they are bound."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

from check_user.config import ConfigError, Listen, Settings, contents, parse
from check_user.protocols import Codec
from check_user.protocols.exim import EximCodec
from check_user.protocols.line import LineCodec
from check_user.protocols.milter import MilterCodec
from check_user.protocols.policy import PolicyCodec
from check_user.protocols.socketmap import SocketmapCodec
from check_user.protocols.tcp_table import TcpTableCodec
from check_user.servers.listen import Endpoint, Listener, ListenError, bind, parse_endpoint

CODECS: dict[str, Callable[[], Codec]] = {
    "exim": EximCodec,
    "line": LineCodec,
    "milter": MilterCodec,
    "policy": PolicyCodec,
    "socketmap": SocketmapCodec,
    "tcp_table": TcpTableCodec,
}
"""Every door that can be opened, and its protocol."""

SMTP = "smtp"
"""The gateway's door, which has more than a codec (see ``gateway``)."""

LATER = ("http",)
"""Doors of later versions: a configuration that names one is told so."""


DRAIN = 5.0
"""Seconds that clients have to take their answers when a door closes."""


@dataclass(frozen=True, slots=True)
class Door:
    """A door that is to be open: its name, where, and the line of the configuration."""

    name: str
    endpoint: Endpoint
    listen: Listen


Doors: TypeAlias = dict[Endpoint, Door]
Listeners: TypeAlias = dict[Endpoint, Listener]


def doors_of(settings: Settings) -> list[Door]:
    """Every door of the configuration. Raises ConfigError for one that can't be."""
    return [_door(settings, listen) for listen in settings.listen]


def _door(settings: Settings, listen: Listen) -> Door:
    def error(message: str) -> ConfigError:
        return ConfigError(settings.file, listen.line, "listen", message)

    if listen.door in LATER:
        raise error(f"the door {listen.door!r} comes with a later version")
    names = (*CODECS, SMTP)
    if listen.door not in names:
        raise error(f"{listen.door!r} is no door; there are {', '.join(names)}")
    try:
        endpoint = parse_endpoint(
            listen.address,
            mode=settings.socket_mode,
            user=settings.socket_user,
            group=settings.socket_group,
        )
    except ListenError as problem:
        raise error(str(problem)) from None
    return Door(listen.door, endpoint, listen)


class Configured(NamedTuple):
    """A configuration that was read: the file's octets, and what they say."""

    data: bytes
    settings: Settings
    doors: Doors


async def read(path: Path, data: bytes | None = None) -> Configured:
    """Read the configuration and its doors, from ``data`` if that is given. Raises ConfigError.

    In a thread of its own: files may be on a disk that hangs.
    """
    reader = ThreadPoolExecutor(1, "configuration")
    loop = asyncio.get_running_loop()
    try:
        if data is None:
            data = await loop.run_in_executor(reader, contents, path)
        settings = await loop.run_in_executor(reader, parse, path, data)
    finally:
        reader.shutdown(wait=False)
    return Configured(data, settings, {door.endpoint: door for door in doors_of(settings)})


async def bind_doors(settings: Settings, doors: Doors, bound: Collection[Endpoint]) -> Listeners:
    """Bind every door that isn't ``bound`` already, or none. Raises ConfigError."""
    listeners: Listeners = {}
    try:
        for endpoint, door in doors.items():
            if endpoint not in bound:
                listeners[endpoint] = await _bind(settings, door)
    except BaseException:
        close(listeners)
        raise
    return listeners


def close(listeners: Listeners) -> None:
    """Close them, and leave none in ``listeners``."""
    while listeners:
        listeners.popitem()[1].close()


def refuse_changed_doors(open_doors: Doors, settings: Settings, doors: Doors) -> None:
    """An open socket's clients speak its protocol: it can't become another door.

    Raises ConfigError.
    """
    for endpoint, open_door in open_doors.items():
        door = doors.get(endpoint)
        if door and door.name != open_door.name:
            message = f"{door.listen.address} is {open_door.name!r} now; that needs a restart"
            raise ConfigError(settings.file, door.listen.line, "listen", message)


async def _bind(settings: Settings, door: Door) -> Listener:
    if not door.listen.line:  # the default, in a folder of ours, which a reboot removes
        with suppress(OSError):
            Path(door.listen.address.removeprefix("unix:")).parent.mkdir(mode=0o755)
    try:
        return await bind(door.endpoint)
    except ListenError as error:
        raise ConfigError(settings.file, door.listen.line, "listen", str(error)) from None
