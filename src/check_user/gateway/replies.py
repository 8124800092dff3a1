r"""A server's replies (RFC 5321 4.2): octets in, :class:`Reply` out. No I/O.

    250-mx.example\r\n                  one reply of two lines
    250 SIZE 10240000\r\n
    550 5.1.1 No such user\r\n          code 550, enhanced 5.1.1, one line "No such user"

A line has at most 512 octets with its CRLF (4.5.3.1.5), a reply at most 100 lines, all with the
same code. Anything else is a :class:`ProtocolError`, after which nothing of the connection counts:
an LF alone, a code that is none, other octets than replies. The texts come out as printable ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from check_user.protocols import ProtocolError, one_line
from check_user.protocols.smtp import Reply

LINE_LIMIT = 512
"""Octets of a line with its end."""

LINES_LIMIT = 100
"""Lines of a reply; an EHLO reply has some twenty."""

LINE = re.compile(rb"([2-5][0-5][0-9])(?:([ -])([^\r\n]*))?\r\n")
ENHANCED = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?: |$)")


class ReplyParser:
    """The receiving half of a connection to a server."""

    __slots__ = ("_data", "_lines")

    def __init__(self) -> None:
        """Begin a connection."""
        self._data = b""
        self._lines: list[tuple[bytes, str]] = []

    @property
    def is_empty(self) -> bool:
        """Whether nothing is half said."""
        return not self._data and not self._lines

    def feed(self, data: bytes) -> list[Reply]:
        """Take octets and give the replies that are whole now. Raises ProtocolError."""
        replies = []
        data = self._data + data
        start = 0
        while end := data.find(b"\n", start, start + LINE_LIMIT) + 1:
            if reply := self._take(data[start:end]):
                replies.append(reply)
            start = end
        self._data = data[start:]
        if len(self._data) >= LINE_LIMIT:
            raise ProtocolError(f"a reply line of more than {LINE_LIMIT} octets")
        return replies

    def _take(self, line: bytes) -> Reply | None:
        found = LINE.fullmatch(line)
        if not found:
            raise ProtocolError("not an SMTP reply")
        code, mark, text = found.groups()
        if self._lines and self._lines[0][0] != code:
            raise ProtocolError("a reply with two codes")
        self._lines.append((code, one_line((text or b"").decode(errors="replace"))))
        if mark != b"-":
            lines = [each for _, each in self._lines]
            self._lines.clear()
            return _reply(int(code), lines)
        if len(self._lines) >= LINES_LIMIT:
            raise ProtocolError(f"a reply of more than {LINES_LIMIT} lines")
        return None


def _reply(code: int, lines: list[str]) -> Reply:
    """Take the enhanced code off each line that has it."""
    found = ENHANCED.match(lines[0])
    if not found or found[1] != str(code)[0]:
        return Reply(code, "", tuple(lines))
    enhanced = found[0].rstrip()
    rest = (f"{line} ".removeprefix(f"{enhanced} ").rstrip() for line in lines)
    return Reply(code, enhanced, tuple(rest))


def fold(replies: Sequence[Reply]) -> Reply:
    """Make one reply of LMTP's replies after the message, one for each recipient (RFC 2033 4.2).

    An SMTP client can be told one thing only: 2xx if all recipients have the mail; else the first
    4xx, since a mail that can still be delivered must not be given up; else the first 5xx. So where
    one recipient's mailbox is full for now, the client sends the mail again, and the others get it
    twice: better twice than not at all. A second line says how many have it.
    """
    refusals = [reply for reply in replies if not reply.is_positive]
    if not refusals:
        return replies[0]
    worst = next((reply for reply in refusals if reply.code < 500), refusals[0])
    if len(replies) == 1:
        return worst
    count = f"Delivered to {len(replies) - len(refusals)} of {len(replies)} recipients"
    return Reply(worst.code, worst.enhanced, (*worst.lines, count))
