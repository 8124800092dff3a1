"""What a next hop is sent: one command is one command, and a message is one message."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from check_user.gateway.commands import Command, Dotted, mail_from, rcpt_to, refusal
from check_user.protocols.smtp.content import Dotted as Reader
from check_user.protocols.smtp.extensions import Extensions
from tests.gateway.asking import MAIL, mail_of, recipient

EVERYTHING = Extensions(0, eight_bit=True, utf8=True, dsn=True, chunking=True, pipelining=True)
NOTHING = Extensions()


@pytest.mark.fault("GW03")
@pytest.mark.parametrize("octet", ["\r", "\n", "\0", "\r\n", "\x7f", "\t"])
@pytest.mark.parametrize(
    "make",
    [
        lambda text: mail_from(mail_of(sender=text), EVERYTHING, 0),
        lambda text: mail_from(mail_of(dsn=(text,)), EVERYTHING, 0),
        lambda text: rcpt_to(recipient(text), EVERYTHING),
        lambda text: rcpt_to(recipient("a@ours.example", text), EVERYTHING),
    ],
)
def test_no_command_holds_another(octet: str, make: Callable[[str], Command]) -> None:
    """CR, LF and NUL, wherever they come from, make no command at all."""
    with pytest.raises(ValueError, match="control character"):
        make(f"a{octet}RCPT TO:<b@ours.example>")


@given(st.text(st.characters(codec="utf-8")))
def test_every_command_is_one_line(text: str) -> None:
    """Whatever text a command is made of, it ends with the one line end that it has."""
    try:
        octets = Command("NOOP", text).octets
    except ValueError:
        return
    assert octets.endswith(b"\r\n")
    assert not {*b"\r\n\0"} & {*octets[:-2]}


def test_parameters() -> None:
    """A server is given those parameters that it has offered, and no others."""
    mail = mail_of(size=100, body="8BITMIME", utf8=True, dsn=("RET=HDRS", "ENVID=+41"))
    assert mail_from(mail, EVERYTHING, 24).octets == (
        b"MAIL FROM:<sender@client.example> SIZE=124 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=+41\r\n"
    )
    assert mail_from(MAIL, EVERYTHING, 24).octets == b"MAIL FROM:<sender@client.example>\r\n"
    assert mail_from(mail_of(sender="", body="7BIT", size=9), NOTHING, 24).octets == (
        b"MAIL FROM:<>\r\n"
    )
    one = recipient("zoë@ours.example", "NOTIFY=NEVER", "ORCPT=rfc822;Zo+2B")
    assert rcpt_to(one, EVERYTHING).octets == (
        "RCPT TO:<zoë@ours.example> NOTIFY=NEVER ORCPT=rfc822;Zo+2B\r\n".encode()
    )
    assert rcpt_to(recipient("\udcff@x"), NOTHING).octets == b"RCPT TO:<\xff@x>\r\n"


def test_what_a_server_cannot_be_given() -> None:
    """Internationalized or 8-bit mail goes only to servers that offer it."""
    one = recipient("anna@ours.example")
    assert refusal(MAIL, one, NOTHING) is None
    for mail, to, enhanced in (
        (mail_of(utf8=True), one, "5.6.7"),
        (MAIL, recipient("zoë@ours.example"), "5.6.7"),
        (mail_of(sender="zoë@client.example"), one, "5.6.7"),
        (mail_of(body="8BITMIME"), one, "5.6.3"),
    ):
        refused = refusal(mail, to, NOTHING)
        assert refused is not None
        assert refused.enhanced == enhanced
        assert refused.code >= 550
    assert refusal(mail_of(utf8=True, body="8BITMIME"), recipient("ë@x"), EVERYTHING) is None


LINES = st.lists(st.sampled_from([b"", b".", b"..", b".a", b"a", b".\r\n.", b"QUIT"]), max_size=9)


@pytest.mark.fault("GW03")
@given(LINES, st.lists(st.integers(0, 60)), st.booleans())
def test_a_message_is_what_its_reader_reads(
    lines: list[bytes], cuts: list[int], ends_line: bool
) -> None:
    """Dots added here are taken away there, and nothing in a message ends it before its end."""
    message = b"\r\n".join(lines) + (b"\r\n" if ends_line or not lines else b"")
    stuffing = Dotted()
    edges = [0, *sorted(min(cut, len(message)) for cut in cuts), len(message)]
    pieces = [message[a:b] for a, b in pairwise(edges)]
    if any(piece.endswith(b"\r") for piece in pieces):
        return
    wire = b"".join(map(stuffing.write, pieces)) + stuffing.end()
    reader, read, at = Reader(), b"", 0
    while not reader.is_over:
        taken = reader.take(wire, at)
        assert taken is not None
        read += taken[0]
        at = taken[1]
    assert at == len(wire)
    assert read == message + (b"" if message.endswith(b"\r\n") or not message else b"\r\n")
