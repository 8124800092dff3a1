"""An SMTP door without a network: the codec, and somebody who answers its questions.

It watches while it plays: whatever is sent to it, the rules in :class:`SmtpDoor` hold.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from check_user.address import Address, Malformed, parse
from check_user.protocols import Mark, Output, ProtocolError
from check_user.protocols.smtp import (
    Abandon,
    Connect,
    Content,
    Data,
    End,
    Mail,
    Question,
    Recipient,
    Reply,
    Secured,
)
from check_user.protocols.smtp.extensions import Extensions
from check_user.protocols.smtp.limits import SmtpLimits
from check_user.protocols.smtp.server import SmtpCodec

HOST = "mx.example.org"
CLIENT = "192.0.2.1"
ALL = Extensions(eight_bit=True, utf8=True, dsn=True, chunking=True)
REPLIES = re.compile(rb"(?:(?:[2-5][0-9]{2}-[ -~]{0,506}\r\n)*[2-5][0-9]{2} [ -~]{0,506}\r\n)*")

Decide = Callable[[Question], Reply | None]

GREETING = Reply(220, "", (f"{HOST} ESMTP",))
TAKEN = Reply(250, "2.6.0", ("Message taken",))
GO_ON = Reply(354, "", ("End with a dot",))
KNOWN = Reply(250, "2.1.5", ("Recipient ok",))
UNKNOWN = Reply(550, "5.1.1", ("Unknown",))
FAULT = Reply(451, "4.4.3", ("Internal error - try later",))
MALFORMED = Reply(553, "5.1.3", ("Malformed address",))
FOREIGN = Reply(550, "5.7.1", ("Relaying denied",))


def decide(question: Question) -> Reply | None:
    """Tell who is there: as in tests/dialogs/README.md. Every message is taken."""
    match question:
        case Connect():
            return GREETING
        case Mail():
            return Reply(250, "2.1.0", ("Sender ok",))
        case Recipient(text):
            return recipient(text)
        case Data():
            return GO_ON
        case End():
            return TAKEN
    return None


def recipient(text: str) -> Reply:
    address = parse(text)
    if isinstance(address, Malformed):
        return MALFORMED
    if not isinstance(address, Address):
        return KNOWN
    if address.key == "fault@example.org":
        return FAULT
    if address.key in ("anna@example.org", '"john doe"@example.org', "zoë@example.org"):
        return KNOWN
    return UNKNOWN if address.domain.key == "example.org" else FOREIGN


def codec(
    *,
    extensions: Extensions = ALL,
    limits: SmtpLimits | None = None,
    tls: bool = False,
    proxied: bool = False,
) -> SmtpCodec:
    return SmtpCodec(
        HOST,
        client=CLIENT,
        extensions=extensions,
        limits=limits or SmtpLimits(),
        tls=tls,
        proxied=proxied,
    )


@dataclass
class SmtpDoor:
    """One session. ``late`` answers recipients only when nothing else can be had.

    The rules that it watches:

    - a reply never overtakes another, and is in SMTP's grammar;
    - a Mail answered with yes is followed by one End or one Abandon, before the next and the close;
    - Content comes only after Data was answered with yes; it has no NUL, and no CR or LF alone; a
      piece is 1 to 65,536 octets and doesn't end within CRLF; End counts them.
    """

    codec: SmtpCodec
    decide: Decide = decide
    late: bool = False
    sent: bytes = b""
    said: list[str] = field(default_factory=list)
    """What was asked, in words; for the dialogs."""
    content: list[bytes] = field(default_factory=list)
    """Of the message that is under way, or the last one."""
    messages: list[bytes] = field(default_factory=list)
    """Those that were taken."""
    sender: str | None = None
    recipients: list[str] = field(default_factory=list)
    error: str = ""
    closed: bool = False
    mark: Mark = Mark.NEED_DATA
    _due: deque[Question] = field(default_factory=deque)
    _is_data: bool = False

    def __post_init__(self) -> None:
        self._run()

    def feed(self, data: bytes, *, ends: bool = False) -> None:
        """Send octets (``b""``: the end), and with them the end, and take every reply."""
        self.codec.feed(data)
        if ends:
            self.codec.feed(b"")
        self._run()

    def ask(self, data: bytes) -> bytes:
        """Send octets, and give what came of them."""
        self.sent = b""
        self.feed(data)
        return self.sent

    def _run(self) -> None:
        while not self.closed:
            try:
                event = self.codec.next_event()
            except ProtocolError as error:
                self.error = str(error)
                continue
            if isinstance(event, Mark):
                if self._answer_due():
                    continue
                assert event is not Mark.NEED_ANSWER
                self.mark = event
                if event is Mark.START_TLS:
                    self.codec.secured()
                    continue
                self.closed = event is Mark.CLOSE
                assert not self.closed or self.sender is None
                return
            if isinstance(event, Output):
                assert not self._due
                self._send(event.data)
            else:
                self._take(event)

    def _take(self, question: Question) -> None:
        assert not self._due or isinstance(question, Recipient)
        self._due.append(question)
        if not isinstance(question, Recipient):
            assert self.codec.next_event() is Mark.NEED_ANSWER
        if not (self.late and isinstance(question, Recipient)):
            self._answer_due()

    def _answer_due(self) -> bool:
        had = bool(self._due)
        while self._due:
            question = self._due.popleft()
            reply = self.decide(question)
            self._watch(question, reply)
            self._send(self.codec.answer(question, reply))
        return had

    def _send(self, data: bytes) -> None:
        assert REPLIES.fullmatch(data), data
        self.sent += data

    def _watch(self, question: Question, reply: Reply | None) -> None:
        self._say(question)
        is_yes = reply is not None and reply.is_positive
        match question:
            case Mail(sender):
                assert self.sender is None
                if is_yes:
                    self.sender, self.recipients = sender, []
            case Recipient(text):
                assert self.sender is not None
                assert text.startswith("<")
                assert text.endswith(">")
                if is_yes:
                    self.recipients.append(text)
            case Data():
                assert self.recipients
                self._is_data, self.content = is_yes, []
            case Content(data):
                assert self._is_data
                assert 0 < len(data) <= 65536
                assert not data.endswith(b"\r")
                assert not re.search(rb"\0|\r(?!\n)|(?<!\r)\n", data)
                self.content.append(data)
            case End(octets):
                assert self._is_data
                assert octets == sum(map(len, self.content))
                self.sender, self._is_data = None, False
                if is_yes:
                    self.messages.append(b"".join(self.content))
            case Abandon():
                assert self.sender is not None
                self.sender, self._is_data = None, False

    def _say(self, question: Question) -> None:
        match question:
            case Mail():
                size = f"size={question.size}" if question.size else ""
                utf8 = "utf8" if question.utf8 else ""
                words = [f"mail <{question.sender}>", size, question.body, utf8, *question.dsn]
            case Recipient(text, dsn):
                words = ["rcpt", text, *dsn]
            case Content(data):
                shown = repr(data)[2:-1]
                if self.said[-1].startswith("content "):
                    self.said[-1] += shown
                    return
                words = ["content", shown]
            case Data(chunked):
                words = ["chunks" if chunked else "data"]
            case End(octets):
                words = [f"end {octets}"]
            case Connect() | Secured() | Abandon():
                words = [type(question).__name__.lower()]
        said = " ".join([word for word in words if word])
        self.said.append("".join([c if c.isprintable() else repr(c)[1:-1] for c in said]))


def play(
    parts: Iterable[bytes], session: SmtpCodec | None = None, *, late: bool = False
) -> SmtpDoor:
    """Open a door, send it the parts, and show it."""
    door = SmtpDoor(session or codec(), late=late)
    for part in parts:
        door.feed(part)
    return door


def opened(session: SmtpCodec | None = None) -> SmtpDoor:
    """A door whose client has said EHLO."""
    door = play([b"EHLO client.example\r\n"], session)
    door.sent = b""
    return door


def in_mail(session: SmtpCodec | None = None) -> SmtpDoor:
    """A door with a transaction that has a recipient."""
    door = opened(session)
    door.feed(b"MAIL FROM:<x@example.net>\r\nRCPT TO:<anna@example.org>\r\n")
    door.sent = b""
    door.said.clear()
    return door


def in_data(session: SmtpCodec | None = None) -> SmtpDoor:
    """A door that waits for a message."""
    door = in_mail(session)
    assert door.ask(b"DATA\r\n").startswith(b"354 ")
    door.sent = b""
    return door
