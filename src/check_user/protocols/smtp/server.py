r"""The ``smtp`` door's codec: the server's side of one SMTP session (RFC 5321). No I/O.

    < 220 mx.example.org ESMTP\r\n                        Connect
    > EHLO client.example\r\n
    < 250-mx.example.org\r\n 250-PIPELINING\r\n ...       (the codec's own reply)
    > MAIL FROM:<anna@example.net>\r\n                    Mail
    > RCPT TO:<karl@example.org>\r\n                      Recipient
    > DATA\r\n                                            Data
    > Subject: ...\r\n\r\n...\r\n.\r\n                    Content, Content, ..., End
    > QUIT\r\n
    < 221 2.0.0 mx.example.org Bye\r\n

Questions and replies are those of :mod:`check_user.protocols.smtp`; the shell asks for the first
event when the client is there, since the server speaks first. What is offered to a client is in
``extensions``, how commands are read in ``commands``, and messages in ``content``; the course of a
session is in ``phases``.

**Order.** Only RCPT is taken while other RCPTs wait for their replies; whatever else has come waits
until they have them. So every reply is given in the state that the replies before it made.

**One end.** A Mail that was answered with yes is followed by one End or one Abandon, never both,
before the next Mail and before CLOSE. Abandon comes for RSET, EHLO, QUIT, the client's end, a Data
that is refused, a message that is broken or too big (at once, while its rest is still read), and
the session's own limits.

**What is no SMTP is never guessed at**; the session ends where framing is in doubt:

==============================================  ================================================
octets before the greeting                      554 5.5.1, closed; no Connect
HTTP, TLS on the plain port                     554 5.5.1, closed
a CR or LF that stands alone, in a command      500 5.5.2, closed
the same, or NUL, in a message                  read to its true end, 550 5.6.11, closed
a refused message of twice the limit            its refusal, closed: its end isn't waited for
octets after STARTTLS, before TLS               554 5.5.1, closed (CVE-2011-0411)
octets sent along with a DATA that is refused   the refusal, 421, closed: it may be the message
a chunk's size that is none                     501 5.5.4, closed
no PROXY header where one is due                ProtocolError, the only one
==============================================  ================================================

Limits of a session are in ``limits``; a line has at most 2,048 octets, which is more than
RFC 5321 (512) and its extensions allow together (SIZE 26, BODY 16, SMTPUTF8 10, DSN 100 + 508 + 28,
paths in UTF-8). A longer one is passed over, however long, and then 500. Memory: what was fed last
and one line, or one piece of a message.

After secured() the session begins anew, but for its counters. Time limits are the shell's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar, TypeAlias

from check_user.protocols import Mark, Output
from check_user.protocols.smtp import (
    Connect,
    Data,
    End,
    Mail,
    Question,
    Recipient,
    Reply,
    commands,
    replies,
)
from check_user.protocols.smtp.commands import Refused
from check_user.protocols.smtp.envelope import Envelope
from check_user.protocols.smtp.extensions import NONE, Extensions, keywords, offered
from check_user.protocols.smtp.limits import SmtpLimits
from check_user.protocols.smtp.messages import Messages
from check_user.protocols.smtp.phases import Event

LINE_LIMIT = 2048
"""Octets of a command line with its CRLF."""

HTTP_VERBS = b"GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH PRI".split()
"""RFC 9110 9.3, RFC 5789, RFC 9113 3.4: a web browser can be made to send these (with a body)."""

TLS_HANDSHAKE = 0x16
"""The first octet of a TLS ClientHello (RFC 8446 5.1); no command begins with it."""

_NEED_DATA = Mark.NEED_DATA
_NEED_REST = Mark.NEED_REST
_NEED_ANSWER = Mark.NEED_ANSWER

_PLAIN_RCPT = re.compile(rb"RCPT TO:(<[!#-;=?-~]{1,1000}>)\r\n", re.IGNORECASE)
"""Nearly every RCPT: a path of ASCII without quotes, and no parameters."""

Handler: TypeAlias = "Callable[[SmtpCodec, bytes], Event]"


class SmtpCodec(Messages):
    """One session. ``next_event``, ``feed`` and ``answer`` as in ``protocols.Codec``.

    ``host`` is our own name; ``client`` the client's network address; ``extensions`` what the next
    hop takes; ``tls`` says that there is a certificate; with ``proxied`` a PROXY header comes
    before anything else, and names the client.
    """

    __slots__ = ("_certificate", "_hello", "_offered")

    def __init__(
        self,
        host: str,
        *,
        client: str,
        extensions: Extensions,
        limits: SmtpLimits,
        tls: bool = False,
        proxied: bool = False,
    ) -> None:
        """Begin a session."""
        super().__init__(host, client, limits, proxied=proxied)
        self._offered = offered(extensions, message=limits.message)
        self._certificate = tls
        self._hello = ""

    def answer(self, question: Question, reply: Reply | None) -> bytes:
        """Give the octets of the reply to ``question``, in the order of the questions.

        A reply with the code 421 ends the session. Never fails, never waits.
        """
        if type(question) is Recipient:
            return self._answer_recipient(reply or replies.FAULT)
        self._awaited = False
        reply = reply or replies.FAULT
        match question:
            case Connect():
                said = self._answer_connect(reply)
            case Mail():
                said = self._answer_mail(reply)
            case Data():
                said = self._answer_data(reply)
            case End():
                said = self._answer_end(reply)
            case _:
                return b""
        if reply.code == 421:
            self._finish()
        return said

    # Command lines.

    def _command(self) -> Event:
        envelope = self._envelope
        if envelope.room > 0:
            found = _PLAIN_RCPT.match(self._data, self._start)
            if found:
                self._start = found.end()
                self._counters.commands += 1
                return self._ask_recipient(found[1].decode(), ())
        return self._line()

    def _line(self) -> Event:
        """Find the line's end."""
        data, start = self._data, self._start
        if start == len(data):
            return self._wait(_NEED_DATA)
        end = data.find(b"\n", start, start + LINE_LIMIT)
        if data[start] != TLS_HANDSHAKE:
            if end >= 0:
                return self._take_line(end)
            if len(data) - start < LINE_LIMIT:
                return self._wait(_NEED_REST)
        if self._pending:
            return _NEED_ANSWER
        if data[start] == TLS_HANDSHAKE:
            return self._dismiss(replies.NOT_SMTP)
        self._phase = SmtpCodec._overlong
        return self._overlong()

    def _overlong(self) -> Event:
        """Pass over a line of any length; its last octet is kept, as it may be the CR."""
        data = self._data
        end = data.find(b"\n", self._start)
        if end < 0:
            self._data, self._start = data[-1:], 0
            return self._wait(_NEED_REST)
        if data[end - 1] != ord("\r"):
            return self._dismiss(replies.BARE_LINE_END)
        self._start = end + 1
        self._begin_commands()
        return self._refuse(replies.LINE_TOO_LONG)

    def _take_line(self, end: int) -> Event:
        """Take the line that ends there, unless replies are due that it has to wait for."""
        line = self._data[self._start : end + 1]
        flaw = _flaw(line)
        verb, _, argument = line[:-2].partition(b" ")
        handler = self._HANDLERS.get(verb.upper(), SmtpCodec._unknown)
        if self._pending:
            if flaw or handler is not SmtpCodec._rcpt or self._envelope.room <= 0:
                return _NEED_ANSWER
        elif self._counters.is_spent:
            return Output(self._farewell("Too many commands"))
        if flaw == replies.BARE_LINE_END:
            return self._dismiss(flaw)
        return self._obey(SmtpCodec._has_nul if flaw else handler, argument, end + 1)

    def _obey(self, handler: Handler, argument: bytes, end: int) -> Event:
        """Take a command; one that is refused waits for the replies that are due."""
        start, self._start = self._start, end
        try:
            event = handler(self, argument)
        except Refused as refused:
            if self._pending:
                self._start = start
                return _NEED_ANSWER
            event = self._refuse(refused.reply)
        self._counters.commands += 1
        return event

    def _indulge(self, reply: bytes) -> Output:
        """Answer a command that brings no mail forward."""
        if self._counters.useless():
            return Output(self._farewell("Too many commands without mail"))
        return Output(reply)

    # Commands without a transaction.

    def _ehlo(self, argument: bytes) -> Event:
        hello = commands.read_name(argument)
        starttls = self._certificate and not self._is_secure
        offers = keywords(self._offered, starttls=starttls, recipients=self._limits.recipients)
        return self._meet(hello, self._offered, Reply(250, "", (self._host, *offers)))

    def _helo(self, argument: bytes) -> Event:
        return self._meet(commands.read_name(argument), NONE, Reply(250, "", (self._host,)))

    def _meet(self, hello: str, given: Extensions, reply: Reply) -> Event:
        self._hello = hello
        self._given = given
        self._reset()
        return self._indulge(replies.write(reply))

    def _forget_client(self) -> None:
        self._hello = ""
        self._given = NONE

    def _rset(self, argument: bytes) -> Event:
        commands.require_none(argument)
        self._reset()
        return self._indulge(replies.OK)

    def _reset(self) -> None:
        """Drop the transaction."""
        self._is_over = self._envelope.is_open
        self._envelope = Envelope()

    def _noop(self, _: bytes) -> Event:
        return self._indulge(replies.OK)

    def _vrfy(self, _: bytes) -> Event:
        return self._indulge(replies.CANNOT_VERIFY)

    def _help(self, _: bytes) -> Event:
        return self._indulge(replies.HELP)

    def _quit(self, argument: bytes) -> Event:
        commands.require_none(argument)
        return self._dismiss(replies.write(Reply(221, "2.0.0", (f"{self._host} Bye",))))

    def _starttls(self, argument: bytes) -> Event:
        if not self._certificate:
            raise Refused(replies.NOT_IMPLEMENTED)
        if self._is_secure:
            raise Refused(replies.TLS_ALREADY)
        commands.require_none(argument)
        if not self._hello:
            raise Refused(replies.HELLO_FIRST)
        if self._envelope.is_open:
            raise Refused(replies.IN_TRANSACTION)
        if self._start < len(self._data):
            return self._dismiss(replies.INJECTED)
        return self._encrypt()

    # The envelope.

    def _mail(self, argument: bytes) -> Event:
        if not self._hello:
            raise Refused(replies.HELLO_FIRST)
        if self._envelope.is_broken:
            raise Refused(replies.RSET_FIRST)
        if self._envelope.is_open:
            raise Refused(replies.NESTED_MAIL)
        said = commands.read_mail(argument, self._given)
        self._envelope = Envelope(utf8=said.utf8)
        return self._ask(
            Mail(
                said.sender,
                said.size,
                said.body,
                said.utf8,
                said.dsn,
                hello=self._hello,
                protocol=self._protocol(utf8=said.utf8),
                client=self._client,
            )
        )

    def _protocol(self, *, utf8: bool) -> str:
        """Name what is spoken, for the Received field (RFC 3848, RFC 6531 4.3)."""
        if self._given is NONE:
            return "SMTP"
        return ("UTF8SMTP" if utf8 else "ESMTP") + ("S" if self._is_secure else "")

    def _answer_mail(self, reply: Reply) -> bytes:
        said = replies.write(reply)
        if reply.is_positive:
            self._envelope.open(self._limits.recipients)
            return said
        return self._count_refusal(said)

    def _rcpt(self, argument: bytes) -> Event:
        envelope = self._envelope
        if envelope.room > 0:
            text, dsn = commands.read_recipient(argument, self._given, utf8=envelope.utf8)
            return self._ask_recipient(text, dsn)
        if refusal := envelope.no_room():
            raise Refused(refusal)
        envelope.excess += 1
        if envelope.excess > self._limits.recipients:
            raise Refused(replies.TOO_MANY_RECIPIENTS)
        return Output(replies.TOO_MANY_RECIPIENTS)

    def _ask_recipient(self, text: str, dsn: tuple[str, ...]) -> Recipient:
        self._envelope.room -= 1
        self._pending += 1
        return Recipient(text, dsn, self._client)

    def _answer_recipient(self, reply: Reply) -> bytes:
        self._pending -= 1
        if self._is_finished:
            return b""
        said = replies.write(reply)
        if reply.is_positive:
            self._envelope.accepted += 1
            return said
        self._envelope.refused += 1
        self._envelope.room += 1
        guessed = reply.code >= 500 or reply.in_place_of_5xx
        if guessed and self._counters.unknown():
            return said + self._farewell("Too many unknown recipients")
        if reply.code == 421:
            self._finish()
        return said

    # The message.

    def _begin_message(self, argument: bytes) -> Event:
        return self._begin_data(replies.NO_ARGUMENT if argument.strip(b" ") else b"")

    def _bdat(self, argument: bytes) -> Event:
        chunk = commands.read_chunk(argument)
        if chunk is None:
            return self._dismiss(replies.CHUNK_WANTED)
        size, is_last = chunk
        return self._begin_chunk(size, is_last=is_last)

    # What is not a command.

    def _unknown(self, _: bytes) -> Event:
        raise Refused(replies.UNKNOWN_COMMAND)

    def _not_implemented(self, _: bytes) -> Event:
        raise Refused(replies.NOT_IMPLEMENTED)

    def _has_nul(self, _: bytes) -> Event:
        raise Refused(replies.NUL_IN_COMMAND)

    def _not_smtp(self, _: bytes) -> Event:
        return self._dismiss(replies.NOT_SMTP)

    _HANDLERS: ClassVar[dict[bytes, Handler]] = {
        b"EHLO": _ehlo,
        b"HELO": _helo,
        b"MAIL": _mail,
        b"RCPT": _rcpt,
        b"DATA": _begin_message,
        b"BDAT": _bdat,
        b"RSET": _rset,
        b"NOOP": _noop,
        b"VRFY": _vrfy,
        b"HELP": _help,
        b"QUIT": _quit,
        b"STARTTLS": _starttls,
        **dict.fromkeys((b"EXPN", b"AUTH", b"ETRN", b"TURN"), _not_implemented),
        **dict.fromkeys(HTTP_VERBS, _not_smtp),
    }


def _flaw(line: bytes) -> bytes:
    """Say what is wrong with the octets of a line; empty for nothing."""
    if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
        return replies.BARE_LINE_END
    return replies.NUL_IN_COMMAND if b"\0" in line else b""
