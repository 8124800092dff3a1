"""What the gateway offers is what its next hop takes, and it arrives there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.peers.dovecot import Dovecot
from tests.peers.process import free_port
from tests.smtp.client import SENDER, Client
from tests.smtp.gateway import ANNA, OURS, Gateway
from tests.smtp.hops import Hop

PASSED = {"SIZE", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING"}
"""What depends on the next hop. PIPELINING and ENHANCEDSTATUSCODES are always there."""

PARAMETERS = {
    "SIZE": "SIZE=1000",
    "8BITMIME": "BODY=8BITMIME",
    "SMTPUTF8": "SMTPUTF8",
    "DSN": "RET=HDRS ENVID=x1",
}
BODY = "Subject: x\r\n\r\nzoë\r\n".encode()


def hop_offers(hop: Hop) -> set[str]:
    """What the server itself says."""
    with Client(hop.port) as client:
        word = "LHLO" if isinstance(hop.server, Dovecot) else "EHLO"
        _, text = client.command(f"{word} client.example")
        return {line.split()[0] for line in text.split("\n")[1:]}


@pytest.mark.fault("GW15")
def test_offers_are_the_next_hops(before: Gateway, hop: Hop) -> None:
    """Every extension that the next hop has is offered, and no other; SIZE is not above its own."""
    with before.client() as client:
        offered = client.ehlo()
    theirs = hop_offers(hop) & PASSED | {"SIZE"}
    if "8BITMIME" not in theirs:
        theirs.discard("SMTPUTF8")
    assert offered.keys() & PASSED == theirs
    assert {"PIPELINING", "ENHANCEDSTATUSCODES"} <= offered.keys()


@pytest.mark.fault("GW15")
@pytest.mark.parametrize("keyword", PARAMETERS)
@pytest.mark.parametrize("how", ["DATA", "BDAT"])
def test_parameters(before: Gateway, hop: Hop, keyword: str, how: str) -> None:
    """A parameter that is offered is taken and the mail arrives; one that isn't is 555."""
    with before.client() as client:
        offered = client.ehlo()
        code, _ = client.command(f"MAIL FROM:<{SENDER}> {PARAMETERS[keyword]}")
        if keyword not in offered:
            assert code == 555
            assert client.command(f"MAIL FROM:<{SENDER}>")[0] == 250
        else:
            assert code == 250
        assert client.rcpt(ANNA)[0] == 250
        assert client.message(BODY, how)[0] == 250
    (mail,) = hop.mails()
    assert (mail.sender, mail.recipient, mail.body) == (SENDER, ANNA, "zoë\n".encode())


@pytest.mark.fault("GW15")
def test_the_null_sender(before: Gateway, hop: Hop) -> None:
    """A bounce comes from nobody, and still does behind the gateway; nobody is no recipient."""
    with before.client() as client:
        assert client.begin(ANNA, sender="") == [250, 250]
        assert client.command("RCPT TO:<>")[0] == 501
        assert client.data(BODY)[0] == 250
    (mail,) = hop.mails()
    assert (mail.sender, mail.recipient) == ("", ANNA)


@pytest.mark.fault("GW15")
def test_what_is_too_big_or_unknown(before: Gateway, hop: Hop) -> None:
    """A SIZE above the next hop's is 552, an unknown parameter 555, a wrong value 501."""
    with before.client() as client:
        size = int(client.ehlo()["SIZE"])
        for parameter, code in (
            (f"SIZE={size + 1}", 552),
            ("SIZE=many", 501),
            ("BODY=BINARYMIME", 501),
            ("AUTH=<>", 555),
            ("X=1", 555),
        ):
            assert client.command(f"MAIL FROM:<{SENDER}> {parameter}")[0] == code, parameter
        assert client.command(f"MAIL FROM:<{SENDER}> SIZE={size}")[0] == 250
    assert hop.mails() == []


@pytest.mark.fault("GW15")
def test_an_internationalized_recipient(before_postfix: Gateway, postfix: Hop) -> None:
    """A recipient beyond ASCII is looked up and passed on with SMTPUTF8, and 553 without."""
    name = f"jürgen@{OURS}"
    with before_postfix.client() as client:
        assert client.begin(name) == [250, 553]
    with before_postfix.client() as client:
        assert client.begin(name, f"zoë@{OURS}", parameters="SMTPUTF8") == [250, 250, 550]
        assert client.data(BODY)[0] == 250
    (mail,) = postfix.mails()
    assert (mail.sender, mail.recipient) == (SENDER, name)


@pytest.mark.fault("GW15", "GW13")
def test_without_the_next_hop_nothing_is_offered(peer_folder: Path) -> None:
    """A next hop that isn't there at the start takes no extension, and every RCPT is 451."""
    with (
        Gateway(peer_folder, f"queue/smtp-forward 127.0.0.1 {free_port()}") as gateway,
        gateway.client() as client,
    ):
        assert client.ehlo().keys() & PASSED == {"SIZE"}
        assert client.command(f"MAIL FROM:<{SENDER}>")[0] == 250
        code, text = client.rcpt(ANNA)
        assert (code, text.split()[0]) == (451, "4.4.1")
        assert client.data(BODY)[0] == 554


def test_the_received_field(gateway: Gateway) -> None:
    """One Received field, first of all: who the client is, who we are, how it came, and when."""
    assert gateway.deliver(b"Subject: x\r\n\r\nhi\r\n", ANNA) == [250, 250, 250]
    (mail,) = gateway.delivered()
    form = (
        rb"Return-Path: <sender@client\.example>\nDelivered-To: anna@ours\.example\n"
        rb"Received: from client\.example \(\[127\.0\.0\.3\]\)\n"
        rb"\tby gateway\.example with ESMTP id [0-9a-f]{12}\n"
        rb"\tfor <anna@ours\.example>; [A-Z][a-z]{2}, [ -~]+ \+0000\nSubject: x\n\nhi\n"
    )
    assert re.fullmatch(form, mail), mail
