"""DATA and BDAT: from the command to the end of the message, or to the end of what is refused.

A message is refused in three ways. Before it comes: DATA gets its refusal at once, BDAT when its
octets were read, since they come whatever is said (RFC 3030 2). While it comes, since it is broken
or too big: Abandon then, the rest is read, and the refusal said at its end. Or at its end, by the
reply to End. After a refused chunk that isn't the last one RSET is due.
"""

from __future__ import annotations

from functools import partial

from check_user.protocols import Mark, Output
from check_user.protocols.smtp import Content, Data, End, Reply, replies
from check_user.protocols.smtp.content import Chunked, Dotted, Message
from check_user.protocols.smtp.envelope import Envelope
from check_user.protocols.smtp.extensions import NONE
from check_user.protocols.smtp.limits import SmtpLimits
from check_user.protocols.smtp.phases import Event, Phases

_NEED_CONTENT = Mark.NEED_CONTENT


class Messages(Phases):
    """A session that takes messages."""

    __slots__ = ("_given",)

    def __init__(self, host: str, client: str, limits: SmtpLimits, *, proxied: bool) -> None:
        """Begin a session."""
        super().__init__(host, client, limits, proxied=proxied)
        self._given = NONE
        """The extensions that the client was offered and may use."""

    def _begin_data(self, refusal: bytes) -> Event:
        """Ask for a message, or refuse it for that or another reason."""
        refusal = refusal or self._envelope.no_message()
        if refusal:
            return Output(self._in_step(self._count_error(refusal)))
        return self._ask(Data(chunked=False))

    def _in_step(self, refusal: bytes) -> bytes:
        """Refuse DATA; what was sent with it may be the message, and is no command to us."""
        if self._start < len(self._data):
            return refusal + self._farewell("You didn't wait for the reply to DATA")
        return refusal

    def _begin_chunk(self, size: int, *, is_last: bool) -> Event:
        """Take a chunk, and ask for a message if it is the first."""
        envelope = self._envelope
        message = envelope.message
        is_first = message is None
        if message is None:
            refusal = envelope.no_message() if self._given.chunking else replies.NOT_IMPLEMENTED
            message = envelope.message = Message(Chunked(), self._limits.message, refusal)
        message.begin_chunk(size, is_last=is_last)
        self._read(message)
        if is_first and not message.failure:
            return self._ask(Data(chunked=True))
        if message.failure and not is_first:
            return self._abandon()
        return self._content(message)

    def _answer_data(self, reply: Reply) -> bytes:
        said = replies.write(reply)
        envelope = self._envelope
        chunked = envelope.message
        if reply.is_positive:
            envelope.room = 0
            if chunked:
                return b""
            envelope.message = Message(Dotted(), self._limits.message)
            self._read(envelope.message)
            return said
        self._is_over = True
        if not chunked:
            return self._in_step(self._count_refusal(said))
        chunked.failure = said
        return said if reply.code == 421 else b""

    def _read(self, message: Message) -> None:
        """Take what comes for content."""
        self._phase = partial(Messages._content, message=message)

    def _content(self, message: Message) -> Event:
        """Take a piece of the message, or find its end."""
        framing = message.framing
        while not (framing.is_over or message.is_endless):
            taken = framing.take(self._data, self._start)
            if taken is None:
                return self._wait(_NEED_CONTENT)
            piece, self._start = taken
            was_refused = bool(message.failure)
            message.count(piece)
            if not message.failure:
                if piece:
                    return self._ask(Content(piece))
            elif not was_refused:
                return self._abandon()
        self._begin_commands()
        return self._end_of_content(message)

    def _end_of_content(self, message: Message) -> Event:
        is_last = message.framing.is_last
        if not message.failure:
            return self._ask(End(message.octets)) if is_last else Output(replies.CHUNK_TAKEN)
        self._envelope.message = None
        if not is_last:
            self._envelope.is_broken = True
            self._envelope.room = 0
        if message.failure == replies.BARE_IN_CONTENT or message.is_endless:
            return self._dismiss(message.failure)
        return Output(self._count_refusal(message.failure))

    def _answer_end(self, reply: Reply) -> bytes:
        self._envelope = Envelope()
        if reply.is_positive:
            self._counters.message()
        return replies.write(reply)
