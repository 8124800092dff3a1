"""Clients that take their time, and messages and commands that don't end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.smtp.client import SENDER, Client
from tests.smtp.gateway import ANNA, MAILDIR, Gateway
from tests.smtp.short import SECOND, SESSION

GROWTH = 24e6
"""Octets of memory that any of this may cost all processes together: buffers and their heaps."""

GIGABYTE = 10**9
PIECE = b"x" * 1_000_000


@pytest.fixture
def short(peer_folder: Path) -> Iterator[Gateway]:
    """A gateway with a second for a command and three for a session."""
    with Gateway(peer_folder, MAILDIR, module="tests.smtp.short", workers="1") as made:
        yield made


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
    """A message of two lines a second takes longer than a session may last, and arrives."""
    lines = [b"Subject: slow\r\n", b"\r\n", *[b"a line\r\n"] * 10]
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
    assert list((short.folder / "mail" / "tmp").iterdir()) == []


@pytest.mark.fault("GW10", "PC06")
@pytest.mark.parametrize("how", ["DATA", "BDAT", "DATA, taken", "command"])
def test_a_gigabyte_without_a_line_end(peer_folder: Path, how: str) -> None:
    """A gigabyte without CRLF is refused, or taken, or passed over, in bounded memory.

    Beyond twice the limit a message's end isn't waited for: 552, and the connection is closed.
    """
    limit = 2 * 10**9 if how == "DATA, taken" else 65536 * 1000
    with Gateway(peer_folder, MAILDIR, smtp_max_message=str(limit)) as gateway:
        assert gateway.deliver(b"Subject: warm\r\n\r\n" + b"hi\r\n" * 9, ANNA)[-1] == 250
        before = most = gateway.resident
        with gateway.client() as client:
            assert client.begin(ANNA) == [250, 250]
            if how == "BDAT":
                client.send(b"BDAT %d LAST\r\n" % GIGABYTE)
            elif how != "command":
                assert client.command("DATA")[0] == 354
            sent = 0
            try:
                while sent < GIGABYTE:
                    client.send(PIECE)
                    sent += len(PIECE)
                    if sent % (50 * len(PIECE)) == 0:
                        most = max(most, gateway.resident)
                client.send(b"\r\n.\r\n" if how == "DATA, taken" else b"\r\n")
            except OSError:
                assert how in ("DATA", "BDAT")
            if how == "DATA, taken":
                assert client.reply()[0] == 250
            elif how == "command":
                assert client.reply()[0] == 500
            else:
                assert client.rest().startswith(b"552 5.3.4 ")
                assert 2 * limit < sent + len(PIECE) < 3 * limit
        assert most - before < GROWTH
        assert gateway.deliver(b"Subject: next\r\n\r\nhi\r\n", ANNA) == [250, 250, 250]
        files = list((peer_folder / "mail" / "new").iterdir())
        assert len(files) == (3 if how == "DATA, taken" else 2)
        assert list((peer_folder / "mail" / "tmp").iterdir()) == []
        for file in files:
            file.unlink()


@pytest.mark.fault("GW10")
def test_a_message_above_the_limit(peer_folder: Path) -> None:
    """A message a bit above the limit is read to its end: 552, and the session goes on."""
    with (
        Gateway(peer_folder, MAILDIR, smtp_max_message="65536") as gateway,
        gateway.client() as client,
    ):
        assert client.begin(ANNA) == [250, 250]
        assert client.data(b"x" * 998 + b"\r\n" * 50_000)[0] == 552
        assert client.command(f"MAIL FROM:<{SENDER}>")[0] == 250
        assert client.rcpt(ANNA)[0] == 250
        assert client.data(b"Subject: small\r\n\r\nhi\r\n")[0] == 250
        assert len(gateway.delivered()) == 1
