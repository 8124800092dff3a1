"""The SMTP codec: order, state, and what is no SMTP. Whole sessions are in tests/dialogs/smtp."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from check_user.protocols import Mark, Output
from check_user.protocols.smtp import (
    Abandon,
    Connect,
    Data,
    End,
    Mail,
    Question,
    Recipient,
    Reply,
    Secured,
)
from check_user.protocols.smtp.extensions import Extensions
from check_user.protocols.smtp.server import LINE_LIMIT, SmtpCodec
from tests.protocols.smtp_door import (
    GO_ON,
    GREETING,
    KNOWN,
    SmtpDoor,
    codec,
    decide,
    in_data,
    in_mail,
    opened,
    play,
)

COMMANDS = st.sampled_from(
    [
        b"EHLO client.example\r\n",
        b"HELO client.example\r\n",
        b"MAIL FROM:<x@example.net>\r\n",
        b"MAIL FROM:<> SIZE=10 BODY=8BITMIME SMTPUTF8 RET=FULL\r\n",
        b"mail from:<a..b@example.net>\r\n",
        b"RCPT TO:<anna@example.org>\r\n",
        b"RCPT TO:<nobody@example.org>\r\n",
        b"RCPT TO:<fault@example.org> NOTIFY=NEVER\r\n",
        b'RCPT TO:<"john doe"@example.org>\r\n',
        b"RCPT TO:<zo\xc3\xab@example.org>\r\n",
        b"RCPT TO:<\xff\r\n",
        b"BDAT 5\r\nab\r\nc",
        b"BDAT 4 LAST\r\n..\r\n",
        b"BDAT 0 LAST\r\n",
        b"BDAT 3\r\na\nb",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"VRFY anna\r\n",
        b"QUIT\r\n",
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01",
        b"\r\n",
        b"NOOP\n",
        b"NO\rOP\r\n",
        b"NO\0OP\r\n",
        b"X" * (LINE_LIMIT - 2) + b"\r\n",
        b"X" * (LINE_LIMIT - 1) + b"\r\n",
        b"X" * (LINE_LIMIT + 7) + b"\n",
    ]
)
MESSAGES = st.lists(
    st.sampled_from(
        [b"a", b"..", b"..b", b"\r\n", b"\r\n..", b"\xe4", b" ", b"x" * 1100, b"\r", b"\n", b"\0"]
    ),
    max_size=8,
).map(lambda parts: b"DATA\r\n" + b"".join(parts) + b"\r\n.\r\n")
ENVELOPE = b"MAIL FROM:<x@example.net>\r\nRCPT TO:<anna@example.org>\r\n"
SESSIONS = st.lists(
    COMMANDS | MESSAGES.map(lambda message: ENVELOPE + message) | st.binary(max_size=20),
    max_size=10,
).map(lambda parts: b"EHLO client.example\r\n" + b"".join(parts))


def outcome(door: SmtpDoor) -> tuple[bytes, list[str], list[bytes]]:
    """What came of a session; how much of an abandoned message was given on depends on the cuts."""
    said = "\n".join(door.said)
    return door.sent, re.sub(r"\ncontent .*\nabandon", "\nabandon", said).split("\n"), door.messages


def mark(door: SmtpDoor) -> Mark:
    return door.mark


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    return [data[a:b] for a, b in pairwise(marks)]


@pytest.mark.fault("PC01", "PC11", "GW02")
@given(session=SESSIONS, cuts=st.lists(st.integers(0, 6000), max_size=20))
@example(session=b"EHLO x\r\n" + ENVELOPE + b"BDAT 2\r\na\rBDAT 1 LAST\r\n\n", cuts=[])
def test_chunks_of_anything(session: bytes, cuts: list[int]) -> None:
    """Any octets lead to SMTP replies and to the same questions, alike in any pieces."""
    whole = play([session, b""])
    assert whole.closed
    if b"You didn't wait" in whole.sent:
        return  # what is sent along with a refused DATA is the one thing where time matters
    assert outcome(play([*pieces(session, cuts), b""])) == outcome(whole)
    assert outcome(play([*pieces(session, [*range(len(session))]), b""])) == outcome(whole)


@given(session=SESSIONS)
def test_late_replies(session: bytes) -> None:
    """Whether recipients are answered at once or as late as can be, everybody is told the same."""
    door = SmtpDoor(codec(), late=True)
    door.feed(session, ends=True)
    assert outcome(door) == outcome(play([session, b""]))


@pytest.mark.fault("PC01")
def test_trailing_octets_wait() -> None:
    """What follows a command stays for the next one."""
    door = in_mail()
    assert door.ask(b"RCPT TO:<anna@example.org>\r\nRCPT T").count(b"250 ") == 1
    assert mark(door) is Mark.NEED_REST
    assert door.ask(b"O:<anna@example.org>\r\n").count(b"250 ") == 1
    assert mark(door) is Mark.NEED_DATA


@pytest.mark.fault("PC02")
def test_ten_thousand_at_once() -> None:
    """10,000 commands in one piece are answered, and no message is lost among them."""
    session = b"RCPT TO:<anna@example.org>\r\n" * 900 + b"BDAT 2 LAST\r\n\r\n"
    door = opened()
    assert door.ask((b"MAIL FROM:<>\r\n" + session) * 11).count(b"250 2.1.5") == 9900
    assert len(door.messages) == 11


def started() -> SmtpCodec:
    """A codec with a transaction and nothing due."""
    session = codec()
    answer(session, GREETING, Connect)
    session.feed(b"HELO x\r\nMAIL FROM:<>\r\n")
    assert isinstance(session.next_event(), Output)
    answer(session, KNOWN, Mail)
    return session


def answer(session: SmtpCodec, reply: Reply | None, kind: type[Question]) -> bytes:
    question = session.next_event()
    assert isinstance(question, kind)
    return session.answer(question, reply)


@pytest.mark.parametrize(
    "command", [b"DATA", b"RSET", b"NOOP", b"EHLO x", b"QUIT", b"MAIL FROM:<>", b"RCPT TO:<>", b"X"]
)
def test_order(command: bytes) -> None:
    """Recipients are asked for together; whatever else was sent waits until all have replies."""
    session = started()
    session.feed(b"RCPT TO:<a@x>\r\nRCPT TO:<b@x> \r\nrcpt to:c@x\r\n" + command + b"\r\n")
    asked = [session.next_event() for _ in range(3)]
    assert [each.text for each in asked if isinstance(each, Recipient)] == [
        "<a@x>",
        "<b@x>",
        "<c@x>",
    ]
    for each in asked:
        assert session.next_event() is Mark.NEED_ANSWER
        assert isinstance(each, Recipient)
        assert session.answer(each, KNOWN).startswith(b"250 ")
    assert session.next_event() not in (Mark.NEED_ANSWER, Mark.NEED_DATA)


@pytest.mark.fault("GW01")
@pytest.mark.parametrize("kind", [Connect, Mail, Recipient, Data, End])
def test_no_reply_is_temporary(kind: type[Question]) -> None:
    """A question that nobody has a reply for is answered 451, never 5xx."""

    def nothing(question: Question) -> Reply | None:
        return None if isinstance(question, kind) else decide(question)

    door = SmtpDoor(codec(), decide=nothing)
    for line in (b"HELO x", b"MAIL FROM:<>", b"RCPT TO:<anna@example.org>", b"DATA", b"a\r\n."):
        if b"451 4.3.0 Internal error - try later\r\n" in door.sent:
            break
        door.feed(line + b"\r\n")
    assert b"451 4.3.0 Internal error - try later\r\n" in door.sent
    assert not door.messages


@pytest.mark.parametrize("kind", [Connect, Mail, Recipient, Data, End])
def test_421_closes(kind: type[Question]) -> None:
    """A reply 421 is the last that the client is told, whatever it has sent ahead."""

    def leave(question: Question) -> Reply | None:
        return Reply(421, "4.3.2", ("Bye",)) if isinstance(question, kind) else decide(question)

    door = SmtpDoor(codec(), decide=leave, late=True)
    door.feed(b"EHLO x\r\n" + ENVELOPE + b"RCPT TO:<anna@example.org>\r\n")
    door.feed(b"BDAT 2 LAST\r\n\r\n")
    assert door.sent.endswith(b"421 4.3.2 Bye\r\n")
    assert door.sent.count(b"421 ") == 1
    assert door.closed


def test_nothing_is_said_after_421() -> None:
    """Recipients that wait when the session ends get no reply, and the end waits for them."""
    session = started()
    session.feed(b"RCPT TO:<a@x>\r\nRCPT TO:<b@x>\r\n")
    first, second = session.next_event(), session.next_event()
    assert isinstance(first, Recipient)
    assert isinstance(second, Recipient)
    assert session.answer(first, Reply(421, "", ("Bye",))) == b"421 Bye\r\n"
    assert session.next_event() is Mark.NEED_ANSWER
    assert session.answer(second, KNOWN) == b""
    assert answer(session, None, Abandon) == b""
    assert session.next_event() is Mark.CLOSE


@pytest.mark.parametrize("code", [421, 450, 554])
def test_unwelcome(code: int) -> None:
    """A greeting that isn't 220 is the only reply."""
    session = codec()
    assert answer(session, Reply(code, "", ("Go", "away")), Connect) == (
        b"%d-Go\r\n%d away\r\n" % (code, code)
    )
    session.feed(b"EHLO x\r\n")
    assert session.next_event() is Mark.CLOSE


@pytest.mark.fault("GW06")
def test_early_talker() -> None:
    """Who speaks before the greeting isn't greeted, before Connect as well as after it."""
    session = codec()
    session.feed(b"EHLO x\r\n")
    door = SmtpDoor(session)
    assert door.sent == b"554 5.5.1 You spoke before the greeting\r\n"
    assert (door.said, door.closed) == ([], True)
    session = codec()
    question = session.next_event()
    assert isinstance(question, Connect)
    session.feed(b"E")
    assert session.answer(question, GREETING) == door.sent
    assert session.next_event() is Mark.CLOSE


@pytest.mark.fault("GW15")
@pytest.mark.parametrize("name", ["eight_bit", "utf8", "dsn", "chunking"])
def test_offers(name: str) -> None:
    """What the next hop doesn't take isn't offered, and refused when it is used."""
    without = {"eight_bit": True, "utf8": True, "dsn": True, "chunking": True, name: False}
    use = {
        "eight_bit": (b"8BITMIME", b"MAIL FROM:<> BODY=8BITMIME\r\n", b"555 5.5.4 "),
        "utf8": (b"SMTPUTF8", b"MAIL FROM:<> SMTPUTF8\r\n", b"555 5.5.4 "),
        "dsn": (b"DSN", b"MAIL FROM:<> RET=FULL\r\n", b"555 5.5.4 "),
        "chunking": (b"CHUNKING", b"MAIL FROM:<>\r\nBDAT 0 LAST\r\n", b"502 5.5.1 "),
    }
    word, command, refusal = use[name]
    door = SmtpDoor(codec(extensions=Extensions(**without)))
    assert word not in door.ask(b"EHLO x\r\n")
    assert refusal in door.ask(command)
    door = SmtpDoor(codec())
    assert word in door.ask(b"EHLO x\r\n")
    assert refusal not in door.ask(command)


@pytest.mark.fault("GW15")
def test_utf8_needs_8_bits() -> None:
    """SMTPUTF8 isn't offered without 8BITMIME (RFC 6531 3.1)."""
    assert b"SMTPUTF8" not in SmtpDoor(codec(extensions=Extensions(utf8=True))).ask(b"EHLO x\r\n")


@pytest.mark.fault("GW15")
@pytest.mark.parametrize(("theirs", "shown"), [(None, 52428800), (0, 52428800), (1000, 1000)])
def test_size(theirs: int | None, shown: int) -> None:
    """SIZE is the smaller of our limit and the next hop's, and holds at MAIL."""
    door = SmtpDoor(codec(extensions=Extensions(size=theirs)))
    assert b"250-SIZE %d\r\n" % shown in door.ask(b"EHLO x\r\n")
    assert door.ask(b"MAIL FROM:<> SIZE=%d\r\n" % (shown + 1)).startswith(b"552 5.3.4 ")
    assert door.ask(b"MAIL FROM:<> SIZE=%d\r\n" % shown).startswith(b"250 ")


@pytest.mark.fault("GW18")
def test_name() -> None:
    """Our name is the one that was given, in every reply that has it."""
    assert b"250-mx.example.org\r\n" in play([b"EHLO x\r\n"]).sent
    assert play([b"QUIT\r\n"]).sent.endswith(b"221 2.0.0 mx.example.org Bye\r\n")


@pytest.mark.fault("GW07", "PC04")
@given(after=st.integers(0, 6), late=st.booleans())
def test_half_close(after: int, late: bool) -> None:
    """A client that ends its half gets the reply to each whole command, and no message is made."""
    lines = [
        b"HELO x",
        *ENVELOPE.split(b"\r\n")[:2],
        b"RCPT TO:<nobody@example.org>",
        b"DATA",
        b"a",
    ]
    door = SmtpDoor(codec(), late=late)
    door.feed(b"".join(line + b"\r\n" for line in lines[:after]), ends=True)
    assert door.sent.count(b"\r\n") == 1 + min(after, 5)
    assert door.closed
    assert not door.messages
    assert door.codec.next_event() is Mark.CLOSE


@pytest.mark.fault("GW07", "PC04")
def test_half_close_while_recipients_wait() -> None:
    """A client that has ended its half is closed after the last reply, not before."""
    session = started()
    session.feed(b"RCPT TO:<a@x>\r\nRCPT TO:<b@x>\r\nRCPT")
    session.feed(b"")
    asked = [session.next_event() for _ in range(2)]
    for each in asked:
        assert session.next_event() is Mark.NEED_ANSWER
        assert isinstance(each, Recipient)
        assert session.answer(each, KNOWN).startswith(b"250 ")
    assert answer(session, None, Abandon) == b""
    assert session.next_event() is Mark.CLOSE


def secure() -> SmtpCodec:
    """A codec that has said 220 to STARTTLS."""
    session = codec(tls=True)
    answer(session, GREETING, Connect)
    session.feed(b"EHLO x\r\nSTARTTLS\r\n")
    said = [session.next_event() for _ in range(3)]
    assert said[1:] == [Output(b"220 2.0.0 Ready to start TLS\r\n"), Mark.START_TLS]
    return session


@pytest.mark.fault("GW04")
def test_starttls() -> None:
    """After TLS the session begins anew: EHLO is due, and STARTTLS is no longer offered."""
    session = secure()
    assert session.next_event() is Mark.START_TLS
    session.secured()
    assert answer(session, None, Secured) == b""
    session.feed(b"MAIL FROM:<>\r\nEHLO x\r\nSTARTTLS\r\nMAIL FROM:<> SMTPUTF8\r\n")
    replies = []
    for _ in range(3):
        event = session.next_event()
        assert isinstance(event, Output)
        replies.append(event.data)
    assert replies[0].startswith(b"503 5.5.1 Say EHLO")
    assert b"STARTTLS" not in replies[1]
    assert replies[2].startswith(b"503 5.5.1 TLS")
    mail = session.next_event()
    assert isinstance(mail, Mail)
    assert mail.protocol == "UTF8SMTPS"


@pytest.mark.fault("GW04")
@pytest.mark.parametrize("rest", [b"R", b"RSET\r\n", b"\x16\x03\x01", b"\r\n"])
def test_injection_in_one_segment(rest: bytes) -> None:
    """Octets sent along with STARTTLS end the session (CVE-2011-0411): no TLS, no command."""
    door = opened(codec(tls=True))
    assert door.ask(b"STARTTLS\r\n" + rest) == (
        b"554 5.5.1 Octets came after STARTTLS and before TLS\r\n"
    )
    assert door.closed


@pytest.mark.fault("GW04")
def test_injection_before_the_handshake() -> None:
    """Plaintext that was fed after the 220 is not believed to be said under TLS."""
    session = secure()
    session.feed(b"EHLO x\r\n")
    session.secured()
    assert session.next_event() is Mark.CLOSE


@pytest.mark.fault("GW04")
def test_starttls_out_of_place() -> None:
    """STARTTLS isn't taken in a transaction, before EHLO, or with parameters."""
    door = SmtpDoor(codec(tls=True))
    assert door.ask(b"STARTTLS\r\n").startswith(b"503 ")
    assert b"250-STARTTLS\r\n" in door.ask(b"EHLO x\r\n")
    assert door.ask(b"STARTTLS now\r\n").startswith(b"501 ")
    assert door.ask(b"MAIL FROM:<>\r\n").startswith(b"250 ")
    assert door.ask(b"STARTTLS\r\n").startswith(b"503 ")


@pytest.mark.parametrize(
    ("hello", "mail", "word"),
    [
        (b"HELO x", b"MAIL FROM:<>", "SMTP"),
        (b"EHLO x", b"MAIL FROM:<>", "ESMTP"),
        (b"EHLO x", b"MAIL FROM:<> SMTPUTF8", "UTF8SMTP"),
    ],
)
def test_mail(hello: bytes, mail: bytes, word: str) -> None:
    """Mail says how it came: the client's name and address, and the word for the Received field."""
    asked: list[Question] = []

    def note(question: Question) -> Reply | None:
        asked.append(question)
        return decide(question)

    SmtpDoor(codec(), decide=note).feed(hello + b"\r\n" + mail + b"\r\n")
    last = asked[-1]
    assert isinstance(last, Mail)
    assert (last.hello, last.client, last.protocol) == ("x", "192.0.2.1", word)


@pytest.mark.fault("PC07")
@pytest.mark.parametrize("verb", [b"GET", b"post", b"CONNECT", b"OPTIONS", b"PRI"])
def test_http(verb: bytes) -> None:
    """A web browser's request ends the session before its body is read."""
    door = opened()
    assert door.ask(verb + b" / HTTP/1.1\r\nMAIL FROM:<>\r\n") == b"554 5.5.1 This is SMTP\r\n"
    assert door.closed


@pytest.mark.fault("PC07")
def test_refused_data_ends_what_was_sent_along() -> None:
    """A message that wasn't asked for is never taken for commands."""
    body = b"Subject: x\r\nRSET\r\n.\r\n"
    for begin, reply in (
        (b"DATA\r\n", b"503 "),
        (b"MAIL FROM:<>\r\nRCPT TO:<nobody@example.org>\r\nDATA\r\n", b"554 "),
    ):
        door = opened()
        replies = door.ask(begin + body).splitlines()
        assert replies[-2].startswith(reply)
        assert replies[-1].startswith(b"421 4.7.0 mx.example.org ")
        assert door.closed

    def refuse(question: Question) -> Reply | None:
        return Reply(451, "", ("Later",)) if isinstance(question, Data) else decide(question)

    door = in_mail()
    door.decide = refuse
    assert door.ask(b"DATA\r\n" + body).startswith(b"451 Later\r\n421 ")
    assert (door.closed, door.said) == (True, ["data", "abandon"])


@pytest.mark.fault("PC06", "PC11")
@pytest.mark.parametrize(("more", "reply"), [(0, b"500 5.5.1 "), (1, b"500 5.5.2 ")])
@pytest.mark.parametrize("size", [1, 100_000])
def test_line_limit(more: int, reply: bytes, size: int) -> None:
    """A line of the limit is a command; one octet more is 500, and what follows is a command."""
    data = b"X" * (LINE_LIMIT - 2 + more) + b"\r\nNOOP\r\n"
    door = opened()
    door.sent = b""
    for at in range(0, len(data), size):
        door.feed(data[at : at + size])
    first, second, _ = door.sent.split(b"\r\n")
    assert first.startswith(reply)
    assert second == b"250 2.0.0 OK"


@pytest.mark.fault("PC06")
def test_endless_line() -> None:
    """Of a command line of 10 MB no more than its limit is kept."""
    session = opened().codec
    for _ in range(10_000):
        session.feed(b"a" * 1000)
        assert session.next_event() is Mark.NEED_REST
        assert len(session._data) <= LINE_LIMIT + 1000
    session.feed(b"\r\n")
    assert session.next_event() == Output(b"500 5.5.2 Line too long\r\n")


@pytest.mark.fault("AB05")
@pytest.mark.parametrize(
    "begin", [b"RCPT TO:", b"RCPT TO:<", b"MAIL FROM:", b"MAIL FROM:<", b"BDAT "]
)
@pytest.mark.parametrize(
    "hostile",
    [b"a", b'"', b'\\"', b'"\\', b"(", b"@a,", b"@a", b" ", b"<", b">", b"a=b ", b"[", b'""'],
)
def test_slow_lines(begin: bytes, hostile: bytes) -> None:
    """No command line takes long to read, whatever is in it."""
    room = LINE_LIMIT - len(begin) - len(b">\x01 \r\n")
    for end in (b"", b">", b'"', b">\x01", b" "):
        line = begin + hostile * (room // len(hostile)) + end + b"\r\n"
        door = in_mail()
        if begin.startswith(b"MAIL"):
            door.feed(b"RSET\r\n")
        began = time.process_time()
        door.feed(line)
        assert time.process_time() - began < 0.005


@pytest.mark.fault("GW03", "PC08")
@pytest.mark.parametrize(
    "line",
    [b"NOOP\n", b"\n", b"NO\rOP\r\n", b"NOOP\r\r\n", b"NOOP\r\n\n", b"x" * LINE_LIMIT + b"\n"],
)
def test_bare_line_ends(line: bytes) -> None:
    """A CR or an LF that stands alone in a command ends the session."""
    door = opened()
    assert door.ask(line + b"NOOP\r\n").endswith(
        b"500 5.5.2 A line ends with CR LF, and neither stands alone\r\n"
    )
    assert door.closed


@pytest.mark.fault("PC08")
def test_nul() -> None:
    """A command with a NUL is refused, and the next one isn't."""
    assert opened().ask(b"NO\0OP\r\nNOOP\r\n") == (
        b"500 5.5.2 A command has no NUL\r\n250 2.0.0 OK\r\n"
    )


def test_marks() -> None:
    """The codec tells whether it waits for a command, for its rest, or for a message."""
    door = opened()
    assert mark(door) is Mark.NEED_DATA
    door.feed(b"NO")
    assert mark(door) is Mark.NEED_REST
    door = in_data()
    assert mark(door) is Mark.NEED_CONTENT
    door.feed(b"a\r\n")
    assert mark(door) is Mark.NEED_CONTENT
    door.feed(b".\r\n")
    assert mark(door) is Mark.NEED_DATA


@given(
    code=st.sampled_from([220, 250, 354, 421, 451, 550]),
    lines=st.lists(st.text(max_size=600), max_size=3),
)
def test_any_reply_is_one_reply(code: int, lines: list[str]) -> None:
    """No text of a reply ends a line, leaves ASCII or makes a line of more than 512 octets."""
    session = in_data().codec
    session.feed(b".\r\n")
    end = session.next_event()
    assert isinstance(end, End)
    said = session.answer(end, Reply(code, "5.1.1", tuple(lines)))
    *shown, last = said.split(b"\r\n")
    assert last == b""
    assert len(shown) == max(len(lines), 1)
    for line, sign in zip(shown, [b"-"] * (len(shown) - 1) + [b" "], strict=True):
        assert line.startswith(b"%d%b5.1.1 " % (code, sign))
        assert line.isascii()
        assert line.decode().isprintable()
        assert len(line) <= 510


def test_go_on() -> None:
    """The reply to DATA has no enhanced code (RFC 2034 4)."""
    assert in_mail().ask(b"DATA\r\n") == b"354 %b\r\n" % GO_ON.lines[0].encode()
