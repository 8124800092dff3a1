"""The recipients of the tests here, and how a mail server is asked about them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.peers.postfix import Postfix
from tests.peers.qpsmtpd import Qpsmtpd
from tests.peers.smtp import OUTSIDER, Session

KNOWN = "known@ours.example"
UNKNOWN = "unknown@ours.example"
FOREIGN = "somebody@elsewhere.example"

REFUSED = (550, f"Address '{UNKNOWN}' doesn't exist on this server")
LATER = (450, "Internal error - try later")
"""qpsmtpd's replies."""


@contextmanager
def talking(server: Postfix | Qpsmtpd, source: str = OUTSIDER) -> Iterator[Session]:
    """A session of ``source``, after MAIL."""
    with Session(server.port, source) as session:
        session.mail()
        yield session


def one_rcpt(server: Postfix | Qpsmtpd) -> tuple[int, str]:
    """The reply to the known recipient, in a session of its own."""
    with talking(server) as session:
        return session.rcpt(KNOWN)
