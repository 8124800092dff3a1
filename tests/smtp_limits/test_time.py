"""What a client of the gateway may take of our time: the limits are short, and real clocks run."""

from __future__ import annotations

import asyncio
import time

import pytest

from check_user.gateway.maildir import MaildirDelivery
from tests.smtp_limits.conftest import Opens
from tests.smtp_limits.door import FAREWELL

LINE = b"." * 62 + b"\r\n"


@pytest.mark.fault("GW06")
async def test_the_greeting_waits(opens: Opens) -> None:
    """The greeting comes after the delay; another client's isn't held up by it."""
    door = await opens(smtp_greet_delay="0.3")
    began = time.monotonic()
    clients = [await door.connect() for _ in range(5)]
    greetings = [await client.reply() for client in clients]
    assert 0.3 <= time.monotonic() - began < 1.0
    assert all(each.startswith(b"220 gateway.example ") for each in greetings)


@pytest.mark.fault("GW06")
async def test_who_speaks_before_the_greeting(opens: Opens) -> None:
    """Who doesn't wait for the greeting is refused at once, and nothing it said is obeyed."""
    door = await opens(smtp_greet_delay="30")
    client = await door.connect()
    client.send(b"EHLO client.example\r\nMAIL FROM:<a@client.example>\r\n")
    told, took = await client.rest()
    assert told == b"554 5.5.1 You spoke before the greeting\r\n"
    assert took < 5.0


async def test_a_client_that_leaves_before_the_greeting(opens: Opens) -> None:
    """It is forgotten, and its greeting harms nobody."""
    door = await opens(smtp_greet_delay="0.1")
    client = await door.connect()
    client.writer.transport.abort()
    assert (await (await door.connect()).reply()).startswith(b"220 ")
    assert door.reports == []


@pytest.mark.fault("GW08")
async def test_silence(opens: Opens) -> None:
    """A client that says nothing more is told 421 and closed."""
    door = await opens(idle=0.3)
    told, took = await (await door.greeted()).rest()
    assert told == FAREWELL
    assert 0.2 <= took < 2.0


@pytest.mark.fault("GW08")
async def test_a_command_by_octets(opens: Opens) -> None:
    """A command must be whole in its time, though an octet comes every moment."""
    door = await opens(rest=0.4)
    told, took = await (await door.greeted()).rest(drip=b"N")
    assert told in (FAREWELL, b"")  # a reset may have taken it away
    assert 0.3 <= took < 2.0


@pytest.mark.fault("GW08")
async def test_noop_for_ever(opens: Opens) -> None:
    """A client that is never silent and brings no mail ends with the session's time."""
    door = await opens(session=0.5)
    client = await door.greeted()
    told, took = await client.rest(drip=b"NOOP\r\n", interval=0.05)
    assert told.replace(b"250 2.0.0 OK\r\n", b"") in (FAREWELL, b"")
    assert told.startswith(b"250 2.0.0 OK\r\n" * 5)
    assert 0.3 <= took < 2.0


@pytest.mark.fault("GW08")
@pytest.mark.parametrize("begin", [b"DATA", b"BDAT"])
async def test_a_message_that_stops(opens: Opens, begin: bytes) -> None:
    """A client that falls silent in its message is told 421, and nothing of it is delivered."""
    door = await opens(content=0.3, rate=1.0)
    client = await door.greeted()
    await client.begin()
    client.send(LINE)
    told, took = await client.rest()
    assert told == FAREWELL
    assert 0.2 <= took < 2.0
    assert door.delivered() == []


@pytest.mark.fault("GW08")
@pytest.mark.parametrize("drip", [b"x", b"x\r\n"], ids=["octets", "short lines"])
async def test_a_message_by_octets(opens: Opens, drip: bytes) -> None:
    """A slow-loris: a message slower than the least rate ends, though never silent for long."""
    door = await opens(content=0.3, rate=5_000.0)
    client = await door.greeted()
    await client.begin()
    told, took = await client.rest(drip=drip)
    assert told in (FAREWELL, b"")
    assert 0.2 <= took < 2.0
    assert door.delivered() == []


@pytest.mark.fault("GW09")
async def test_a_message_by_slow_lines(opens: Opens) -> None:
    """One that is slow and faster than the least rate is taken, however long it needs.

    In proportion it is RFC 5321's: six times as long as a silence may be.
    """
    door = await opens(content=0.3, rate=1_000.0, session=0.5, idle=5.0)
    client = await door.greeted()
    await client.begin()
    for _ in range(36):
        client.send(LINE)
        await asyncio.sleep(0.05)  # a line's time on the slow path: 1,280 octets a second
    assert (await client.ask(b".\r\n")).startswith(b"250 ")
    assert len(door.delivered()) == 1
    await asyncio.sleep(0.1)  # several looks at the limits
    assert (await client.ask(b"QUIT\r\n")).startswith(b"221 "), "a message isn't session time"


@pytest.mark.fault("GW09")
async def test_our_own_slowness_isn_t_the_client_s(
    opens: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the queue takes nothing, the client's time stands still."""

    async def slow(self: MaildirDelivery, data: bytes) -> None:
        await asyncio.sleep(0.5)

    monkeypatch.setattr(MaildirDelivery, "write", slow)
    door = await opens(content=0.3, rate=1_000_000.0)
    client = await door.greeted()
    await client.begin()
    for _ in range(2):
        client.send(LINE)
        await asyncio.sleep(0.1)
    assert (await client.ask(b".\r\n")).startswith(b"250 ")


@pytest.mark.fault("PC05")
async def test_a_client_that_never_reads(opens: Opens) -> None:
    """Who leaves his replies unread is closed, and little is kept for him until then."""
    door = await opens(
        stall=0.3, unread=2048, smtp_max_errors="999999999", smtp_max_commands="999999999"
    )
    client = await door.greeted()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined] # a StreamWriter's is one that reads
    async with asyncio.timeout(20):
        while door.server.clients:
            client.send(b"RSET x\r\n" * 10_000)
            await asyncio.sleep(0.01)


@pytest.mark.fault("GW11")
async def test_no_room(opens: Opens) -> None:
    """A client for whom there is no room in the process is told 421 4.3.2, at once."""
    door = await opens(room=2)
    here = [await door.greeted() for _ in range(2)]
    told, took = await (await door.connect()).rest()
    assert told == b"421 4.3.2 gateway.example Too many connections\r\n"
    assert took < 1.0
    assert (await here[0].ask(b"NOOP\r\n")).startswith(b"250 ")
    assert (await here[1].ask(b"QUIT\r\n")).startswith(b"221 ")
    await here[1].rest()
    await door.greeted()
