"""What is said to one client, and what it may do: the terms of a connection."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from check_user.protocols import Codec, Lookup, Mark
from check_user.verdict import FAULT, Verdict

Decide: TypeAlias = Callable[
    [Lookup], Verdict | Coroutine[Any, Any, Verdict] | asyncio.Future[Verdict]
]


class Speaker(Protocol):
    """A codec whose questions and answers are its own affair (SMTP's)."""

    def feed(self, data: bytes) -> None:
        """As :class:`check_user.protocols.Codec`."""
        ...

    def next_event(self) -> Any:
        """An :class:`Output`, a :class:`Mark`, or a question."""
        ...

    def answer(self, question: Any, answer: Any) -> bytes:
        """Give the bytes that tell ``answer``; called in the order of the questions."""
        ...

    def secured(self) -> None:
        """TLS stands, after ``Mark.START_TLS``."""
        ...


@dataclass(frozen=True, slots=True)
class Talk:
    """One client's.

    ``decide(question)`` gives an answer, or a coroutine or future of one; ``fault`` is the answer
    when it fails. ``closed`` is told when the client has gone. ``greets`` says that the server
    speaks first; ``farewell`` is sent before a connection is closed that has used up its time, or
    since the server ends. ``tls`` is for codecs that say ``Mark.START_TLS``.
    """

    codec: Codec | Speaker
    decide: Callable[[Any], Any]
    fault: object = FAULT
    closed: Callable[[], None] | None = None
    greets: bool = False
    farewell: bytes = b""
    tls: ssl.SSLContext | None = None


Opening: TypeAlias = Callable[[str], Talk]
"""Makes a :class:`Talk` for a client, whose network address it is given (empty: a unix socket)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may do. Times in seconds of the event loop's (monotonic) clock."""

    idle: float = 3600.0
    """Silence between questions. Postfix itself closes after 10 s (socketmap) or 300 s (policy)."""
    rest: float = 10.0
    """From the first octet of a question to its last."""
    stall: float = 10.0
    """How long a client may leave more than ``unread`` octets of answers unread."""
    ahead: int = 64
    """Questions that are looked up at once for one client, and the most that one turn takes."""
    unread: int = 65536
    """Octets of answers that may wait for a client that doesn't read. With more it gets no answer
    and isn't read from; the answers to what it has asked already may come on top."""
    greet: float = 0.0
    """How long a server that speaks first waits for clients that don't let it."""
    session: float = 0.0
    """A whole connection, but for the time in which a message comes; 0: no limit."""
    content: float = 180.0
    """Silence within a message (RFC 5321 4.5.3.2.5: at least three minutes)."""
    rate: float = 100.0
    """Octets a second that a message must have on average, after its first ``content`` seconds:
    the slowest honest line has more, and a client that drips must end."""
    refusal: bytes = b""
    """What a client is told that there is no room for, before it is closed."""


_NEED_REST = Mark.NEED_REST
_NEED_ANSWER = Mark.NEED_ANSWER
_NEED_CONTENT = Mark.NEED_CONTENT


class Patience:
    """How long a client has taken, and whether that is too long.

    A message's time is that in which we waited for it, and not that in which it waited for us.
    """

    __slots__ = ("_began", "_octets", "_resumed", "_took", "since")

    def __init__(self, now: float) -> None:
        """A client has come."""
        self._began = now
        """When it came, or later by the time that its messages took."""
        self._took = 0.0
        """The time of the message under way, until ``_resumed``."""
        self._resumed = 0.0
        self._octets = 0
        self.since = now
        """When it was last served, or began what it has not finished."""

    def content(self, now: float, octets: int) -> None:
        """A piece of a message has come."""
        self.since = now
        self._octets += octets

    def turn(self, now: float, before: Mark, mark: Mark) -> None:
        """What is waited for isn't what it was ``before``."""
        if before is _NEED_CONTENT:
            self._took += now - self._resumed
            self._began += now - self._resumed
        if mark is _NEED_CONTENT:
            self._resumed = now
        elif mark is not _NEED_ANSWER:  # the message is over
            self._took, self._octets = 0.0, 0

    def is_over(self, now: float, mark: Mark, limits: Limits) -> bool:
        """Whether a client that we wait for, and not it for us, has used up its time."""
        silent = now - self.since
        if mark is _NEED_CONTENT:
            most = limits.content + self._octets / limits.rate
            return silent > limits.content or self._took + now - self._resumed > most
        if limits.session and now - self._began > limits.session:
            return True
        return silent > (limits.rest if mark is _NEED_REST else limits.idle)


def plain(codec: Callable[[], Codec], decide: Decide) -> Opening:
    """The opening of every door but SMTP's: a new codec, and the same ``decide`` for everybody."""
    return lambda _client: Talk(codec(), decide)
