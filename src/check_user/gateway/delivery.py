"""A way for mail: what a queue plugin gives a session, which uses it for one mail after another.

    recipient, recipient, ...   each accepted by the plugins; the queue has the last word
    data                        the message comes next
    write, write, ...           its octets: lines end with CRLF, no piece ends between CR and LF
    end                         it is whole: a 2xx means that the queue has it
    abandon                     there will be no end; nothing of it may be delivered
    close                       the client has gone

``abandon`` and ``close`` may come at any time, while others are waited for too; every other method
only when the one before has answered, but for ``recipient``. None of them raises what the client
did or what the queue suffered: that is a reply.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Protocol

from check_user.protocols.smtp import Mail, Recipient, Reply

INTERNAL = Reply(451, "4.3.0", ("Internal error - try later",))
"""For what should not have happened; the cause is for the log."""


@dataclass(slots=True)
class Transaction:
    """One mail's envelope: the sender, and the recipients that were told 250."""

    mail: Mail
    recipients: list[Recipient] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long what lies behind the gateway may take, in seconds of our monotonic clock.

    ``recipient`` is for all that a RCPT needs, a connection included. The others are at least as
    long as RFC 5321 4.5.3.2 wants a client to wait.
    """

    connect: float = 5.0
    """Connection, greeting, EHLO."""
    recipient: float = 3.0
    data: float = 120.0
    """From DATA to 354."""
    stall: float = 180.0
    """How long the queue may take no octet of the message."""
    end: float = 600.0
    """From the last octet to the reply."""


class Delivery(Protocol):
    """One client's way into the queue."""

    def recipient(
        self, mail: Mail, recipient: Recipient, deadline: float
    ) -> Reply | Awaitable[Reply]:
        """Take a recipient, or refuse it, before the event loop's clock shows ``deadline``."""
        ...

    def data(self, transaction: Transaction, *, chunked: bool) -> Awaitable[Reply]:
        """Begin with the message: 354 (250 if ``chunked``), or the reason why not."""
        ...

    def write(self, data: bytes) -> Awaitable[None] | None:
        """Take a piece; the next may come when the awaitable is done. Dropped after ``abandon``."""
        ...

    def end(self) -> Awaitable[Reply]:
        """Finish: the queue has the mail (2xx), or it hasn't."""
        ...

    def abandon(self) -> None:
        """Forget the transaction, if there is one."""
        ...

    def close(self) -> None:
        """Forget it, and let go of everything."""
        ...
