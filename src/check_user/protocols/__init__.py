"""The doors' protocols: bytes in, questions out; verdicts in, bytes out. No I/O.

One file a protocol, one class a file, all with the interface of :class:`Codec`. A codec is fed what
a peer sent and yields events, in the order in which their answers must leave:

- :class:`Lookup`: somebody wants a verdict; later ``answer(lookup, verdict)`` gives the bytes;
- :class:`Output`: bytes to send as they are, no lookup needed;
- :class:`Mark`: NEED_DATA (feed me), CLOSE (send what is due, then close the connection).

On any input a codec yields events or raises :class:`ProtocolError`, and nothing else; its buffer
has a bound. The shell that owns the connection (``servers/``) keeps the order of answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from check_user.verdict import Verdict


class ProtocolError(Exception):
    """The peer doesn't speak this protocol; the connection must be closed. One line, printable."""


class Kind(Enum):
    """What a lookup is about."""

    RECIPIENT = "recipient"
    DOMAIN = "domain"


@dataclass(frozen=True, slots=True)
class Lookup:
    """A question.

    ``text`` is what the peer sent as the address (or domain), decoded as UTF-8 with
    ``surrogateescape``: nothing is lost, and nothing is judged here. ``table`` is the map's name
    where the protocol has several (socketmap), else empty. ``client`` is the SMTP client's network
    address where the protocol tells it, else empty.
    """

    text: str
    kind: Kind = Kind.RECIPIENT
    table: str = ""
    client: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """Bytes that need no lookup."""

    data: bytes


class Mark(Enum):
    """Events without content."""

    NEED_DATA = "need data"
    CLOSE = "close"


class Codec(Protocol):
    """One connection's worth of a protocol."""

    def feed(self, data: bytes) -> None:
        """Take bytes from the peer; ``b""`` means that it will send no more."""
        ...

    def next_event(self) -> Lookup | Output | Mark:
        """Give the next event. Raises ProtocolError; after that the codec is finished."""
        ...

    def answer(self, lookup: Lookup, verdict: Verdict) -> bytes:
        """Give the bytes that tell ``verdict`` to the peer. Never fails, never waits."""
        ...
