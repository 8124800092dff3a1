r"""What is sent to a next hop: commands that can't hold a line end, and content with its dots.

    MAIL FROM:<anna@x.example> SIZE=1200 BODY=8BITMIME\r\n
    RCPT TO:<karl@ours.example> NOTIFY=NEVER\r\n

Only a :class:`Command` is ever written as a command, and there is none with a control character in
it, CR, LF and NUL first of all: a second command can't be smuggled in an address or a parameter.
"""

from __future__ import annotations

import re

from check_user.protocols.smtp import Mail, Recipient, Reply
from check_user.protocols.smtp.extensions import Extensions

CONTROL = re.compile(r"[\x00-\x1f\x7f]")

NOT_UTF8 = Reply(550, "5.6.7", ("The next server doesn't take internationalized mail",))
"""RFC 6531 3.7.4.2: 5.6.7, non-ASCII addresses not permitted."""

NOT_8BIT = Reply(
    554, "5.6.3", ("The next server doesn't take 8-bit content, and we don't convert",)
)
"""RFC 6152 3: relayed or refused, never garbled; RFC 3463: 5.6.3, conversion required."""


class Command:
    """One command line. ``octets`` is UTF-8 with the CRLF; octets that are none stay as they are.

    Raises ValueError for a control character.
    """

    __slots__ = ("octets",)

    def __init__(self, *words: str) -> None:
        text = " ".join(word for word in words if word)
        if CONTROL.search(text):
            raise ValueError("a control character in a command")
        self.octets = text.encode("utf-8", "surrogateescape") + b"\r\n"


def refusal(mail: Mail, recipient: Recipient, offered: Extensions) -> Reply | None:
    """Say why a server that offers no more than this can't be given that mail, or None."""
    if mail.utf8 and not offered.utf8:
        return NOT_UTF8
    if not mail.utf8 and not (mail.sender.isascii() and recipient.text.isascii()):
        return NOT_UTF8
    if mail.body == "8BITMIME" and not offered.eight_bit:
        return NOT_8BIT
    return None


def mail_from(mail: Mail, offered: Extensions, room: int) -> Command:
    """MAIL, with those parameters that the server knows.

    ``room`` is how many octets we add to the message.
    """
    return Command(
        f"MAIL FROM:<{mail.sender}>",
        f"SIZE={mail.size + room}" if mail.size and offered.size is not None else "",
        f"BODY={mail.body}" if mail.body and offered.eight_bit else "",
        "SMTPUTF8" if mail.utf8 else "",
        *(mail.dsn if offered.dsn else ()),
    )


def rcpt_to(recipient: Recipient, offered: Extensions) -> Command:
    """RCPT, the path as the client wrote it."""
    path = recipient.text if recipient.text.startswith("<") else f"<{recipient.text}>"
    return Command(f"RCPT TO:{path}", *(recipient.dsn if offered.dsn else ()))


class Dotted:
    """A message as DATA wants it: a dot more where a line begins with one (RFC 5321 4.5.2)."""

    __slots__ = ("_begins_line",)

    def __init__(self) -> None:
        self._begins_line = True

    def write(self, data: bytes) -> bytes:
        """Give a piece of it."""
        stuffed = data.replace(b"\r\n.", b"\r\n..")
        if self._begins_line and data.startswith(b"."):
            stuffed = b"." + stuffed
        if data:
            self._begins_line = data.endswith(b"\r\n")
        return stuffed

    def end(self) -> bytes:
        """Give the line with the one dot, after the last line's end if that was left out (BDAT)."""
        return b".\r\n" if self._begins_line else b"\r\n.\r\n"
