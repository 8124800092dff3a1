"""Real next hops that keep what they take: Postfix, Exim, Dovecot (LMTP).

hop.line            the queue's line in the file ``plugins``
hop.mails()         what it has taken since it was emptied: envelopes and bodies
hop.empty()         forget that
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.peers.dovecot import Dovecot
from tests.peers.exim import Exim
from tests.peers.postfix import Postfix
from tests.peers.process import Server

USERS = ("anna@ours.example", "karl@ours.example")

OPINIONS = """
smtpd_recipient_restrictions = check_recipient_access inline:{
    { gone@ours.example = 550 5.2.1 Mailbox closed },
    { later@ours.example = 450 4.2.1 Mailbox busy }},
    permit
smtpd_client_restrictions = permit
message_size_limit = 50000000
"""
"""What the Postfix behind the gateway says of recipients by itself."""

ENVELOPE = re.compile(
    rb"^(return-path|delivered-to|envelope-to): ?(.*)$", re.IGNORECASE | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A mail as it lies there, whole, and its envelope: sender and recipient."""

    sender: str
    recipient: str
    content: bytes

    @property
    def body(self) -> bytes:
        """What follows the header."""
        return self.content.partition(b"\n\n")[2]


class Hop(ABC):
    """One server."""

    line: str
    server: Server
    port: int

    @abstractmethod
    def files(self) -> Iterable[Path]:
        """The mails' files, when all that was taken has been delivered."""

    def mails(self) -> list[Kept]:
        return [read(file.read_bytes()) for file in self.files()]

    def empty(self) -> None:
        for file in self.files():
            file.unlink()


def read(content: bytes) -> Kept:
    """Take the envelope from the fields that the server has put before the rest."""
    given: dict[str, str] = {}
    before, _, _ = content.partition(b"\nReceived:")
    for found in ENVELOPE.finditer(before):
        given.setdefault(found[1].decode().lower(), found[2].decode().strip("<>"))
    recipient = given.get("delivered-to") or given.get("envelope-to") or ""
    return Kept(given.get("return-path", ""), recipient, content)


class PostfixHop(Hop):
    """Postfix over SMTP: a copy for each recipient."""

    def __init__(self, folder: Path) -> None:
        self.server = self.postfix = Postfix(folder, OPINIONS, keeps=True)
        self.port = self.postfix.port
        self.line = f"queue/smtp-forward 127.0.0.1 {self.port}"

    def files(self) -> Iterable[Path]:
        self.postfix.work_off()
        return list((self.postfix.folder / "mail").glob("all/new/*"))


class EximHop(Hop):
    """Exim over SMTP."""

    def __init__(self, folder: Path) -> None:
        run = folder / "run"
        run.mkdir()
        self.server = self.exim = Exim(folder, "", run, keeps=True)
        self.port = self.exim.port
        self.line = f"queue/smtp-forward 127.0.0.1 {self.port}"

    def files(self) -> Iterable[Path]:
        self.exim.work_off()
        return list((self.exim.folder / "mail").glob("new/*"))


class DovecotHop(Hop):
    """Dovecot over LMTP, at a unix socket."""

    def __init__(self, folder: Path) -> None:
        self.server = self.dovecot = Dovecot(folder, USERS)
        self.port = self.dovecot.port
        self.line = f"queue/smtp-forward unix:{self.dovecot.socket} lmtp"

    def files(self) -> Iterable[Path]:
        return list((self.dovecot.folder / "mail").glob("*/new/*"))


HOPS: dict[str, Callable[[Path], Hop]] = {
    "postfix": PostfixHop,
    "exim": EximHop,
    "dovecot": DovecotHop,
}
