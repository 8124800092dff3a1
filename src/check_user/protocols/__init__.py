"""The doors' protocols: bytes in, questions out; verdicts in, bytes out. No I/O.

One file a protocol, one class a file, all with the interface of :class:`Codec`. A codec is fed what
a peer sent and yields events, in the order in which their answers must leave:

- :class:`Lookup`: somebody wants a verdict; later ``answer(lookup, verdict)`` gives the bytes;
- :class:`Output`: bytes to send as they are, no lookup needed;
- :class:`Mark`: NEED_DATA or NEED_REST (feed me), CLOSE (send what is due, then close); SMTP has
  some more.

On any input a codec yields events or raises :class:`ProtocolError`, and nothing else; its buffer
has a bound. The shell that owns the connection (``servers/``) keeps the order of answers.

What a verdict says to people passes through :func:`one_line` before it goes on the wire, so that
no text can end a line, add an attribute or outgrow a reply.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Protocol

from check_user.verdict import Verdict


class ProtocolError(Exception):
    """The peer doesn't speak this protocol; the connection must be closed. One line, printable."""


class Kind(Enum):
    """What a lookup is about."""

    RECIPIENT = "recipient"
    DOMAIN = "domain"


class Lookup(NamedTuple):
    """A question.

    ``text`` is what the peer sent as the address (or domain), decoded as UTF-8 with
    ``surrogateescape``: nothing is lost, and nothing is judged here. Where a protocol carries
    addresses without their quotes (policy), the codec puts them back. ``table`` is the map's name
    where the protocol has several (socketmap), else empty. ``client`` is the SMTP client's network
    address where the protocol tells it, else empty. ``token`` is what the answer must repeat where
    answers are told apart by more than their order (OpenSMTPD), else empty.
    """

    text: str
    kind: Kind = Kind.RECIPIENT
    table: str = ""
    client: str = ""
    token: str = ""


class Output(NamedTuple):
    """Bytes that need no lookup."""

    data: bytes


class Mark(Enum):
    """Events without content.

    NEED_DATA: nothing is half said; the peer may be silent for long. NEED_REST: a part of a
    question has come, and the rest of it should follow soon. CLOSE: send what is due, then close.

    Of SMTP alone: NEED_CONTENT: a message is coming, and may take as long as it likes while it
    doesn't stall. NEED_ANSWER: an answer that is due decides what comes next; ask again when it was
    given. START_TLS: send what is due, then encrypt (RFC 3207) and tell the codec.
    """

    NEED_DATA = "need data"
    NEED_REST = "need rest"
    NEED_CONTENT = "need content"
    NEED_ANSWER = "need answer"
    START_TLS = "start TLS"
    CLOSE = "close"


class Codec(Protocol):
    """One connection's worth of a protocol."""

    def feed(self, data: bytes) -> None:
        """Take bytes from the peer; ``b""`` means that it will send no more.

        Feed only what :meth:`next_event` asked for: besides one question's bound a codec holds
        what it was last fed.
        """
        ...

    def next_event(self) -> Lookup | Output | Mark:
        """Give the next event. Raises ProtocolError; after that the codec is finished."""
        ...

    def answer(self, lookup: Lookup, verdict: Verdict) -> bytes:
        """Give the bytes that tell ``verdict`` to the peer. Never fails, never waits."""
        ...


TEXT_LIMIT = 460
"""Octets of a verdict's text on the wire: a reply line has 512 (RFC 5321 4.5.3.1.5)."""


def one_line(text: str) -> str:
    """Give ``text`` as at most TEXT_LIMIT printable ASCII characters; any other becomes ``?``."""
    if not (text.isascii() and text.isprintable()):
        text = "".join(char if " " <= char <= "~" else "?" for char in text)
    return text[:TEXT_LIMIT]
