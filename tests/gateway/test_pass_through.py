"""Mail through real next hops: Postfix over SMTP, Dovecot over LMTP."""

from __future__ import annotations

import pytest

from tests.gateway.asking import Client, Gateway, codes, decide_later, mail_of
from tests.peers.dovecot import Dovecot
from tests.peers.faultproxy import FaultProxy
from tests.peers.postfix import Postfix

BODY = b"Subject: hello\r\n\r\n.\r\n..\r\n.a dot\r\nlast\r\n"
STORED = BODY.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n")


@pytest.fixture
async def client(gateway: Gateway, postfix: Postfix) -> Client:
    return await gateway.client(f"queue/smtp-forward 127.0.0.1 {postfix.port}")


def body(stored: bytes) -> bytes:
    return stored.partition(b"\n\n")[2]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_mail_arrives_whole(client: Client, postfix: Postfix, chunked: bool) -> None:
    """What the client sent, dots and all, is what the next hop delivers, once a recipient."""
    names = ["anna@ours.example", "karl@ours.example"]
    replies = await client.send(names, BODY, chunked=chunked)
    assert codes(replies) == [250, 250, 250]
    assert [body(each) for each in postfix.delivered()] == [STORED, STORED]


async def test_the_received_field_stands_first(client: Client, postfix: Postfix) -> None:
    """Our Received field comes before those there are, with its one recipient."""
    await client.send(content=b"Received: from elsewhere\r\nSubject: x\r\n\r\nhi\r\n")
    (stored,) = postfix.delivered()
    lines = stored.replace(b"\n\t", b" ").split(b"\n")
    received = [line for line in lines if line.startswith(b"Received:")]
    assert received[1].startswith(
        b"Received: from client.example ([192.0.2.7]) by gateway.example with ESMTP id "
    )
    assert b" for <anna@ours.example>; " in received[1]
    assert received[2] == b"Received: from elsewhere"


@pytest.mark.fault("GW17")
async def test_each_recipient_has_its_own_reply(
    gateway: Gateway, client: Client, postfix: Postfix
) -> None:
    """Known, unknown, not to be told, foreign, and the next hop's own refusals, in one mail."""
    gateway.decide = decide_later
    names = ["anna", "nobody", "fault", "gone", "later", "karl"]
    replies = await client.send([f"{name}@ours.example" for name in names])
    assert codes(replies) == [250, 550, 451, 550, 450, 250, 250]
    told = [(reply.enhanced, reply.lines[0]) for reply in replies[3:5]]
    assert told[0][0] == "5.2.1"
    assert "Mailbox closed" in told[0][1]
    assert told[1][0] == "4.2.1"
    assert len(postfix.delivered()) == 2


async def test_a_refused_sender_is_told_at_rcpt(client: Client, postfix: Postfix) -> None:
    """The next hop's refusal of MAIL reaches the client as the reply to RCPT."""
    replies = await client.send(mail=mail_of(sender="refused@client.example"))
    assert [(reply.code, reply.enhanced) for reply in replies] == [(554, "5.7.1")]
    bad = await client.send(mail=mail_of(dsn=("RET=WRONG",)))
    assert bad[0].code == 501
    assert postfix.delivered() == []


async def test_one_connection_serves_a_session(gateway: Gateway, postfix: Postfix) -> None:
    """Mails of one client share a connection, after mails that were refused or given up too."""
    async with FaultProxy(("127.0.0.1", postfix.port)) as proxy:
        client = await gateway.client(f"queue/smtp-forward 127.0.0.1 {proxy.port}")
        at_start = len(proxy.connections)
        assert codes(await client.send()) == [250, 250]
        assert codes(await client.send(["gone@ours.example"])) == [550]
        assert codes(await client.send()) == [250, 250]
        assert codes(await Client(client.chain).send(["gone@ours.example"])) == [550]
        assert len(proxy.connections) == at_start + 2
        await gateway.aclose()
        gateway.clients.clear()
    assert len(postfix.delivered()) == 2


async def test_parameters_are_passed_on(client: Client, postfix: Postfix) -> None:
    """SMTPUTF8, 8BITMIME, SIZE and DSN parameters reach a next hop that offers them."""
    extensions = client.chain.extensions
    assert extensions.utf8
    assert extensions.eight_bit
    assert extensions.dsn
    assert extensions.chunking
    assert extensions.size == 10240000 - 1024
    mail = mail_of(utf8=True, body="8BITMIME", size=100, dsn=("RET=HDRS", "ENVID=x1"))
    await client.told(mail)
    assert (await client.rcpt("zoë@ours.example", "NOTIFY=NEVER")).code == 250
    assert (await client.message("Subject: ë\r\n\r\në\r\n".encode())).code == 250
    (stored,) = postfix.delivered()
    assert "zoë@ours.example".encode() in stored
    too_large = await client.send(mail=mail_of(size=10240000))
    assert codes(too_large) == [552]


@pytest.mark.parametrize("place", ["tcp", "unix"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_lmtp(gateway: Gateway, dovecot: Dovecot, place: str, chunked: bool) -> None:
    """An LMTP server's replies, one a recipient, are one reply; its refusals are told at RCPT."""
    where = f"unix:{dovecot.socket}" if place == "unix" else f"127.0.0.1 {dovecot.port}"
    client = await gateway.client(f"queue/smtp-forward {where} lmtp")
    for _ in range(2):
        names = ["anna@ours.example", "stranger@ours.example", "karl@ours.example"]
        replies = await client.send(names, BODY, chunked=chunked)
        assert codes(replies) == [250, 550, 250, 250]
        assert replies[1].enhanced == "5.1.1"
    for user in ("anna", "karl"):
        assert [body(each) for each in dovecot.delivered(user)] == [STORED, STORED]
    assert gateway.reports == []


async def test_a_large_mail(client: Client, postfix: Postfix) -> None:
    """A message of many pieces arrives whole, by DATA and by BDAT."""
    line = b"x" * 998 + b"\r\n"
    pieces = [b"Subject: large\r\n\r\n", *[line * 60] * 100]
    for chunked in (False, True):
        assert codes(await client.send(content=pieces, chunked=chunked)) == [250, 250]
    expected = b"".join(pieces[1:]).replace(b"\r\n", b"\n")
    assert [body(each) == expected for each in postfix.delivered()] == [True, True]
