"""The doors: which names ``listen`` may have, and what speaks behind each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from check_user.config import ConfigError, Listen, Settings
from check_user.protocols import Codec
from check_user.protocols.exim import EximCodec
from check_user.protocols.line import LineCodec
from check_user.protocols.milter import MilterCodec
from check_user.protocols.policy import PolicyCodec
from check_user.protocols.socketmap import SocketmapCodec
from check_user.protocols.tcp_table import TcpTableCodec
from check_user.servers.listen import Endpoint, ListenError, parse_endpoint

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


@dataclass(frozen=True, slots=True)
class Door:
    """A door that is to be open: its name, where, and the line of the configuration."""

    name: str
    endpoint: Endpoint
    listen: Listen


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
