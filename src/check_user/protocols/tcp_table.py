"""The ``tcp_table`` door: Postfix's tcp_table(5), as a map of recipients.

A request and its reply are a line each; in both, ``%XX`` stands for an octet:

    > get anna@example.org
    < 200 anna@example.org
    > get nobody@example.org
    < 500
    > get "john%20doe"@example.org
    < 200 "john%20doe"@example.org

============================  =====================================
known                         ``200 ADDRESS``, the key as it was asked
unknown, foreign, malformed   ``500 ``: not in the map
can't be told                 ``400 Internal error - try later``
============================  =====================================

``@example.org``, which Postfix asks for after ``anna@example.org`` (virtual(5)), is no recipient:
500 without a lookup. A bare name is looked up, since ``postmaster`` is one (RFC 5321 4.5.1).

400 is also the answer to what can't be understood: a word other than ``get`` (tcp_table(5) names
``put``, which nobody sends), a ``%`` without two hexadecimal digits, ``%00``, a control character
that isn't encoded. Anything that doesn't begin with a word in small letters and a space is a
ProtocolError: HTTP, TLS, SMTP.

Limits: a request has at most 8,192 octets with its LF: Postfix's longest key is 2,048 octets
(``line_length_limit``), three times as many when each is encoded. A reply has at most 4,096
(tcp_table(5)).

Postfix calls the protocol experimental, and waits long for a server that is away (10 tries, 9 s) or
hangs (10 times 100 s): ``policy`` and ``socketmap`` are the better doors.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from check_user.protocols import Lookup, Output, ProtocolError, one_line
from check_user.protocols.buffered import Buffered
from check_user.verdict import FAULT, Action, Reason, Verdict

REQUEST_LIMIT = 8192
"""Octets of a request with its LF."""

REPLY_LIMIT = 4096
"""Octets of a reply with its LF (tcp_table(5))."""

_REQUEST = re.compile(rb"([a-z]{1,16}) (.*)", re.DOTALL)
_BEGUN_REQUEST = re.compile(rb"[a-z]{0,16}(?: .*)?", re.DOTALL)
_NOT_ENCODED = re.compile(rb"[\x00-\x1f\x7f]|%00|%(?![0-9A-Fa-f]{2})")
_TO_ENCODE = re.compile(rb"[^!-$&-~]")


class TcpTableCodec(Buffered):
    """One connection of the ``tcp_table`` door."""

    __slots__ = ()

    def answer(self, lookup: Lookup, verdict: Verdict) -> bytes:
        """Give the reply's line."""
        if verdict.action is Action.DENYSOFT:
            return _cannot_tell(verdict.text)
        if verdict.reason is not Reason.KNOWN:
            return _NOT_FOUND.data
        found = b"200 %b\n" % _encode(lookup.text.encode("utf-8", "surrogateescape"))
        return found if len(found) <= REPLY_LIMIT else _cannot_tell(FAULT.text)

    def _take(self) -> Lookup | Output | None:
        line = self._take_line(REQUEST_LIMIT)
        if line is None:
            if not _BEGUN_REQUEST.fullmatch(self._data, self._start):
                raise ProtocolError("not a tcp_table request")
            return None
        request = _REQUEST.fullmatch(line)
        if request is None:
            raise ProtocolError("not a tcp_table request")
        word, key = request.groups()
        if word != b"get":
            return _UNKNOWN_REQUEST
        if _NOT_ENCODED.search(key):
            return _BAD_KEY
        text = unquote_to_bytes(key).decode("utf-8", "surrogateescape")
        return _NOT_FOUND if text.startswith("@") else Lookup(text)


def _encode(value: bytes) -> bytes:
    """Encode ``%``, blanks, and whatever isn't printable ASCII."""
    return _TO_ENCODE.sub(lambda found: b"%%%02X" % found[0][0], value)


def _cannot_tell(text: str) -> bytes:
    """Say 400. A ``%`` in the text is encoded, since Postfix decodes the whole reply."""
    return f"400 {one_line(text).replace('%', '%25')}\n".encode()


_NOT_FOUND = Output(b"500 \n")
_UNKNOWN_REQUEST = Output(_cannot_tell("unknown request"))
_BAD_KEY = Output(_cannot_tell("a key that is not well encoded"))
