"""The ``policy`` door: Postfix's policy delegation (SMTPD_POLICY_README, ``check_policy_service``).

A request is lines ``name=value`` and an empty line; so is the reply, with one attribute:

    > request=smtpd_access_policy
    > protocol_state=RCPT
    > client_address=192.0.2.1
    > recipient=nobody@example.org
    >
    < action=550 5.1.1 Address 'nobody@example.org' doesn't exist on this server
    <

====================  =====================================================
unknown, malformed    ``action=550 5.1.1 TEXT``, ``action=553 5.1.3 TEXT``
known, foreign        ``action=DUNNO``: no opinion, the next restriction decides
can't be told         ``action=451 4.4.3 Internal error - try later``
====================  =====================================================

Four attributes are read, in any order: ``request``, ``protocol_state``, ``recipient`` and
``client_address``; all others are ignored, whatever their number. Only the state RCPT (or none)
asks about a recipient; in the other states the answer is DUNNO. A question that can't be understood
gets the temporary answer, never DUNNO: no recipient, an empty one, or one of the four attributes
twice (the protocol lets a server keep either value; we take neither, so that a second one smuggled
in through another attribute's value gains nothing).

Postfix sends ``recipient`` in its internal form, without the quotes of a quoted local part
(smtpd.c, ``extract_addr``): ``john doe@example.org`` stands for ``"john doe"@example.org``. The
quotes are put back here; a local part that begins and ends with a quote is left as it is, for other
clients and for tests by hand.

Anything else is a ProtocolError, and the connection is closed without a reply, as the protocol
wants it: Postfix then asks again, and after that answers 451 itself. That is: a line without ``=``
or whose name is not made of letters, digits, ``_``, ``.``, ``-`` (HTTP, SMTP, TLS, CRLF line
ends), a request without any attribute, a ``request`` other than ``smtpd_access_policy``, and a
request of more than 16,384 octets (Postfix's come to about 600; each attribute that a client can
fill is bounded by ``line_length_limit``, 2,048).
"""

from __future__ import annotations

import re

from check_user.protocols import Lookup, Output, ProtocolError, one_line
from check_user.protocols.buffered import Buffered
from check_user.verdict import FAULT, Action, Verdict

REQUEST_LIMIT = 16_384
"""Octets of a request without its empty line."""

# One pass checks the lines and picks out the four attributes. Of each there are two groups: the
# second has its value (the last one, where there are several), and the first, an empty one, takes
# part only where the second had a value already, which says that the attribute is there twice.
# The repeat of lines is not possessive: in Python 3.11.2 such a repeat ends within a line that has
# only begun, and up to 3.11.7 at least a group in one can be a SystemError. It needn't be, since
# nothing follows it, so that it never goes back.
_LINES = re.compile(
    rb"""(?: (?: request=        (?(2)()) (.*+)
           |   protocol_state= (?(4)()) (.*+)
           |   recipient=      (?(6)()) (.*+)
           |   client_address= (?(8)()) (.*+)
           |   [A-Za-z0-9_.-]++=.*+
           ) \n )*""",
    re.VERBOSE,
)
_BEGUN_LINE = re.compile(rb"(?:[A-Za-z0-9_.-]++(?:=.*+)?)?")
_ATOM = r'[^\x00-\x20()<>\[\]:;@\\,."\x7f]+'
_NEEDS_NO_QUOTES = re.compile(rf'(?:{_ATOM}(?:\.{_ATOM})*|".*"|)@[^@]*|[^@]*', re.DOTALL)
_DECLINED = Action.DECLINED
"""By a name of its own: before Python 3.12 ``Action.DECLINED`` runs Python code (150 ns)."""


class PolicyCodec(Buffered):
    """One connection of the ``policy`` door."""

    __slots__ = ("_checked",)

    def __init__(self) -> None:
        """Begin a connection."""
        super().__init__()
        self._checked = 0
        """Octets of the begun request that are whole and well-formed lines."""

    def answer(self, lookup: Lookup, verdict: Verdict) -> bytes:
        """Give the reply: one attribute and an empty line."""
        return _reply(verdict)

    def _take(self) -> Lookup | Output | None:
        data, start = self._data, self._start
        bound = start + REQUEST_LIMIT + 1  # no need to look any further, and each line takes memory
        lines = _LINES.match(data, start + self._checked, bound)
        end = lines.end() if lines else start
        whole = end > start and data[end : end + 1] == b"\n"
        if not whole and not _BEGUN_LINE.fullmatch(data, end, bound):
            raise ProtocolError("a line that is not name=value")
        if (end if whole else len(data)) - start > REQUEST_LIMIT:
            raise ProtocolError(f"a request of more than {REQUEST_LIMIT} octets")
        if not whole or lines is None:
            self._checked = end - start
            return None
        if self._checked:  # it came in pieces: what was picked out is of the last one alone
            lines = _LINES.match(data, start, end) or lines
        self._start = end + 1
        self._checked = 0
        return _question(lines)


def _question(lines: re.Match[bytes]) -> Lookup | Output:
    """What a request's attributes ask for."""
    twice1, request, twice2, state, twice3, recipient, twice4, client = lines.groups()
    if request != b"smtpd_access_policy" and request is not None:
        raise ProtocolError("a request that is not smtpd_access_policy")
    if not (twice1 is twice2 is twice3 is twice4 is None):
        return _CANNOT_TELL
    if state != b"RCPT" and state is not None:
        return _NO_OPINION
    if not recipient:
        return _CANNOT_TELL
    return Lookup(
        _external(recipient.decode("utf-8", "surrogateescape")),
        client=client.decode("utf-8", "surrogateescape") if client else "",
    )


def _external(recipient: str) -> str:
    """Put the quotes back that RFC 5321 4.1.2 wants around a local part that is no Dot-string."""
    if _NEEDS_NO_QUOTES.fullmatch(recipient):
        return recipient
    local, at, domain = recipient.rpartition("@")
    escaped = local.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"{at}{domain}'


def _reply(verdict: Verdict) -> bytes:
    """The table: a verdict's action as an action of access(5)."""
    if verdict.action is _DECLINED:
        return b"action=DUNNO\n\n"
    return f"action={verdict.code} {verdict.enhanced} {one_line(verdict.text)}\n\n".encode()


_NO_OPINION = Output(b"action=DUNNO\n\n")
_CANNOT_TELL = Output(_reply(FAULT))
