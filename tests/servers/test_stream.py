"""The stream server over real sockets: order, ends, limits, failures."""

from __future__ import annotations

import asyncio
import socket
import struct
from pathlib import Path

import pytest

from check_user import verdict
from check_user.protocols import Lookup
from check_user.protocols.policy import PolicyCodec
from check_user.servers.listen import bind, parse_endpoint
from check_user.servers.talk import Decide, Limits
from check_user.verdict import Verdict
from tests.protocols.asking import CODECS, decide, play, request
from tests.servers.doors import Doors, answer, close, rest, until

KNOWN = b"DECLINED known\n"
FAULT = b"DENYSOFT Internal error - try later\n"


class Lookups:
    """A ``decide`` whose lookups the test finishes by hand."""

    def __init__(self) -> None:
        self.open: dict[str, asyncio.Future[Verdict]] = {}

    def __call__(self, lookup: Lookup) -> asyncio.Future[Verdict]:
        self.open[lookup.text] = asyncio.get_running_loop().create_future()
        return self.open[lookup.text]

    def finish(self, text: str) -> None:
        self.open[text].set_result(verdict.unknown(text))

    async def count(self, wanted: int) -> None:
        await until(lambda: len(self.open) >= wanted)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def remove(path: str) -> None:
    Path(path).unlink()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def denied(text: str) -> bytes:
    return f"DENY {verdict.unknown(text).text}\n".encode()


async def slow_decide(lookup: Lookup) -> Verdict:
    await asyncio.sleep(len(lookup.text) % 7 / 10_000)
    return decide(lookup)


@pytest.mark.fault("PC02")
@pytest.mark.parametrize(
    ("protocol", "address", "ask"),
    [
        ("policy", "", decide),
        ("socketmap", "", slow_decide),
        ("line", "inet:127.0.0.1:0", decide),
        ("line", "inet:127.0.0.1:0", slow_decide),
    ],
)
async def test_ten_thousand_at_once(doors: Doors, protocol: str, address: str, ask: Decide) -> None:
    """10,000 questions sent ahead get 10,000 answers in their order."""
    door = await doors.open(ask, codec=CODECS[protocol], address=address)
    asked = [b"anna@example.org", b"u@example.net", b"someone@example.org", b"nobody@example.org"]
    session = b"".join(request(protocol, asked[n % 4 - n % 3]) for n in range(10_000))
    reader, writer = streams = await door.connect()
    writer.write(session)
    expected = play(protocol, [session]).sent
    async with asyncio.timeout(30):
        assert await reader.readexactly(len(expected)) == expected
    await close(streams)
    await door.left()


async def test_answers_keep_the_order_of_questions(doors: Doors) -> None:
    """An answer that is there early waits for those before it."""
    lookups = Lookups()
    door = await doors.open(lookups)
    reader, writer = await door.connect()
    writer.write(b"a@x\nb@x\nc@x\n")
    await lookups.count(3)
    for text in ("c@x", "b@x"):
        lookups.finish(text)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.readline(), 0.05)
    lookups.finish("a@x")
    assert await reader.readexactly(3 * len(denied("a@x"))) == b"".join(
        denied(text) for text in ("a@x", "b@x", "c@x")
    )


async def test_lookups_in_flight_are_bounded(doors: Doors) -> None:
    """Of one client's questions at most ``ahead`` are looked up at once; the others follow."""
    lookups = Lookups()
    door = await doors.open(lookups, limits=Limits(ahead=4))
    reader, writer = await door.connect()
    texts = [f"u{n}@x" for n in range(10)]
    writer.write("".join(f"{text}\n" for text in texts).encode())
    for n, text in enumerate(texts):
        await lookups.count(min(n + 4, 10))
        assert len(lookups.open) == min(n + 4, 10)
        lookups.finish(text)
        assert await reader.readline() == denied(text)


async def test_reading_stops_while_lookups_wait(doors: Doors) -> None:
    """What a client sends ahead of its answers waits in the kernel, not in our memory."""
    lookups = Lookups()
    door = await doors.open(lookups, limits=Limits(ahead=2))
    _, writer = await door.connect()
    transport = writer.transport
    for _ in range(64):
        writer.write(b"a@x\n" * 65_536)
    await lookups.count(1)
    for _ in range(20):
        await asyncio.sleep(0.01)
    assert transport.get_write_buffer_size() > 64 * 4 * 65_536 - 2_000_000


@pytest.mark.fault("PC04")
async def test_half_closed(doors: Doors) -> None:
    """A client that has ended its half gets every answer, then the end."""
    lookups = Lookups()
    door = await doors.open(lookups)
    streams = await door.connect()
    streams[1].write(b"a@x\nb@x\nhalf@")
    streams[1].write_eof()
    await lookups.count(2)
    lookups.finish("b@x")
    lookups.finish("a@x")
    assert await rest(streams) == denied("a@x") + denied("b@x")
    await door.left()
    assert door.reports == []


@pytest.mark.fault("PC04")
async def test_half_closed_while_reading_is_paused(doors: Doors) -> None:
    """The end of a client's half is seen after the questions that wait before it."""
    lookups = Lookups()
    door = await doors.open(lookups, limits=Limits(ahead=1))
    streams = await door.connect()
    streams[1].write(b"a@x\nb@x\nc@x\n")
    streams[1].write_eof()
    for n, text in enumerate(("a@x", "b@x", "c@x")):
        await lookups.count(n + 1)
        lookups.finish(text)
    assert await rest(streams) == denied("a@x") + denied("b@x") + denied("c@x")
    await door.left()


@pytest.mark.fault("PC04")
async def test_client_goes_away(doors: Doors) -> None:
    """When a client's connection breaks its lookups are cancelled, and the door serves on."""
    lookups = Lookups()
    door = await doors.open(lookups, address="inet:127.0.0.1:0")
    streams = await door.connect()
    streams[1].write(b"a@x\nb@x\n")
    await lookups.count(2)
    linger_not = struct.pack("ii", 1, 0)
    streams[1].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
    streams[1].transport.abort()
    await door.left()
    assert all(future.cancelled() for future in lookups.open.values())
    door.decide = decide
    assert await answer(await door.connect(), b"anna@example.org\n") == KNOWN
    assert door.reports == []


@pytest.mark.fault("OS06")
async def test_client_that_never_reads_its_answer(doors: Doors) -> None:
    """An answer to a client that has gone (EPIPE, ECONNRESET) disturbs nobody."""
    door = await doors.open(address="inet:127.0.0.1:0")
    for _ in range(50):
        _, writer = await door.connect()
        writer.write(b"anna@example.org\n" * 100)
        writer.transport.abort()
    assert await answer(await door.connect(), b"anna@example.org\n") == KNOWN
    assert door.reports == []


@pytest.mark.fault("PC06", "PC07")
@pytest.mark.parametrize(
    "junk",
    [b"GET /?a=b HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"EHLO x\r\n", b"x" * 1_000_000],
)
async def test_wrong_protocol(doors: Doors, junk: bytes) -> None:
    """Who speaks another protocol gets the answers due, then the end; the log gets one line."""
    door = await doors.open(codec=PolicyCodec)
    streams = await door.connect()
    streams[1].write(request("policy", b"anna@example.org") + junk)
    assert await streams[0].readexactly(14) == b"action=DUNNO\n\n"
    await door.left()
    assert len(door.reports) == 1
    assert "doesn't speak the protocol" in door.reports[0]
    await close(streams)


@pytest.mark.fault("PC07")
async def test_reports_are_limited(doors: Doors) -> None:
    """A hundred clients of another protocol make one line and one count a second."""
    door = await doors.open(codec=PolicyCodec, address="inet:127.0.0.1:0")
    for _ in range(100):
        streams = await door.connect()
        streams[1].write(b"EHLO x\r\n")
        await rest(streams)
        await close(streams)
    await door.server.drain(1.0)
    assert len(door.reports) <= 6
    assert door.reports[0].startswith("127.0.0.1: ")
    counts = [int(text.split()[1]) for text in door.reports if text.startswith("and ")]
    assert sum(counts) + len(door.reports) - len(counts) == 100


async def test_decide_that_fails(doors: Doors) -> None:
    """Whatever a lookup raises, at once or later, the answer is the temporary one."""

    def fail(lookup: Lookup) -> Verdict:
        raise ZeroDivisionError(lookup.text)

    async def fail_later(lookup: Lookup) -> Verdict:
        await asyncio.sleep(0)
        raise ZeroDivisionError(lookup.text)

    async def cancelled(lookup: Lookup) -> Verdict:
        raise asyncio.CancelledError(lookup.text)

    for ask in (fail, fail_later, cancelled):
        door = await doors.open(ask)
        assert await answer(await door.connect(), b"anna@example.org\n") == FAULT
        assert len(door.reports) == 1


@pytest.mark.fault("PC03")
@pytest.mark.parametrize(
    "sent", [b"", b"anna@example.org\n", b"anna@"], ids=["none", "one", "half"]
)
async def test_silence(doors: Doors, sent: bytes) -> None:
    """A client that falls silent, between questions or within one, is closed after the limit."""
    limits = Limits(idle=0.3, rest=30.0) if b"@" not in sent[-1:] else Limits(idle=30.0, rest=0.3)
    door = await doors.open(limits=limits)
    streams = await door.connect()
    streams[1].write(sent)
    began = asyncio.get_running_loop().time()
    assert await rest(streams) == (KNOWN if sent.endswith(b"\n") else b"")
    assert 0.3 <= asyncio.get_running_loop().time() - began < 2.5
    await door.left()


@pytest.mark.fault("PC03")
async def test_drip(doors: Doors) -> None:
    """Octets that come one by one don't lengthen the time for a question."""
    door = await doors.open(limits=Limits(rest=0.5))
    streams = await door.connect()
    began = asyncio.get_running_loop().time()
    end = asyncio.ensure_future(rest(streams))
    while not end.done():
        streams[1].write(b"a")
        await asyncio.wait([end], timeout=0.05)
    assert 0.5 <= asyncio.get_running_loop().time() - began < 3.0


async def test_a_waiting_client_is_not_idle(doors: Doors) -> None:
    """A client that waits for our answer isn't closed for its silence."""
    lookups = Lookups()
    door = await doors.open(lookups, limits=Limits(idle=0.2, rest=0.2, stall=0.2))
    streams = await door.connect()
    streams[1].write(b"a@x\n")
    streams[1].write_eof()
    await asyncio.sleep(1.5)
    lookups.finish("a@x")
    assert await rest(streams) == denied("a@x")


@pytest.mark.fault("PC05")
@pytest.mark.parametrize("ask", [decide, slow_decide], ids=["now", "later"])
async def test_slow_reader(doors: Doors, ask: Decide) -> None:
    """A client that never reads costs 64 KiB, is closed in time, and disturbs no other."""
    door = await doors.open(ask, address="inet:127.0.0.1:0", limits=Limits(stall=1.0))
    assert door.server.listener is not None
    for each in door.server.listener.sockets:  # the kernel shall not buffer megabytes for us
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    loop = asyncio.get_running_loop()
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    await loop.sock_connect(deaf, ("127.0.0.1", int(door.address.rpartition(":")[2])))
    flood = asyncio.ensure_future(loop.sock_sendall(deaf, b"anna@example.org\n" * 1_000_000))
    other = await door.connect()
    most = 0
    began = loop.time()
    async with asyncio.timeout(20):
        while door.server.clients == 2 or loop.time() - began < 0.5:
            asked = loop.time()
            assert await answer(other, b"anna@example.org\n") == KNOWN
            assert loop.time() - asked < 0.5
            for connection in door.server._connections:
                if connection._transport is not None:
                    most = max(most, connection._transport.get_write_buffer_size())
            await asyncio.sleep(0.002)
    assert 0 < most <= 65_536 + 64 * 100
    await asyncio.wait([flood], timeout=5)
    assert isinstance(flood.exception(), ConnectionError)
    deaf.close()
    assert await answer(other, b"anna@example.org\n") == KNOWN


@pytest.mark.fault("PC19")
async def test_storm(doors: Doors) -> None:
    """A thousand clients that come and go leave no descriptor behind."""
    door = await doors.open()
    assert await answer(await door.connect(), b"anna@example.org\n") == KNOWN
    before = open_files()
    for n in range(1000):
        streams = await door.connect()
        if n % 2:
            streams[1].write(b"anna@example.org\n")
        streams[1].transport.abort() if n % 3 else await close(streams)
    await door.left(1)
    assert door.capacity.clients == 1
    assert open_files() <= before


@pytest.mark.fault("OS01")
async def test_no_room(doors: Doors) -> None:
    """A client too many is closed at once; when another leaves there is room again."""
    door = await doors.open(room=2)
    first, second = await door.connect(), await door.connect()
    assert await answer(first, b"anna@example.org\n") == KNOWN
    assert await answer(second, b"anna@example.org\n") == KNOWN
    third = await door.connect()
    assert await rest(third) == b""
    assert "refused a client" in door.reports[0]
    await close(first)
    await door.left(1)
    assert await answer(await door.connect(), b"anna@example.org\n") == KNOWN
    assert await answer(second, b"anna@example.org\n") == KNOWN


@pytest.mark.fault("OS08")
async def test_drain(doors: Doors) -> None:
    """What was asked is answered, idle clients are closed, new ones find nobody."""
    lookups = Lookups()
    door = await doors.open(lookups)
    idle, asking, half = [await door.connect() for _ in range(3)]
    asking[1].write(b"a@x\nb@x\n")
    half[1].write(b"c@")
    await lookups.count(2)
    draining = asyncio.ensure_future(door.server.drain(10.0))
    assert await rest(idle) == b""
    with pytest.raises(OSError, match=r"No such file|refused"):
        await door.connect()
    half[1].write(b"x\n")
    await lookups.count(3)
    for text in ("a@x", "b@x", "c@x"):
        lookups.finish(text)
    assert await rest(asking) == denied("a@x") + denied("b@x")
    assert await rest(half) == denied("c@x")
    await draining
    assert (door.server.clients, door.capacity.clients) == (0, 0)


@pytest.mark.fault("OS08")
async def test_drain_answers_what_has_arrived(doors: Doors) -> None:
    """A question that has reached our socket when the drain begins is answered."""
    door = await doors.open()
    clients = [await door.connect() for _ in range(20)]
    for streams in clients:
        assert await answer(streams, b"anna@example.org\n") == KNOWN
    for streams in clients:
        streams[1].write(b"anna@example.org\n")
    await door.server.drain(5.0)
    for streams in clients:
        assert await rest(streams) == KNOWN


@pytest.mark.fault("OS08")
async def test_drain_has_a_deadline(doors: Doors) -> None:
    """Who isn't done at the deadline is cut off, and the drain is over."""
    lookups = Lookups()
    door = await doors.open(lookups)
    streams = await door.connect()
    streams[1].write(b"a@x\n")
    await lookups.count(1)
    began = asyncio.get_running_loop().time()
    await door.server.drain(0.2)
    assert asyncio.get_running_loop().time() - began < 1.0
    assert lookups.open["a@x"].cancelled()
    await close(streams)


async def test_the_check_may_change(doors: Doors) -> None:
    """A new ``decide`` answers the next question of a client that stays."""
    door = await doors.open(lambda _: verdict.FAULT)
    streams = await door.connect()
    assert await answer(streams, b"anna@example.org\n") == FAULT
    door.decide = decide
    assert await answer(streams, b"anna@example.org\n") == KNOWN


@pytest.mark.fault("PC20")
async def test_new_listener(doors: Doors, tmp_path: Path) -> None:
    """A removed socket can be made anew; the clients that are there stay."""
    door = await doors.open()
    streams = await door.connect()
    assert await answer(streams, b"anna@example.org\n") == KNOWN
    assert door.server.listener is not None
    remove(door.address.removeprefix("unix:"))
    assert not door.server.listener.is_intact()
    door.server.start(await bind(parse_endpoint(door.address)))
    assert door.server.listener.is_intact()
    assert await answer(streams, b"anna@example.org\n") == KNOWN
    assert await answer(await door.connect(), b"anna@example.org\n") == KNOWN
    assert names(tmp_path) == ["0.sock"]
