"""The check: text in, verdict out, under one deadline. The heart, and the only place of its kind.

    text -> Address -> Directory.find -> Presence -> Verdict

The rules it keeps:

- a malformed address is a definite answer, given without asking anybody;
- ``postmaster`` without a domain is always there, and at a domain of ours it is never refused
  (RFC 5321 4.5.1);
- a name without a domain is not ours to judge: the mail server qualifies it (DECLINED, foreign);
- a recipient who is there and can't be written to (disabled, refused, busy, full) gets the reply
  of that reason;
- what bounces come back to is there where ``bounce_forms`` says so: an SRS address, whose hash the
  mail server checks, and the address behind a BATV tag;
- whatever goes wrong below, in whatever way, is DENYSOFT; the cause stays in the
  :class:`Decision`, for the log;
- the answer comes before ``timeout`` seconds of our own monotonic clock are over;
- in a dry run nothing is refused: what would have been said is for the log.

Where the directory knows without waiting (:class:`~check_user.directory.Prompt`), the decision is
there at once, without a coroutine and its deadline.

It doesn't log, count or cache: ``telemetry`` wraps it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from check_user import verdict
from check_user.address import (
    MAX_ADDRESS,
    MAX_LOCAL,
    Address,
    Malformed,
    Unqualified,
    is_srs,
    parse,
    parse_domain,
    without_tag,
)
from check_user.check.deadline import Deadline
from check_user.directory import Directory, Presence, Prompt, Trace, Unavailable
from check_user.verdict import Action, Reason, Replies, Verdict

ANSWERING = 0.1
"""Seconds of the timeout kept back for turning the verdict into bytes and sending it."""


ELSEWHERE: Mapping[str, str] = MappingProxyType({})

# By names of their own: before Python 3.12 naming an enumeration's member runs Python code, which
# costs 150 ns a time.
_KNOWN, _UNKNOWN, _FOREIGN = Presence.KNOWN, Presence.UNKNOWN, Presence.FOREIGN


class Decision(NamedTuple):
    """A verdict and what the log wants to know.

    ``address`` is the canonical key; ``cause`` that of a fault, or what a dry run withheld;
    ``source`` what in the directory gave the answer, where it is more than the address itself.
    """

    verdict: Verdict
    address: str
    cause: str = ""
    source: str = ""


class Check:
    """Decides about recipients by asking one directory.

    ``timeout`` is the whole lookup's deadline in seconds; ``delimiters`` is the set of characters
    that may begin an address extension (``user+extension@domain``), empty for none, and
    ``delimiters_at`` has those of domains (by key) that have their own. ``bounce_forms`` (``srs``,
    ``batv``) are the forms of a bounce's recipient that are ours. ``replies`` are those to
    refused recipients. ``dry_run`` says that nothing is refused, or ``dry_run_at`` the domains (by
    key) in which nothing is. ``keeps_case`` says that case counts in a local part, for the
    directory too.
    """

    def __init__(
        self,
        directory: Directory,
        *,
        timeout: float,
        delimiters: str = "",
        delimiters_at: Mapping[str, str] = ELSEWHERE,
        bounce_forms: Collection[str] = (),
        replies: Replies | None = None,
        dry_run: bool = False,
        dry_run_at: Collection[str] = (),
        keeps_case: bool = False,
    ) -> None:
        self._directory = directory
        self._within = Deadline(max(timeout - ANSWERING, timeout / 2))
        self._delimiters = delimiters
        self._delimiters_at = delimiters_at
        self._srs, self._batv = "srs" in bounce_forms, "batv" in bounce_forms
        extended = bool(delimiters or delimiters_at or bounce_forms)
        # What is put to an address doesn't keep to the limit of a local part (`bounce`, VERP), and
        # must not be refused for that.
        self._max_local = MAX_ADDRESS if extended else MAX_LOCAL
        self._extended = extended
        self._find = self._find_extended if extended else directory.find
        self._find_at_once = directory.find_at_once if isinstance(directory, Prompt) else _nothing
        replies = replies or Replies()
        self._unknown = replies.unknown
        self._replies = {
            Presence.DISABLED: (Reason.DISABLED, replies.disabled),
            Presence.REFUSED: (Reason.REFUSED, replies.refused),
            Presence.BUSY: (Reason.BUSY, replies.busy),
            Presence.FULL: (Reason.FULL, replies.full),
        }
        self._keeps_case = keeps_case
        self._dry_run = dry_run
        self._dry_run_at = dry_run_at

    def decide(self, text: str) -> Decision | Coroutine[Any, Any, Decision]:
        """As :meth:`recipient`, at once where nobody has to be waited for."""
        parsed = parse(text, self._max_local, keeps_case=self._keeps_case)
        if not isinstance(parsed, Address):
            return self._said(_decide_unasked(parsed))
        presence = self._find_at_once(parsed)
        if presence is None or (presence is _UNKNOWN and self._extended):
            return self._ask(parsed, None)
        return self._said(self._decide(parsed, presence))

    async def recipient(self, text: str, trace: Trace | None = None) -> Decision:
        """Decide about an envelope recipient: an RFC 5321 path, with or without brackets."""
        parsed = parse(text, self._max_local, keeps_case=self._keeps_case)
        if isinstance(parsed, Address):
            return await self._ask(parsed, trace)
        return self._said(_decide_unasked(parsed))

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

    async def _ask(self, address: Address, trace: Trace | None) -> Decision:
        presence = await self._in_time(self._find(address, trace))
        return self._said(self._decide(address, presence))

    def _said(self, decision: Decision) -> Decision:
        return self._withhold(decision) if self._dry_run or self._dry_run_at else decision

    def _decide(self, address: Address, presence: Presence | str) -> Decision:
        """Decide by what is known, or by the cause why nothing is."""
        if presence is _KNOWN:
            return Decision(verdict.known(address.for_reply()), address.key)
        if presence is _UNKNOWN and not address.is_postmaster:
            return Decision(self._unknown.verdict(Reason.UNKNOWN, address.for_reply()), address.key)
        if presence is _FOREIGN:
            return Decision(verdict.foreign(address.for_reply()), address.key)
        if isinstance(presence, str):
            return Decision(verdict.FAULT, address.key, presence)
        return self._decide_rare(address, presence)

    def _decide_rare(self, address: Address, presence: Presence) -> Decision:
        """What isn't plainly there or not."""
        shown = address.for_reply()
        if presence is _UNKNOWN:  # of a postmaster
            return Decision(verdict.known(shown), address.key)
        if presence not in self._replies:
            return Decision(verdict.known(shown), address.key, source=presence.value)
        reason, reply = self._replies[presence]
        said = reply.verdict(reason, shown)
        if address.is_postmaster and said.action is Action.DENY:
            said = verdict.known(shown)
        return Decision(said, address.key, source=presence.value)

    def _withhold(self, decision: Decision) -> Decision:
        """In a dry run: say what is said when nobody is asked, and note what would have been."""
        said = decision.verdict
        domain = decision.address.rpartition("@")[2]
        if said.action is Action.DECLINED or not (self._dry_run or domain in self._dry_run_at):
            return decision
        because = f" ({decision.cause})" if decision.cause else ""
        noted = f"dry run, else {said.code} {said.enhanced} {said.text}{because}"
        return decision._replace(verdict=verdict.DRY_RUN, cause=noted)

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

    async def _find_extended(self, address: Address, trace: Trace | None) -> Presence:
        """Ask for the address as it is, then for its bases, all at once: there may be sixty.

        The nearest base that is more than unknown decides.
        """
        presence = await self._directory.find(address, trace)
        if presence is not _UNKNOWN:
            return presence
        if self._srs and is_srs(address):
            return Presence.SRS
        untagged = without_tag(address) if self._batv else None
        if untagged and untagged.is_postmaster:
            return Presence.BASE
        bases = self._bases(address, untagged)
        found = await asyncio.gather(*(self._directory.find(base, trace) for base in bases))
        nearest = next((each for each in found if each is not _UNKNOWN), presence)
        return Presence.BASE if nearest is _KNOWN else nearest

    def _bases(self, address: Address, untagged: Address | None) -> Iterator[Address]:
        """Give the addresses that this one may be made of, the longest first."""
        delimiters = self._delimiters_at.get(address.domain.key, self._delimiters)
        if untagged:
            yield untagged
            yield from untagged.without_extension(delimiters)
        yield from address.without_extension(delimiters)


def _nothing(_: Address) -> None:
    """What a directory knows at once that has to be asked."""


def _decide_unasked(parsed: Unqualified | Malformed) -> Decision:
    """What needs no directory."""
    if isinstance(parsed, Malformed):
        return Decision(verdict.MALFORMED, "", str(parsed))
    say = verdict.known if parsed.is_postmaster else verdict.foreign
    return Decision(say(parsed.for_reply()), parsed.key)


def describe(error: Exception) -> str:
    """One line about a failure, for the log."""
    if isinstance(error, TimeoutError):
        return "no answer within the deadline"
    text = str(error) if isinstance(error, Unavailable) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())
