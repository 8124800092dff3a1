"""What one server takes for the end of a message, and another doesn't, sent through three of them.

The mails are counted where they arrive: no second one, whatever stands in the first, and the next
honest one as ever.
"""

from __future__ import annotations

import pytest

from tests.protocols.test_smtp_content import ENDS
from tests.smtp.client import SENDER
from tests.smtp.gateway import ANNA, KARL, Gateway
from tests.smtp.hops import Hop

SECOND = (
    f"MAIL FROM:<evil@client.example>\r\nRCPT TO:<{KARL}>\r\n"
    "DATA\r\nSubject: smuggled\r\n\r\nsmuggled\r\n.\r\n"
).encode()


@pytest.mark.fault("GW03")
@pytest.mark.parametrize("end", ENDS)
def test_nothing_is_smuggled(before: Gateway, hop: Hop, end: bytes) -> None:
    """16 false ends of a message, by DATA and by BDAT: 550, no mail, and the next one arrives."""
    content = b"Subject: first\r\n\r\nfirst" + end + SECOND.removesuffix(b".\r\n")
    for how in ("DATA", "BDAT"):
        assert before.deliver(content, ANNA, how=how) == [250, 250, 550]
        with before.client() as client:
            client.begin(ANNA)
            assert client.message(content, how)[1].startswith("5.6.11 ")
            assert client.rest() == b"", "what comes after it isn't listened to"
        honest = b"Subject: honest\r\n\r\nhonest %b\r\n" % how.encode()
        assert before.deliver(honest, ANNA, how=how) == [250, 250, 250]
    mails = hop.mails()
    assert sorted(mail.body for mail in mails) == [b"honest BDAT\n", b"honest DATA\n"]
    assert {(mail.sender, mail.recipient) for mail in mails} == {(SENDER, ANNA)}


@pytest.mark.fault("GW03")
@pytest.mark.parametrize("border", range(6))
def test_a_dot_in_a_chunk_is_no_end(before: Gateway, hop: Hop, border: int) -> None:
    """In chunks a dot on a line of its own is text, for whatever the next hop is told by."""
    first = b"Subject: dots\r\n\r\nfirst"
    content = first + b"\r\n.\r\n" + SECOND
    with before.client() as client:
        client.begin(ANNA)
        assert client.bdat(content[: len(first) + border], content[len(first) + border :])[0] == 250
        assert client.command("MAIL FROM:<>")[0] == 250
        assert client.rcpt(KARL)[0] == 250
        assert client.data(b"Subject: next\r\n\r\nnext\r\n")[0] == 250
    dots, following = sorted(hop.mails(), key=lambda mail: mail.recipient)
    assert dots.body == content.replace(b"\r\n", b"\n").partition(b"\n\n")[2]
    assert (dots.sender, dots.recipient) == (SENDER, ANNA)
    assert (following.sender, following.recipient) == ("", KARL)
    assert following.body == b"next\n"


@pytest.mark.fault("GW13")
@pytest.mark.parametrize("how", ["DATA", "BDAT"])
def test_nothing_of_a_refused_message_arrives(before: Gateway, hop: Hop, how: str) -> None:
    """A message that is refused half-way (a loop) leaves nothing, and the next one is itself."""
    with before.client() as client:
        client.begin(ANNA)
        loop = b"Received: from here\r\n" * 101 + b"\r\n" + b"refused\r\n" * 9999
        assert client.message(loop, how)[1].startswith("5.4.6 ")
        assert client.command(f"MAIL FROM:<{SENDER}>")[0] == 250
        assert client.rcpt(ANNA)[0] == 250
        assert client.message(b"Subject: next\r\n\r\nnext\r\n", how)[0] == 250
    with before.client() as client:
        client.begin(ANNA)
        client.send(b"DATA\r\n" if how == "DATA" else b"BDAT 99 LAST\r\n")
        if how == "DATA":
            assert client.reply()[0] == 354
        client.send(b"Subject: half\r\n\r\nhalf\r\n")
    assert before.deliver(b"Subject: last\r\n\r\nlast\r\n", ANNA)[-1] == 250
    assert sorted(mail.body for mail in hop.mails()) == [b"last\n", b"next\n"]


@pytest.mark.fault("GW03")
def test_stuffed_dots_arrive_as_they_were(before: Gateway, hop: Hop) -> None:
    """Lines that begin with a dot are what they were at the other end, by DATA as by BDAT."""
    plain = b"Subject: dots\r\n\r\n.\r\n..\r\n.a\r\na.\r\n\r\n"
    stuffed = plain.replace(b"\r\n.", b"\r\n..")
    assert before.deliver(stuffed, ANNA) == [250, 250, 250]
    assert before.deliver(plain, ANNA, how="BDAT") == [250, 250, 250]
    assert {mail.body for mail in hop.mails()} == {b".\n..\n.a\na.\n\n"}
