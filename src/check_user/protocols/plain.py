"""The plain form: one address a line, one answer a line. What ``line`` and ``exim`` have in common.

    > anna@example.org
    < DECLINED known
    > nobody@example.org
    < DENY Address 'nobody@example.org' doesn't exist on this server
    > somebody@example.net
    < DECLINED foreign

and ``DENYSOFT Internal error - try later`` when it can't be told. Lines end with LF or CRLF,
answers with LF; the first word of an answer is :class:`Action`'s, the rest is for people (after
DECLINED: the reason).

Every line is a question, and whatever is no address is a malformed one, which is a definite answer
(``DENY Malformed address``): an empty line, a line of HTTP, octets that are not UTF-8. So this form
can't tell that a peer speaks another protocol.

Limit: a line has at most 1,000 octets with its end (a path has 256, RFC 5321 4.5.3.1.3; the rest
is room for what is malformed). A longer one is a ProtocolError.
"""

from __future__ import annotations

from check_user.protocols import Lookup, one_line
from check_user.protocols.buffered import Buffered
from check_user.verdict import Action, Verdict

LINE_LIMIT = 1000
"""Octets of a line with its end."""


class PlainCodec(Buffered):
    """Questions and answers; a protocol says how long it goes on."""

    __slots__ = ()

    def answer(self, lookup: Lookup, verdict: Verdict) -> bytes:
        """Give the answer's line."""
        rest = verdict.reason.value if verdict.action is Action.DECLINED else verdict.text
        return f"{verdict.action.value} {one_line(rest)}\n".encode()

    def _take(self) -> Lookup | None:
        line = self._take_line(LINE_LIMIT)
        if line is None:
            return None
        return Lookup(line.removesuffix(b"\r").decode("utf-8", "surrogateescape"))
