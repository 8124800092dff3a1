"""The chain: the plugins of qpsmtpd's file ``plugins``, asked in its order.

    tls ssl/server.crt ssl/server.key
    check_user
    rcpt_ok
    queue/smtp-forward 127.0.0.1 2525

A recipient goes from one plugin to the next until one says OK, DENY or DENYSOFT. When none does, it
is 450, as in qpsmtpd: nobody decided that mail for it may be taken.

A file that would make another server than its author thinks is refused, with the line: a plugin
that we don't have, one that stands there twice, ``check_user`` after ``rcpt_ok`` (which says OK, so
that nobody would be checked), no queue or two. A file without ``check_user``, or without
``rcpt_ok``, may be meant, and is only told of.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from check_user.check.deadline import Deadline
from check_user.gateway.delivery import Delivery, Transaction
from check_user.gateway.error import GatewayError
from check_user.gateway.files import Line, read_lines, refuse_unsupported
from check_user.gateway.plugins import (
    DECLINED,
    Code,
    Configured,
    DecidesRecipients,
    Decision,
    Queues,
    Site,
)
from check_user.gateway.plugins.check_user import CheckUser
from check_user.gateway.plugins.maildir import QueueMaildir
from check_user.gateway.plugins.rcpt_ok import RcptOk
from check_user.gateway.plugins.smtp_forward import SmtpForward
from check_user.gateway.plugins.tls import Tls
from check_user.protocols.smtp import Recipient, Reply
from check_user.protocols.smtp.extensions import Extensions

FILE = "plugins"

PLUGINS: dict[str, Callable[[Configured, Site], object]] = {
    "check_user": CheckUser,
    "rcpt_ok": RcptOk,
    "tls": Tls,
    "queue/smtp-forward": SmtpForward,
    "queue/maildir": QueueMaildir,
}
"""Every plugin there is."""

ADVICE = {
    "relay": "rcpt_ok reads relayclients itself: remove the line",
    "dont_require_anglebrackets": "addresses need their brackets: remove the line",
}
"""For plugins of qpsmtpd's that many files name."""

LACKING = {
    "check_user": "there is no check_user in it: nobody asks whether a recipient exists",
    "rcpt_ok": "there is no rcpt_ok in it: every recipient gets 450, unless he is refused",
}
"""What it means that a plugin isn't there."""

UNDECIDED = Decision(
    Code.DENYSOFT, Reply(450, "4.7.1", ("No plugin decided if relaying is allowed",))
)


class Chain:
    """The plugins of one gateway: :meth:`start` before the first client, :meth:`aclose` at last."""

    def __init__(self, site: Site) -> None:
        """Read qpsmtpd's files in the site's folder. Raises GatewayError.

        ``doubts`` has a line for each thing that works and is seldom meant.
        """
        self.site = site
        self.within = Deadline(site.timeouts.recipient)
        """Watches over a decision that has to be waited for."""
        refuse_unsupported(site.folder)
        file = site.folder / FILE
        configured = [_configured(line) for line in read_lines(site.folder, FILE)]
        if not configured:
            raise GatewayError(file, 0, "there is no plugin in it; it names them, one a line")
        _refuse_wrong_order(configured)
        names = {each.name for each in configured}
        self.doubts = [f"{file}: {text}" for name, text in LACKING.items() if name not in names]
        plugins = [PLUGINS[each.name](each, site) for each in configured]
        self._queue = _queue(file, configured, plugins)
        self._deciding = [each for each in plugins if isinstance(each, DecidesRecipients)]
        self.tls: ssl.SSLContext | None = next(
            (each.context for each in plugins if isinstance(each, Tls)), None
        )

    @property
    def extensions(self) -> Extensions:
        """What mail the queue takes at this moment: what clients may be offered."""
        return self._queue.extensions

    async def start(self) -> None:
        """Report the doubts, and get the queue ready. Raises GatewayError."""
        for doubt in self.doubts:
            self.site.report(doubt)
        await self._queue.start()

    async def examine(self) -> str:
        """Say what keeps the queue from taking mail now, empty for nothing; nothing is changed."""
        return await self._queue.examine()

    async def aclose(self) -> None:
        """Let go of everything; no session may be left."""
        await self._queue.aclose()

    def hook_rcpt(
        self, transaction: Transaction, recipient: Recipient
    ) -> Decision | Coroutine[Any, Any, Decision]:
        """Ask the plugins in turn; a Decision at once if none of them has to wait."""
        return self._ask(0, transaction, recipient)

    def hook_queue(self) -> Delivery:
        """Give one client's way into the queue."""
        return self._queue.hook_queue()

    def _ask(
        self, first: int, transaction: Transaction, recipient: Recipient
    ) -> Decision | Coroutine[Any, Any, Decision]:
        for index in range(first, len(self._deciding)):
            decision = self._deciding[index].hook_rcpt(transaction, recipient)
            if not isinstance(decision, Decision):
                return self._wait(decision, index + 1, transaction, recipient)
            if decision is not DECLINED:
                return decision
        return UNDECIDED

    async def _wait(
        self,
        pending: Awaitable[Decision],
        following: int,
        transaction: Transaction,
        recipient: Recipient,
    ) -> Decision:
        decision = await pending
        if decision is not DECLINED:
            return decision
        rest = self._ask(following, transaction, recipient)
        return rest if isinstance(rest, Decision) else await rest


def _configured(line: Line) -> Configured:
    if not (line.text.isascii() and line.text.replace("\t", " ").isprintable()):
        raise line.error("a plugin's line is printable ASCII")
    name, *arguments = line.text.split()
    if name not in PLUGINS:
        advice = ADVICE.get(name, f"there are {', '.join(PLUGINS)}")
        raise line.error(f"there is no plugin '{name}' here; {advice}")
    return Configured(line, name, tuple(arguments))


def _refuse_wrong_order(configured: list[Configured]) -> None:
    before: dict[str, Configured] = {}
    for each in configured:
        if each.name in before:
            raise each.error(f"stands on line {before[each.name].line.number} already")
        if each.name == "check_user" and "rcpt_ok" in before:
            raise each.error("must stand before rcpt_ok, which ends the search with its OK")
        before[each.name] = each


def _queue(file: Path, configured: list[Configured], plugins: list[object]) -> Queues:
    found: Queues | None = None
    for each, plugin in zip(configured, plugins, strict=True):
        if isinstance(plugin, Queues):
            if found is not None:
                raise each.error("there is a queue plugin already, and a mail has one way to go")
            found = plugin
    if found is None:
        names = " or ".join(name for name in PLUGINS if name.startswith("queue/"))
        raise GatewayError(file, 0, f"there is no queue plugin; add {names}")
    return found
