"""The recipients of the tests here, and how a mail server is asked about them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from tests.peers.smtp import OUTSIDER, Session

KNOWN = "known@ours.example"
UNKNOWN = "unknown@ours.example"
FOREIGN = "somebody@elsewhere.example"

REFUSED = (550, f"Address '{UNKNOWN}' doesn't exist on this server")
LATER = (450, "Internal error - try later")
"""qpsmtpd's replies."""


class MailServer(Protocol):
    """Whoever speaks SMTP at a port of 127.0.0.1."""

    port: int


@contextmanager
def talking(server: MailServer, source: str = OUTSIDER) -> Iterator[Session]:
    """A session of ``source``, after MAIL."""
    with Session(server.port, source) as session:
        session.mail()
        yield session


def one_rcpt(server: MailServer) -> tuple[int, str]:
    """The reply to the known recipient, in a session of its own."""
    with talking(server) as session:
        return session.rcpt(KNOWN)


def first_refusal(server: MailServer, address: str) -> tuple[int, float]:
    """The first reply of a new session that isn't 2xx, else the last; and the seconds until it."""
    begin = time.monotonic()
    with Session(server.port) as session:
        reply = session.greeting[0]
        commands = ["EHLO client.example", "MAIL FROM:<x@client.example>", f"RCPT TO:<{address}>"]
        for command in commands:
            if reply // 100 == 2:
                reply = session.command(command)[0]
    return reply, time.monotonic() - begin
