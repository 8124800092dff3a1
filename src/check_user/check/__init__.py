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
from collections.abc import Coroutine
from typing import Any, NamedTuple

from check_user import verdict
from check_user.address import Address, Malformed, Unqualified, parse, parse_domain
from check_user.check.deadline import Deadline
from check_user.directory import Directory, Presence, Trace, Unavailable
from check_user.verdict import Verdict

ANSWERING = 0.1
"""Seconds of the timeout kept back for turning the verdict into bytes and sending it."""


class Decision(NamedTuple):
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
        self._within = Deadline(max(timeout - ANSWERING, timeout / 2))
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
        presence = await self._in_time(self._directory.find_domain(domain, trace))
        if isinstance(presence, str):
            return Decision(verdict.FAULT, domain.key, presence)
        say = verdict.known if presence is Presence.KNOWN else verdict.foreign
        return Decision(say(domain.key), domain.key)

    async def _decide_address(self, address: Address, trace: Trace | None) -> Decision:
        find = self._find if self._delimiters else self._directory.find
        match await self._in_time(find(address, trace)):
            case str() as cause:
                return Decision(verdict.FAULT, address.key, cause)
            case Presence.KNOWN:
                return Decision(verdict.known(address.for_reply()), address.key)
            case Presence.FOREIGN:
                return Decision(verdict.foreign(address.for_reply()), address.key)
            case Presence.UNKNOWN if address.is_postmaster:
                return Decision(verdict.known(address.for_reply()), address.key)
            case Presence.UNKNOWN:
                return Decision(verdict.unknown(address.for_reply()), address.key)

    async def _in_time(self, question: Coroutine[Any, Any, Presence]) -> Presence | str:
        """Give the answer within the deadline, or the cause why there is none."""
        try:
            return await self._within(question)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # it is we who are no longer wanted
            return "the lookup was cancelled"
        except Exception as error:  # noqa: BLE001 - a door to the outside: every failure is DENYSOFT
            return describe(error)

    async def _find(self, address: Address, trace: Trace | None) -> Presence:
        """Ask for the address as it is, then for its bases, all at once: there may be sixty."""
        presence = await self._directory.find(address, trace)
        if presence is not Presence.UNKNOWN:
            return presence
        bases = address.without_extension(self._delimiters)
        found = await asyncio.gather(*(self._directory.find(base, trace) for base in bases))
        return Presence.KNOWN if Presence.KNOWN in found else presence


def describe(error: Exception) -> str:
    """One line about a failure, for the log."""
    if isinstance(error, TimeoutError):
        return "no answer within the deadline"
    text = str(error) if isinstance(error, Unavailable) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())
