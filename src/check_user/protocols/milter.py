r"""The ``milter`` door: Sendmail's mail filter protocol, versions 2 to 6. Postfix speaks it too.

A packet is a length (4 octets, network order), a letter and data; the length counts the letter:

    > \0\0\0\x0d O \0\0\0\x06 \0\0\x01\xff \0\x1f\xff\xff     version 6, actions, steps
    < \0\0\0\x0d O \0\0\0\x06 \0\0\0\0 \0\0\x53\x72           no actions; steps to leave out
    > \0\0\0\x1d C mx.example.net\0 4 \x04\xd2 192.0.2.1\0    (connect; needs no reply)
    > \0\0\0\x11 M <x@example.net>\0                          (MAIL; needs no reply)
    > \0\0\0\x16 R <nobody@example.org>\0
    < \0\0\0\x45 y 550 5.1.1 Address 'nobody@example.org' doesn't exist on this server\0
    > \0\0\0\x14 R <anna@example.org>\0
    < \0\0\0\x01 c                                            (continue)
    > \0\0\0\x01 Q                                            (quit)

(the blanks are for reading only).

====================  =================================================================
unknown, malformed    ``y550 5.1.1 TEXT``, ``y553 5.1.3 TEXT``
known, foreign        ``c``: go on. Never ``a``, which would let in the message's other recipients
can't be told         ``y451 4.4.3 Internal error - try later``
====================  =================================================================

A ``%`` in the text is doubled, as the mail server wants it.

The steps that are kept are CONNECT (for the client's address), MAIL and RCPT; for the first two no
reply is wanted. All others are left out, where the mail server offers that: version 2 can't leave
out unknown commands and DATA. What comes all the same gets ``c``, a message's body too, since the
mail server waits for a reply. The answer names no step and no action that wasn't offered, and the
lower of both versions.

Every recipient is looked up, those of authenticated and of relay clients too; theirs of other
domains are foreign, so they pass.

A reply too many would be taken for the answer to the next recipient. So whatever can't be
understood is a ProtocolError, and the connection is closed: an unknown letter (who knows whether it
wants a reply), anything before the negotiation, a recipient without an end. The mail server then
does what it was told to do without its milter: that must be a temporary refusal (Sendmail ``F=T``,
Postfix ``milter_default_action=tempfail``). The order of commands is the mail server's affair; a
command is answered the same wherever it stands.

Limit: a packet has at most 65,536 octets, libmilter's own limit (``MILTER_MAX_DATA_SIZE``, 65,535
octets of data). A larger length, as ``GET `` makes one, is a ProtocolError as soon as it is read.
"""

from __future__ import annotations

import re
from enum import IntFlag
from struct import Struct

from check_user.protocols import Lookup, Output, ProtocolError, one_line
from check_user.protocols.buffered import Buffered
from check_user.verdict import Action, Verdict

PACKET_LIMIT = 65_536
"""Octets of a packet without its length."""

VERSIONS = (2, 6)
"""The oldest and the newest version of the protocol that is spoken here."""


class Step(IntFlag):
    """What a negotiation is about (libmilter/mfdef.h, ``SMFIP_``): steps, and replies, left out."""

    NO_CONNECT = 0x1
    NO_HELO = 0x2
    NO_MAIL = 0x4
    NO_RCPT = 0x8
    NO_BODY = 0x10
    NO_HEADERS = 0x20
    NO_END_OF_HEADERS = 0x40
    NO_UNKNOWN = 0x100
    NO_DATA = 0x200
    NO_REPLY_CONNECT = 0x1000
    NO_REPLY_MAIL = 0x4000


LEFT_OUT = (
    Step.NO_HELO
    | Step.NO_BODY
    | Step.NO_HEADERS
    | Step.NO_END_OF_HEADERS
    | Step.NO_UNKNOWN
    | Step.NO_DATA
    | Step.NO_REPLY_CONNECT
    | Step.NO_REPLY_MAIL
)

WITH_REPLY = frozenset(b"CHMTLNBEU")
"""Commands that are answered with ``c``, whatever they say: unless a negotiation excepts them."""

_LENGTH = Struct("!I")
_OFFER = Struct("!III")
_CONNECT = re.compile(rb"[^\0]*\0[46]..(?:IPv6:)?([^\0]*)\0", re.DOTALL)


class MilterCodec(Buffered):
    """One connection of the ``milter`` door."""

    __slots__ = ("_client", "_with_reply")

    def __init__(self) -> None:
        """Begin a connection."""
        super().__init__()
        self._client = ""
        self._with_reply: frozenset[int] | None = None
        """The commands to answer with ``c``; None before the negotiation."""

    def answer(self, lookup: Lookup, verdict: Verdict) -> bytes:
        """Give the reply's packet."""
        if verdict.action is Action.DECLINED:
            return _CONTINUE.data
        text = one_line(verdict.text).replace("%", "%%")
        return _packet(b"y", f"{verdict.code} {verdict.enhanced} {text}\0".encode())

    def _take(self) -> Lookup | Output | None:
        while packet := self._take_packet():
            event = self._event(packet[:1], packet[1:])
            if event is not None:
                return event
        return None

    def _take_packet(self) -> bytes | None:
        """Take a packet off the buffer, without its length; None while it isn't whole."""
        begin = self._start + _LENGTH.size
        if len(self._data) < begin:
            return None
        (length,) = _LENGTH.unpack_from(self._data, self._start)
        if not 1 <= length <= PACKET_LIMIT:
            raise ProtocolError(f"a packet of {length} octets")
        if len(self._data) < begin + length:
            return None
        self._start = begin + length
        return self._data[begin : begin + length]

    def _event(self, command: bytes, data: bytes) -> Lookup | Output | None:
        """What a command leads to; None where it wants no reply."""
        if command == b"O":
            return self._negotiate(data)
        if self._with_reply is None:
            raise ProtocolError("a command before the negotiation")
        match command:
            case b"R":
                return self._recipient(data)
            case b"C":
                self._client = _client(data)
            case b"K":
                self._client = ""
            case b"Q":
                self._forget()
                self._ended = True
        if command[0] in self._with_reply:
            return _CONTINUE
        if command in b"ACDKMQ":
            return None
        raise ProtocolError(f"an unknown command {command!r}")

    def _negotiate(self, data: bytes) -> Output:
        """Say which version is spoken, and which of the offered steps are left out."""
        if len(data) < _OFFER.size:
            raise ProtocolError("a negotiation without version, actions and steps")
        version, _, offered = _OFFER.unpack_from(data)
        oldest, newest = VERSIONS
        if version < oldest:
            raise ProtocolError(f"version {version} of the protocol")
        steps = LEFT_OUT & offered
        self._with_reply = WITH_REPLY.difference(
            b"C" if steps & Step.NO_REPLY_CONNECT else b"",
            b"M" if steps & Step.NO_REPLY_MAIL else b"",
        )
        return Output(_packet(b"O", _OFFER.pack(min(version, newest), 0, steps)))

    def _recipient(self, data: bytes) -> Lookup:
        """Give the path; what follows its NUL are ESMTP parameters."""
        path, end, _ = data.partition(b"\0")
        if not end:
            raise ProtocolError("a recipient without an end")
        return Lookup(path.decode("utf-8", "surrogateescape"), client=self._client)


def _client(data: bytes) -> str:
    """The client's network address; empty where it has none (a unix socket, a local program)."""
    found = _CONNECT.fullmatch(data)
    return found[1].decode("utf-8", "surrogateescape") if found else ""


def _packet(letter: bytes, data: bytes = b"") -> bytes:
    return _LENGTH.pack(1 + len(data)) + letter + data


_CONTINUE = Output(_packet(b"c"))
