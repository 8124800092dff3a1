"""The plugins, and what one is: a line of the file ``plugins``, and the hooks it takes part in.

A plugin is made of its line and of the :class:`Site`, and raises GatewayError when it can't be. Its
hooks have qpsmtpd's names (qpsmtpd ``docs/hooks.md``)::

    hook_rcpt(transaction, recipient)   a Decision about a recipient, at once or later; it has
                                        ``timeouts.recipient`` seconds
    hook_queue()                        a client's way into the queue (a Delivery)

and so have the four decisions: OK (accepted, nobody else is asked), DENY, DENYSOFT (refused), and
DECLINED (the next plugin).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from check_user.gateway.delivery import Delivery, Timeouts, Transaction
from check_user.gateway.error import GatewayError
from check_user.gateway.files import Line
from check_user.gateway.nexthop import Resolve
from check_user.protocols import Lookup
from check_user.protocols.smtp import Recipient, Reply
from check_user.protocols.smtp.extensions import Extensions
from check_user.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Site:
    """What the plugins of one gateway share.

    ``folder`` holds qpsmtpd's files, and relative paths in them start there. ``me`` is our name.
    ``decide(lookup)`` gives the verdict about a recipient. ``resolve`` gives a host's addresses.
    ``report`` takes one line for the log.
    """

    folder: Path
    me: str
    decide: Callable[[Lookup], Verdict | Awaitable[Verdict]]
    resolve: Resolve
    report: Callable[[str], None]
    timeouts: Timeouts


@dataclass(frozen=True, slots=True)
class Configured:
    """A line of the file ``plugins``, taken apart."""

    line: Line
    name: str
    arguments: tuple[str, ...]

    def error(self, message: str) -> GatewayError:
        """Make the error that names this line and this plugin."""
        return self.line.error(f"{self.name}: {message}")

    def require_none(self) -> None:
        """Raise GatewayError where the line has arguments."""
        if self.arguments:
            raise self.error("takes no arguments")


class Code(Enum):
    """What a plugin says, in qpsmtpd's words."""

    OK = "OK"
    DECLINED = "DECLINED"
    DENY = "DENY"
    DENYSOFT = "DENYSOFT"


class Decision(NamedTuple):
    """An answer to ``hook_rcpt``; DENY and DENYSOFT come with the reply."""

    code: Code
    reply: Reply | None = None


OK = Decision(Code.OK)
DECLINED = Decision(Code.DECLINED)


@runtime_checkable
class DecidesRecipients(Protocol):
    """A plugin that is asked about recipients."""

    def hook_rcpt(
        self, transaction: Transaction, recipient: Recipient
    ) -> Decision | Awaitable[Decision]:
        """Decide about a recipient."""
        ...


@runtime_checkable
class Queues(Protocol):
    """A plugin that takes mail. There is one in a chain."""

    @property
    def extensions(self) -> Extensions:
        """What mail it takes at this moment, our own additions to the message considered."""
        ...

    async def start(self) -> None:
        """Get ready, before the first client comes. Raises GatewayError."""
        ...

    async def examine(self) -> str:
        """Say what keeps it from taking mail now, empty for nothing; nothing is changed."""
        ...

    def hook_queue(self) -> Delivery:
        """Give one client's way into the queue."""
        ...

    async def aclose(self) -> None:
        """Let go of everything, after the last client."""
        ...
