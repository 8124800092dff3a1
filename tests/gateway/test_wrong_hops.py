"""Next hops that say the wrong thing: never a 250 that isn't theirs, never a 5xx that isn't."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import pytest

from check_user.gateway.connection import HIGH_MARK
from check_user.gateway.passage import Passage
from check_user.protocols.smtp import Abandon, Content, Data, End, Reply
from tests.gateway.asking import MAIL, SHORT, Client, Gateway, codes, mail_of, recipient
from tests.gateway.hop import POLITE, Hop

Start = Callable[..., Awaitable[tuple[Hop, Client]]]
NO_PIPELINING = b"250 hop.example\r\n"


@pytest.fixture
async def start(gateway: Gateway) -> AsyncIterator[Start]:
    """Start a hop with these replies, and a client in front of it."""
    hops: list[Hop] = []

    async def start(lmtp: str = "", **replies: bytes) -> tuple[Hop, Client]:
        gateway.timeouts = SHORT
        hop = Hop({name.replace("end", "."): reply for name, reply in replies.items()})
        await hop.__aenter__()
        hops.append(hop)
        return hop, await gateway.client(f"queue/smtp-forward 127.0.0.1 {hop.port} {lmtp}")

    yield start
    await gateway.aclose()
    gateway.clients.clear()
    for hop in hops:
        await hop.__aexit__(None, None, None)


@pytest.mark.fault("GW13")
@pytest.mark.parametrize("verb", ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "end"])
@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"250 ok\n",
        b"999 ok\r\n",
        b"250" + b"-" * 600 + b"\r\n",
        b"250-a\r\n251 b\r\n",
        b"250-endless\r\n" * 101,
        b"\xff\xfe\0\r\n",
        b"334 dGVsbCBtZQ==\r\n",
        b"421 4.3.2 going down\r\n",
        b"503 5.5.1 bad sequence\r\n",
        b"530 5.7.0 STARTTLS first\r\n",
        b"",
    ],
)
async def test_what_is_no_answer_is_451(
    start: Start, gateway: Gateway, verb: str, reply: bytes
) -> None:
    """Garbage, silence and replies that blame us are 451, at whatever step; nothing is taken."""
    hop, client = await start(**{verb: reply, "HELO": reply})
    replies = await client.send()
    accepted = [250] if verb in ("DATA", "end") else []
    assert codes(replies) == [*accepted, 451]
    assert replies[-1].lines == ("The next server doesn't answer - try later",)
    assert verb == "end" or hop.messages == []
    assert gateway.reports


@pytest.mark.fault("GW05")
@pytest.mark.parametrize("verb", ["greeting", "EHLO", "MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("early", [b"250 ok\r\n", b"250 ok\r\n" * 3, b"250 o"])
async def test_replies_that_come_too_early_are_no_replies(
    start: Start, verb: str, early: bytes
) -> None:
    """Octets that nobody asked for end the connection; none is taken for a later reply."""
    polite = {**POLITE, "MAIL": b"250 ok\r\n", "RCPT": b"250 ok\r\n"}
    hop, client = await start(**{"EHLO": NO_PIPELINING, verb: polite[verb] + early})
    replies = await client.send()
    assert replies[-1].code == 451
    assert hop.messages == []


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "end"])
@pytest.mark.parametrize("code", [450, 452, 550, 552, 554])
async def test_refusals_are_passed_on(start: Start, verb: str, code: int) -> None:
    """The next hop's 4xx and 5xx, code, enhanced code and text, are the client's."""
    refusal = b"%d-%d.1.0 no\r\n%d %d.1.0 way\xff\r\n" % ((code, code // 100) * 2)
    _, client = await start(**{verb: refusal})
    reply = (await client.send())[-1]
    assert (reply.code, reply.enhanced) == (code, f"{code // 100}.1.0")
    assert reply.lines == ("no", "way?")


async def test_a_refused_sender_is_refused_once(start: Start) -> None:
    """After the next hop has refused MAIL it isn't bothered with further recipients."""
    hop, client = await start(MAIL=b"554 5.7.1 not from you\r\n", RCPT=b"503 5.5.1 MAIL first\r\n")
    await client.told(MAIL)
    for _ in range(3):
        reply = await client.rcpt("anna@ours.example")
        assert (reply.code, reply.enhanced) == (554, "5.7.1")
    await client.ask(Abandon())
    del hop.replies["MAIL"], hop.replies["RCPT"]
    assert codes(await client.send()) == [250, 250]
    assert hop.commands.count("RCPT TO:<anna@ours.example>") == 1 + 1


async def test_without_pipelining_one_command_at_a_time(start: Start) -> None:
    """A server that doesn't offer PIPELINING gets a command when the one before has its reply."""
    hop, client = await start(EHLO=NO_PIPELINING)
    assert codes(await client.send([f"{n}@ours.example" for n in range(9)])) == [250] * 10
    assert len(hop.messages) == 1
    assert client.chain.extensions.pipelining is False


async def test_a_server_without_ehlo(start: Start) -> None:
    """A server that doesn't know EHLO is spoken to in the language of RFC 821."""
    hop, client = await start(EHLO=b"502 what?\r\n")
    mail = mail_of(size=100, dsn=("RET=HDRS",))
    assert codes(await client.send(mail=mail, chunked=True)) == [250, 250]
    assert "HELO gateway.example" in hop.commands
    assert "MAIL FROM:<sender@client.example>" in hop.commands
    assert "DATA" in hop.commands


async def test_a_server_that_offers_less_than_before(start: Start) -> None:
    """Mail that needs what a connection doesn't offer is refused, and not changed."""
    hop, client = await start()
    assert (await client.send(mail=mail_of(utf8=True)))[0].enhanced == "5.6.7"
    assert (await client.send(mail=mail_of(body="8BITMIME")))[0].enhanced == "5.6.3"
    assert (await client.send(["zoë@ours.example"]))[0].enhanced == "5.6.7"
    assert hop.messages == []
    assert codes(await client.send()) == [250, 250]


@pytest.mark.parametrize(
    ("ends", "code", "lines"),
    [
        (b"250 a\r\n250 b\r\n", 250, ("a",)),
        (b"250 a\r\n452 4.2.2 full\r\n", 452, ("full", "Delivered to 1 of 2 recipients")),
        (b"552 5.2.2 full\r\n250 b\r\n", 552, ("full", "Delivered to 1 of 2 recipients")),
        (b"550 no\r\n451 later\r\n", 451, ("later", "Delivered to 0 of 2 recipients")),
        (b"250 a\r\n", 451, ("The next server doesn't answer - try later",)),
    ],
)
async def test_lmtp_replies_are_folded(
    start: Start, ends: bytes, code: int, lines: tuple[str, ...]
) -> None:
    """250 only if all have the mail; else a 4xx if there is one; one reply too few is none."""
    _, client = await start("lmtp", end=ends)
    reply = (await client.send(["anna@ours.example", "karl@ours.example"]))[-1]
    assert (reply.code, reply.lines) == (code, lines)


async def test_a_refused_chunk_is_told_at_the_end(start: Start) -> None:
    """What the next hop says against a BDAT chunk is the message's reply; the session goes on."""
    hop, client = await start(BDAT=b"552 5.3.4 too big\r\n")
    pieces = [b"Subject: x\r\n\r\n", *[b"x" * 998 + b"\r\n"] * 200]
    replies = await client.send(content=pieces, chunked=True)
    assert (replies[-1].code, replies[-1].enhanced) == (552, "5.3.4")
    assert not any(command.endswith("LAST") for command in hop.commands)
    del hop.replies["BDAT"]
    assert codes(await client.send(chunked=True)) == [250, 250]
    assert hop.commands.count("EHLO gateway.example") == 2  # at start, and once for the session


async def test_an_abandoned_message_is_not_delivered(start: Start) -> None:
    """A client that goes away, or gives up, in the middle leaves no mail at the next hop."""
    for chunked in (False, True):
        hop, client = await start()
        await client.told(MAIL)
        await client.rcpt("anna@ours.example")
        await client.told(Data(chunked))
        await client.ask(Content(b"Subject: x\r\n\r\nhalf\r\n"))
        await client.ask(Abandon())
        assert codes(await client.send(content=b"\r\nwhole\r\n", chunked=chunked)) == [250, 250]
        await client.told(MAIL)
        await client.rcpt("anna@ours.example")
        await client.told(Data(chunked))
        await client.ask(Content(b"Subject: x\r\n\r\nhalf\r\n"))
        client.session.closed()
        assert len(hop.messages) == 1
        assert b"half" not in hop.messages[0]


async def test_refused_recipients_cost_the_next_hop_nothing(gateway: Gateway) -> None:
    """Unknown, foreign: refused without a connection, and with the next hop down."""
    async with Hop() as hop:
        client = await gateway.client(f"queue/smtp-forward 127.0.0.1 {hop.port}")
        before = list(hop.commands)
        names = ["nobody@ours.example", "anna@elsewhere.example", "fault@ours.example"]
        assert codes(await client.send(names)) == [550, 550, 451]
        assert hop.commands in (before, [*before, "QUIT"])
    assert codes(await client.send(names)) == [550, 550, 451]


@pytest.mark.parametrize("reads_again", [True, False])
async def test_a_server_that_does_not_read_stops_the_client(
    start: Start, gateway: Gateway, reads_again: bool
) -> None:
    """Content is taken only as fast as the next hop takes it; one that takes none is 451."""
    hop, client = await start()
    hop.reads.clear()
    await client.told(MAIL)
    await client.rcpt("anna@ours.example")
    await client.told(Data(chunked=False))
    piece = (b"x" * 998 + b"\r\n") * 50
    sent = 0
    while (answer := client.session.handle(Content(piece))) is None:
        sent += len(piece)
        assert sent < 10_000_000
    assert not isinstance(answer, Reply)
    assert waiting(client) <= HIGH_MARK + len(piece)
    if reads_again:
        hop.reads.set()
    await answer
    reply = await client.told(End(sent))
    assert (reply.code, reply.enhanced) == ((250, "2.0.0") if reads_again else (451, "4.4.2"))
    assert len(hop.messages) == reads_again
    assert bool(gateway.reports) is not reads_again


async def test_one_deadline_is_not_another(start: Start) -> None:
    """Recipients wait together for the reply to MAIL; one that gives up takes nobody with it."""
    _, client = await start(MAIL=b"", RCPT=b"")
    now = asyncio.get_running_loop().time()
    passage = client.session._delivery
    names = ("anna@ours.example", "karl@ours.example")
    replies = await asyncio.gather(
        *(
            cast("Awaitable[Reply]", passage.recipient(MAIL, recipient(name), now + seconds))
            for name, seconds in zip(names, (0.2, 5.0), strict=True)
        )
    )
    assert codes(replies) == [451, 451]
    assert asyncio.get_running_loop().time() - now < 1.0


@pytest.mark.fault("GW03")
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    "end",
    [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n\0.\r\n", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n"],
)
async def test_nothing_is_smuggled(
    start: Start, gateway: Gateway, end: bytes, chunked: bool
) -> None:
    """A line end that isn't CRLF never leaves for the next hop, whoever let it come this far."""
    hop, client = await start()
    second = b"MAIL FROM:<a@client.example>\r\nRCPT TO:<b@ours.example>\r\nDATA\r\nhi\r\n"
    reply = (await client.send(content=b"one" + end + second, chunked=chunked))[-1]
    assert reply.code == 451
    assert hop.messages == []
    assert len(gateway.reports) == 1
    assert codes(await client.send()) == [250, 250]


def waiting(client: Client) -> int:
    """Octets that wait in our memory for the next hop."""
    passage = client.session._delivery
    assert isinstance(passage, Passage)
    assert passage._connection is not None
    assert passage._connection._transport is not None
    return passage._connection._transport.get_write_buffer_size()
