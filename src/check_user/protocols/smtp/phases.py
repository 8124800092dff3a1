"""The course of a session: PROXY header, greeting, commands and messages, TLS, end.

What is true of every SMTP session, whatever is said in it: which octets are there, what stops it,
and that it comes to its end in order. :class:`Phases` knows no command.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeAlias

from check_user.protocols import Mark, Output, ProtocolError
from check_user.protocols.proxy import read_header
from check_user.protocols.smtp import Abandon, Connect, Question, Reply, Secured, replies
from check_user.protocols.smtp.envelope import Envelope
from check_user.protocols.smtp.limits import Counters, SmtpLimits

Event: TypeAlias = Question | Output | Mark

# By names of their own: before Python 3.12 ``Mark.CLOSE`` runs Python code (150 ns).
_NEED_REST = Mark.NEED_REST
_NEED_ANSWER = Mark.NEED_ANSWER
_START_TLS = Mark.START_TLS
_CLOSE = Mark.CLOSE


class Phases(ABC):
    """The frame of a session. ``_data[_start:]`` is what has come and is not yet taken."""

    __slots__ = (
        "_awaited",
        "_client",
        "_counters",
        "_data",
        "_ended",
        "_envelope",
        "_host",
        "_is_finished",
        "_is_over",
        "_is_secure",
        "_limits",
        "_pending",
        "_phase",
        "_start",
    )

    def __init__(self, host: str, client: str, limits: SmtpLimits, *, proxied: bool) -> None:
        """Begin a session."""
        self._host = host
        self._client = client
        self._limits = limits
        self._counters = Counters(limits)
        self._data = b""
        self._start = 0
        self._ended = False
        self._phase: Callable[[Any], Event] = Phases._header if proxied else Phases._greeting
        """A method of this class that gives the next event; unbound, so that it's no circle."""
        self._awaited = False
        """A question was asked whose answer decides what comes next."""
        self._pending = 0
        """Recipients that wait for their replies."""
        self._envelope = Envelope()
        self._is_over = False
        """Abandon comes next."""
        self._is_secure = False
        self._is_finished = False
        """Nothing more is taken from the client."""

    def feed(self, data: bytes) -> None:
        """Take bytes from the client; ``b""`` means that it will send no more."""
        if self._ended or self._is_finished:
            return
        if data:
            self._data = self._data[self._start :] + data
            self._start = 0
        else:
            self._ended = True

    def next_event(self) -> Event:
        """Give the next event. Raises ProtocolError where a PROXY header is due, and only there."""
        if self._awaited:
            return _NEED_ANSWER
        if self._is_over:
            return self._abandon()
        return self._phase(self)

    def secured(self) -> None:
        """TLS stands: what was said before doesn't count. Only after ``Mark.START_TLS``."""
        if self._start < len(self._data):
            self._finish()
            return
        self._is_secure = True
        self._envelope = Envelope()
        self._forget_client()
        self._phase = Phases._secured

    @abstractmethod
    def _command(self) -> Event:
        """Take a command."""

    @abstractmethod
    def _forget_client(self) -> None:
        """Forget what the client said about itself."""

    def _header(self) -> Event:
        try:
            header = read_header(self._data)
        except ProtocolError:
            self._finish()
            raise
        if header is None:
            return self._wait(_NEED_REST)
        self._start = header.octets
        self._client = header.client or self._client
        return self._greeting()

    def _greeting(self) -> Event:
        if self._start < len(self._data):
            return self._dismiss(replies.EARLY)
        self._begin_commands()
        return self._ask(Connect(self._client))

    def _answer_connect(self, reply: Reply) -> bytes:
        is_early = self._start < len(self._data)
        if is_early or not reply.is_positive:
            self._finish()
        return replies.EARLY if is_early else replies.write(reply)

    def _begin_commands(self) -> None:
        self._phase = type(self)._command  # noqa: SLF001 - our own, of whatever class we are

    def _encrypt(self) -> Output:
        """Say that TLS may begin, and nothing more before it has."""
        self._phase = Phases._encrypting
        return Output(replies.READY_FOR_TLS)

    def _encrypting(self) -> Event:
        return _CLOSE if self._ended else _START_TLS

    def _secured(self) -> Event:
        self._begin_commands()
        return self._ask(Secured())

    def _closing(self) -> Event:
        if self._pending:
            return _NEED_ANSWER
        return self._abandon() if self._envelope.is_open else _CLOSE

    def _ask(self, question: Question) -> Question:
        """Ask, and stop until it is answered."""
        self._awaited = True
        return question

    def _abandon(self) -> Event:
        """End the transaction; what is left of its message stays to be read."""
        self._is_over = False
        self._envelope.close()
        return self._ask(Abandon())

    def _wait(self, mark: Mark) -> Event:
        """Ask for more octets, if there may be any."""
        if self._start == len(self._data):
            self._data = b""
            self._start = 0
        if not self._ended:
            return mark
        if self._pending:
            return _NEED_ANSWER
        self._finish()
        return self._closing()

    def _finish(self) -> None:
        """Take nothing more from the client."""
        self._is_finished = True
        self._data = b""
        self._start = 0
        self._phase = Phases._closing

    def _dismiss(self, reply: bytes) -> Output:
        """Say a last word."""
        self._finish()
        return Output(reply)

    def _farewell(self, text: str) -> bytes:
        """Give the last word for who has used up a limit."""
        self._finish()
        return replies.write(Reply(421, "4.7.0", (f"{self._host} {text}",)))

    def _refuse(self, reply: bytes) -> Output:
        return Output(self._count_error(reply))

    def _count_refusal(self, reply: bytes) -> bytes:
        """Give the reply to what was asked about; only one for good is an error."""
        return self._count_error(reply) if reply.startswith(b"5") else reply

    def _count_error(self, reply: bytes) -> bytes:
        """Give the reply to an error, and the last word after it if it was one too many."""
        return reply + self._farewell("Too many errors") if self._counters.error() else reply
