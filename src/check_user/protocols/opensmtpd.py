"""OpenSMTPD's filter protocol, smtpd-filters(7): lines on a filter's standard input and output.

smtpd says who it is, the filter says what it wants to be asked about; then smtpd asks:

    > config|smtpd-version|7.8.0
    > config|protocol|0.7
    > config|ready
    < register|filter|smtp-in|rcpt-to
    < register|ready
    > filter|0.7|1576146008.006|smtp-in|rcpt-to|7641df9771b4ed00|1ef1c203cc576e5d|no@example.org
    < filter-result|7641df9771b4ed00|1ef1c203cc576e5d|reject|550 5.1.1 Address 'no@example.org' ...

A question is ``filter``, the protocol's version, a time, the subsystem, the phase, the session, a
token, and the phase's own fields: for ``rcpt-to`` the address, mostly without its angle brackets.
Session and token are up to 16 hexadecimal digits, and the answer repeats them as they came:

====================  ====================================================================
unknown, malformed    ``reject|550 5.1.1 TEXT``, ``reject|553 5.1.3 TEXT``
known, foreign        ``proceed``: the next filter, then smtpd's own rules decide
can't be told         ``reject|451 4.4.3 Internal error - try later``
====================  ====================================================================

Only the last field may hold a ``|``; so the address is all that follows the token, and the text may
repeat it. Versions: before 0.5 (OpenSMTPD 6.6) the answer has the token before the session; the
later ones, 0.7 and those to come included, have the order above. The version is read from each
line.

One line that smtpd doesn't understand, or a second answer to a question, ends smtpd and with it the
mail server (lka_filter.c, ``fatalx``). So there is no ProtocolError here, whatever comes:

- whatever asks, with a session and a token that can be read, is answered once, with these two;
- a question that can't be understood (no address, a line without an end in sight) is refused, the
  former for now, the latter for good; one about another phase, for which this filter never
  registered, is ``proceed``;
- every other line is passed over; the registration is said once.

Only ``rcpt-to`` is registered, and no report: a report would tell the client's address, for which
the verdict has no use, at the price of a table of sessions.

Limit: a line has at most 70,000 octets with its end (a line of SMTP has 65,535 in smtp_session.c;
the rest is room for the other fields). What is longer is passed over to its end.
"""

from __future__ import annotations

import re

from check_user.protocols import Lookup, Output, one_line
from check_user.protocols.buffered import Buffered
from check_user.verdict import FAULT, MALFORMED, Action, Verdict

LINE_LIMIT = 70_000
"""Octets of a line with its end."""

_QUESTION = re.compile(
    rb"""filter
      \|([^|]*)                 # the version
      \|[^|]*                   # the time
      \|([^|]*\|[^|]*)          # subsystem and phase
      \|([0-9A-Fa-f]{1,16})     # the session
      \|([0-9A-Fa-f]{1,16})     # the token
      (?:\|(.*))?               # the phase's own fields""",
    re.VERBOSE | re.DOTALL,
)
_TOKEN_FIRST = re.compile(rb"0\.[0-4]")
_REGISTRATION = Output(b"register|filter|smtp-in|rcpt-to\nregister|ready\n")


class OpenSMTPDCodec(Buffered):
    """What one smtpd and its filter say to each other."""

    __slots__ = ("_is_registered", "_skips")

    def __init__(self) -> None:
        """Begin before smtpd's first line."""
        super().__init__()
        self._is_registered = False
        self._skips = False
        """What comes belongs to a line that was too long."""

    def answer(self, lookup: Lookup, verdict: Verdict) -> bytes:
        """Give the answer's line; the order in which answers leave doesn't matter."""
        return _answer(lookup.token, verdict)

    def _take(self) -> Lookup | Output | None:
        """Take lines until one wants an answer."""
        while self._start < len(self._data):
            start = self._start
            end = self._data.find(b"\n", start, start + LINE_LIMIT)
            if end < 0 and len(self._data) - start < LINE_LIMIT:
                if self._skips:
                    self._forget()
                return None
            event = None if self._skips else self._event(start, end)
            self._skips = end < 0
            self._start = start + LINE_LIMIT if end < 0 else end + 1
            if event is not None:
                return event
        return None

    def _event(self, start: int, end: int) -> Lookup | Output | None:
        """What the line there wants; ``end`` is negative for one that is too long."""
        if self._data.startswith(b"filter|", start):
            is_whole = end >= 0
            line = self._data[start : end if is_whole else start + LINE_LIMIT]
            return _asked(line, is_whole=is_whole)
        if not self._is_registered and self._data.startswith(b"config|ready\n", start):
            self._is_registered = True
            return _REGISTRATION
        return None


def _asked(line: bytes, *, is_whole: bool) -> Lookup | Output | None:
    """What a line that begins with ``filter|`` asks; None for no question at all."""
    question = _QUESTION.fullmatch(line)
    if question is None:
        return None
    version, phase, session, token, address = question.groups()
    ids = (token, session) if _TOKEN_FIRST.fullmatch(version) else (session, token)
    name = b"|".join(ids).decode()
    if phase != b"smtp-in|rcpt-to":
        return Output(_proceed(name))
    if not is_whole:
        return Output(_answer(name, MALFORMED))
    if not address:
        return Output(_answer(name, FAULT))
    return Lookup(address.decode("utf-8", "surrogateescape"), token=name)


def _answer(token: str, verdict: Verdict) -> bytes:
    """The table: a verdict's action as a decision of the filter."""
    if verdict.action is Action.DECLINED:
        return _proceed(token)
    text = one_line(f"{verdict.code} {verdict.enhanced} {verdict.text}")
    return f"filter-result|{token}|reject|{text}\n".encode()


def _proceed(token: str) -> bytes:
    return f"filter-result|{token}|proceed\n".encode()
