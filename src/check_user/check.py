"""The check: text in, verdict out, under one deadline. The heart, and the only place of its kind.

    text -> Address -> Directory.find -> Presence -> Verdict

The rules it keeps:

- a malformed address is a definite answer, given without asking anybody;
- ``postmaster`` without a domain is always there, and at a domain of ours it is never refused
  (RFC 5321 4.5.1);
- a name without a domain is not ours to judge: the mail server qualifies it (DECLINED, foreign);
- whatever goes wrong below, in whatever way, is DENYSOFT; the cause stays in the
  :class:`Decision`, for the log;
- the answer comes before ``timeout`` seconds of our own monotonic clock are over.

It doesn't log, count or cache: ``telemetry`` wraps it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from check_user import verdict
from check_user.address import Address, Malformed, Unqualified, parse, parse_domain
from check_user.directory import Directory, Presence, Trace, Unavailable
from check_user.verdict import Verdict

ANSWERING = 0.1
"""Seconds of the timeout kept back for turning the verdict into bytes and sending it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and what the log wants to know: the canonical key, and the cause of a fault."""

    verdict: Verdict
    address: str
    cause: str = ""


class Check:
    """Decides about recipients by asking one directory.

    ``timeout`` is the whole lookup's deadline in seconds; ``delimiters`` is the set of characters
    that may begin an address extension (``user+extension@domain``), empty for none.
    """

    def __init__(self, directory: Directory, *, timeout: float, delimiters: str = "") -> None:
        self._directory = directory
        self._timeout = max(timeout - ANSWERING, timeout / 2)
        self._delimiters = delimiters

    async def recipient(self, text: str, trace: Trace | None = None) -> Decision:
        """Decide about an envelope recipient: an RFC 5321 path, with or without brackets."""
        match parse(text):
            case Malformed() as malformed:
                return Decision(verdict.MALFORMED, "", str(malformed))
            case Unqualified() as name:
                say = verdict.known if name.is_postmaster else verdict.foreign
                return Decision(say(name.for_reply()), name.key)
            case address:
                return await self._decide_address(address, trace)

    async def domain(self, text: str, trace: Trace | None = None) -> Decision:
        """Decide whether a domain is ours: ``known`` or ``foreign``."""
        domain = parse_domain(text)
        if isinstance(domain, Malformed):
            return Decision(verdict.MALFORMED, "", str(domain))
        try:
            async with asyncio.timeout(self._timeout):
                presence = await self._directory.find_domain(domain, trace)
        except Exception as error:  # noqa: BLE001 - a door to the outside: every failure is DENYSOFT
            return Decision(verdict.FAULT, domain.key, describe(error))
        say = verdict.known if presence is Presence.KNOWN else verdict.foreign
        return Decision(say(domain.key), domain.key)

    async def _decide_address(self, address: Address, trace: Trace | None) -> Decision:
        try:
            async with asyncio.timeout(self._timeout):
                presence = await self._find(address, trace)
        except Exception as error:  # noqa: BLE001 - a door to the outside: every failure is DENYSOFT
            return Decision(verdict.FAULT, address.key, describe(error))
        match presence:
            case Presence.KNOWN:
                return Decision(verdict.known(address.for_reply()), address.key)
            case Presence.FOREIGN:
                return Decision(verdict.foreign(address.for_reply()), address.key)
            case Presence.UNKNOWN if address.is_postmaster:
                return Decision(verdict.known(address.for_reply()), address.key)
            case Presence.UNKNOWN:
                return Decision(verdict.unknown(address.for_reply()), address.key)

    async def _find(self, address: Address, trace: Trace | None) -> Presence:
        """Ask for the address as it is, then for its bases, the longest first."""
        presence = await self._directory.find(address, trace)
        if presence is not Presence.UNKNOWN or not self._delimiters:
            return presence
        for base in address.without_extension(self._delimiters):
            if await self._directory.find(base, trace) is Presence.KNOWN:
                return Presence.KNOWN
        return presence


def describe(error: Exception) -> str:
    """One line about a failure, for the log."""
    if isinstance(error, Unavailable):
        return str(error)
    if isinstance(error, TimeoutError):
        return "no answer within the deadline"
    return f"{type(error).__name__}: {error}"
