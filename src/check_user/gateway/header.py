r"""The message's header: the Received field we add, and how many there are already.

    Received: from client.example ([192.0.2.1])\r\n
    \tby mx.example with ESMTP id 5f2b91c04d7a\r\n
    \tfor <anna@ours.example>; Mon, 23 Nov 2026 17:44:05 +0000\r\n

RFC 5321 4.4. What the client called itself is repeated only if it is a domain; else its address
stands there. ``for`` is left out where there are several recipients, who need not know of each
other, and where the recipient isn't ASCII and the mail not SMTPUTF8.

A message that more than 100 servers have passed on is in a loop (RFC 5321 6.3). They are counted
while the header goes by; nothing of it is kept.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from ipaddress import IPv6Address, ip_address

from check_user.address import Malformed, parse_domain
from check_user.gateway.delivery import Transaction
from check_user.protocols.smtp import Mail

ROOM = 1024
"""Octets that the field has at most, with room to spare: hello 255, name 255, recipient 256."""

MOST_RECEIVED = 100
"""Received fields of a message that isn't in a loop (RFC 5321 6.3)."""

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
FIELD = re.compile(rb"\r\n(?:received:|\r\n)", re.IGNORECASE)
LONGEST = len(b"\r\nreceived")
"""Octets of a line's beginning, the end of the line before it included, that can't be a match."""


def field(name: str, value: str) -> str:
    """Write a field without its line end. Raises ValueError for a control character."""
    if CONTROL.search(value):
        raise ValueError(f"a control character in {name}")
    return f"{name}: {value}"


def received(transaction: Transaction, me: str, mark: str, now: datetime | None = None) -> bytes:
    """Give the field with its line ends. ``mark`` names the transaction: letters and digits."""
    mail = transaction.mail
    origin = field("Received", _from(mail))
    by = f"by {me} with {mail.protocol} id {mark}"
    date = format_datetime(now or datetime.now(UTC))  # knows no locale
    for_ = _for(transaction)
    lines = (origin, by, f"{for_}; {date}") if for_ else (origin, f"{by}; {date}")
    return ("\r\n\t".join(lines) + "\r\n").encode("utf-8", "surrogateescape")


class ReceivedCount:
    """Counts the Received fields of a message that comes in pieces."""

    __slots__ = ("_line", "_over", "count")

    def __init__(self) -> None:
        self.count = 0
        self._line = b"\r\n"
        """How the last line begins, while it can still become a match; its line end before it."""
        self._over = False

    def feed(self, data: bytes) -> int:
        """Look at a piece, which doesn't end between CR and LF; give the count so far."""
        if self._over or not data:
            return self.count
        text = self._line + data
        for found in FIELD.finditer(text):
            if found[0].isspace():
                self._over = True
                return self.count
            self.count += 1
        start = text.rfind(b"\r\n")
        line = text[start:] if start >= 0 else b""
        self._line = line if len(line) <= LONGEST else b""
        return self.count


def _from(mail: Mail) -> str:
    literal = _literal(mail.client)
    domain = parse_domain(mail.hello)
    name = literal or "unknown" if isinstance(domain, Malformed) else domain.key
    return f"from {name} ({literal})" if literal else f"from {name}"


def _literal(client: str) -> str:
    """Write an address literal (RFC 5321 4.1.3); nothing for a client without an address."""
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return ""
    return f"[IPv6:{address}]" if isinstance(address, IPv6Address) else f"[{address}]"


def _for(transaction: Transaction) -> str:
    if len(transaction.recipients) != 1:
        return ""
    path = transaction.recipients[0].text
    if not (path.isascii() or transaction.mail.utf8) or not path.isprintable():
        return ""
    return f"for {path}"
