"""The SMTP codec: what one client may do in a session."""

from __future__ import annotations

import pytest

from check_user.protocols.smtp import End, Mail, Question, Reply
from check_user.protocols.smtp.limits import SmtpLimits
from tests.protocols.smtp_door import SmtpDoor, codec, decide, in_mail, opened

FAREWELL = b"421 4.7.0 mx.example.org "
LATER = Reply(450, "4.7.1", ("Later",), in_place_of_5xx=True)


@pytest.mark.fault("GW12")
def test_recipients() -> None:
    """The recipient after the thousandth gets 452, is not asked about, and does no harm."""
    door = in_mail()
    replies = door.ask(b"RCPT TO:<anna@example.org>\r\n" * 1500).splitlines()
    assert replies[:999] == [b"250 2.1.5 Recipient ok"] * 999
    assert replies[999:] == [b"452 4.5.3 Too many recipients"] * 501
    assert len(door.said) == 999
    assert door.ask(b"DATA\r\n.\r\n").endswith(b"250 2.6.0 Message taken\r\n")
    assert door.ask(b"MAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\n").count(b"250 ") == 2


def test_refused_recipients_take_no_room() -> None:
    """A recipient who was refused doesn't count towards the limit."""
    door = opened(codec(limits=SmtpLimits(recipients=2)))
    known, fault = b"RCPT TO:<anna@example.org>\r\n", b"RCPT TO:<fault@example.org>\r\n"
    replies = door.ask(b"MAIL FROM:<>\r\n" + fault * 5 + known * 3)
    assert [line[:3] for line in replies.splitlines()[-3:]] == [b"250", b"250", b"452"]


@pytest.mark.fault("GW12")
def test_recipient_flood() -> None:
    """Of 100,000 recipients in one session only as many as the limits say are answered."""
    door = in_mail()
    door.late = True
    replies = door.ask(b"RCPT TO:<anna@example.org>\r\n" * 100_000).splitlines()
    assert len(replies) == 999 + 1000 + 20 + 1
    assert replies[-1] == FAREWELL + b"Too many errors"
    assert door.closed


@pytest.mark.fault("AB01")
@pytest.mark.parametrize("late", [False, True])
def test_harvest(late: bool) -> None:
    """After 20 unknown recipients in a session there is no 21st, however they are asked for."""
    door = opened()
    door.late = late
    for _ in range(3):
        door.feed(b"MAIL FROM:<>\r\n" + b"RCPT TO:<nobody@example.org>\r\n" * 8 + b"RSET\r\n")
    assert door.sent.count(b"550 5.1.1 ") == 20
    assert door.sent.endswith(
        b"550 5.1.1 Unknown\r\n" + FAREWELL + b"Too many unknown recipients\r\n"
    )
    assert door.closed


@pytest.mark.fault("AB01")
def test_harvest_of_a_network_that_guesses() -> None:
    """Where a network is told 450 in place of 550, twenty of these end the session as well."""

    def hide(question: Question) -> Reply | None:
        reply = decide(question)
        return LATER if reply is not None and reply.code >= 500 else reply

    door = opened()
    door.decide = hide
    one = b"RCPT TO:<nobody@example.org>\r\nRCPT TO:<anna@example.org>\r\n"
    replies = door.ask(b"MAIL FROM:<>\r\n" + one * 30).splitlines()
    assert [line[:3] for line in replies[1:]] == [b"450", b"250"] * 19 + [b"450", b"421"]
    assert door.closed


@pytest.mark.fault("AB01")
def test_faults_are_no_harvest() -> None:
    """A client doesn't pay for our faults, nor for those who exist."""
    door = opened()
    door.feed(b"MAIL FROM:<>\r\n" + b"RCPT TO:<fault@example.org>\r\n" * 100)
    door.feed(b"RCPT TO:<anna@example.org>\r\n" * 100)
    assert door.ask(b"NOOP\r\n") == b"250 2.0.0 OK\r\n"


@pytest.mark.parametrize(
    "error",
    [b"X\r\n", b"MAIL FROM:x y\r\n", b"RCPT TO:<a@b>\r\n", b"NO\0OP\r\n", b"x" * 3000 + b"\r\n"],
)
def test_errors(error: bytes) -> None:
    """The twentieth error is answered, and is the last."""
    door = opened()
    replies = door.ask(error * 30).splitlines()
    assert len(replies) == 21
    assert replies[-1] == FAREWELL + b"Too many errors"
    assert door.closed


@pytest.mark.parametrize(("code", "count"), [(450, 30), (550, 21)])
def test_refused_senders_are_errors(code: int, count: int) -> None:
    """A sender who is refused for good counts, one who shall come again doesn't."""

    def refuse(question: Question) -> Reply | None:
        return Reply(code, "", ("No",)) if isinstance(question, Mail) else decide(question)

    door = opened()
    door.decide = refuse
    assert len(door.ask(b"MAIL FROM:<>\r\n" * 30).splitlines()) == count


@pytest.mark.fault("GW08")
@pytest.mark.parametrize("command", [b"NOOP", b"RSET", b"VRFY a", b"HELP", b"HELO x"])
def test_useless_commands(command: bytes) -> None:
    """A hundred commands that bring no mail are answered, no more; a message begins anew."""
    door = opened()
    assert len(door.ask((command + b"\r\n") * 99).splitlines()) == 99
    assert not door.closed
    assert door.ask(command + b"\r\n") == FAREWELL + b"Too many commands without mail\r\n"
    assert door.closed
    door = in_mail()
    door.feed(b"NOOP\r\n" * 99 + b"DATA\r\n.\r\n" + b"NOOP\r\n" * 99)
    assert not door.closed


def test_a_refused_message_excuses_nothing() -> None:
    """Only a message that was taken lets useless commands be forgotten."""

    def refuse(question: Question) -> Reply | None:
        return Reply(554, "", ("Spam",)) if isinstance(question, End) else decide(question)

    door = in_mail()
    door.decide = refuse
    door.feed(b"NOOP\r\n" * 99 + b"DATA\r\n.\r\nNOOP\r\n")
    assert door.closed


def test_commands_in_all() -> None:
    """A session has a number of commands, recipients among them."""
    door = opened(codec(limits=SmtpLimits(commands=100)))
    door.feed(b"MAIL FROM:<>\r\n" + b"RCPT TO:<anna@example.org>\r\n" * 98)
    assert door.ask(b"DATA\r\n") == FAREWELL + b"Too many commands\r\n"
    assert door.closed


def test_limits_outlive_tls() -> None:
    """STARTTLS doesn't let a client begin to count anew."""
    door = SmtpDoor(codec(tls=True))
    door.feed(b"EHLO x\r\n" + b"X\r\n" * 19)
    assert door.ask(b"STARTTLS\r\n").startswith(b"220 ")
    assert door.ask(b"X\r\n").endswith(FAREWELL + b"Too many errors\r\n")
