"""A real Postfix behind a fault proxy, failing at every step; what it delivered is counted.

The promise: a mail that was told 250 is there, and one that was told anything else is not, but for
the moment between the last octet and the 250, when nobody can know (GW14).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from check_user.protocols.smtp import Content, Data, End, Reply
from tests.gateway.asking import MAIL, MESSAGE, SHORT, Client, Gateway, codes, decide_later
from tests.peers.faultproxy import End as Ending
from tests.peers.faultproxy import Fault, FaultProxy
from tests.peers.postfix import Postfix

NAMES = ["anna@ours.example", "karl@ours.example"]


@pytest.fixture
async def proxy(postfix: Postfix) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(("127.0.0.1", postfix.port)) as proxy:
        yield proxy


@pytest.fixture
async def client(gateway: Gateway, proxy: FaultProxy) -> AsyncIterator[Client]:
    gateway.timeouts = SHORT
    gateway.decide = decide_later
    yield await gateway.client(f"queue/smtp-forward 127.0.0.1 {proxy.port}")
    await gateway.aclose()
    gateway.clients.clear()


async def delivered(postfix: Postfix) -> list[bytes]:
    """Count on the far side while the proxy goes on, which has to tell Postfix of every end."""
    return await asyncio.to_thread(postfix.delivered)


async def replied(client: Client, proxy: FaultProxy, *, chunked: bool) -> list[int]:
    """How many octets the next hop has said after each step of a mail; the last is all of them."""
    client.session.closed()
    client = Client(client.chain)
    connection = len(proxy.connections)
    steps = []
    await client.told(MAIL)
    for name in NAMES:
        assert (await client.rcpt(name)).code == 250
        steps.append(proxy.connections[connection].replied)
    await client.told(Data(chunked))
    steps.append(proxy.connections[connection].replied)
    await client.ask(Content(MESSAGE))
    assert (await client.told(End(len(MESSAGE)))).code == 250
    steps.append(proxy.connections[connection].replied)
    client.session.closed()
    return steps


SLACK = 16
"""Octets by which a conversation may be longer than the one before: queue names differ."""


def check(replies: list[Reply], marks: list[bytes], mark: bytes, *, ended: bool) -> None:
    """Compare what a client was told with what was delivered."""
    *recipients, last = replies
    copies = sum(mark in each for each in marks)
    if last.code == 250 and len(replies) > len(NAMES):
        assert copies == codes(recipients).count(250)
    else:
        assert set(codes(replies)) <= {250, 451}
        assert last.code == 451
        assert copies == 0 or ended, "it was told no, and it is there"


@pytest.mark.fault("GW13", "GW14")
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("ending", [Ending.CLOSE, Ending.RESET])
async def test_cut_at_every_octet(
    client: Client, proxy: FaultProxy, postfix: Postfix, ending: Ending, chunked: bool
) -> None:
    """Wherever in the next hop's words the connection ends: no 250 without the mail."""
    steps = await replied(client, proxy, chunked=chunked)
    outcomes = {}
    whole = steps[-1] + SLACK
    for limit in (*range(steps[-1] + 1), whole):
        proxy.script(Fault(limit=limit, then=ending))
        mark = b"cut %d." % limit
        one = Client(client.chain)
        outcomes[limit] = mark, await one.send(NAMES, mark + b"\r\n", chunked=chunked)
        one.session.closed()
    marks = await delivered(postfix)
    for limit, (mark, replies) in outcomes.items():
        check(replies, [each for each in marks if mark in each], mark, ended=limit >= steps[-2])
    assert outcomes[whole][1][-1].code == 250
    assert codes(await Client(client.chain).send(NAMES)) == [250, 250, 250]


@pytest.mark.fault("GW13", "GW14")
@pytest.mark.parametrize("chunked", [False, True])
async def test_silence_at_every_step(
    client: Client, proxy: FaultProxy, postfix: Postfix, chunked: bool
) -> None:
    """A next hop that falls silent at any step is 451 within our own time limit."""
    steps = [0, 10, *await replied(client, proxy, chunked=chunked)][:-1]
    loop = asyncio.get_running_loop()
    for limit in steps:
        proxy.script(Fault(limit=limit, then=Ending.SILENCE))
        one = Client(client.chain)
        began = loop.time()
        mark = b"silence %d." % limit
        replies = await one.send(NAMES, mark + b"\r\n", chunked=chunked)
        assert loop.time() - began < 2.0
        check(replies, await delivered(postfix), mark, ended=limit == steps[-1])
        assert replies[-1].code == 451
        one.session.closed()
        assert codes(await one.send(NAMES)) == [451, 451], "its session is over"


@pytest.mark.fault("GW13")
async def test_refused_then_back(gateway: Gateway, client: Client, proxy: FaultProxy) -> None:
    """With the next hop refusing connections: 451 at once; once it is back, 250."""
    proxy.refuse()
    replies = await client.send(["anna@ours.example", "nobody@ours.example"])
    assert codes(replies) == [451, 550]
    assert (replies[0].enhanced, len(gateway.reports)) == ("4.4.1", 1)
    await proxy.accept()
    assert codes(await client.send()) == [250, 250]


@pytest.mark.fault("GW13")
async def test_frozen_next_hop(
    gateway: Gateway, client: Client, postfix: Postfix, proxy: FaultProxy
) -> None:
    """A next hop whose processes are stopped: connections stand, and RCPT is 451 in time."""
    assert codes(await client.send()) == [250, 250]
    postfix.freeze()
    try:
        for one in (client, Client(client.chain)):
            began = asyncio.get_running_loop().time()
            assert codes(await one.send(NAMES)) == [451, 451]
            assert asyncio.get_running_loop().time() - began < 1.0
            one.session.closed()
    finally:
        postfix.thaw()
    assert codes(await Client(client.chain).send()) == [250, 250]


@pytest.mark.fault("GW13")
@pytest.mark.parametrize("chunked", [False, True])
async def test_cut_inside_the_message(
    client: Client, proxy: FaultProxy, postfix: Postfix, chunked: bool
) -> None:
    """A connection that ends while the message is sent leaves no mail, not a half one either."""
    await client.told(MAIL)
    assert (await client.rcpt("anna@ours.example")).code == 250
    await client.told(Data(chunked))
    line = b"half a mail\r\n" * 6000
    for count in range(20):
        assert await client.ask(Content(line)) is None
        if count == 10:
            proxy.drop(reset=True)
            await asyncio.sleep(0)
    assert (await client.told(End(20 * len(line)))).code == 451
    assert await delivered(postfix) == []
    assert codes(await client.send()) == [250, 250]


@pytest.mark.fault("GW14")
async def test_death_between_the_last_dot_and_the_250(
    client: Client, proxy: FaultProxy, postfix: Postfix
) -> None:
    """The next hop has the mail and its 250 is lost: 451, and the mail comes twice, not never."""
    steps = await replied(client, proxy, chunked=False)
    before = len(await delivered(postfix))
    proxy.script(Fault(limit=steps[2], then=Ending.CLOSE))
    one = Client(client.chain)
    assert codes(await one.send(NAMES)) == [250, 250, 451]
    assert codes(await one.send(NAMES)) == [250, 250, 250]
    assert len(await delivered(postfix)) == before + 2 * len(NAMES)
    one.session.closed()


async def test_a_hop_that_was_not_there_at_start(
    gateway: Gateway, postfix: Postfix, proxy: FaultProxy
) -> None:
    """Without its next hop the gateway starts, offers nothing, and says so; then it learns."""
    proxy.refuse()
    client = await gateway.client(f"queue/smtp-forward 127.0.0.1 {proxy.port}")
    assert not client.chain.extensions.utf8
    assert "no extensions are offered" in gateway.reports[0]
    await proxy.accept()
    assert codes(await client.send()) == [250, 250]
    assert client.chain.extensions.utf8
    assert await delivered(postfix)
