"""``queue/smtp-forward``: mail is passed through to the next server, within the transaction.

    queue/smtp-forward 192.0.2.25                       port 25, as in qpsmtpd
    queue/smtp-forward mail.example 2525
    queue/smtp-forward 127.0.0.1 24 lmtp                RFC 2033
    queue/smtp-forward unix:/run/dovecot/lmtp lmtp

When the server isn't there at start, that is reported, and the gateway starts all the same: unknown
recipients are refused, and all others get 451. It then offers its clients no extension until the
server was reached once. qpsmtpd's flag ``xclient`` isn't there.
"""

from __future__ import annotations

from dataclasses import replace

from check_user.address import Malformed, parse_domain
from check_user.gateway.delivery import Delivery
from check_user.gateway.header import ROOM
from check_user.gateway.nexthop import HopError, NextHop, Target
from check_user.gateway.passage import Passage
from check_user.gateway.plugins import Configured, Site
from check_user.protocols.smtp.extensions import Extensions

PORT = 25
USAGE = "wants 'HOST PORT' or 'unix:/PATH', and 'lmtp' after it where LMTP is spoken"
LONGEST_PATH = 107
"""Octets of a unix socket's path (unix(7))."""


class SmtpForward:
    """The plugin."""

    def __init__(self, configured: Configured, site: Site) -> None:
        """Raises GatewayError."""
        self.hop = NextHop(_target(configured), site.me, site.resolve, site.timeouts)
        self._report = site.report

    @property
    def extensions(self) -> Extensions:
        """What the server offered last, less the room for what we add."""
        offered = self.hop.offered
        return replace(offered, size=max(offered.size - ROOM, 1)) if offered.size else offered

    async def start(self) -> None:
        """Learn what the server offers."""
        if problem := await self.examine():
            self._report(f"{problem}; until it is there, no extensions are offered")

    async def examine(self) -> str:
        """Ask the server; say why it isn't there."""
        try:
            await self.hop.ask()
        except HopError as error:
            return f"next hop {self.hop.target}: {error}"
        return ""

    def hook_queue(self) -> Delivery:
        """Give a client's way through the server."""
        return Passage(self.hop, self._report)

    async def aclose(self) -> None:
        """End connections."""
        await self.hop.aclose()


def _target(configured: Configured) -> Target:
    words = list(configured.arguments)
    lmtp = words[-1:] == ["lmtp"]
    if lmtp:
        words.pop()
    match words:
        case [unix] if unix.startswith("unix:/"):
            path = unix.removeprefix("unix:")
            if len(path.encode()) > LONGEST_PATH:
                raise configured.error(f"the path has more than {LONGEST_PATH} octets")
            return Target(path=path, lmtp=lmtp)
        case [host] if not lmtp:
            return Target(_host(configured, host), PORT)
        case [host, port] if port.isascii() and port.isdecimal() and 0 < int(port) < 65536:
            return Target(_host(configured, host), int(port), lmtp=lmtp)
    raise configured.error(USAGE)


def _host(configured: Configured, text: str) -> str:
    host = text.removeprefix("[").removesuffix("]")
    if ":" not in host and isinstance(parse_domain(host), Malformed):
        raise configured.error(f"'{text}' is no host; it {USAGE}")
    return host
