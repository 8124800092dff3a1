"""Clients that take their time, and messages and commands that don't end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.process import wait_until
from tests.smtp.client import SENDER, Client
from tests.smtp.gateway import ANNA, MAILDIR, Gateway
from tests.smtp.short import SECOND, SESSION

GROWTH = 10e6
"""Octets of memory that any of this may cost all processes together: buffers and their heaps."""

GIGABYTE = 10**9
LIMIT = 65_536_000
LARGE = 60_000_000
PIECE = b"x" * 1_000_000


@pytest.fixture
def short(peer_folder: Path) -> Iterator[Gateway]:
    """A gateway with a second for a command and three for a session."""
    with Gateway(peer_folder, MAILDIR, module="tests.smtp.short", workers="1") as made:
        yield made


def is_tidy(gateway: Gateway) -> bool:
    """Whether nothing is left of what was given up; its client may have been told before."""
    return wait_until(lambda: not any((gateway.folder / "mail" / "tmp").iterdir()), 5)


def drip(client: Client, data: bytes, pause: float, limit: float) -> tuple[bytes, float]:
    """Send ``data`` octet by octet, and again, until the server closes; what it said, and when."""
    begin = time.monotonic()
    said = b""
    client.pause(pause)
    while time.monotonic() - begin < limit:
        for octet in data:
            try:
                client.send(bytes([octet]))
                if (piece := client.heard()) is not None:
                    said += piece
                    if not piece:
                        return said, time.monotonic() - begin
            except OSError:
                return said, time.monotonic() - begin
    raise AssertionError(f"still there after {limit} s; it said {said!r}")


@pytest.mark.fault("GW08", "PC03")
def test_a_command_octet_by_octet(short: Gateway) -> None:
    """A command that doesn't come to its end ends with 421 at its limit, octets or not."""
    with short.client() as client:
        said, took = drip(client, b"EHLO" + b"x" * 1000, 0.2, 5)
    assert said.startswith(b"421 4.3.2 ")
    assert SECOND <= took < SECOND + 2.5


@pytest.mark.fault("GW08")
def test_commands_for_ever(short: Gateway) -> None:
    """A client that says NOOP again and again is told 421 when its session's time is over."""
    with short.client() as client:
        said, took = drip(client, b"NOOP\r\n", 0.05, 8)
    assert said.count(b"250 2.0.0 OK\r\n") >= 3
    assert b"421 4." in said
    assert took < SESSION + 2.5


@pytest.mark.fault("GW09")
@pytest.mark.parametrize("how", ["DATA", "BDAT"])
def test_a_slow_and_honest_message(short: Gateway, how: str) -> None:
    """A message of two lines a second takes longer than a session may last, and arrives.

    The session's time goes on where it was.
    """
    lines = [
        b"Subject: slow\r\n",
        b"\r\n",
        *[b"a line of some words, ".ljust(70, b".") + b"\r\n"] * 8,
    ]
    with short.client() as client:
        assert client.begin(ANNA) == [250, 250]
        if how == "DATA":
            assert client.command("DATA")[0] == 354
        else:
            client.send(b"BDAT %d LAST\r\n" % len(b"".join(lines)))
        begin = time.monotonic()
        for line in lines:
            client.send(line)
            time.sleep(0.5)  # this is how slow the line is
        assert time.monotonic() - begin > SESSION
        if how == "DATA":
            client.send(b".\r\n")
        assert client.reply()[0] == 250
        for _ in range(5):
            assert client.command("NOOP")[0] == 250
            time.sleep(0.3)  # until somebody has looked at the clock
    assert len(short.delivered()) == 1


@pytest.mark.fault("GW08")
def test_a_message_that_stops(short: Gateway) -> None:
    """A message whose rest doesn't come is given up with 421, and nothing of it is delivered."""
    with short.client() as client:
        client.begin(ANNA)
        assert client.command("DATA")[0] == 354
        client.send(b"Subject: half\r\n\r\nhalf\r\n")
        assert client.rest().startswith(b"421 4.")
    assert short.delivered() == []
    assert is_tidy(short)


@pytest.fixture
def flooded(peer_folder: Path) -> Iterator[Flooded]:
    """A gateway that takes 65 MB, and has taken a mail already."""
    with Gateway(peer_folder, MAILDIR, smtp_max_message=str(LIMIT)) as gateway:
        assert gateway.deliver(b"Subject: warm\r\n\r\n" + b"hi\r\n" * 9, ANNA)[-1] == 250
        yield Flooded(gateway)


class Flooded:
    """A gateway that gets more than it wants."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.before = gateway.resident

    def pour(self, client: Client, octets: int) -> int:
        """Send so many, or as many as are taken, without a line end; no memory may be held."""
        for sent in range(0, octets, len(PIECE)):
            try:
                client.send(PIECE)
            except OSError:
                return sent
            if sent % (25 * len(PIECE)) == 0:
                assert self.gateway.resident - self.before < GROWTH
        return octets

    def still_works(self) -> None:
        """Nothing of it is left, neither in memory nor on the disk."""
        assert self.gateway.resident - self.before < GROWTH
        assert self.gateway.deliver(b"Subject: next\r\n\r\nhi\r\n", ANNA) == [250, 250, 250]
        assert all(len(mail) < 1000 for mail in self.gateway.delivered())
        assert is_tidy(self.gateway)


@pytest.mark.fault("GW10", "PC06")
@pytest.mark.parametrize("begin", [b"DATA\r\n", b"BDAT %d LAST\r\n" % GIGABYTE])
def test_a_gigabyte_of_a_message(flooded: Flooded, begin: bytes) -> None:
    """A gigabyte without CRLF is 552, closed at twice the limit, in bounded memory."""
    with flooded.gateway.client() as client:
        assert client.begin(ANNA) == [250, 250]
        client.send(begin)
        if begin.startswith(b"DATA"):
            assert client.reply()[0] == 354
        sent = flooded.pour(client, GIGABYTE)
        assert client.rest().startswith(b"552 5.3.4 ")
    assert 2 * LIMIT - len(PIECE) < sent < 3 * LIMIT
    flooded.still_works()


@pytest.mark.fault("GW10", "PC06")
def test_a_gigabyte_of_a_command(flooded: Flooded) -> None:
    """A command line of a gigabyte is passed over in bounded memory, then 500."""
    with flooded.gateway.client() as client:
        assert flooded.pour(client, GIGABYTE) == GIGABYTE
        client.send(b"\r\n")
        assert client.reply()[0] == 500
        assert client.begin(ANNA) == [250, 250]
    flooded.still_works()


@pytest.mark.fault("GW10")
@pytest.mark.parametrize("how", ["DATA", "BDAT"])
def test_a_large_message(flooded: Flooded, how: str) -> None:
    """A message within the limit is taken in bounded memory, and lies there whole."""
    with flooded.gateway.client() as client:
        assert client.begin(ANNA) == [250, 250]
        if how == "DATA":
            assert client.command("DATA")[0] == 354
        else:
            client.send(b"BDAT %d LAST\r\n" % LARGE)
        assert flooded.pour(client, LARGE) == LARGE
        if how == "DATA":
            client.send(b"\r\n.\r\n")
        assert client.reply()[0] == 250
    (large,) = [each for each in flooded.gateway.delivered() if len(each) > 1000]
    assert large.count(b"x" * LARGE) == 1


@pytest.mark.fault("GW10")
def test_a_message_above_the_limit(peer_folder: Path) -> None:
    """A message a bit above the limit is read to its end: 552, and the session goes on."""
    with (
        Gateway(peer_folder, MAILDIR, smtp_max_message="65536") as gateway,
        gateway.client() as client,
    ):
        assert client.begin(ANNA) == [250, 250]
        assert client.data((b"x" * 998 + b"\r\n") * 100)[0] == 552
        assert client.command(f"MAIL FROM:<{SENDER}>")[0] == 250
        assert client.rcpt(ANNA)[0] == 250
        assert client.data(b"Subject: small\r\n\r\nhi\r\n")[0] == 250
        assert len(gateway.delivered()) == 1
