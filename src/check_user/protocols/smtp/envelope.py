"""One transaction's envelope: what was said since MAIL, and what may be said next.

Every transaction has a new one, so that nothing of the last can be left in it (Postfix 2026: state
kept after a refused chunk, or a refused message).
"""

from __future__ import annotations

from dataclasses import dataclass

from check_user.protocols.smtp import replies
from check_user.protocols.smtp.content import Message


@dataclass(slots=True)
class Envelope:
    """A transaction, or that there is none."""

    is_open: bool = False
    """A Mail was answered with yes, and End or Abandon is still to come."""
    utf8: bool = False
    room: int = 0
    """Recipients that may still be asked for; 0 also where RCPT isn't due."""
    accepted: int = 0
    refused: int = 0
    excess: int = 0
    """Recipients beyond the limit."""
    message: Message | None = None
    """The message, once it was asked for; BDAT may come several times to it."""
    is_broken: bool = False
    """A chunk was refused: RSET must come before anything else (RFC 3030 2)."""

    def open(self, room: int) -> None:
        """Begin the transaction."""
        self.is_open = True
        self.room = room

    def close(self) -> None:
        """End the transaction."""
        self.is_open = False
        self.room = 0

    def no_room(self) -> bytes:
        """Say why RCPT isn't taken when there is no room; empty where there are too many."""
        if self.is_broken:
            return replies.RSET_FIRST
        if not self.is_open:
            return replies.MAIL_FIRST
        return replies.IN_CHUNKS if self.message else b""

    def no_message(self) -> bytes:
        """Say why no message may begin; empty where it may."""
        if self.is_broken:
            return replies.RSET_FIRST
        if not self.is_open:
            return replies.MAIL_FIRST
        if self.accepted:
            return replies.IN_CHUNKS if self.message else b""
        return replies.NO_RECIPIENTS if self.refused else replies.RCPT_FIRST
