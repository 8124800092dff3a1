"""A next hop that fails at every step, behind the whole gateway; what it took is counted there.

The promise: what the client was told 250 for is there; what it was told anything else for is not,
but for the moment between the last octet and the 250, when nobody can know (GW14); and the client
is told something in time, so that it sends the mail again, and then it is there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.gateway.hop import Hop as Scripted
from tests.peers.faultproxy import HEALTHY, End, Fault, FaultProxy
from tests.smtp.client import Client, Told
from tests.smtp.gateway import ANNA, KARL, Gateway
from tests.smtp.hops import Hop
from tests.smtp.short import SECOND

NAMES = (ANNA, KARL)
IN_TIME = 2 * SECOND
"""Seconds for each reply: every limit is one, and the machine is busy."""

LATER = {250, 354, 451, 554}
"""What a client may be told: 554 only to the DATA of a mail none of whose recipients was taken."""

LINE = b"a line of the message, and it is long enough to be one of many\r\n"
LARGE = LINE * 5000
LARGEST = LINE + LARGE * 120
"""39 MB: more than the kernel takes for a next hop that stands still."""

WHOLE = {each.replace(b"\r", b"") for each in (LINE, LARGE, LARGEST)}
HOW = ["DATA", "BDAT"]


class Timed(Client):
    """A client that notes how long it has waited for a reply at most."""

    slowest = 0.0

    def _reply(self) -> Told:
        begin = time.monotonic()
        try:
            return super()._reply()
        finally:
            self.slowest = max(self.slowest, time.monotonic() - begin)


def send(gateway: Gateway, mark: str, how: str, content: bytes = LINE) -> list[int]:
    """Send a mail for two recipients; the codes of RCPT, RCPT and, if one was 250, the message."""
    with Timed(gateway.port) as client:
        _, *codes = client.begin(*NAMES)
        if 250 in codes:
            codes.append(client.message(f"Subject: {mark}\r\n\r\n".encode() + content, how)[0])
        assert client.slowest < IN_TIME, mark
    assert set(codes) <= LATER, mark
    return codes


def is_taken(codes: list[int]) -> bool:
    return len(codes) > len(NAMES) and codes[-1] == 250


def counted(hop: Hop) -> dict[str, int]:
    """How many copies of each mail there are, all whole."""
    copies: dict[str, int] = {}
    for mail in hop.mails():
        header, _, body = mail.content.partition(b"\n\n")
        mark = header.rpartition(b"Subject: ")[2].split(b"\n")[0].decode()
        assert body in WHOLE, "a half mail"
        copies[mark] = copies.get(mark, 0) + 1
    return copies


@asynccontextmanager
async def short_before(folder: Path, port: int, lmtp: str = "") -> AsyncIterator[Gateway]:
    """A gateway that isn't patient before a next hop."""

    def start() -> Gateway:
        line = f"queue/smtp-forward 127.0.0.1 {port} {lmtp}"
        made = Gateway(folder, line, module="tests.smtp.short", workers="1", lookup_timeout="1")
        return made.__enter__()

    gateway = await asyncio.to_thread(start)
    try:
        yield gateway
    finally:
        await asyncio.to_thread(gateway.__exit__, None, None, None)


@pytest.fixture
async def proxy(postfix: Hop) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(("127.0.0.1", postfix.port)) as made:
        yield made


@pytest.fixture
async def short(proxy: FaultProxy, peer_folder: Path) -> AsyncIterator[Gateway]:
    async with short_before(peer_folder, proxy.port) as gateway:
        yield gateway


async def measure(short: Gateway, proxy: FaultProxy, how: str, content: bytes) -> tuple[int, int]:
    """How many octets the next hop says and is told in a mail that goes through."""
    assert is_taken(await asyncio.to_thread(send, short, "healthy", how, content))
    connection = proxy.connections[-1]
    said = connection.replied
    return said, connection.asked


async def through(
    short: Gateway,
    hop: Hop,
    proxy: FaultProxy,
    how: str,
    faults: list[Fault],
    content: bytes,
    early: Collection[int] = (0, len(NAMES)),
) -> dict[str, bool]:
    """Send a mail under each fault, and again without; which of them came too early.

    Whatever was told 250 is there for all; what was not is there for as many as ``early`` says,
    and after all for all.
    """
    at_once: dict[str, bool] = {}
    for number, fault in enumerate(faults):
        mark = f"{how} {number}"
        proxy.script(fault)
        codes = await asyncio.to_thread(send, short, mark, how, content)
        at_once[mark] = is_taken(codes)
        proxy.inject(HEALTHY)
    before = await asyncio.to_thread(counted, hop)
    for mark, taken in at_once.items():
        assert before.get(mark, 0) in ((len(NAMES),) if taken else early), mark
        if not taken:
            assert is_taken(await asyncio.to_thread(send, short, mark, how, content)), mark
    after = await asyncio.to_thread(counted, hop)
    for mark, taken in at_once.items():
        again = 0 if taken else len(NAMES)
        assert after[mark] == before.get(mark, 0) + again, mark
    return {mark: not taken and mark in before for mark, taken in at_once.items()}


@pytest.mark.fault("GW13", "GW14")
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("then", [End.CLOSE, End.RESET])
async def test_cut_in_what_it_says(
    short: Gateway, postfix: Hop, proxy: FaultProxy, how: str, then: End
) -> None:
    """A connection that ends in any of the next hop's replies: no 250 without the mail."""
    said, _ = await measure(short, proxy, how, LINE)
    limits = sorted({0, 1, *range(4, said, 13), said - 1})
    faults = [Fault(limit=limit, then=then) for limit in limits]
    twice = await through(short, postfix, proxy, how, faults, LINE)
    assert sum(twice.values()) <= 8, "only the replies to the message's end come too late"


@pytest.mark.fault("GW13", "GW14")
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("then", list(End))
async def test_cut_in_what_it_is_told(
    short: Gateway, postfix: Hop, proxy: FaultProxy, how: str, then: End
) -> None:
    """A connection that ends in any command, or anywhere in the message: no mail, none twice."""
    _, asked = await measure(short, proxy, how, LARGE)
    head = asked - len(LARGE)
    step = 97 if then is End.SILENCE else 29
    inside = [head + part * len(LARGE) // 4 for part in (1, 2, 3)]
    limits = sorted({1, *range(11, head - 20, step), *inside, asked - 20, asked - 8})
    faults = [Fault(asked=limit, then=then) for limit in limits]
    twice = await through(short, postfix, proxy, how, faults, LARGE)
    assert not any(twice.values()), "it was not told the end of a message, and took it"


@pytest.mark.fault("GW13", "GW14")
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("then", list(End))
async def test_cut_in_what_an_lmtp_server_says(
    running_hops: Callable[[str], Hop], peer_folder: Path, how: str, then: End
) -> None:
    """An LMTP server that is lost before its last word, of which it has one for each recipient: no
    250 without the mail; who has it may get it twice, and nobody gets none."""
    dovecot = running_hops("dovecot")
    dovecot.empty()
    async with (
        FaultProxy(("127.0.0.1", dovecot.port)) as proxy,
        short_before(peer_folder, proxy.port, "lmtp") as gateway,
    ):
        said, _ = await measure(gateway, proxy, how, LINE)
        step = 61 if then is End.SILENCE else 19
        limits = sorted({0, 1, *range(4, said - 80, step), *range(said - 80, said, step // 2)})
        faults = [Fault(limit=limit, then=then) for limit in limits]
        copies = range(len(NAMES) + 1)
        twice = await through(gateway, dovecot, proxy, how, faults, LINE, copies)
        assert any(twice.values()), "the replies to the message's end were cut as well"


@pytest.mark.fault("GW13", "GW14")
@pytest.mark.parametrize("how", HOW)
async def test_silence(short: Gateway, postfix: Hop, proxy: FaultProxy, how: str) -> None:
    """A next hop that falls silent in any reply is 451 within our own time limit."""
    said, _ = await measure(short, proxy, how, LINE)
    limits = [0, 10, *range(30, said, 60), said - 1]
    faults = [Fault(limit=limit) for limit in limits]
    twice = await through(short, postfix, proxy, how, faults, LINE)
    assert sum(twice.values()) <= 2


@pytest.mark.fault("GW13")
async def test_another_protocol(short: Gateway, postfix: Hop, proxy: FaultProxy) -> None:
    """Somebody else on the next hop's port: 451, whatever it says and does then."""
    strangers = [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n", b"\x15\x03\x01\0\2\2\n"]
    strangers += [b"554 5.3.2 go away\r\n", b"421 4.3.2 busy\r\n", b"220 " + b"x" * 9000]
    faults = [Fault(answer=each, then=then) for each in strangers for then in End]
    twice = await through(short, postfix, proxy, "DATA", faults, LINE)
    assert not any(twice.values())


@pytest.mark.fault("GW13")
async def test_refused(short: Gateway, postfix: Hop, proxy: FaultProxy) -> None:
    """A next hop that refuses connections is 451 4.4.1 at once; unknown recipients stay 550."""
    proxy.refuse()
    begin = time.monotonic()
    assert await asyncio.to_thread(send, short, "refused", "DATA") == [451, 451]
    assert time.monotonic() - begin < SECOND

    def ask() -> list[int]:
        with short.client() as client:
            return client.begin("nobody@ours.example", "a@elsewhere.example", ANNA)

    assert await asyncio.to_thread(ask) == [250, 550, 550, 451]
    await proxy.accept()
    assert is_taken(await asyncio.to_thread(send, short, "refused", "DATA"))
    assert (await asyncio.to_thread(counted, postfix))["refused"] == len(NAMES)


def freeze_before_rcpt(client: Client, hop: Hop) -> list[int]:
    hop.server.freeze()
    return client.begin(*NAMES)[1:]


def freeze_before_data(client: Client, hop: Hop) -> list[int]:
    client.begin(*NAMES)
    hop.server.freeze()
    return [client.data(b"Subject: frozen\r\n\r\n" + LINE)[0]]


def freeze_within_data(client: Client, hop: Hop) -> list[int]:
    client.begin(*NAMES)
    assert client.command("DATA")[0] == 354
    client.send(b"Subject: frozen\r\n\r\n" + LINE)
    hop.server.freeze()
    client.send(LARGEST.removeprefix(LINE) + b".\r\n")
    return [client.reply()[0]]


def freeze_before_the_end(client: Client, hop: Hop) -> list[int]:
    client.begin(*NAMES)
    assert client.command("DATA")[0] == 354
    client.send(b"Subject: frozen\r\n\r\n" + LINE)
    hop.server.freeze()
    client.send(b".\r\n")
    return [client.reply()[0]]


@pytest.mark.fault("GW13", "GW14")
@pytest.mark.parametrize(
    "freeze",
    [freeze_before_rcpt, freeze_before_data, freeze_within_data, freeze_before_the_end],
)
async def test_frozen(
    short: Gateway, postfix: Hop, freeze: Callable[[Client, Hop], list[int]]
) -> None:
    """A next hop whose processes are stopped, at any step: 451 in time, and then it works again."""

    def play() -> None:
        with Timed(short.port) as client:
            try:
                assert set(freeze(client, postfix)) == {451}
                assert client.slowest < IN_TIME
            finally:
                postfix.server.thaw()

    await asyncio.to_thread(play)
    assert is_taken(await asyncio.to_thread(send, short, "thawed", "DATA"))
    copies = await asyncio.to_thread(counted, postfix)
    assert copies.pop("thawed") == len(NAMES)
    assert copies in ({}, {"frozen": len(NAMES)} if freeze is freeze_before_the_end else {})


@pytest.mark.fault("GW13")
@pytest.mark.parametrize("verb", ["greeting", "EHLO", "MAIL", "RCPT", "DATA", ".", "BDAT", "QUIT"])
async def test_garbage(peer_folder: Path, verb: str) -> None:
    """A next hop that answers a command with what is no reply: 451, and nothing taken for one."""
    garbage = [b"what?\r\n", b"250 ok\n", b"250-ok\r\n354 go\r\n", b"999 ok\r\n", b"\0" * 2000]
    garbage += [b"250 ok\r\n250 ok\r\n250 ok\r\n" if verb == "QUIT" else b"150 ok\r\n"]
    async with Scripted() as hop, short_before(peer_folder, hop.port) as gateway:
        for how in HOW:
            if (verb in ("DATA", ".") and how == "BDAT") or (verb == "BDAT" and how == "DATA"):
                continue
            polite = hop.replies.pop(verb, None)
            for each in garbage:
                hop.replies[verb] = each
                hop.messages.clear()
                codes = await asyncio.to_thread(send, gateway, "garbage", how)
                assert is_taken(codes) is (verb == "QUIT"), (each, codes)
                if verb not in (".", "BDAT"):
                    assert len(hop.messages) == is_taken(codes)
            del hop.replies[verb]
            if polite is not None:
                hop.replies[verb] = polite
            assert is_taken(await asyncio.to_thread(send, gateway, "after", how))
