"""PROXY headers: from whom they are believed, from whom not, and what isn't one."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from tests.peers.smtp import OUTSIDER
from tests.smtp.client import Client
from tests.smtp.gateway import ANNA, FOREIGN, MAILDIR, Gateway

PROXY = "127.0.0.4"
RELAY_CLIENT = "192.0.2.1"
"""An address that may relay, if it is really the client's."""

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def binary(client: str, *, command: int = 1, more: bytes = b"") -> bytes:
    """A version 2 header."""
    if ":" in client:
        family, addresses = 0x21, IPv6Address(client).packed + IPv6Address("::1").packed
    else:
        family, addresses = 0x11, IPv4Address(client).packed + IPv4Address("127.0.0.1").packed
    rest = addresses + struct.pack("!HH", 4711, 25) + more
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack("!H", len(rest)) + rest


HEADERS = {
    "1": (b"PROXY TCP4 192.0.2.1 127.0.0.1 4711 25\r\n", RELAY_CLIENT),
    "1, IPv6": (b"PROXY TCP6 2001:db8::7 ::1 4711 25\r\n", "IPv6:2001:db8::7"),
    "1, unknown": (b"PROXY UNKNOWN\r\n", PROXY),
    "2": (binary("192.0.2.1"), RELAY_CLIENT),
    "2, IPv6": (binary("2001:db8::7", more=b"\x04\0\x01x"), "IPv6:2001:db8::7"),
    "2, local": (binary("192.0.2.1", command=0), PROXY),
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("g")
    relay = {"relayclients": f"{RELAY_CLIENT}\n"}
    with Gateway(folder, MAILDIR, files=relay, smtp_proxies=f"{PROXY}/32") as made:
        yield made


@pytest.mark.fault("GW16")
@pytest.mark.parametrize(("header", "client"), HEADERS.values(), ids=HEADERS)
def test_from_a_listed_network(gateway: Gateway, header: bytes, client: str) -> None:
    """A listed proxy's header names the client: in Received, in the log, and for relaying."""
    before = set((gateway.folder / "mail" / "new").iterdir())
    with Client(gateway.port, PROXY, silently=True) as session:
        session.send(header)
        assert session.reply()[0] == 220
        may_relay = client == RELAY_CLIENT
        assert session.begin(ANNA, FOREIGN) == [250, 250, 250 if may_relay else 550]
        assert session.data(b"Subject: x\r\n\r\nhi\r\n")[0] == 250
    (file,) = set((gateway.folder / "mail" / "new").iterdir()) - before
    assert f"Received: from client.example ([{client}])".encode() in file.read_bytes()


UNASKED = [header for header, _ in HEADERS.values()]


@pytest.mark.fault("GW16")
@pytest.mark.parametrize("header", UNASKED, ids=HEADERS)
def test_from_an_unlisted_network(gateway: Gateway, header: bytes) -> None:
    """Nobody else is believed: a header from elsewhere is 5xx, and lets nobody relay."""
    with gateway.client() as client:
        client.send(header)
        code, _ = client.reply()
        assert code in (500, 554)
        if header.startswith(b"PROXY"):
            assert client.begin(FOREIGN, ANNA) == [250, 550, 250]
        else:
            assert b"250" not in client.rest()


@pytest.mark.fault("GW16", "GW06")
@pytest.mark.parametrize("header", UNASKED, ids=HEADERS)
def test_from_an_unlisted_network_at_once(gateway: Gateway, header: bytes) -> None:
    """A header before the greeting is 554 or 500, whichever it comes to first, and no session."""
    with Client(gateway.port, OUTSIDER, silently=True) as client:
        client.send(header)
        client.end()
        said = client.rest().removeprefix(b"220 gateway.example ESMTP check_user ready\r\n")
    assert said
    assert all(line.startswith(b"5") for line in said.splitlines())


@pytest.mark.fault("GW16")
@pytest.mark.parametrize(
    "data",
    [
        b"EHLO client.example\r\n",
        b"PROXY TCP4 192.0.2.1 127.0.0.1 4711 65536\r\n",
        b"PROXY TCP4 192.0.2.999 127.0.0.1 4711 25\r\n",
        b"PROXY UNKNOWN " + b"x" * 107 + b"\r\n",
        b"PROXY TCP4 " + b"1" * 100_000,
        SIGNATURE + b"\x21\x11\x00\x04" + b"\xc0\0\x02\x01",
        SIGNATURE + b"\x21\x11\xff\xff" + b"x" * 65535,
        SIGNATURE + b"\x11\x11\x00\x0c" + b"x" * 12,
        b"\x16\x03\x01\x02\0\x01",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_no_header_where_one_is_due(gateway: Gateway, data: bytes) -> None:
    """A listed proxy that sends none, or a wrong one, isn't greeted: the connection is closed."""
    with Client(gateway.port, PROXY, silently=True) as session:
        session.send(data)
        assert session.rest() == b""


@pytest.mark.fault("GW16", "GW06")
def test_commands_behind_a_header(gateway: Gateway) -> None:
    """What comes together with the header came before the greeting: 554."""
    with Client(gateway.port, PROXY, silently=True) as session:
        session.send(HEADERS["1"][0] + b"EHLO client.example\r\n")
        assert session.rest().startswith(b"554 ")
