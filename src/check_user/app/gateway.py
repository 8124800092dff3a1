"""The gateway, put together: qpsmtpd's files, the keys ``smtp_...``, and what a client is told.

A gateway lives as long as its configuration. After a reload the next clients have the new one, and
the old one is closed when its last session has ended.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

from check_user.app.build import Report
from check_user.app.rules import replies_of
from check_user.config import ConfigError, Settings
from check_user.directory.sql.resolver import Resolver
from check_user.gateway.chain import Chain
from check_user.gateway.crowd import Crowd, Doorkeeper
from check_user.gateway.delivery import INTERNAL, Timeouts
from check_user.gateway.error import GatewayError
from check_user.gateway.files import RelayClients, read_me
from check_user.gateway.plugins import Site
from check_user.gateway.session import Session
from check_user.protocols import Lookup
from check_user.protocols.smtp.limits import SmtpLimits
from check_user.protocols.smtp.server import SmtpCodec
from check_user.servers.talk import Limits, Talk
from check_user.verdict import FAULT, Verdict

Decide: TypeAlias = Callable[[Lookup], Verdict | Awaitable[Verdict]]

COMMAND = 60.0
"""Seconds from a command's first octet to its last."""

BETWEEN = 300.0
"""Seconds between two commands (RFC 5321 4.5.3.2.7)."""


async def open_gateway(settings: Settings, decide: Decide, report: Report, crowd: Crowd) -> Gateway:
    """Read qpsmtpd's files beside the configuration, and start the queue. Raises ConfigError."""
    try:
        gateway = Gateway(settings, decide, report, crowd)
        try:
            await gateway.chain.start()
        except BaseException:
            await gateway.aclose()
            raise
    except GatewayError as error:
        raise ConfigError(error.file, error.line, "", error.message) from None
    return gateway


async def examine_gateway(settings: Settings) -> tuple[list[str], str]:
    """Read the files as the service does; say what they lack, and why the queue takes no mail now.

    Both are empty if all is well. Nothing is started or changed. Raises ConfigError.
    """
    try:
        chain = Chain(_site(settings, lambda _: FAULT, lambda _: None))
    except GatewayError as error:
        raise ConfigError(error.file, error.line, "", error.message) from None
    try:
        return chain.doubts, await chain.examine()
    finally:
        await chain.aclose()


class Gateway:
    """What every ``smtp`` door of one configuration has behind it."""

    def __init__(self, settings: Settings, decide: Decide, report: Report, crowd: Crowd) -> None:
        """Read the files. Raises GatewayError."""
        site = _site(settings, decide, report)
        self._me = site.me
        self.chain = Chain(site)
        self.limits = Limits(
            idle=min(settings.idle_timeout, BETWEEN),
            rest=COMMAND,
            greet=settings.smtp_greet_delay,
            session=settings.smtp_session_time,
            refusal=f"421 4.3.2 {self._me} Too many connections\r\n".encode(),
        )
        self._limits = SmtpLimits(
            recipients=settings.smtp_max_recipients,
            errors=settings.smtp_max_errors,
            unknown=settings.smtp_max_unknown,
            commands=settings.smtp_max_commands,
            message=settings.smtp_max_message,
        )
        self._proxies = settings.smtp_proxies
        self._relaying = RelayClients(site.folder)
        self._doorkeeper = Doorkeeper(
            crowd,
            clients=settings.smtp_max_per_network,
            unknown=settings.smtp_max_unknown_per_hour,
            is_aside=self._is_aside,
        )
        self._harvest = replies_of(settings).harvest
        self._farewell = f"421 4.3.2 {self._me} Closing the connection\r\n".encode()
        self._sessions = 0
        self._empty = asyncio.Event()
        self._empty.set()

    def opening(self, client: str) -> Talk:
        """A session with the client at this network address."""
        session = Session(self.chain, self._doorkeeper, self._harvest)
        codec = SmtpCodec(
            self._me,
            client=client,
            extensions=self.chain.extensions,
            limits=self._limits,
            tls=self.chain.tls is not None,
            proxied=self._is_proxy(client),
        )
        self._sessions += 1
        self._empty.clear()
        return Talk(
            codec,
            session.handle,
            fault=INTERNAL,
            closed=partial(self._closed, session),
            greets=True,
            farewell=self._farewell,
            tls=self.chain.tls,
        )

    async def empty(self) -> None:
        """Wait for the last session's end."""
        await self._empty.wait()

    async def aclose(self) -> None:
        """Let go of everything; no session may be left."""
        await self.chain.aclose()

    def _closed(self, session: Session) -> None:
        session.closed()
        self._sessions -= 1
        if not self._sessions:
            self._empty.set()

    def _is_aside(self, client: str) -> bool:
        """Whether a client's network isn't limited: relay clients, and proxies themselves."""
        return client in self._relaying or self._is_proxy(client)

    def _is_proxy(self, client: str) -> bool:
        if not self._proxies or not client:
            return False
        address = ipaddress.ip_address(client)
        return any(address in network for network in self._proxies)


def _site(settings: Settings, decide: Decide, report: Report) -> Site:
    """What the plugins share. Raises GatewayError."""
    folder = settings.file.absolute().parent
    timeouts = Timeouts(recipient=settings.lookup_timeout)
    return Site(folder, read_me(folder), decide, Resolver().resolve, report, timeouts)
